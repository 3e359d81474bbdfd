"""The ``ae-assets`` command: it only drives Dagster, so that everything it starts is seen in the UI."""

from ae_assets.cli import promote  # its command is known to `main` once it is imported
from ae_assets.cli.commands import main

__all__ = ["main", "promote"]
