"""The ``ae-assets`` command: it only drives Dagster, so that everything it starts is seen in the UI."""

from ae_assets.cli import alarms, calibrate, promote, score, show  # `main` knows their commands once they are imported
from ae_assets.cli.commands import main

__all__ = ["alarms", "calibrate", "main", "promote", "score", "show"]
