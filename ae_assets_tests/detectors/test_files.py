"""What a saved detector is, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ae_assets.detectors import FittedDetector, fit, load_detector, windows_of
from ae_assets.detectors.config import CounterRuleConfig
from ae_assets.errors import ModelError
from ae_assets_tests.detectors.fleets import DENSE, DETECTORS, NAMES, fitted, fleet, split

KEYS_OF = {
    "dense_autoencoder": {"history", "scaler"},
    "ordinal": {"history", "coding", "heads", "error_tail", "head_tails"},
    "counter_rule": set[str](),
    "pca": {"history", "used", "digest"},
    "gradient_boosting": {"history", "used", "digest"},
}
"""What a type of detector reads of its preprocessing.json, besides its config and the names of the features."""


def change(directory: Path, **fields: object) -> None:
    path = directory / "preprocessing.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_saved_network_is_a_keras_file_and_a_json_file(network: FittedDetector, tmp_path: Path) -> None:
    network.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.keras", "preprocessing.json"]


def test_a_saved_rule_is_one_json_file(tmp_path: Path) -> None:
    rule = fit(CounterRuleConfig(features=NAMES[:2]), split(DENSE, fleet()))
    rule.save(tmp_path)
    windows = windows_of(fleet(seed=5), NAMES)
    assert np.array_equal(load_detector(tmp_path).score(windows), rule.score(windows))
    assert [path.name for path in tmp_path.iterdir()] == ["preprocessing.json"]


def test_another_format_version_is_refused(dense: FittedDetector, tmp_path: Path) -> None:
    dense.save(tmp_path)
    change(tmp_path, format_version=2)
    with pytest.raises(ModelError, match="format version 2, this release reads version 1"):
        load_detector(tmp_path)


def test_a_network_that_does_not_fit_its_preprocessing_is_refused(dense: FittedDetector, tmp_path: Path) -> None:
    dense.save(tmp_path)
    change(tmp_path, feature_names=NAMES[:-1])
    with pytest.raises(ModelError, match="not of one model version"):
        load_detector(tmp_path)


def without(record: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """A copy of a record without one of its keys, which may lie in a record within it."""
    first, *rest = path
    if not rest:
        return {key: value for key, value in record.items() if key != first}
    return {**record, first: without(record[first], tuple(rest))}


@pytest.mark.parametrize("kind", KEYS_OF)
def test_every_key_that_a_saved_detector_needs_is_named_where_it_is_missing(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    network = kind.removesuffix("_autoencoder")
    shared = network in {"dense", "ordinal"}
    detector = request.getfixturevalue(network) if shared else fitted(DETECTORS[kind])
    detector.save(tmp_path)
    path = tmp_path / "preprocessing.json"
    record = json.loads(path.read_text())
    needed = {"config", "feature_names", *KEYS_OF[kind]}
    assert set(record) >= needed
    assert set(record) - needed <= {"format_version", "step", "history"}
    inner = [
        (key, name) for key in sorted(needed - {"config"}) if isinstance(record[key], dict) for name in record[key]
    ]
    for missing in [*((key,) for key in sorted(needed)), ("config", "type"), *inner]:
        path.write_text(json.dumps(without(record, missing)))
        words = f"{re.escape(str(path))} is incomplete: .*'{missing[-1]}'.*; train it again"
        with pytest.raises(ModelError, match=words):
            load_detector(tmp_path)
    path.write_text(json.dumps(without(record, ("feature_names",))))
    with pytest.raises(ModelError, match="is incomplete: the key 'feature_names' is missing"):
        load_detector(tmp_path, NAMES)


@pytest.mark.parametrize("name", ["model.keras", "preprocessing.json"])
def test_a_missing_file_is_named(dense: FittedDetector, tmp_path: Path, name: str) -> None:
    dense.save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ModelError, match=f"{name} does not exist"):
        load_detector(tmp_path)


@pytest.mark.parametrize("name", ["model.keras", "preprocessing.json"])
def test_a_damaged_file_is_named(dense: FittedDetector, tmp_path: Path, name: str) -> None:
    dense.save(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelError, match=f"{name} cannot be"):
        load_detector(tmp_path)
