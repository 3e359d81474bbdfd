"""The ``ae-assets`` command: it only drives Dagster, so that everything it starts is seen in the UI."""

from ae_assets.cli import calibrate, promote  # their commands are known to `main` once they are imported
from ae_assets.cli.commands import main

__all__ = ["calibrate", "main", "promote"]
