"""The score of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015): early alarms earn more, late and false ones cost.

A silent detector has 0, one that raises an alarm at the start of every window and nowhere else 100. The score rewards
silence after an alarm, since further alarms within a window earn nothing and those after it cost.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ae_assets.evaluation.protocols.labelled_series import Floats, LabelledSeries, Positions

PROBATION = 0.15
LONGEST_PROBATION = 750
"""Records at the beginning of a series that count for nothing: a share of it, and at most so many."""


class Profile(NamedTuple):
    """What a true alarm earns, and what a false alarm and a missed window cost."""

    true_positive: float
    false_positive: float
    false_negative: float


PROFILES = {
    "standard": Profile(1.0, 0.11, 1.0),
    "few false alarms": Profile(1.0, 0.22, 1.0),
    "few misses": Profile(1.0, 0.11, 2.0),
}


class NabScore(NamedTuple):
    """A score and the cut that made it; an alarm is a record at or above it."""

    score: float
    threshold: float


def nab_score(
    series: Mapping[str, LabelledSeries], profile: Profile = PROFILES["standard"], threshold: float | None = None
) -> NabScore:
    """The score of a corpus at one cut for all of its series.

    A window without a record is as one of the record after it, or of the last one.

    Args:
        series: by entity.
        profile: of the costs.
        threshold: the cut; None: the best one of the corpus, which knows the labels, as NAB's leaderboard does.

    Returns:
        At most 100; NaN without a window.
    """
    parts = [_gains(one, profile) for one in series.values()]
    windows = sum(len(one.start) for one in series.values())
    if not windows:
        return NabScore(float("nan"), float("nan") if threshold is None else threshold)
    numbered = np.cumsum([0, *(len(one.start) for one in series.values())])
    score = np.concatenate([part.score for part in parts])
    gain = np.concatenate([part.gain for part in parts])
    window = np.concatenate([np.where(part.window < 0, -1, part.window + base)
                             for part, base in zip(parts, numbered[:-1], strict=True)])  # fmt: skip
    order = np.argsort(-score, kind="stable")
    score, gain, window = score[order], gain[order], window[order]
    change = _changes(gain, window, profile)
    missed = -profile.false_negative * len(np.unique(window[window >= 0]))
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True) & np.isfinite(score))
    totals = np.append(0.0, np.cumsum(change)[last])
    cuts = np.append(np.inf, score[last])
    place = int(np.argmax(totals)) if threshold is None else int(np.sum(cuts >= threshold)) - 1
    perfect = profile.true_positive * windows
    return NabScore(float(100 * totals[place] / (perfect - missed)), float(cuts[place]))


def nab_gain(series: LabelledSeries, profile: Profile, threshold: float) -> tuple[float, float]:
    """What the alarms of one series at a cut earn, and what perfect ones would; a corpus has the sums of both.

    Both are counted from what silence costs, so that the score of a corpus is 100 times the ratio of the sums.
    """
    part = _gains(series, profile)
    flagged = part.score >= threshold
    gain = float(part.gain[flagged & (part.window < 0)].sum())
    windows = np.unique(part.window[part.window >= 0])
    for number in windows:
        inside = part.gain[flagged & (part.window == number)]
        gain += max(float(inside.max(initial=-profile.false_negative)), -profile.false_negative)
        gain += profile.false_negative
    return gain, profile.true_positive * len(series.start) + profile.false_negative * len(windows)


class _Gains(NamedTuple):
    """Of each record after probation: its score, what an alarm at it is worth, the window it lies in (-1: none)."""

    score: Floats
    gain: Floats
    window: Positions


def _gains(series: LabelledSeries, profile: Profile) -> _Gains:
    count = len(series.time)
    first = _place(series.time, series.start)
    last = _place(series.time, series.end)
    position = np.arange(count)
    window = np.full(count, -1)
    gain = np.full(count, -profile.false_positive)  # before the first window
    until = np.append(first[1:], count)[: len(first)]
    for number, (begin, end, follows) in enumerate(zip(first, last, until, strict=True)):
        width = end - begin + 1
        inside, after = position[begin : end + 1], position[end + 1 : follows]
        window[begin : end + 1] = number
        gain[begin : end + 1] = profile.true_positive * _sigmoid((inside - end - 1) / width) / _sigmoid(-1.0)
        gain[end + 1 : follows] = profile.false_positive * _sigmoid((after - end) / max(width - 1, 1))
    counted = position >= min(int(PROBATION * count), LONGEST_PROBATION)
    return _Gains(series.score[counted], gain[counted], window[counted])


def _place(time: Floats, moments: Floats) -> Positions:
    """The first record at each moment or after it; the last record where there is none."""
    return np.minimum(np.searchsorted(time, moments), len(time) - 1)


def _sigmoid(place: Floats | float) -> Floats:
    """NAB's scaled sigmoid of the place relative to the end of a window: 1 far before it, -1 far behind it."""
    place = np.asarray(place, np.float64)
    return np.where(place > 3, -1.0, 2 / (1 + np.exp(5 * np.minimum(place, 4))) - 1)


def _changes(gain: Floats, window: Positions, profile: Profile) -> Floats:
    """By how much the score of the corpus changes with each record, as the cut is lowered from the highest score on."""
    change = np.where(window < 0, gain, 0.0)
    for number in np.unique(window[window >= 0]):
        inside = np.flatnonzero(window == number)
        best = np.maximum.accumulate(np.maximum(gain[inside], -profile.false_negative))
        change[inside] = np.diff(best, prepend=-profile.false_negative)
    return change
