"""Detectors and threshold policies of one's own, named in the YAML."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from ae_assets.detectors.config import DETECTOR_KINDS, CounterRuleConfig, DetectorConfig
from ae_assets.errors import ConfigError, ModelError
from ae_assets.model.definition import WatchedTable
from ae_assets.model.parse import parse_table
from ae_assets.plugins import STORED
from ae_assets.thresholds.config import POLICY_KINDS, ThresholdConfig
from ae_assets.thresholds.threshold import Threshold, fit_threshold
from ae_assets_tests.detectors.own import HighestValueConfig
from ae_assets_tests.thresholds.scores import calibration_of

DETECTOR = TypeAdapter(DetectorConfig)
POLICY = TypeAdapter(ThresholdConfig)
OWN = "ae_assets_tests.detectors.own:HighestValueConfig"
OWN_POLICY = "ae_assets_tests.thresholds.own:MiddleConfig"


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that registers a detector, one that cannot be imported, and a policy."""
    installed = tmp_path / "wear_tools-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: wear-tools\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        f"[{DETECTOR_KINDS.group}]\nhighest_value = {OWN}\nbroken = ae_assets_tests.not_there:Config\n"
        f"[{POLICY_KINDS.group}]\nmiddle = {OWN_POLICY}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_dotted_path_names_a_detector_of_ones_own() -> None:
    config = DETECTOR.validate_python({"type": OWN, "factor": 2})
    assert config == HighestValueConfig(type=OWN, factor=2)
    assert DETECTOR.validate_python(DETECTOR.dump_python(config, mode="json")) == config


@pytest.mark.usefixtures("registered")
def test_an_entry_point_names_a_detector_of_a_package() -> None:
    assert DETECTOR.validate_python({"type": "highest_value"}) == HighestValueConfig(type="highest_value")
    assert DETECTOR.validate_python({"type": "highest_value"}, context=STORED).type == "highest_value"
    assert POLICY.validate_python({"policy": "middle"}).name == "middle"
    assert "highest_value" in DETECTOR_KINDS.names()


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("detector", "path", "says"),
    [
        ({"type": "highest_valu"}, "detector.type", "'ecod', .*'highest_value', or 'module:Class'"),
        ({"type": "broken"}, "detector.type", "cannot be imported .*not_there"),
        ({"type": "not_there.at_all:Config"}, "detector.type", "cannot be imported .*not_there"),
        ({"type": "ae_assets_tests.detectors.own:Another"}, "detector.type", "cannot be imported .*Another"),
        ({"type": "pathlib:Path"}, "detector.type", "is no subclass of ae_assets.detectors.settings.Day"),
        ({"factor": 2}, "detector.type", "required"),
        ({"type": OWN, "factr": 2}, "detector.factr", "allowed here: factor, least_group_windows, per, type"),
        ({"type": OWN, "factor": -2}, "detector.factor", "greater than 0"),
        ({"type": "estimator", "clas": "a.B"}, "detector.clas", "no such key; allowed here: class, clip"),
        ("ecod", "detector", "mapping with the key 'type'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_key_with_what_is_allowed(
    detector: object, path: str, says: str, source_attributes: dict[str, object]
) -> None:
    with pytest.raises(ConfigError, match=rf"attributes\.{path}(:| \(line 3\):).*{says}"):
        parse_table({**source_attributes, "detector": detector}, "defs.yaml", {("detector",): 3})


@pytest.fixture
def source_attributes() -> dict[str, object]:
    counter = {"kind": "counter", "meaning": "reallocated sectors"}
    return {"table": "fleet", "source": {"location": "/data"}, "features": {"attributes": {"smart_5_raw": counter}}}


def test_a_detector_of_ones_own_is_compared_like_any_other(source_attributes: dict[str, object]) -> None:
    table = parse_table({**source_attributes, "comparisons": [{"type": OWN}, {"type": "ecod"}]}, "defs.yaml")
    assert [config.type for config in table.comparisons] == [OWN, "ecod"]
    again = WatchedTable.model_validate(table.model_dump(mode="json"))
    assert again == table


def test_a_stored_file_makes_python_import_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted.py").write_text("raise SystemExit('a stored file was executed')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValidationError, match="module 'planted' is not imported; import it first"):
        DETECTOR.validate_python({"type": "planted:Config"}, context=STORED)
    assert "planted" not in sys.modules


def test_a_dotted_path_names_a_policy_of_ones_own() -> None:
    policy = POLICY.validate_python({"policy": OWN_POLICY, "share": 0.25})
    threshold = fit_threshold(policy, calibration_of([float(score) for score in range(101)]))
    assert (threshold.cut, policy.name) == (25.0, OWN_POLICY)
    assert Threshold.from_json(threshold.to_json()) == threshold
    with pytest.raises(ModelError, match="does not have"):
        Threshold.from_json(threshold.to_json().replace("MiddleConfig", "GoneConfig"))


def test_a_config_that_is_made_already_is_taken_as_it_is() -> None:
    config = CounterRuleConfig(features=("a",))
    assert DETECTOR.validate_python(config) is config


def test_naming_an_estimator_imports_neither_its_library_nor_what_trains() -> None:
    code = (
        "import sys; from pydantic import TypeAdapter; from ae_assets.detectors.config import DetectorConfig;"
        "TypeAdapter(DetectorConfig).validate_python({'type': 'estimator', 'class': 'pyod.models.iforest.IForest'});"
        "print([name for name in ('numpy', 'pyod', 'sklearn', 'keras', 'jax', 'optax') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
