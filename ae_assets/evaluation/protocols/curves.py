"""Figures over all cuts: precision and recall of records, and of ranges of records."""

import numpy as np
from numpy.typing import NDArray

from ae_assets.evaluation.protocols.labelled_series import Flags, Floats, Positions, runs

PUBLISHED_CUTS = 250
"""Cuts of the volume as published; too few where less than a 250th of the records is abnormal."""

BUFFER = 100
"""Records by which an event is widened at most, half of them on either side."""

SHORTEST_PERIOD, LONGEST_PERIOD, USUAL_PERIOD = 6, 303, 125


def average_precision(abnormal: Flags, score: Floats) -> float:
    """Area under the curve of precision over recall of records, equal scores taken together; NaN without an abnormal.

    Without interpolation, as `sklearn.metrics.average_precision_score`, which refuses records without a score (-inf).
    """
    if not abnormal.any():
        return float("nan")
    true, flagged = _by_cut(abnormal, score)
    return float(np.sum(np.diff(true, prepend=0) * true / flagged) / true[-1])


def precision_recall(abnormal: Flags, score: Floats) -> tuple[Floats, Floats]:
    """Recall, rising, and precision of records at each cut, equal scores taken together; at least one is abnormal."""
    true, flagged = _by_cut(abnormal, score)
    return true / true[-1], true / flagged


def best_f1(abnormal: Flags, score: Floats) -> float:
    """Highest F1 of records at any cut. It knows the labels, so it is no figure of a detector in use; 0 without one."""
    if not np.isfinite(score).any():
        return 0.0
    true, flagged = _by_cut(abnormal, score)
    reached = flagged <= np.isfinite(score).sum()
    return float(np.max(2 * true / (flagged + max(abnormal.sum(), 1)), where=reached, initial=0))


def vus_pr(abnormal: Flags, score: Floats, buffer: int = BUFFER, cuts: int = PUBLISHED_CUTS) -> float:
    """Volume under the surface of range precision and recall over the width of a buffer (Paparrizos et al. 2022).

    For every width w from 0 to ``buffer`` each event is widened by w // 2 records on either side, whose weight falls
    with their distance d as sqrt(1 - d / w). True is the weight that is flagged, precision its share of the flagged
    records, recall its share of the abnormal records and half the flagged buffer, times the share of events (those
    whose buffers meet are one) with a flagged record. The volume is the mean over w of the area over recall.

    Args:
        abnormal: (n,), in order of time.
        score: (n,).
        buffer: largest width in records.
        cuts: thresholds, at equally spaced ranks.

    Returns:
        In [0, 1]; NaN without an event.
    """
    first, last = runs(abnormal)
    if not len(first):
        return float("nan")
    count = len(score)
    order = np.argsort(-score, kind="stable")
    ranks = np.linspace(0, count - 1, min(cuts, count)).astype(np.int64)
    thresholds = score[order[ranks]]
    flagged = np.searchsorted(-score[order], -thresholds, side="right")
    rank_of = np.empty(count, np.int64)
    rank_of[order] = np.arange(count)
    bins = np.searchsorted(flagged, rank_of, side="right")  # the first cut that flags the record
    hard = np.cumsum(np.bincount(bins, abnormal, minlength=len(flagged))[: len(flagged)])
    near, distance = _surroundings(first, last, count, buffer // 2)
    areas = np.empty(buffer + 1)
    for width in range(buffer + 1):
        weight = abnormal.astype(np.float64)
        close = distance <= width // 2
        weight += np.bincount(near[close], np.sqrt(1 - distance[close] / max(width, 1)), minlength=count)
        true = np.cumsum(np.bincount(bins, np.minimum(weight, 1), minlength=len(flagged))[: len(flagged)])
        touched = _touched(score, first, last, width // 2, thresholds)
        recall = np.minimum(true / (abnormal.sum() + (true - hard) / 2), 1) * touched
        areas[width] = np.sum(np.diff(recall, prepend=0) * true / flagged)
    return float(areas.mean())


def period_of(values: Floats) -> int:
    """Records of the period of a series, as TSB-AD sets the buffer (Liu and Paparrizos 2024).

    The highest peak of the autocorrelation of at most 20,000 finite values; 125 where there is none between 6 and 303.
    """
    if not len(values):
        return USUAL_PERIOD
    values = values[:20_000] - values[:20_000].mean()
    spectrum = np.fft.rfft(values, 2 * len(values))
    correlation = np.fft.irfft(spectrum * np.conj(spectrum))[3:401]
    middle = correlation[1:-1]
    peaks = np.flatnonzero((middle > correlation[:-2]) & (middle > correlation[2:])) + 1
    if not len(peaks):
        return USUAL_PERIOD
    best = int(peaks[np.argmax(correlation[peaks])]) + 3
    return best if SHORTEST_PERIOD <= best <= LONGEST_PERIOD else USUAL_PERIOD


def point_adjusted_f1(abnormal: Flags, score: Floats) -> float:
    """Highest F1 of records at any cut where one flagged record of an event counts for all of them.

    Random scores reach the figures of published methods by it (Kim et al. 2022), so it is shown only beside them.
    """
    first, last = runs(abnormal)
    adjusted = score.copy()
    for begin, end in zip(first, last, strict=True):
        adjusted[begin : end + 1] = score[begin : end + 1].max()
    return best_f1(abnormal, adjusted)


def _by_cut(abnormal: Flags, score: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Abnormal records, and records, at or above each distinct score from the highest down."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(score[order][1:] != score[order][:-1], True))
    return np.cumsum(abnormal[order], dtype=np.int64)[last], last + 1


def _surroundings(first: Positions, last: Positions, count: int, reach: int) -> tuple[Positions, Floats]:
    """Positions before and after each event, as far as the reach, and how far they are from it."""
    steps = np.arange(1, reach + 1)
    positions = np.concatenate([(first[:, None] - steps).ravel(), (last[:, None] + steps).ravel()])
    distance = np.tile(steps.astype(np.float64), 2 * len(first))
    inside = (positions >= 0) & (positions < count)
    return positions[inside], distance[inside]


def _touched(score: Floats, first: Positions, last: Positions, reach: int, thresholds: Floats) -> Floats:
    """Share of the widened events, joined where they meet, with a record at or above each threshold."""
    begin, end = np.maximum(first - reach, 0), np.minimum(last + reach, len(score) - 1)
    apart = np.concatenate([[True], begin[1:] > end[:-1]])
    starts, ends = begin[apart], end[np.append(apart[1:], True)]
    peaks = np.sort([score[one : other + 1].max() for one, other in zip(starts, ends, strict=True)])
    return 1 - np.searchsorted(peaks, thresholds, side="left") / len(peaks)
