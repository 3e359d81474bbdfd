"""The ``ae-assets`` command: it only drives Dagster, so that everything it starts is seen in the UI."""

# `main` knows the commands of these modules once they are imported.
from ae_assets.cli import check_table, clusters, new_table, score, select, serve, tune
from ae_assets.cli.commands import main

__all__ = ["check_table", "clusters", "main", "new_table", "score", "select", "serve", "tune"]
