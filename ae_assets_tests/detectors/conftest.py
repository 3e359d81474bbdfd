"""Detectors fitted once for all tests of the room."""

import pytest

from ae_assets.detectors import FittedDetector
from ae_assets_tests.detectors.fleets import CONVOLUTIONAL, DENSE, DETECTORS, LSTM, ORDINAL, fitted
from ae_assets_tests.detectors.simulated import SimulatedFleet, simulated_fleet


@pytest.fixture(scope="session")
def dense() -> FittedDetector:
    return fitted(DENSE)


@pytest.fixture(scope="session")
def lstm() -> FittedDetector:
    return fitted(LSTM)


@pytest.fixture(scope="session")
def ordinal() -> FittedDetector:
    return fitted(ORDINAL)


@pytest.fixture(scope="session")
def convolutional() -> FittedDetector:
    return fitted(CONVOLUTIONAL)


@pytest.fixture(params=["dense", "lstm", "convolutional"])
def network(request: pytest.FixtureRequest) -> FittedDetector:
    """Each of the networks."""
    detector: FittedDetector = request.getfixturevalue(request.param)
    return detector


@pytest.fixture(scope="session", params=DETECTORS)
def detector(request: pytest.FixtureRequest) -> FittedDetector:
    """Each of all detectors."""
    shared = request.param.removesuffix("_autoencoder")
    if shared in {"dense", "lstm", "convolutional", "ordinal"}:
        network: FittedDetector = request.getfixturevalue(shared)
        return network
    return fitted(DETECTORS[request.param])


@pytest.fixture(scope="session")
def simulated() -> SimulatedFleet:
    return simulated_fleet()
