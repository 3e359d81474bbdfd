"""Evaluation: the champion and the table's comparisons on days that neither a fit nor a threshold has seen.

Beside them the threshold policies, fitted on the champion's calibration scores: what each promises and what came of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import numpy as np
import polars as pl

from ae_assets.chain.champion import Champion, load_champion
from ae_assets.chain.failure_types import failure_types
from ae_assets.chain.lives import lives_in
from ae_assets.chain.rebuilding import Rebuilding, normal_records
from ae_assets.chain.results import Evaluation, of_failures, of_intervals
from ae_assets.chain.rolling import fitted_detectors
from ae_assets.chain.scoring import score_days
from ae_assets.chain.stories import drive_figures
from ae_assets.chain.target import intervals_in, step_of, target_of
from ae_assets.chain.threshold import calibration_scores
from ae_assets.chain.workspace import ANOMALIES, FEATURES, Workspace
from ae_assets.decisions.aggregation import aggregate
from ae_assets.decisions.config import AggregationConfig
from ae_assets.decisions.hold import alarm_scores
from ae_assets.detectors import FittedDetector
from ae_assets.errors import EvaluationError, ModelError
from ae_assets.evaluation.compare import compare
from ae_assets.evaluation.drives import drives_of
from ae_assets.evaluation.population import require_labels
from ae_assets.evaluation.promises import CalibrationTable, calibration_table
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.protocols.corpus import RANDOM, CorpusFigures, corpus_figures, random_scores, records_curve
from ae_assets.evaluation.protocols.curves import BUFFER
from ae_assets.evaluation.protocols.rebuilt import RebuiltFigures
from ae_assets.evaluation.results import IN_USE
from ae_assets.evaluation.series import Series, compare_series
from ae_assets.evaluation.spells import Lives
from ae_assets.evaluation.target import Intervals
from ae_assets.features.wording import wording_of
from ae_assets.model.baselines import Compared, compared_detectors
from ae_assets.model.definition import WatchedTable
from ae_assets.schemas.daily import of_days
from ae_assets.schemas.periods import named
from ae_assets.schemas.records import keys_of, time_of
from ae_assets.thresholds.config import default_policies
from ae_assets.thresholds.threshold import fit_threshold

DEVICES_DRAWN, TRAINING_DAYS_DRAWN = 200, 10
"""Of which scores are drawn beside those of the judged days."""

ROUNDING = 1e-9
"""Relative difference of scores that are equal, once as they were stored and once as they are aggregated again."""


def evaluate(
    space: Workspace, start: date, end: date, *, with_comparisons: bool, with_baselines: bool = False
) -> Evaluation:
    """Judges the champion's stored scores from start to end, and beside them every comparison that is asked for.

    Comparisons are those of the YAML and the baselines with default settings, fitted on the champion's training range.
    Where failures are known the protocol is that of drives, where intervals are that of series.

    Raises:
        EvaluationError: when the range touches what the champion has seen, its anomalies are not complete, or nothing
            is known to have gone wrong with the table's devices.
    """
    if space.table.target_kind is None:
        raise EvaluationError(nothing_known(space.table))
    champion = load_champion(space)
    if start <= champion.seen_until:
        raise EvaluationError(
            f"the champion {champion.version} has seen days and labels until {named(champion.seen_until)}; "
            f"evaluate from {named(space.table.periods.shifted(champion.seen_until, 1))} on, received {named(start)}"
        )
    _, *others = compared_detectors(space.table, comparisons=with_comparisons, baselines=with_baselines)
    judge = _by_failures if space.table.target_kind == "failures" else _by_intervals
    evaluation = judge(space, champion, (start, end), others)
    types = failure_types(space, champion, (start, end))
    drawn = partial(_scores_by_range, space, champion, (start, end))
    return evaluation.with_types(types, wording_of(space.table.features)).drawn_with(drawn)


def _by_failures(
    space: Workspace, champion: Champion, days: tuple[date, date], others: Sequence[Compared]
) -> Evaluation:
    lives = lives_in(space)
    protocol = Protocol(*space.table.periods.days(*days), space.table.horizon_days, space.table.checks.window_days)
    require_labels(protocol, lives)
    name: str = space.table.detector.type
    stored = _champion_scores(space, champion, *days)
    judged = _judged(space, champion, stored, others, normal=stored.clear())
    scores = {detector: of_days(frame) for detector, frame in judged.scores.items()}
    in_use = {detector: (cut, of_days(margins)) for detector, (cut, margins) in judged.in_use.items()}
    highest = of_days(stored.drop("alarm_score"))
    comparison = compare(scores, lives, protocol, reference=name, in_use=in_use)
    return of_failures(
        days,
        champion.version,
        comparison,
        _promises(space, champion, scores[name], lives, protocol),
        judged.not_fitted,
        partial(drive_figures, space, champion, drives_of(highest, lives, protocol), protocol),
        simulated=space.simulated,
    )


def _by_intervals(
    space: Workspace, champion: Champion, days: tuple[date, date], others: Sequence[Compared]
) -> Evaluation:
    stored = _champion_scores(space, champion, *days)
    target, name = intervals_in(space), space.table.detector.type
    series = Series(stored, target, *days, step_of(space))
    normal = normal_records(stored, target)
    judged = _judged(space, champion, stored, others, normal)
    comparison = compare_series(series, judged.scores, reference=name, in_use=judged.in_use)
    of_records = {detector: _where_judged(frame, stored) for detector, frame in judged.frames.items()}
    figures: dict[str, CorpusFigures] = {}
    if comparison.sample.intervals:
        with_chance = {**of_records, RANDOM: random_scores(of_records[name])}
        figures = {one: corpus_figures(frame, target.frame, BUFFER) for one, frame in with_chance.items()}
    return of_intervals(
        days,
        champion.version,
        comparison,
        figures,
        judged.rebuilt,
        judged.not_fitted,
        partial(_series_figures, of_records, target, name),
        simulated=space.simulated,
    )


def _scores_by_range(space: Workspace, champion: Champion, days: tuple[date, date]) -> dict[str, bytes]:
    """Scores of the days that were learned from beside those that are judged, of some devices."""
    from ae_assets.reports.evaluation_figures import scores_by_range

    stored = space.read(ANOMALIES, *days, [*keys_of(space.schema(ANOMALIES)), "score"]).drop_nulls("score")
    devices = stored["entity"].unique().sort()
    some = devices.sample(min(DEVICES_DRAWN, len(devices)), seed=0)
    judged, target = stored.filter(pl.col("entity").is_in(some.implode())), target_of(space)
    abnormal = stored.filter(target.abnormal(stored))
    learned = [
        one.filter(target.normal(one))["score"].drop_nulls().to_numpy()
        for one in _scored_in_training(space, champion, some.to_list())
    ]
    groups = {
        "learned from": np.concatenate([np.zeros(0), *learned]),
        "judged, normal": judged.filter(target.normal(judged))["score"].to_numpy(),
        "judged, abnormal": abnormal["score"].to_numpy(),
    }
    return {"scores_where_learned_and_where_judged": scores_by_range(groups, champion.threshold.cut)}


def _scored_in_training(space: Workspace, champion: Champion, devices: list[str]) -> Iterator[pl.DataFrame]:
    """Records of the training range, of some of its days unless it lies in the first days of each device."""
    training = champion.training
    days = [day for day in space.days_with_rows(FEATURES) if training.start <= day <= training.end]
    if champion.learned is None:
        days = days[:: -(-len(days) // TRAINING_DAYS_DRAWN) or 1]
    stage = "scoring what was learned from"
    for scored in score_days(space, champion.detector, champion.aggregation, days, stage, devices):
        yield scored.scores if champion.learned is None else scored.scores.filter(scored.within(champion.learned))


def _where_judged(frame: pl.DataFrame, reference: pl.DataFrame) -> pl.DataFrame:
    """The records that the reference judged with what another detector says of them, and the others without a score."""
    keys = keys_of(frame.columns)
    rows = reference.select(*keys, judged=pl.col("score").is_not_null()).join(frame, on=keys, maintain_order="left")
    known = pl.when("judged")
    given = rows.select(*keys, known.then("score"), known.then("alarm_score"), "threshold")
    cut = pl.col("threshold")
    return given.with_columns(is_over=pl.col("score") > cut, is_alarm=pl.col("alarm_score") > cut)


def _series_figures(scores: dict[str, pl.DataFrame], target: Intervals, own: str) -> dict[str, bytes]:
    from ae_assets.reports.series_figures import precision_recall_curves, scores_over_time

    abnormal = target.abnormal(scores[own])  # the rows of all detectors are the same
    figures = {"scores_over_time": scores_over_time(scores[own], target.frame)}
    if abnormal.filter(scores[own]["score"].is_not_null()).any():
        curves = {name: records_curve(frame, abnormal) for name, frame in scores.items()}
        figures["precision_and_recall"] = precision_recall_curves(curves)
    return figures


@dataclass(frozen=True)
class _Judged:
    """What each detector says of the records of a range.

    Attributes:
        frames: by detector its ``score, alarm_score`` and the ``threshold`` of each record.
        cuts: its fitted cut.
        not_fitted: why others have none.
        rebuilt: how far the readings of normal records lie from those that it expects, of those that expect any.
    """

    frames: dict[str, pl.DataFrame]
    cuts: dict[str, float]
    not_fitted: dict[str, str]
    rebuilt: dict[str, RebuiltFigures]

    @property
    def scores(self) -> dict[str, pl.DataFrame]:
        """By detector the scores of records."""
        return {name: frame.drop("threshold", "alarm_score") for name, frame in self.frames.items()}

    @property
    def in_use(self) -> dict[str, tuple[float, pl.DataFrame]]:
        """By detector its fitted cut, and how far the score of each alarm lies above that of its record."""
        above = pl.col("alarm_score") - pl.col("threshold")
        margins = {name: frame.with_columns(score=above) for name, frame in self.frames.items()}
        return {name: (self.cuts[name], frame.drop("threshold", "alarm_score")) for name, frame in margins.items()}


def _judged(
    space: Workspace,
    champion: Champion,
    stored: pl.DataFrame,
    others: Sequence[Compared],
    normal: pl.DataFrame,
) -> _Judged:
    """The champion's stored scores, and those of others that are fitted, calibrated and scored for the same days.

    Of the normal records, which are named by their key, it is said how well each detector rebuilds them.
    """
    frames, cuts = {space.table.detector.type: stored}, {space.table.detector.type: champion.threshold.cut}
    not_fitted: dict[str, str] = {}
    days = stored["day"].unique().sort().to_list()
    rebuilt = {space.table.detector.type: _rebuilt(space, champion, days, normal)}
    for other, fitted in fitted_detectors(space, others, champion.training):
        try:
            rebuilding = Rebuilding(space, normal)
            scored, cuts[other.name] = _scored(space, other.name, fitted, champion, days, rebuilding)
            rebuilt[other.name] = rebuilding.figures()
            frames[other.name] = _with_alarms(scored, stored, champion.episodes.hold)
        except ModelError as error:
            if other.required:
                raise
            not_fitted[other.name] = str(error)
    return _Judged(frames, cuts, not_fitted, {name: one for name, one in rebuilt.items() if one is not None})


def _rebuilt(space: Workspace, champion: Champion, days: list[date], normal: pl.DataFrame) -> RebuiltFigures | None:
    """How well the champion rebuilds normal records: scores are stored, what it expected is not."""
    if normal.is_empty():
        return None
    rebuilding = Rebuilding(space, normal)
    for scored in score_days(space, champion.detector, AggregationConfig(), days, "rebuilding normal records"):
        if not rebuilding.add(scored):
            break
    return rebuilding.figures()


def nothing_known(table: WatchedTable) -> str:
    """Why a table without a target cannot be judged, and what to do."""
    return (
        f"nothing is known to have gone wrong with the devices of {table.table}, so whether its model is any good is "
        "not known; name a column of failures or of abnormal records in source.columns.label, or a file of intervals "
        "in target.file"
    )


def _promises(
    space: Workspace, champion: Champion, scores: pl.DataFrame, lives: Lives, protocol: Protocol
) -> CalibrationTable:
    """The threshold in use, and every other policy with its default settings, on the champion's scores."""
    in_use = champion.threshold.policy
    thresholds = {f"{in_use.name} ({IN_USE})": champion.threshold}
    not_fitted = {}
    others = {name: policy for name, policy in default_policies().items() if name != in_use.name}
    try:
        calibrated = _calibrated(space, champion, champion.detector, earlier_failures=True)
    except ModelError as error:
        return calibration_table(thresholds, scores, lives, protocol, not_fitted=dict.fromkeys(others, str(error)))
    for name, policy in others.items():
        try:
            thresholds[name] = fit_threshold(policy, calibrated)
        except ModelError as error:
            not_fitted[name] = str(error)
    return calibration_table(thresholds, scores, lives, protocol, not_fitted=not_fitted)


def _champion_scores(space: Workspace, champion: Champion, start: date, end: date) -> pl.DataFrame:
    unscored = set(space.days_with_rows(FEATURES)) - set(space.days_with_rows(ANOMALIES))
    missing = [day for day in space.table.periods.range(start, end) if day in unscored]
    if missing:
        raise EvaluationError(
            f"{len(missing)} days between {named(start)} and {named(end)} have features and no anomalies, the first "
            f"is {named(missing[0])}; materialise {space.name(ANOMALIES)} for them first"
        )
    stored = space.schema(ANOMALIES)
    later = [name for name in ("day_score", "alarm_score") if name in stored]  # a table from before has none of them
    columns = [*keys_of(stored), "cohort", "score", "threshold", "model_version", *later]
    rows = space.read(ANOMALIES, start, end, columns)
    others = rows.filter(pl.col("model_version") != champion.version)["day"].unique().sort()
    if len(others):
        raise EvaluationError(
            f"{len(others)} days were scored by another model than the champion {champion.version}, the first is "
            f"{others[0]}; materialise {space.name(ANOMALIES)} for them again"
        )
    _require_aggregated(space, champion, start, rows)
    raised = pl.coalesce("alarm_score", "score") if "alarm_score" in later else pl.col("score")
    return rows.with_columns(alarm_score=raised).drop("model_version", "day_score", strict=False)


def _require_aggregated(space: Workspace, champion: Champion, first: date, rows: pl.DataFrame) -> None:
    """Refuses stored scores that were aggregated in another way than those on which the champion's cut was chosen.

    The first days, whose look-back is not among the rows, pass.
    """
    aggregation, rhythm = champion.aggregation, space.table.rhythm
    of_day = pl.coalesce("day_score", "score") if "day_score" in rows.columns else pl.col("score")
    expected = aggregate(rows.select(*keys_of(rows.columns), score=of_day), aggregation)["score"]
    differs = (pl.col("score") - expected).abs() > ROUNDING * expected.abs()
    known = time_of(rows.columns) >= space.table.periods.start(first) + rhythm.look_back(aggregation.window)
    others = rows.filter(differs, known)["day"].unique().sort()
    if len(others):
        raise EvaluationError(
            f"the scores of {len(others)} days, the first is {others[0]}, are not aggregated as those were on which "
            f"the threshold of {champion.version} was chosen ({aggregation.model_dump(mode='json')}); "
            f"materialise {space.name(ANOMALIES)} for them again"
        )


def _scored(
    space: Workspace,
    name: str,
    detector: FittedDetector | ModelError,
    champion: Champion,
    days: list[date],
    rebuilding: Rebuilding,
) -> tuple[pl.DataFrame, float]:
    """The scores of a detector with the ``threshold`` of each, and its fitted cut; tells ``rebuilding`` each day."""
    if isinstance(detector, ModelError):
        raise detector
    policy = space.table.threshold
    calibrated = _calibrated(space, champion, detector, earlier_failures=policy.sees_failures)
    threshold = fit_threshold(policy, calibrated)
    parts: list[pl.DataFrame] = []
    for scored in score_days(space, detector, champion.aggregation, days, stage=f"scoring {name}"):
        rebuilding.add(scored)
        parts.append(scored.scores)
    scores = pl.concat(parts)
    return scores.with_columns(threshold=threshold.cuts(scores, scores["score"])), threshold.cut


def _with_alarms(scores: pl.DataFrame, reference: pl.DataFrame, hold: timedelta | None) -> pl.DataFrame:
    """The scores of a detector with that of each alarm, of the records that the reference judged."""
    keys = keys_of(scores.columns)
    judged = reference.select(*keys, judged=pl.col("score").is_not_null())
    rows = scores.join(judged, on=keys, how="left", maintain_order="left")
    counted = rows.with_columns(score=pl.when(pl.col("judged").fill_null(value=False)).then("score"))
    return scores.with_columns(alarm_scores(counted, hold))


def _calibrated(
    space: Workspace, champion: Champion, detector: FittedDetector, *, earlier_failures: bool
) -> pl.DataFrame:
    """The scores of a detector on the champion's calibration range, aggregated as the champion's are."""
    seen = champion.training, champion.calibration
    return calibration_scores(space, detector, champion.aggregation, *seen, earlier_failures=earlier_failures)
