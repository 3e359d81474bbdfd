"""Rolling origin: the table's detector and its rivals, fitted at several points in time and judged on the days after.

No champion is needed and none is touched: what is fitted here is judged and forgotten.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta

import polars as pl

from ae_assets.chain.lives import lives_in
from ae_assets.chain.model import TrainingRange, training_windows
from ae_assets.chain.results import Evaluation, of_origins
from ae_assets.chain.scoring import score_days
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.detectors import FittedDetector, fit
from ae_assets.errors import EvaluationError, ModelError
from ae_assets.evaluation.pooling import pooled
from ae_assets.evaluation.population import require_labels
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.rolling import Origin, judge_split, origins
from ae_assets.model.baselines import Compared, compared_detectors
from ae_assets.progress import Progress
from ae_assets.schemas.daily import of_days
from ae_assets.schemas.periods import named


def evaluate_origins(
    space: Workspace, start: date, end: date, count: int, *, with_comparisons: bool, with_baselines: bool
) -> Evaluation:
    """Judges the table's detector and its rivals on a range from start to end and on as long ranges before it.

    Each range is preceded by an embargo as long as the horizon and by a training range as long as the YAML says. The
    rivals are the comparisons of the YAML and the baselines with default settings, as far as they are asked for.

    Raises:
        EvaluationError: the features do not reach back far enough, or a range cannot be judged.
        ModelError: the table's detector or one of its comparisons cannot be fitted.
    """
    if space.table.target_kind != "failures":
        raise EvaluationError(
            f"ranges going back in time are judged by failures, and none of the devices of {space.table.table} are "
            "known; leave out origins to judge the champion on the latest range"
        )
    compared = compared_detectors(space.table, comparisons=with_comparisons, baselines=with_baselines)
    lives, table, planned = lives_in(space), space.table, plan(space, start, end, count)
    protocols = [
        Protocol(*table.periods.days(*origin.test), table.horizon_days, table.checks.window_days) for origin in planned
    ]
    require_labels(protocols[-1], lives)
    not_fitted: dict[str, str] = {}
    splits = []
    for number, (origin, protocol) in enumerate(zip(planned, protocols, strict=True), 1):
        name = f"split {number}"
        telling = _telling(space, f"{name} of {count}")
        scores = {}
        for one, fitted in fitted_detectors(telling, compared, training_of(space, origin)):
            if isinstance(fitted, ModelError):
                not_fitted[one.name] = f"{name}: {fitted}"
                continue
            days = table.periods.range(*origin.test)
            scored = score_days(telling, fitted, table.decision.aggregation, days, f"scoring {one.name}")
            frames = [of_day.scores for of_day in scored]
            if not frames:
                raise EvaluationError(
                    f"there are no features between {named(origin.test[0])} and {named(origin.test[1])}; materialise "
                    f"{space.name(FEATURES)} for these days, or judge fewer splits"
                )
            scores[one.name] = of_days(pl.concat(frames))
        trained = table.periods.days(*origin.training)
        splits.append(judge_split(name, trained, scores, lives, protocol, reference=compared[0].name))
    return of_origins((planned[0].test[0], end), pooled(splits), not_fitted)


def plan(space: Workspace, start: date, end: date, count: int) -> list[Origin]:
    """The splits to judge, earliest first.

    Raises:
        EvaluationError: fewer fit into the days that have features.
    """
    days = [day for day in space.days_with_rows(FEATURES) if day <= end]
    if not days:
        raise EvaluationError(f"{space.name(FEATURES)} holds no day up to {named(end)}; materialise features first")
    periods, horizon_days = space.table.periods, space.table.horizon_days
    test, horizon = len(periods.range(start, end)), periods.count(timedelta(days=horizon_days))
    # Failures are known by their day, so the embargo of a fit that ends within one is longer by the rest of it.
    embargo = horizon + periods.count(timedelta(days=1)) - 1
    fitting = origins(
        min(days),
        end,
        periods,
        train_days=periods.count(timedelta(days=space.table.training.days)),
        test_days=test,
        embargo_days=embargo,
    )
    if len(fitting) < count:
        raise EvaluationError(
            f"{len(fitting)} of {count} splits fit between {named(min(days))} and {named(end)}, each of {test} "
            f"{periods.plural} to judge after {space.table.training.days} days to fit and {horizon_days} of embargo; "
            f"ask for {len(fitting)}, judge shorter ranges, or load earlier days"
        )
    return fitting[-count:]


def training_of(space: Workspace, origin: Origin) -> TrainingRange:
    """What a fit may know at an origin.

    Raises:
        EvaluationError: that reaches into the days to judge.
    """
    training = TrainingRange.of(*origin.training, space.table.horizon_days, space.table.periods)
    if training.known_until >= origin.test[0]:
        raise EvaluationError(
            f"a fit on days until {named(training.end)} knows labels until {named(training.known_until)}, and is to "
            f"be judged from {named(origin.test[0])} on; judge later days"
        )
    return training


def fitted_detectors(
    space: Workspace, compared: Sequence[Compared], training: TrainingRange
) -> Iterator[tuple[Compared, FittedDetector | ModelError]]:
    """Fits the detectors one after another on the same rows, which are read once for each length of windows.

    Yields:
        Each with its fit, or with what kept a detector from it that the table does not name itself; those with windows
        of one length together.

    Raises:
        ModelError: there is nothing to fit on, or a detector that the table names cannot be fitted.
    """
    for window in dict.fromkeys(one.config.window for one in compared):
        data = training_windows(space, training, window).data
        for one in compared:
            if one.config.window != window:
                continue
            try:
                yield one, fit(one.config, data, space.progress)
            except ModelError as error:
                if one.required:
                    raise
                yield one, error


def _telling(space: Workspace, where: str) -> Workspace:
    """The storage whose progress says where it stands in the whole."""

    def tell(progress: Progress) -> None:
        space.progress(replace(progress, stage=f"{where}: {progress.stage}"))

    return replace(space, progress=tell)
