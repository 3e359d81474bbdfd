"""Why a drive is flagged: an attribute that is made to rise on a healthy drive comes out on top, in words."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ae_assets.decisions.explanation import LEAST_SHARE, Reason, reasons_of
from ae_assets.detectors import FittedDetector, Scores, TrainingData, Windows, fit, windows_of
from ae_assets.detectors.networks.dense import DenseAutoencoderConfig
from ae_assets.features.block import features_of_block
from ae_assets.features.catalogue import catalogue, feature_names
from ae_assets.features.config import FeatureConfig
from ae_assets.features.look_back import LookBack
from ae_assets.features.units import in_own_units, scale_of
from ae_assets.features.validation import validate_day
from ae_assets.features.wording import attribute_wording_of
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.layouts.drive_stats_columns import DRIVE_STATS
from ae_assets.sources import open_source
from ae_assets_tests.decisions.histories import QUICK

CONFIG = FeatureConfig.model_validate(
    {
        "spans": [1, 7],
        "attributes": {
            "smart_5_raw": {"kind": "counter", "meaning": "reallocated sectors (bad sectors replaced by spare ones)"},
            "smart_187_raw": {"kind": "counter", "meaning": "reported uncorrectable errors"},
            "smart_197_raw": {"kind": "counter", "meaning": "current pending sectors"},
            "smart_9_raw": {"kind": "age", "meaning": "power-on hours"},
            "smart_194_raw": {"kind": "gauge", "meaning": "temperature", "low_bits": 8},
        },
    }
)
NAMES = feature_names(CONFIG)
SCALES = [scale_of(feature, CONFIG) for feature in catalogue(CONFIG)]
ATTRIBUTE_OF = {feature.name: feature.column for feature in catalogue(CONFIG) if feature.column is not None}
NETWORK = DenseAutoencoderConfig(units=(32, 8, 32), epochs=10, batch_size=64, learning_rate=0.003)
DAYS = 18


class Watched:
    """A simulated fleet, a small network fitted on all its days but the last, and what it says of the last day."""

    def __init__(self) -> None:
        source = open_source(f"simulated://?drives=200&days={DAYS}&seed=3")
        files, contract = source.days(), contract_of(DRIVE_STATS, tuple(CONFIG.attributes))
        self.valid = {day: validate_day(source.read(files[day]), day, contract).valid for day in sorted(files)}
        self.last = max(self.valid)
        table = pl.concat(features_of(self.valid, day) for day in self.valid if day < self.last)
        validates = pl.col("entity").hash(1) % 5 == 0
        windows = windows_of(table, NAMES)
        held_out = windows.keys().select(validates).to_series().to_numpy()
        self.detector = fit(NETWORK, TrainingData(windows, np.zeros(len(windows), np.bool_), held_out))
        self.calm = self.calm_drives()

    def calm_drives(self) -> set[str]:
        """The drives that report every counter, have none raised, and score below the median on the last day."""
        entities, scores, _ = self.judged()
        low = {entity for entity, score in zip(entities, scores.score, strict=True) if score < np.median(scores.score)}
        counters = [column for column in CONFIG.attributes if column not in {"smart_9_raw", "smart_194_raw"}]
        healthy = self.valid[self.last].filter(pl.all_horizontal(pl.col(column) == 0 for column in counters))
        return low & set(healthy["entity"])

    def judged(self, **change: pl.Expr) -> tuple[list[str], Scores, list[tuple[Reason, ...]]]:
        """The scores and reasons of the last day, whose raw values are changed before features are made of them."""
        days = {**self.valid, self.last: self.valid[self.last].with_columns(**change)}
        windows = windows_of(features_of(days, self.last), NAMES)
        scores = self.detector.explain(windows)
        return windows.keys()["entity"].to_list(), scores, reasons(self.detector, windows, scores)


def features_of(valid: dict[date, pl.DataFrame], day: date) -> pl.DataFrame:
    look_back = LookBack(CONFIG)
    for known in sorted(valid):
        if day - timedelta(days=CONFIG.look_back_days) <= known <= day:
            look_back.push(valid[known])
    return features_of_block(look_back.history(day), day, CONFIG)


def reasons(detector: FittedDetector, windows: Windows, scores: Scores) -> list[tuple[Reason, ...]]:
    values, expected = (in_own_units(part, SCALES) for part in (windows.values[windows.last_row], scores.expected))
    return reasons_of(scores.contributions, scores.score, values, expected, detector.feature_names, ATTRIBUTE_OF)


@pytest.fixture(scope="module")
def watched() -> Watched:
    return Watched()


@pytest.mark.parametrize(
    ("column", "rise", "says"),
    [
        ("smart_5_raw", 16, ["reallocated sectors 16, expected ", "+16 in a day"]),
        ("smart_187_raw", 16, ["reported uncorrectable errors 16, expected ", "+16 in a day"]),
        ("smart_197_raw", 16, ["current pending sectors 16, expected ", "+16 in a day"]),
        ("smart_9_raw", 5000, ["power-on hours ", "clock off by +208 days"]),
        ("smart_194_raw", 25, ["temperature ", "against its own past"]),
    ],
)
def test_an_attribute_that_rises_on_a_healthy_drive_is_on_top_of_its_reasons(
    watched: Watched, column: str, rise: int, says: Sequence[str]
) -> None:
    entities, _, found = watched.judged(**{column: pl.col(column) + rise})
    of_calm = {entity: told for entity, told in zip(entities, found, strict=True) if entity in watched.calm}
    assert len(of_calm) > 30
    # A network spreads the error of one input over all outputs, so here and there another attribute comes out first.
    on_top = [told[0] for told in of_calm.values() if told[0].attribute == column]
    assert len(on_top) >= 0.95 * len(of_calm)
    words = attribute_wording_of(CONFIG)
    for reason in on_top:
        sentence = words(reason.attribute, reason.readings, CONFIG.look_back_days)
        assert all(part in sentence for part in says), sentence


def test_reasons_come_largest_first_and_make_up_no_more_than_the_score(watched: Watched) -> None:
    _, scores, found = watched.judged()
    for score, told in zip(scores.score, found, strict=True):
        parts = [reason.contribution for reason in told]
        assert parts == sorted(parts, reverse=True)
        assert sum(parts) <= score * 1.001
        assert len({reason.attribute for reason in told}) == len(told) <= 3
        assert all(part >= LEAST_SHARE * score * 0.999 for part in parts[1:])


CONTRIBUTIONS = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 5), st.just(len(NAMES))), elements=st.floats(0, 100, width=32)
)


@QUICK
@given(CONTRIBUTIONS)
def test_the_features_of_an_attribute_are_added_up(contributions: np.ndarray) -> None:
    unknown = np.full_like(contributions, np.nan)
    nothing_small = np.zeros(len(contributions))
    everything = reasons_of(contributions, nothing_small, unknown, unknown, NAMES, ATTRIBUTE_OF, most=len(NAMES))
    for row, told in zip(contributions, everything, strict=True):
        assert sum(reason.contribution for reason in told) == pytest.approx(row.sum(dtype=np.float64))
        for reason in told:
            own = [row[NAMES.index(name)] for name in reason.readings]
            assert reason.contribution == pytest.approx(sum(map(float, own)))
            assert {ATTRIBUTE_OF.get(name, name) for name in reason.readings} == {reason.attribute}
            assert set(reason.readings.values()) == {(None, None)}


def test_what_contributes_nothing_is_no_reason() -> None:
    nothing = np.zeros((2, len(NAMES)), np.float32)
    assert reasons_of(nothing, np.array([0.0, 5.0]), nothing, nothing, NAMES, ATTRIBUTE_OF) == [(), ()]
    assert reasons_of(nothing[:0], np.zeros(0), nothing[:0], nothing[:0], NAMES, ATTRIBUTE_OF) == []


def told(parts: dict[str, float], score: float) -> list[str]:
    """The attributes named for a row whose features make up these parts of its score."""
    contributions = np.zeros((1, len(NAMES)), np.float32)
    for name, part in parts.items():
        contributions[0, NAMES.index(name)] = part
    unknown = np.full_like(contributions, np.nan)
    (named,) = reasons_of(contributions, np.array([score]), unknown, unknown, NAMES, ATTRIBUTE_OF)
    return [reason.attribute for reason in named]


def test_what_makes_up_less_than_a_tenth_of_the_score_is_no_reason() -> None:
    parts = {"smart_5_level": 7.0, "smart_5_growth_1d": 1.0, "smart_187_level": 1.0, "smart_197_level": 0.9}
    assert told(parts, 10.0) == ["smart_5_raw", "smart_187_raw"]
    assert told({"smart_5_level": 0.5}, 10.0) == []


def test_of_many_small_parts_that_make_up_most_of_the_score_the_largest_is_named() -> None:
    parts = {"smart_5_level": 0.9, "smart_187_level": 0.95, "smart_197_level": 0.9, "smart_9_drift": 0.9,
             "smart_194_level": 0.9, "gap_days": 0.9}  # fmt: skip
    assert told(parts, 10.0) == ["smart_187_raw"]
    assert told({name: part / 2 for name, part in parts.items()}, 10.0) == []
