"""A table whose decisions look back in every way: a window, an aggregation, and episodes."""

from datetime import timedelta

from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.tables import FIRST

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=44))
LOCATION = f"simulated://?drives=300&days=45&seed=3&start={FIRST}"
SECTIONS = {
    "detector": {
        "type": "lstm_autoencoder",
        "window_days": 2,
        "encoder_units": [8],
        "decoder_units": [8],
        "epochs": 300,
        "learning_rate": 0.02,
        "patience": 3,
    },
    "threshold": {"policy": "percentile", "percentile": 98},
    "calibration": {"embargo_days": 4, "days": 8},
    "decision": {
        "aggregation": {"method": "mean", "days": 3},
        "episodes": {"alarms": 2, "within_days": 4, "clear_after_days": 2},
    },
}
"""Of its YAML."""
