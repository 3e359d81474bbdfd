"""What a detector's settings accept."""

import subprocess
import sys
from datetime import timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from ae_assets.detectors.config import CounterRuleConfig, DetectorConfig
from ae_assets.detectors.networks.dense import DenseAutoencoderConfig
from ae_assets.detectors.networks.lstm import LstmAutoencoderConfig
from ae_assets.schemas.durations import DAY

ANY = TypeAdapter(DetectorConfig)
HOUR = timedelta(hours=1)


def test_the_type_picks_the_detector() -> None:
    assert isinstance(ANY.validate_python({"type": "lstm_autoencoder"}), LstmAutoencoderConfig)
    assert isinstance(ANY.validate_python({"type": "counter_rule", "features": ["a"]}), CounterRuleConfig)


def test_the_dense_layers_are_those_of_the_document() -> None:
    assert DenseAutoencoderConfig().units == (512, 256, 128, 64, 128, 256, 512)


def test_the_window_is_the_record_alone_for_dense_and_twenty_days_for_lstm() -> None:
    assert (DenseAutoencoderConfig().window, LstmAutoencoderConfig().window) == (None, 20 * DAY)


@pytest.mark.parametrize(("key", "given", "length"), [("window", "5h", 5 * HOUR), ("window", 6, 6 * DAY),
                                                      ("window_days", 6, 6 * DAY)])  # fmt: skip
def test_a_window_is_a_length_and_a_number_counts_days_as_it_did(key: str, given: object, length: timedelta) -> None:
    config = ANY.validate_python({"type": "lstm_autoencoder", key: given})
    assert config.window == length
    assert ANY.validate_python(config.model_dump(mode="json")) == config


def test_settings_of_earlier_releases_are_read() -> None:
    dense = ANY.validate_python({"type": "dense_autoencoder", "window_days": 1})
    assert dense == DenseAutoencoderConfig()
    assert ANY.validate_python({"type": "convolutional_autoencoder", "kernel_days": 3}).kernel == 3
    with pytest.raises(ValidationError):
        ANY.validate_python({"type": "dense_autoencoder", "window_days": 2})


@pytest.mark.parametrize("wrong", [{"epoch": 3}, {"epochs": 0}, {"units": ()}, {"learning_rate": -1}])
def test_a_wrong_setting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ANY.validate_python({"type": "dense_autoencoder", **wrong})


def test_the_room_loads_without_keras_and_jax() -> None:
    code = (
        "import sys, ae_assets.detectors, ae_assets.detectors.rule;"
        "assert not {'keras', 'jax'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_keras_with_another_backend_is_refused_by_name() -> None:
    code = (
        "import sys, types; keras = types.ModuleType('keras'); keras.backend = types.SimpleNamespace(backend=lambda:"
        "'tensorflow'); sys.modules['keras'] = keras; import ae_assets.detectors.backend"
    )
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "already loaded with the tensorflow backend" in result.stderr
