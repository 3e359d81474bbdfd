"""The component from outside: scaffolding a table, checking it, and each way in which the code location is loaded."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from ae_assets_tests.conftest import REPOSITORY

LOCATION = "simulated://?drives=20&days=30&seed=1"
LIST_ASSETS = """
import json
import ae_assets, ae_assets.definitions
repository = ae_assets.definitions.defs().get_repository_def()
keys = sorted(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys())
print(json.dumps({"assets": keys, "package": ae_assets.__file__}))
"""
HEAVY = ("keras", "jax", "pyspark", "matplotlib", "scipy", "boto3")


def tool(folder: Path, *command: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Runs one of the environment's commands in a checkout of its own, whose packages come before the installed one."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "PYTHONWARNINGS": "ignore",
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "DG_CLI_CONFIG": str(folder / "none.toml"),
        "COLUMNS": "400",
        **settings,
    }
    environment.pop("DRIVE_STATS_LOCATION", None)
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def said(result: "subprocess.CompletedProcess[str]") -> str:
    return result.stdout + result.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project's own files, as a checkout has them."""
    folder = tmp_path / "project"
    shutil.copytree(REPOSITORY / "ae_assets", folder / "ae_assets", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, folder / name)
    return folder


@pytest.mark.slow
def test_a_scaffolded_table_passes_the_check_once_its_location_is_filled_in(project: Path) -> None:
    scaffolded = tool(project, "dg", "scaffold", "defs", "ae_assets.AnomalyPipeline", "my_table")
    assert scaffolded.returncode == 0, said(scaffolded)
    path = project / "ae_assets" / "defs" / "my_table" / "defs.yaml"
    assert [found.name for found in path.parent.iterdir()] == ["defs.yaml"]
    assert "location: FILL_IN # REQUIRED" in path.read_text()
    path.write_text(path.read_text().replace("FILL_IN", f'"{LOCATION}"'))
    checked = tool(project, "dg", "check", "defs")
    assert checked.returncode == 0, said(checked)
    listed = tool(project, sys.executable, "-c", LIST_ASSETS)
    names = ("anomalies", "evaluation", "features", "maintenance", "model", "quarantine", "raw", "threshold")
    assets = json.loads(listed.stdout)["assets"]
    assert [asset for asset in assets if asset.startswith("my_table/")] == [f"my_table/{name}" for name in names]
    assert "drive_stats/raw" in assets


@pytest.mark.slow
def test_the_check_of_a_broken_table_says_path_received_and_allowed(project: Path) -> None:
    path = project / "ae_assets" / "defs" / "drive_stats" / "defs.yaml"
    text = path.read_text()
    path.write_text(text.replace("type: ordinal", "type: ordinal\n    unit: 3"))
    line = path.read_text().splitlines().index("    unit: 3") + 1
    checked = tool(project, "dg", "check", "yaml", "--no-validate-requirements", str(path.parent))
    assert checked.returncode != 0
    assert re.search(
        r"drive_stats/defs\.yaml:\d+ .* attributes\.detector .*'unit' is not one of .*'units'", said(checked)
    )
    loaded = tool(project, "dg", "check", "defs", "--no-check-yaml")
    assert loaded.returncode != 0
    assert "drive_stats/defs.yaml does not describe a watched table" in said(loaded)
    assert f"attributes.detector.unit (line {line}): received 3; no such key; allowed here: " in said(loaded)
    assert "units" in said(loaded)


@pytest.mark.slow
def test_a_misspelt_key_fails_the_check_of_the_yaml_and_a_repeated_one_that_of_the_definitions(project: Path) -> None:
    path = project / "ae_assets" / "defs" / "drive_stats" / "defs.yaml"
    text = path.read_text()
    # Of several tables dg looks at the YAML of one only, unless it is named.
    checked = tool(project, "dg", "check", "yaml", "--no-validate-requirements", str(path.parent))
    assert checked.returncode == 0, said(checked)
    path.write_text(text.replace("    percentile: 99.9", "    percentil: 99.9"))
    checked = tool(project, "dg", "check", "yaml", "--no-validate-requirements", str(path.parent))
    assert checked.returncode != 0
    assert "'percentil' is not one of ['percentile', 'policy']" in said(checked)
    path.write_text(text.replace("    percentile: 99.9", "    percentile: 99.9\n    percentile: 99.5"))
    checked = tool(project, "dg", "check", "defs")
    line = path.read_text().splitlines().index("    percentile: 99.9") + 1
    assert checked.returncode != 0
    assert f"attributes.threshold.percentile: lines {line} and {line + 1}" in said(checked)


@pytest.mark.slow
def test_the_workspace_loads_the_code_location(project: Path) -> None:
    validated = tool(project, "dagster", "definitions", "validate", "-w", "workspace.yaml")
    assert validated.returncode == 0, said(validated)
    assert "Validation successful for code location ae_assets" in said(validated)


def built(folder: Path) -> Path | None:
    """A wheel of the project, or None where neither uv nor build is there to make it."""
    beside = Path(sys.executable).with_name("uv")
    uv = shutil.which("uv") or (str(beside) if beside.exists() else None)
    command = (
        [uv, "build", "--wheel", "--out-dir", str(folder)]
        if uv
        else [sys.executable, "-m", "build", "-w", "-o", str(folder)]
    )
    made = subprocess.run([*command, str(REPOSITORY)], capture_output=True, text=True, check=False)
    return next(folder.glob("*.whl"), None) if made.returncode == 0 else None


@pytest.mark.slow
def test_an_installed_wheel_loads_its_definitions_without_pyproject(tmp_path: Path) -> None:
    """Where no wheel can be built on this machine, the folder that pyproject.toml puts into it stands in."""
    site = tmp_path / "site"
    wheel = built(tmp_path / "wheel")
    if wheel is not None:
        zipfile.ZipFile(wheel).extractall(site)
    else:
        with (REPOSITORY / "pyproject.toml").open("rb") as file:
            packages = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        for package in packages:
            shutil.copytree(REPOSITORY / package, site / package, ignore=shutil.ignore_patterns("__pycache__"))
    assert not list(tmp_path.rglob("pyproject.toml"))
    loaded = tool(site, sys.executable, "-c", LIST_ASSETS)
    assert loaded.returncode == 0, said(loaded)
    found = json.loads(loaded.stdout)
    assert found["package"].startswith(str(site))
    assert "drive_stats/anomalies" in found["assets"]
    help_text = tool(site, sys.executable, "-c", "from ae_assets.cli import main; main()", "--help")
    assert "evaluate" in help_text.stdout


def test_loading_the_definitions_leaves_the_heavy_libraries_alone(project: Path) -> None:
    program = f"{LIST_ASSETS}\nimport sys\nprint([name for name in {HEAVY} if name in sys.modules])"
    loaded = tool(project, sys.executable, "-c", program)
    assert loaded.returncode == 0, said(loaded)
    assert loaded.stdout.splitlines()[-1] == "[]"
