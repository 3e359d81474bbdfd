"""The code location: every watched table below ``defs``."""

from pathlib import Path

import dagster as dg

import ae_assets.defs


def component_tree() -> dg.ComponentTree:
    """The folder of watched tables; it needs no pyproject.toml, so that an installed wheel works."""
    return dg.ComponentTree.from_module(ae_assets.defs, project_root=Path(__file__).parent.parent)


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, checks, sensors, jobs and resources of all watched tables."""
    return component_tree().build_defs()
