"""An invented fleet of drives: who is there on a day, who fails and why, and what its SMART attributes say.

Every number is a hash of (seed, purpose, drive, day), and counters are closed formulas of the day, so that any day is
generated without the days before it, in time proportional to the drives, and is the same bit for bit at each call.
Nothing is fitted to a manufacturer: model names are invented, rates are chosen to give a small fleet enough failures
to look at.

Whoever changes what a day holds raises `RULES_VERSION` in `simulated.py`, or days that were loaded before are taken to
be up to date.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from ae_assets.schemas.layouts.drive_stats_columns import DRIVE_STATS, MODERN_ATTRIBUTES, MODERN_COLUMNS
from ae_assets.schemas.layouts.layout import ROW_COLUMN

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class DriveModel:
    """An invented drive model.

    Attributes:
        name: shown as the model; begins with SIM.
        capacity_bytes: of the label.
        share: of the fleet.
        failure_factor: its failure rate relative to the fleet.
        age_days: lowest and highest age of its drives on the first day.
        temperature: mean degrees Celsius.
        composite_rates: whether raw error rates (1, 7, 195) hold a large composite number, as some makers do.
        attributes: SMART attributes that it reports.
    """

    name: str
    capacity_bytes: int
    share: float
    failure_factor: float
    age_days: tuple[int, int]
    temperature: float
    composite_rates: bool
    attributes: frozenset[int]


def _attributes(text: str) -> frozenset[int]:
    return frozenset(int(number) for number in text.split())


MODELS = (
    DriveModel(
        "SIM A4000", 4_000_787_030_016, 0.34, 1.2, (500, 1900), 24.0, True,
        _attributes("1 3 4 5 7 9 10 12 183 184 187 188 189 190 191 192 193 194 197 198 199 240 241 242"),
    ),
    DriveModel(
        "SIM A12000", 12_000_138_625_024, 0.24, 1.0, (200, 1300), 30.0, True,
        _attributes("1 3 4 5 7 9 10 12 18 187 188 190 192 193 194 195 197 198 199 200 240 241 242"),
    ),
    DriveModel(
        "SIM B4000", 4_000_787_030_016, 0.16, 0.5, (600, 2000), 26.0, False,
        _attributes("1 2 3 4 5 7 8 9 10 12 192 193 194 196 197 198 199"),
    ),
    DriveModel(
        "SIM B16000", 16_000_900_661_248, 0.14, 0.7, (30, 700), 31.0, False,
        _attributes("1 2 3 4 5 7 8 9 10 12 22 192 193 194 196 197 198 199 241 242"),
    ),
    DriveModel(
        "SIM C14000", 14_000_519_643_136, 0.09, 1.4, (100, 1100), 29.0, False,
        _attributes("1 2 3 4 5 7 8 9 10 12 23 24 191 192 193 194 196 197 198 199 220 222 224 226"),
    ),
    DriveModel(
        "SIM S250", 250_059_350_016, 0.03, 0.9, (100, 900), 33.0, False,
        _attributes("1 5 9 12 173 174 180 183 184 187 194 196 199 231 241 242"),
    ),
)  # fmt: skip

SUDDEN_RATE = 6e-5
"""Failures a day of a drive of any age, without a sign before them."""

WEAR_RATE = 1.8e-4
"""Failures a day of a drive of middle age by wear; rises with age."""

INFANT_SHARE = 0.03
"""Share of new drives that fail within their first weeks."""

BURN_IN_DAYS = (4, 30)
"""Days that a new drive has run before its first record: fleets test drives before they put data on them."""

RETIREMENT_RATE = 2e-4
"""Drives a day that are taken out although they work."""

JOIN_RATE = 4e-4
"""New drives a day, as a share of the drives on the first day."""

SILENT_DAY_SHARE = 1e-3
"""Share of drive-days without a record, as in the published data."""

_YOUNG_SHARE = 0.04
_SWINGING_SHARE = 0.02
_NONE, _SUDDEN, _WEAR, _INFANT = range(4)
_NEVER = 10**6


_GOLDEN = 0x9E3779B97F4A7C15
_OFFSET = 0xD1B54A32D192ED03
_SHIFTS_AND_FACTORS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


class _Random:
    """Uniform numbers in [0, 1) by hashing (splitmix64, Steele et al. 2014), independent of the version of numpy."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __call__(self, purpose: str, drive: Integers, day: int = 0) -> Floats:
        key = np.array([self._seed], dtype=np.uint64)
        text = purpose.encode()
        for part in (int.from_bytes(text[:8], "little"), int.from_bytes(text[8:16], "little"), day):
            key = _mixed(key ^ np.uint64((part * _GOLDEN + _OFFSET) % 2**64))
        mixed = _mixed(drive.astype(np.uint64) * np.uint64(_GOLDEN) ^ key)
        return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    for shift, factor in _SHIFTS_AND_FACTORS:
        bits = bits ^ (bits >> np.uint64(shift))
        bits *= np.uint64(factor)
    return bits ^ (bits >> np.uint64(31))


@dataclass(frozen=True)
class _Lives:
    """What is decided about drives for all days; days count from the first day of the fleet."""

    drive: Integers
    model: Integers
    joined: Integers
    age: Integers
    failed: Integers
    retired: Integers
    cause: Integers

    def among(self, chosen: Flags) -> "_Lives":
        return _Lives(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def _lives(drives: int, random: _Random, today: int) -> _Lives:
    """All drives that have joined by `today`."""
    join_rate = drives * JOIN_RATE
    drive = np.arange(drives + int(join_rate * today), dtype=np.int64)
    is_new = drive >= drives
    joined = np.where(is_new, np.ceil((drive - drives + 1) / join_rate), 0).astype(np.int64)
    model = np.searchsorted(np.cumsum([model.share for model in MODELS])[:-1], random("model", drive), side="right")
    lowest, highest = (np.array([model.age_days[end] for model in MODELS])[model] for end in (0, 1))
    young = random("young", drive) < _YOUNG_SHARE
    age_share = random("age", drive)
    tested = BURN_IN_DAYS[0] + (BURN_IN_DAYS[1] - BURN_IN_DAYS[0]) * age_share
    age = np.where(young, 2 * tested, lowest + (highest - lowest) * age_share)
    age = np.where(is_new, tested, age).astype(np.int64)
    factor = np.array([model.failure_factor for model in MODELS])[model]
    sudden = _waiting_days(random("sudden", drive), SUDDEN_RATE * factor)
    wear = _waiting_days(random("wear", drive), WEAR_RATE * factor * np.clip(age / 900.0, 0.2, 2.2))
    infant_age = 2 + _waiting_days(random("infant age", drive), np.full(len(drive), 1 / 20))
    infant = np.where((random("infant", drive) < INFANT_SHARE) & (infant_age > age), infant_age - age, _NEVER)
    waits = np.stack([sudden, wear, infant])
    failed = joined + waits.min(axis=0)
    cause = np.array([_SUDDEN, _WEAR, _INFANT])[waits.argmin(axis=0)]
    retired = joined + _waiting_days(random("retired", drive), np.full(len(drive), RETIREMENT_RATE))
    return _Lives(drive, model, joined, age, failed, retired, np.where(retired < failed, _NONE, cause))


def _waiting_days(uniform: Floats, rate: Floats) -> Integers:
    days: Integers = np.minimum(1 + np.floor(-np.log1p(-uniform) / rate), _NEVER).astype(np.int64)
    return days


def _log_between(uniform: Floats, low: float, high: float) -> Floats:
    value: Floats = low * np.exp(uniform * np.log(high / low))
    return value


def fleet_day(drives: int, seed: int, start: date, day: date) -> pl.DataFrame:
    """Rows of one day in the 2024 layout, one per drive that reports, ordered by drive.

    Args:
        drives: drives on the first day; afterwards about as many join as leave or fail.
        seed: another seed is another fleet.
        start: the first day.
        day: not before it.

    Returns:
        The columns of `drive_stats_columns.MODERN_COLUMNS` and `source_row`, `rescued`, typed as
        `csv_day.parse_day` types a file. A drive that fails reports failure = 1 on its last day and is gone then.
    """
    today = (day - start).days
    random = _Random(seed)
    lives = _lives(drives, random, today)
    silent = (random("silent", lives.drive, today) < SILENT_DAY_SHARE) & (lives.failed != today)
    lives = lives.among((lives.joined <= today) & (today <= np.minimum(lives.failed, lives.retired)) & ~silent)
    raw, normalized = _attributes_of_day(lives, random, today, day)
    rows = len(lives.drive)
    place = (random("place", lives.drive) * 4).astype(np.int64)
    columns: dict[str, pl.Series] = {
        "date": pl.Series([day], dtype=pl.Date).new_from_index(0, rows),
        "serial_number": "SIM" + pl.Series(lives.drive).cast(pl.String).str.zfill(8),
        "model": pl.Series([model.name for model in MODELS]).gather(lives.model),
        "capacity_bytes": pl.Series([model.capacity_bytes for model in MODELS]).gather(lives.model),
        "failure": pl.Series(lives.failed == today).cast(pl.Int8),
        "datacenter": "sim" + pl.Series(place).cast(pl.String),
        "cluster_id": pl.Series(place * 10).cast(pl.String),
        "vault_id": pl.Series(1000 + lives.drive // 1200).cast(pl.String),
        "pod_id": pl.Series(lives.drive // 60 % 20).cast(pl.String),
        "pod_slot_num": pl.Series(lives.drive % 60).cast(pl.String),
        "is_legacy_format": pl.Series(["False"]).new_from_index(0, rows),
        ROW_COLUMN: pl.int_range(1, rows + 1, dtype=pl.Int32, eager=True),
    }
    for number in MODERN_ATTRIBUTES:
        reporting = np.array([number in model.attributes for model in MODELS])[lives.model]
        for form, values in (("normalized", normalized), ("raw", raw)):
            if number in values:
                columns[f"smart_{number}_{form}"] = _where(reporting, values[number])
    schema = DRIVE_STATS.day_schema(MODERN_COLUMNS)
    for name, kind in schema.items():
        if name not in columns:
            columns[name] = pl.Series([None], dtype=kind).new_from_index(0, rows)
    return pl.DataFrame({name: columns[name] for name in schema})


def _where(reporting: Flags, values: Integers) -> pl.Series:
    numbers = pl.Series(values.astype(np.int64, copy=False))
    return numbers if reporting.all() else numbers.set(pl.Series(~reporting), None)


def _attributes_of_day(
    lives: _Lives, random: _Random, today: int, day: date
) -> tuple[dict[int, Integers], dict[int, Integers]]:
    """Raw and normalized values by attribute number, for all drives whether they report the attribute or not."""
    drive, since = lives.drive, today - lives.joined
    age = lives.age + since
    hours = 24 * age + (24 * random("hour", drive)).astype(np.int64)
    composite = np.array([model.composite_rates for model in MODELS])[lives.model]
    signs = _failure_signs(lives, random, today)
    harmless = _harmless_counters(drive, since, random)
    temperature = _temperature(lives, random, today, day)
    cycles = (
        4 + (20 * random("cycles", drive) ** 3).astype(np.int64) + _steps(random("cycle step", drive), since, 45, 120)
    )
    noise = random("noise", drive, today)
    zero = np.zeros(len(drive), dtype=np.int64)
    megabytes = _log_between(random("work", drive), 2e6, 4e7)
    raw = {
        1: np.where(composite, (2.44e8 * noise).astype(np.int64), 0),
        2: 96 + (12 * random("throughput", drive)).astype(np.int64),
        3: np.where(composite, 0, 380 + (200 * random("spin up", drive)).astype(np.int64)),
        4: cycles,
        5: signs[5] + harmless[5],
        7: np.where(composite, (hours * _log_between(random("seeks", drive), 5e3, 6e4)).astype(np.int64), 0),
        8: 18 + (25 * random("seek time", drive)).astype(np.int64),
        9: hours,
        10: zero,
        12: cycles,
        18: zero,
        22: zero + 100,
        23: zero,
        24: zero,
        173: age // 12,
        174: cycles // 2,
        180: 2000 - signs[5],
        183: harmless[183],
        184: zero,
        187: signs[187] + harmless[187],
        188: harmless[188],
        189: harmless[189],
        190: temperature,
        191: harmless[191],
        192: cycles + age // 30,
        193: cycles + (age * _log_between(random("load", drive), 0.3, 30.0)).astype(np.int64),
        194: temperature,
        195: np.where(composite, (2.44e8 * noise).astype(np.int64), 0),
        196: (signs[5] + harmless[5] + 7) // 8,
        197: signs[197] + harmless[197],
        198: signs[198] + harmless[197],
        199: harmless[199],
        200: zero,
        220: (1e8 * random("shift", drive)).astype(np.int64),
        222: hours * 9 // 10,
        224: zero,
        226: 500 + (80 * random("load time", drive)).astype(np.int64),
        231: np.maximum(1, 100 - age // 60),
        240: hours * 99 // 100,
        241: (hours * megabytes * 0.5).astype(np.int64),
        242: (hours * megabytes).astype(np.int64),
    }
    full = zero + 100
    normalized = dict.fromkeys(raw, full) | {
        1: np.where(composite, 75 + (44 * noise).astype(np.int64), 100),
        5: np.maximum(1, 100 - raw[5] // 40),
        7: np.where(composite, np.minimum(91, 60 + hours // 900), 100),
        9: np.maximum(1, 100 - hours // 876),
        187: np.maximum(1, 100 - raw[187]),
        189: np.maximum(1, 100 - raw[189]),
        190: np.maximum(1, 100 - temperature),
        194: np.where(composite, temperature, 6000 // np.maximum(temperature, 1)),
        196: np.maximum(1, 100 - raw[196] // 8),
        197: np.maximum(1, 100 - raw[197] // 80),
        198: np.maximum(1, 100 - raw[198] // 80),
        199: zero + 200,
        231: raw[231],
    }
    return raw, normalized


def _failure_signs(lives: _Lives, random: _Random, today: int) -> dict[int, Integers]:
    """What 5, 187, 197 and 198 have grown by because the drive will fail; zero for most drives.

    Five in six failures by wear show signs 15 to 90 days ahead, half of the infant ones 2 to 8 days ahead, sudden ones
    none.
    """
    drive = lives.drive
    shows = ((lives.cause == _WEAR) & (random("shows", drive) < 5 / 6)) | (
        (lives.cause == _INFANT) & (random("shows", drive) < 1 / 2)
    )
    lead_share = random("lead", drive)
    lead = np.where(lives.cause == _INFANT, 2 + 6 * lead_share, 15 + 75 * lead_share**1.5)
    pace = 1 + (4 * random("pace", drive)).astype(np.int64)
    grown_days = (today - (lives.failed - lead)) // pace * pace
    progress = np.where(shows, np.clip(grown_days / lead, 0, 1), 0) ** (1.2 + 1.8 * random("power", drive))

    def counter(name: str, taking_part: float, low: float, high: float) -> Floats:
        size = _log_between(random(f"{name} size", drive), low, high)
        return np.where(random(f"{name} part", drive) < taking_part, size * progress, 0)

    pending = counter("197", 0.75, 8, 400)
    relief = 0.5 + 0.5 * random("relief", drive, today)  # sectors leave the pending list when they are written again
    return {
        5: np.floor(counter("5", 0.70, 10, 3000)).astype(np.int64),
        187: np.floor(counter("187", 0.65, 3, 120)).astype(np.int64),
        197: (np.floor(pending * relief / 8) * 8).astype(np.int64),
        198: (np.floor(pending * relief / 8) * 8 * (random("198 part", drive) < 0.8)).astype(np.int64),
    }


def _harmless_counters(drive: Integers, since: Integers, random: _Random) -> dict[int, Integers]:
    """Counters that are above zero for reasons that do not end in a failure, some with a rare step."""

    def counter(name: str, share: float, low: float, high: float, stepping: float) -> Integers:
        raised = random(f"h{name} raised", drive) < share
        size = np.floor(_log_between(random(f"h{name} size", drive), low, high)).astype(np.int64)
        steps = _steps(random(f"h{name} step", drive), since, 25, 110)
        return np.where(raised, size + np.where(random(f"h{name} grows", drive) < stepping, steps, 0), 0)

    return {
        5: counter("5", 0.035, 1, 300, 0.3),
        183: counter("183", 0.05, 1, 20, 0.2),
        187: counter("187", 0.015, 1, 12, 0.2),
        188: counter("188", 0.08, 1, 40, 0.3),
        189: counter("189", 0.20, 1, 60, 0.6),
        191: counter("191", 0.30, 1, 100, 0.5),
        197: 8 * counter("197", 0.008, 1, 4, 0.0),
        199: counter("199", 0.04, 1, 500, 0.3),
    }


def _steps(uniform: Floats, since: Integers, shortest: int, longest: int) -> Integers:
    """Steps of one, each after a period that is fixed for the drive, with a phase of its own."""
    period = shortest + (longest - shortest) * uniform
    phase = (uniform * 7919) % 1 * period
    return np.floor((since + phase) / period).astype(np.int64)


def _temperature(lives: _Lives, random: _Random, today: int, day: date) -> Integers:
    mean = np.array([model.temperature for model in MODELS])[lives.model]
    slot = 5 * (random("slot a", lives.drive) + random("slot b", lives.drive) - 1)
    season = 1.5 * np.sin(2 * np.pi * (day - date(day.year, 1, 1)).days / 365.25)
    swing = np.where(random("swings", lives.drive) < _SWINGING_SHARE, 12.0, 2.0)
    noise = random("noise a", lives.drive, today) + random("noise b", lives.drive, today) - 1
    degrees: Integers = np.maximum(5, np.rint(mean + slot + season + swing * noise)).astype(np.int64)
    return degrees
