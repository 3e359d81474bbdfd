"""The same code on several devices, which XLA makes of the CPU."""

import json
import os
import subprocess
import sys

import pytest

from ae_assets_tests.conftest import REPOSITORY


@pytest.mark.slow
def test_training_and_scoring_on_four_devices_give_what_one_gives() -> None:
    command = [sys.executable, "-m", "ae_assets_tests.detectors.four_devices"]
    four = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    printed = subprocess.run(command, cwd=REPOSITORY, env=four, capture_output=True, text=True, check=True).stdout
    dense, lstm = map(json.loads, printed.splitlines())
    for network in (dense, lstm):
        assert network["held_by"] == 4
        assert network["moved"] > 0.02
        assert network["weights"] < 1e-5
        assert network["scores"] < 1e-5
