"""One detector for each group: who is scored by which, in which unit, and what is stored."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ae_assets.detectors import FittedDetector, TrainingData, Windows, fit, load_detector, windows_of
from ae_assets.detectors.config import CounterRuleConfig, DetectorConfig, EcodConfig, PcaConfig
from ae_assets.detectors.networks.dense import DenseAutoencoderConfig
from ae_assets.detectors.per_group import FittedPerGroup
from ae_assets_tests.detectors.fleets import FEATURES, NAMES, START, with_values

LEVELS = {"E000": 0.0, "E001": 500.0, "E002": -2000.0}
NEW = "E003"
"""A station that came late: it has too few records for a detector of its own."""

PCA = PcaConfig(per="entity", statistic="t2_and_q")
CONFIGS: list[DetectorConfig] = [
    PCA,
    EcodConfig(per="entity"),
    CounterRuleConfig(per="entity", features=NAMES[:2]),
    DenseAutoencoderConfig(per="entity", units=(8, 4, 8), epochs=2, batch_size=64),
]


def stations(seed: int = 0, days: int = 300) -> pl.DataFrame:
    """Three stations with levels of their own and a new one; the last feature is one that only some of them have."""
    random = np.random.default_rng(seed)
    frames = []
    for entity, level, records in [*((name, level, days) for name, level in LEVELS.items()), (NEW, 0.0, 60)]:
        causes = random.normal(size=(records, 2))
        values = causes @ np.random.default_rng(9).normal(size=(2, FEATURES)) + 0.1 * random.normal(
            size=(records, FEATURES)
        )
        values[random.random(values.shape) < 0.1] = np.nan
        values[:, 0] += level
        if entity == "E001":
            values[:, -1] = np.nan
        keys = {
            "day": [START + timedelta(days=days - records + number) for number in range(records)],
            "entity": entity,
            "cohort": "all",
        }
        features = pl.DataFrame(values.astype(np.float32), schema=list(NAMES)).fill_nan(None)
        frames.append(pl.DataFrame(keys).hstack(features))
    return pl.concat(frames).sample(fraction=1, shuffle=True, seed=seed)


def learned(config: DetectorConfig) -> FittedPerGroup:
    windows = windows_of(stations(), NAMES, config.window)
    held_out = (windows.keys()["entity"] == "E002").to_numpy()
    fitted = fit(config, TrainingData(windows, np.zeros(len(windows), np.bool_), held_out))
    assert isinstance(fitted, FittedPerGroup)
    return fitted


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda config: config.type)
def per_group(request: pytest.FixtureRequest) -> FittedPerGroup:
    return learned(request.param)


@pytest.fixture(scope="module")
def pca() -> FittedPerGroup:
    return learned(PCA)


def judged(detector: FittedDetector) -> Windows:
    return windows_of(stations(seed=5, days=100), NAMES, detector.window)


def test_each_entity_with_records_enough_has_a_detector_that_held_out_entities_included(
    per_group: FittedPerGroup,
) -> None:
    assert sorted(per_group.own) == sorted(LEVELS)
    assert PCA.least_group_windows > 60


def test_an_entity_is_scored_as_by_a_detector_of_its_own_in_units_of_its_own_high_scores(pca: FittedPerGroup) -> None:
    windows = judged(pca)
    scores, entities = pca.score(windows), windows.keys()["entity"].to_numpy()
    for entity in pca.own:
        own = np.flatnonzero(entities == entity)
        assert np.array_equal(scores[own], pca.detector(entity).score(windows.take(own)))
    assert pca.groups["unit"].to_list() == [1, 1, 1, None]
    others = np.flatnonzero(entities == NEW)
    assert np.array_equal(scores[others], pca.of_all.score(windows.take(others)))
    assert pca.detector(NEW) is pca.of_all


def test_scores_without_a_unit_are_told_in_a_high_score_of_the_entity() -> None:
    detector = learned(EcodConfig(per="entity"))
    windows = judged(detector)
    scores, entities = detector.score(windows), windows.keys()["entity"].to_numpy()
    for entity, unit in detector.groups.select("group", "unit").drop_nulls().iter_rows():
        assert unit != 1
        assert 0.85 < np.mean(scores[entities == entity] <= 1) < 1


def test_what_is_usual_at_one_station_is_strange_at_another(pca: FittedPerGroup) -> None:
    windows = judged(pca)
    own = np.flatnonzero((windows.keys()["entity"] == "E001").to_numpy())
    as_of_another = windows.values.copy()
    as_of_another[windows.last_row[own], 0] -= 500
    before, after = (pca.score(one)[own] for one in (windows, with_values(windows, as_of_another)))
    assert (after > 5 * np.maximum(before, 1))[np.isfinite(as_of_another[windows.last_row[own], 0])].all()


@pytest.mark.bits
def test_what_is_scored_beside_a_window_and_loading_change_no_bit(per_group: FittedPerGroup, tmp_path: Path) -> None:
    windows = judged(per_group)
    whole = per_group.explain(windows)
    np.testing.assert_allclose(whole.contributions.sum(axis=1), whole.score, rtol=1e-5)
    some = np.random.default_rng(0).permutation(len(windows))[:77]
    per_group.save(tmp_path)
    loaded = load_detector(tmp_path, NAMES)
    for detector, places in ((per_group, some), (loaded, some), (loaded, np.arange(len(windows)))):
        part = detector.explain(windows.take(places))
        assert part.score.tobytes() == whole.score[places].tobytes()
        assert part.score.tobytes() == detector.score(windows.take(places)).tobytes()
        assert part.contributions.tobytes() == whole.contributions[places].tobytes()
        assert np.array_equal(part.expected, whole.expected[places], equal_nan=True)
    assert loaded.config == per_group.config
    assert loaded.history == per_group.history
    assert (loaded.inputs, loaded.evidence) == (per_group.inputs, per_group.evidence)


def test_a_record_that_knows_only_a_channel_that_its_station_never_had_is_not_judged(pca: FittedPerGroup) -> None:
    windows = judged(pca)
    values = np.full_like(windows.values, np.nan)
    values[:, -1] = windows.values[:, -1] = 1
    entities = windows.keys()["entity"]
    assert pca.judges(with_values(windows, values)).tolist() == (entities != "E001").to_list()


def test_abnormal_windows_are_learned_by_no_detector_and_make_no_entity_large_enough() -> None:
    windows = windows_of(stations(), NAMES)
    keys = windows.keys().with_row_index()
    rare = keys.filter(entity="E000")["index"].to_numpy()[PCA.least_group_windows - 1 :]
    target = np.isin(np.arange(len(windows)), rare)
    strange = windows.values.copy()
    strange[windows.last_row[rare]] += 1e4
    data = TrainingData(with_values(windows, strange), target, np.zeros(len(windows), np.bool_))
    detector = fit(PCA, data)
    assert isinstance(detector, FittedPerGroup)
    assert sorted(detector.own) == ["E001", "E002"]
    without = fit(PCA, replace(data, windows=windows))
    assert np.array_equal(detector.score(windows), without.score(windows))
