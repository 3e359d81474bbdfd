"""The code location: every watched table below ``defs``."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

import ae_assets.defs


def component_tree() -> dg.ComponentTree:
    """The folder of watched tables; it needs no pyproject.toml, so that an installed wheel works."""
    return dg.ComponentTree.from_module(ae_assets.defs, project_root=Path(__file__).parent.parent)


def build(tree: dg.ComponentTree) -> dg.Definitions:
    """Everything in the tree.

    Built from the folder: ``tree.build_defs()`` alone adds a description of every installed component type for the UI's
    component pages, which takes half as long as importing Dagster.
    """
    with quietly():
        return tree.build_defs(tree.defs_module_path)


@contextmanager
def quietly() -> Iterator[None]:
    """Dagster 1.13 warns at every load that components are beta."""
    with warnings.catch_warnings():
        for category in (dg.BetaWarning, dg.PreviewWarning):
            warnings.filterwarnings("ignore", category=category)
        yield


@dg.definitions
def defs() -> dg.Definitions:
    return build(component_tree())
