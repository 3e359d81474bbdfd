"""How the channels of series go on in time: how far back each resembles itself, and which rhythms one has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from ae_assets.detectors.windows import Windows
from ae_assets.evaluation.intervals import Floats
from ae_assets.schemas.records import ENTITY, time_of

MOST_CHANNELS, MOST_ENTITIES = 6, 20
MOST_LAGS = 700
"""Of records of 15 minutes a week and a bit."""

LONGEST = 20_000
"""The last steps of a series that are looked at."""

SPECTRUM_STEPS, SHORTEST = 4096, 256
LONGEST_STEP = timedelta(hours=1)
"""Series with longer steps show no rhythm within a day."""


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """The strength of rhythms of a channel of one entity.

    Attributes:
        channel: which.
        entity: whose.
        days: (columns,) the middle of each stretch, in days before the last record, rising to 0.
        per_day: (rows,) the rhythms, in cycles a day.
        power: (rows, columns) in dB.
    """

    channel: str
    entity: str
    days: Floats
    per_day: Floats
    power: Floats


@dataclass(frozen=True, eq=False)
class Channels:
    """What series say of which windows to choose.

    Attributes:
        autocorrelation: of each channel (lags + 1,), the mean over entities; 1 at lag 0.
        chance: the size that chance rarely exceeds, 1.96 over the root of the steps of a series.
        step: from a lag to the next.
        entities: that were looked at.
        spectrogram: None where records are too rare, or too few.
    """

    autocorrelation: Mapping[str, Floats]
    chance: float
    step: timedelta
    entities: int
    spectrogram: Spectrogram | None


def channels_of(windows: Windows, channels: Sequence[str]) -> Channels | None:
    """What the rows of windows say of some of their features; None where no series of them is long enough to vary.

    Of the entities those with most records, of the channels the first ones that vary. What is not recorded on a step
    of the cadence is left out of every sum.
    """
    rows = windows.rows
    counts = rows[ENTITY].value_counts(sort=True).sort("count", ENTITY, descending=[True, False])
    entities = counts[ENTITY].head(MOST_ENTITIES).to_list()
    chosen = [one for one in channels if one in windows.feature_names]
    found: dict[str, list[Floats]] = {}
    shortest, spectrogram = LONGEST, None
    for entity in entities:
        own = np.flatnonzero((rows[ENTITY] == entity).to_numpy())
        times = rows[own].select(time_of(rows.columns)).to_series().dt.epoch("us").to_numpy()
        places = np.rint((times - times[0]) / (windows.step / timedelta(microseconds=1))).astype(np.int64)
        length = min(int(places[-1]) + 1, LONGEST)
        inside = places > places[-1] - length
        for channel in chosen:
            series = np.full(length, np.nan)
            column = windows.values[own, windows.feature_names.index(channel)]
            series[places[inside] - (int(places[-1]) + 1 - length)] = column[inside]
            lagged = autocorrelation(series, min(MOST_LAGS, length // 3))
            if lagged is None or (len(found) == MOST_CHANNELS and channel not in found):
                continue
            found.setdefault(channel, []).append(lagged)
            shortest = min(shortest, length)
            if spectrogram is None and windows.step <= LONGEST_STEP:
                spectrogram = spectrogram_of(series, channel, entity, windows.step)
    if not found:
        return None
    lags = min(len(one) for every in found.values() for one in every)
    means = {channel: np.mean([one[:lags] for one in every], axis=0) for channel, every in found.items()}
    return Channels(means, float(1.96 / np.sqrt(shortest)), windows.step, len(entities), spectrogram)


def autocorrelation(series: Floats, lags: int) -> Floats | None:
    """The autocorrelation of a series (n,), NaN = not recorded, at lags from 0 to ``lags``.

    The mean product of deviations over the pairs that are both recorded, by the variance.

    Returns:
        (lags + 1,); None of a series that hardly varies, or has too few records.
    """
    known = np.isfinite(series)
    if lags < 2 or known.sum() < 3 * lags // 2:
        return None
    apart = np.where(known, series - series[known].mean(), 0)
    variance = float(np.square(apart).sum() / known.sum())
    if variance <= 1e-12 * max(float(np.square(series[known]).mean()), 1e-300):
        return None
    size = 2 * len(series)
    pairs, products = (
        np.fft.irfft(np.abs(np.fft.rfft(one, size)) ** 2, size)[: lags + 1] for one in (known.astype(np.float64), apart)
    )
    return np.asarray(products / np.maximum(np.rint(pairs), 1) / variance)


def spectrogram_of(series: Floats, channel: str, entity: str, step: timedelta) -> Spectrogram | None:
    """The spectrogram of the last steps of a series, in stretches of two days; None of a short one.

    What is not recorded is taken to be the mean.
    """
    from scipy.signal import spectrogram

    recent = series[-SPECTRUM_STEPS:]
    if len(recent) < SHORTEST:
        return None
    filled = np.where(np.isfinite(recent), recent, np.nanmean(recent) if np.isfinite(recent).any() else 0.0)
    a_day = timedelta(days=1) / step
    stretch = int(np.clip(2 * a_day, 32, SHORTEST))
    per_day, days, power = spectrogram(filled, fs=a_day, nperseg=stretch, noverlap=stretch // 2, detrend="constant")
    least = max(float(power.max()) * 1e-8, 1e-300)
    return Spectrogram(channel, entity, days - len(recent) / a_day, per_day, 10 * np.log10(np.maximum(power, least)))
