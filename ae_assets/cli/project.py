"""Which Dagster project the commands take the watched tables from: somebody's own, or this package.

A project is a folder whose pyproject.toml has ``[tool.dg.project]``, or that has a dg.toml, as `dg` makes and reads it.
"""

import importlib
import importlib.util
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import dagster as dg

import ae_assets
from ae_assets.definitions import build, component_tree, quietly
from ae_assets.errors import ConfigError
from ae_assets.pipeline.component import AnomalyPipeline

SETTING = "AE_ASSETS_PROJECT"
PACKAGE = "ae_assets"


@dataclass(frozen=True)
class Project:
    """A Dagster project.

    Attributes:
        folder: where its configuration lies.
        root_module: its Python package.
        module: what `dagster` loads its definitions from.
    """

    folder: Path
    root_module: str
    module: str

    @property
    def defs_folder(self) -> Path:
        """Where its components lie, a folder for each."""
        if self.root_module == PACKAGE:
            return Path(ae_assets.__file__).parent / "defs"
        inside = [self.folder / "src" / self.root_module, self.folder / self.root_module]
        return next((folder for folder in inside if folder.is_dir()), inside[-1]) / "defs"

    def load(self) -> tuple[dg.Definitions, list[AnomalyPipeline]]:
        """Its definitions and its watched tables; raises what Dagster or the project's own code raises."""
        if self.root_module == PACKAGE:
            tree = component_tree()
            return build(tree), tree.get_all_components(of_type=AnomalyPipeline)
        self._make_importable()
        with quietly():
            tree = dg.ComponentTree.for_project(self.folder)
            return _definitions_in(self.module) or build(tree), tree.get_all_components(of_type=AnomalyPipeline)

    def _make_importable(self) -> None:
        """A project that is not installed is found where it lies, as `dg` finds it."""
        if importlib.util.find_spec(self.root_module) is None:
            sys.path[:0] = [str(self.folder / "src"), str(self.folder)]


OWN = Project(Path(ae_assets.__file__).parent.parent, PACKAGE, f"{PACKAGE}.definitions")
"""This package with its tables, which is looked into last."""


def projects() -> list[Project]:
    """Where a table is looked for, in this order: the project that is named or in whose folder we are, this package.

    Raises:
        ConfigError: what is named is no project.
    """
    named = _named()
    if named:
        folder = Path(named).expanduser().resolve()
        found = _project_in(folder)
        if found is None:
            raise ConfigError(
                f"{folder} is no Dagster project; expected a folder whose pyproject.toml has [tool.dg.project] with "
                f"root_module, named by --project or {SETTING}"
            )
    else:
        here = Path.cwd()
        found = next(filter(None, map(_project_in, [here, *here.parents])), None)
    return [OWN] if found is None or found.root_module == PACKAGE else [found, OWN]


def _named() -> str | None:
    context = click.get_current_context(silent=True)
    given = None if context is None else context.find_root().params.get("project")
    return given or os.environ.get(SETTING) or None


def _project_in(folder: Path) -> Project | None:
    """The project whose configuration lies in a folder; None where there is none."""
    settings = _table(folder / "dg.toml", "project") or _table(folder / "pyproject.toml", "tool", "dg", "project")
    root_module = settings.get("root_module") if settings else None
    if not settings or not isinstance(root_module, str):
        return None
    return Project(folder, root_module, settings.get("code_location_target_module", f"{root_module}.definitions"))


def _table(path: Path, *keys: str) -> Mapping[str, Any] | None:
    try:
        content: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else None


def _definitions_in(module: str) -> dg.Definitions | None:
    """What a module defines: a `Definitions`, or a function under `@dg.definitions`; None where neither is there."""
    if importlib.util.find_spec(module) is None:
        return None
    values = vars(importlib.import_module(module)).values()
    found = [value for value in values if isinstance(value, dg.Definitions)]
    lazy = [value for value in values if type(value).__name__ == "LazyDefinitions"]
    return found[0] if found else lazy[0]() if lazy else None
