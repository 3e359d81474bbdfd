"""Every figure of the protocols of series for one detector, with intervals over entities; and a detector of chance."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from ae_assets.evaluation.protocols.alarms import AlarmFigures, alarm_figures
from ae_assets.evaluation.protocols.curves import (
    average_precision,
    best_f1,
    point_adjusted_f1,
    precision_recall,
    vus_pr,
)
from ae_assets.evaluation.protocols.figure import Figure, of_entities, share_of
from ae_assets.evaluation.protocols.labelled_series import Floats, LabelledSeries, labelled_series
from ae_assets.evaluation.protocols.nab import PROFILES, NabScore, nab_gain, nab_score
from ae_assets.schemas.records import ENTITY, keys_of, time_of

RANDOM = "random"
"""A detector that knows nothing."""

Corpus = Mapping[str, LabelledSeries]
"""Series by entity."""


@dataclass(frozen=True)
class CorpusFigures:
    """What a detector is worth by each protocol of series.

    Attributes:
        alarms: of its alarms at its own threshold.
        records: of the records over it, whether or not their alarm was held back.
        event_recall: share of the events with an alarm.
        event_precision: share of the alarms that are true.
        nab: NAB's score of these alarms, of the standard profile.
        nab_of_profiles: the same by profile.
        nab_at_best_cut: by profile, at the cut that is best for the corpus and knows the labels.
        average_precision: mean over the entities with an event, of the scores of records.
        pooled_average_precision: of the records of all entities together.
        vus_pr: mean over the entities with an event.
        best_f1: of records at the best cut, which knows the labels.
        point_adjusted_f1: the same where one flagged record of an event counts for all of them.
    """

    alarms: AlarmFigures
    records: AlarmFigures
    event_recall: Figure
    event_precision: Figure
    nab: Figure
    nab_of_profiles: Mapping[str, float]
    nab_at_best_cut: Mapping[str, NabScore]
    average_precision: Figure
    pooled_average_precision: float
    vus_pr: Figure
    best_f1: float
    point_adjusted_f1: float


def corpus_figures(scores: pl.DataFrame, intervals: pl.DataFrame, buffer: int) -> CorpusFigures:
    """Judges a detector by every protocol.

    The score of a record says how anomalous it is, and curves over all cuts are of it; the score of its alarm says
    whether that is news, and NAB's score is of it. Records that were not judged count for nothing, nor do events
    without a judged record, but in NAB's score, which counts every record after its own probation.

    Args:
        scores: ``day, entity, score, is_over`` (the threshold), ``alarm_score, is_alarm`` and, where the table has it,
            ``time``, a row for each record, null = not judged.
        intervals: with the columns of `INTERVAL_SCHEMA`; one at least holds a judged record.
        buffer: records by which VUS-PR widens an event at most.
    """
    keys, touching = keys_of(scores.columns), _touching(intervals, scores)

    def series_of(column: str) -> dict[str, LabelledSeries]:
        return labelled_series(scores.select(*keys, score=pl.col(column).cast(pl.Float64)), touching)

    by_alarm, all_flagged = series_of("alarm_score"), series_of("is_alarm")
    by_record, over, flagged = (
        {entity: _judged(one) for entity, one in series.items() if np.isfinite(one.score).any()}
        for series in (series_of("score"), series_of("is_over"), all_flagged)
    )
    alarms = [alarm_figures({entity: one}, _FLAGGED) for entity, one in flagged.items()]
    counts = np.array([(one.events, one.events_detected, one.alarms, one.true_alarms) for one in alarms], np.float64)
    gains = np.array([nab_gain(one, PROFILES["standard"], _FLAGGED) for one in all_flagged.values()])
    with_events = [one for one in by_record.values() if one.abnormal.any()]
    pooled_flags = np.concatenate([one.abnormal for one in by_record.values()])
    pooled_scores = np.concatenate([one.score for one in by_record.values()])
    return CorpusFigures(
        alarms=alarm_figures(flagged, _FLAGGED),
        records=alarm_figures(over, _FLAGGED),
        event_recall=of_entities(counts[:, :2], lambda drawn: share_of(drawn[:, 1], drawn[:, 0])),
        event_precision=of_entities(counts[:, 2:], lambda drawn: share_of(drawn[:, 1], drawn[:, 0])),
        nab=of_entities(gains, lambda drawn: 100 * share_of(drawn[:, 0], drawn[:, 1])),
        nab_of_profiles={name: nab_score(all_flagged, profile, _FLAGGED).score for name, profile in PROFILES.items()},
        nab_at_best_cut={name: nab_score(by_alarm, profile) for name, profile in PROFILES.items()},
        average_precision=_mean([average_precision(one.abnormal, one.score) for one in with_events]),
        pooled_average_precision=average_precision(pooled_flags, pooled_scores),
        vus_pr=_mean([vus_pr(one.abnormal, one.score, buffer) for one in with_events]),
        best_f1=best_f1(pooled_flags, pooled_scores),
        point_adjusted_f1=_point_adjusted(by_record),
    )


@dataclass(frozen=True, eq=False)
class RecordsCurve:
    """Precision over recall of the records of all entities together.

    Attributes:
        recall: (cuts,) rising.
        precision: (cuts,) at these.
        in_use: recall and precision at each record's own threshold; None where nothing is over it.
        chance: share of the judged records that are abnormal, the precision of chance.
    """

    recall: Floats
    precision: Floats
    in_use: tuple[float, float] | None
    chance: float


def records_curve(scores: pl.DataFrame, abnormal: pl.Series) -> RecordsCurve:
    """The curve of a detector.

    Args:
        scores: ``score, is_over``, null = not judged.
        abnormal: of each row, one of a judged record at least.
    """
    judged = scores["score"].is_not_null()
    flags, over = abnormal.filter(judged).to_numpy(), scores["is_over"].filter(judged).to_numpy()
    recall, precision = precision_recall(flags, scores["score"].filter(judged).cast(pl.Float64).to_numpy())
    true = float((flags & over).sum())
    in_use = (true / flags.sum(), true / over.sum()) if over.any() else None
    return RecordsCurve(recall, precision, in_use, float(flags.mean()))


def random_scores(like: pl.DataFrame, seed: int = 7) -> pl.DataFrame:
    """Scores of chance for the records of a frame, with about as many alarms.

    Args:
        like: as `corpus_figures` takes it.
        seed: of the numbers.

    Returns:
        The same columns: ``score`` uniform in [0, 1), where a record was judged; none is held back.
    """
    drawn = pl.Series(np.random.default_rng(seed).random(like.height))
    judged = like["score"].is_not_null()
    share = float(like["is_alarm"].sum() or 0) / max(int(judged.sum()), 1)
    score = pl.when(judged).then(drawn)
    is_alarm = score > 1 - share
    return like.with_columns(score=score, alarm_score=score, is_over=is_alarm, is_alarm=is_alarm)


_FLAGGED = 0.5
"""A cut between 0, no alarm, and 1."""


def _touching(intervals: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """The intervals that begin before their entity's last record and end after its first."""
    at = time_of(scores.columns)
    spans = scores.group_by(ENTITY).agg(first=at.min(), last=at.max())
    within = pl.col("start") <= pl.col("last"), pl.col("end") >= pl.col("first")
    return intervals.join(spans, on=ENTITY).filter(*within).select(intervals.columns)


def _judged(series: LabelledSeries) -> LabelledSeries:
    """The records with a score, and the events that hold one."""
    known = np.isfinite(series.score)
    events = np.unique(series.event[known])
    events = events[events >= 0]
    return LabelledSeries(series.time[known], series.score[known], series.start[events], series.end[events])


def _point_adjusted(corpus: Corpus) -> float:
    """Over the records of all entities, whose events are put one after the other."""
    last = 0.0
    times, starts, ends = [], [], []
    for one in corpus.values():
        shift = last - one.time[0] + 1
        times.append(one.time + shift)
        starts.append(one.start + shift)
        ends.append(one.end + shift)
        last = float(times[-1][-1])
    scores = np.concatenate([one.score for one in corpus.values()])
    joined = LabelledSeries(np.concatenate(times), scores, np.concatenate(starts), np.concatenate(ends))
    return point_adjusted_f1(joined.abnormal, joined.score)


def _mean(values: list[float]) -> Figure:
    return of_entities(np.array(values, np.float64)[:, None], lambda drawn: drawn[:, 0] / drawn[:, 1], counted=True)
