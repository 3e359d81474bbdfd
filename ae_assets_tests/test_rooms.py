"""The rooms import one way, and the library's rooms stay free of Dagster; the rules stand in pyproject.toml."""

import ast
import subprocess
import sys
from pathlib import Path

from ae_assets_tests.conftest import REPOSITORY

LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"


def lint_imports(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--config", config], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def test_the_rooms_import_one_way_and_only_the_pipeline_knows_dagster() -> None:
    verdict = lint_imports(REPOSITORY / "pyproject.toml")

    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


def test_a_broken_import_rule_is_noticed(tmp_path: Path) -> None:
    config = tmp_path / "pyproject.toml"
    config.write_text(
        """
        [tool.importlinter]
        root_packages = ["ae_assets"]
        include_external_packages = true

        [[tool.importlinter.contracts]]
        name = "the pipeline without Dagster"
        type = "forbidden"
        source_modules = ["ae_assets.pipeline"]
        forbidden_modules = ["dagster"]
        """
    )

    verdict = lint_imports(config)

    assert verdict.returncode == 1
    assert "ae_assets.pipeline is not allowed to import dagster" in verdict.stdout


def test_no_module_imports_from_its_own_package_what_that_offers() -> None:
    """A circle that import-linter does not see: the package imports its modules for what they offer."""
    found = []
    for init in (REPOSITORY / "ae_assets").rglob("__init__.py"):
        package = ".".join(init.parent.relative_to(REPOSITORY).parts)
        if any(name.startswith(f"{package}.") for name in imported(init)):
            others = (path for path in init.parent.glob("*.py") if path.name not in {"__init__.py", "__main__.py"})
            found += [str(path.relative_to(REPOSITORY)) for path in others if package in imported(path)]
    assert found == []


def imported(path: Path) -> set[str]:
    """The modules that a file imports from, anywhere in it."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module is not None}
