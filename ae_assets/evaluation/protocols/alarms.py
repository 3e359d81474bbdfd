"""What the alarms of a corpus of series are worth: by event, by time and by record."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ae_assets.evaluation.protocols.labelled_series import SECONDS_A_DAY, Flags, Floats, LabelledSeries, runs


@dataclass(frozen=True)
class AlarmFigures:
    """Figures of alarms; None where there is nothing to count.

    An alarm is a run of flagged records of an entity; it is true when one of them lies in an event. A record lasts
    until the next one, at most two usual steps.

    Attributes:
        events: in the series.
        events_detected: with a flagged record.
        alarms: runs of flagged records.
        true_alarms: those with a record in an event.
        entity_days: time of all records, in days.
        time_precision: share of the flagged time that lies in events.
        time_recall: share of the events' time that is flagged.
        median_delay: seconds from the start of a detected event to its first flagged record.
        f1: of records, all entities together, as SKAB's leaderboard counts it.
        false_alarm_rate: share of the records outside of events that are flagged (SKAB's FAR, as a share).
        missed_alarm_rate: share of the records in events that are not (SKAB's MAR, as a share).
    """

    events: int
    events_detected: int
    alarms: int
    true_alarms: int
    entity_days: float
    time_precision: float | None
    time_recall: float | None
    median_delay: float | None
    f1: float | None
    false_alarm_rate: float | None
    missed_alarm_rate: float | None

    @property
    def event_recall(self) -> float | None:
        """Share of the events with a flagged record."""
        return _share(self.events_detected, self.events)

    @property
    def event_precision(self) -> float | None:
        """Share of the alarms that are true."""
        return _share(self.true_alarms, self.alarms)

    @property
    def false_alarms_per_entity_day(self) -> float | None:
        """False alarms for each day of an entity."""
        return _share(self.alarms - self.true_alarms, self.entity_days)


def alarm_figures(
    series: Mapping[str, LabelledSeries], thresholds: Mapping[str, float] | float, closed_gap: int = 0
) -> AlarmFigures:
    """Counts the alarms of records at or above a cut.

    Args:
        series: by entity.
        thresholds: one cut for all, or one for each entity.
        closed_gap: records between two alarms up to which they are one.
    """
    counts = np.zeros(8)
    delays: list[Floats] = []
    flags: list[tuple[Flags, Flags]] = [(np.zeros(0, np.bool_), np.zeros(0, np.bool_))]
    for entity, one in series.items():
        cut = thresholds if isinstance(thresholds, float | int) else thresholds[entity]
        flagged = np.isfinite(one.score) & (one.score >= cut)
        event, span = one.event, _spans(one.time)
        abnormal = event >= 0
        both = flagged & abnormal
        true = _true_alarms(flagged, abnormal, closed_gap)
        hit, at = np.unique(event[both], return_index=True)  # the first of each event
        delays.append(one.time[both][at] - one.start[hit])
        flags.append((flagged, abnormal))
        counts += [
            len(one.start), len(hit), len(true), true.sum(),
            span.sum(), span[flagged].sum(), span[abnormal].sum(), span[both].sum(),
        ]  # fmt: skip
    flagged, abnormal = (np.concatenate(part) for part in zip(*flags, strict=True))
    events, detected, alarms, true_alarms, seconds, of_flagged, of_events, of_both = counts.tolist()
    caught = int((flagged & abnormal).sum())
    return AlarmFigures(
        events=int(events),
        events_detected=int(detected),
        alarms=int(alarms),
        true_alarms=int(true_alarms),
        entity_days=seconds / SECONDS_A_DAY,
        time_precision=_share(of_both, of_flagged),
        time_recall=_share(of_both, of_events),
        median_delay=float(np.median(np.concatenate(delays))) if detected else None,
        f1=_share(2 * caught, int(flagged.sum() + abnormal.sum())),
        false_alarm_rate=_share(int((flagged & ~abnormal).sum()), int((~abnormal).sum())),
        missed_alarm_rate=_share(int((~flagged & abnormal).sum()), int(abnormal.sum())),
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _spans(time: Floats) -> Floats:
    """Seconds that each record lasts: until the next one, at most two usual steps; the last one step."""
    gaps = np.diff(time)
    step = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 1.0
    return np.append(np.clip(gaps, 0, 2 * step), step)[: len(time)]


def _true_alarms(flagged: Flags, abnormal: Flags, closed_gap: int) -> Flags:
    """Of each alarm whether one of its flagged records is abnormal."""
    first, last = runs(flagged)
    if not len(first):
        return np.zeros(0, np.bool_)
    begins = np.concatenate([[True], first[1:] - last[:-1] - 1 > closed_gap])
    hits = np.add.reduceat(flagged & abnormal, first, dtype=np.int64)
    return np.asarray(np.add.reduceat(hits, np.flatnonzero(begins)) > 0)
