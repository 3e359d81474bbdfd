"""The ``ae-assets`` command: it only drives Dagster, so that everything it starts is seen in the UI."""

# `main` knows their commands once they are imported
from ae_assets.cli import alarms, calibrate, check_table, new_table, promote, score, show
from ae_assets.cli.commands import main

__all__ = ["alarms", "calibrate", "check_table", "main", "new_table", "promote", "score", "show"]
