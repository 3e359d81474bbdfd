"""Detectors fitted once for all tests of the room."""

import pytest

from ae_assets.detectors import FittedDetector, fit
from ae_assets_tests.detectors.fleets import DENSE, LSTM, fleet, split


@pytest.fixture(scope="session")
def dense() -> FittedDetector:
    return fit(DENSE, *split(DENSE, fleet()))


@pytest.fixture(scope="session")
def lstm() -> FittedDetector:
    return fit(LSTM, *split(LSTM, fleet()))


@pytest.fixture(params=["dense", "lstm"])
def detector(request: pytest.FixtureRequest) -> FittedDetector:
    fitted: FittedDetector = request.getfixturevalue(request.param)
    return fitted
