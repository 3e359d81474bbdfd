"""The installed wheel in somebody's own Dagster project: its tables load, are found by the commands, and run."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ae_assets.cli.project import OWN, projects
from ae_assets.errors import ConfigError
from ae_assets_tests.conftest import REPOSITORY

FLEET = "simulated://?drives=30&days=40&seed=5&start=2013-04-10"
PYPROJECT = """
[project]
name = "own"
version = "0.1.0"
dependencies = ["ae-assets", "dagster"]

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "own"
"""
DEFINITIONS = """
from pathlib import Path

from dagster import definitions, load_from_defs_folder


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
TABLE = """
type: ae_assets.AnomalyPipeline

attributes:
  table: NAME
  source: {location: "LOCATION"}
  features:
    spans: [1, 7]
    attributes:
      smart_5_raw: {kind: counter, meaning: reallocated sectors}
      smart_9_raw: {kind: age, meaning: power-on hours}
  training: {horizon_days: 5, days: 10}
  detector: {type: counter_rule, features: [smart_5_level]}
  calibration: {embargo_days: 2, days: 8}
  checks: {window_days: 10, max_feature_drift: 100, max_score_drift: 100}
"""
LIST = """
import json, own.definitions
repository = own.definitions.defs().get_repository_def()
print(json.dumps(sorted(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys())))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds, as an installation has it."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = Path(sys.executable).with_name("uv")
    command = (
        [uv, "build", "--wheel", "--out-dir", folder] if uv.exists() else [sys.executable, "-m", "build", "-wo", folder]
    )
    made = subprocess.run([*map(str, command), str(REPOSITORY)], capture_output=True, text=True, check=False)
    found = next(folder.glob("*.whl"), None)
    if found is None:
        pytest.skip(f"no wheel can be built on this machine: {made.stderr[-500:]}")
    zipfile.ZipFile(found).extractall(folder / "site")
    return folder / "site"


def write_table(project: Path, name: str) -> None:
    folder = project / "src" / "own" / "defs" / name
    folder.mkdir(parents=True)
    text = TABLE.replace("NAME", name).replace("LOCATION", FLEET)
    (folder / "defs.yaml").write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project as `create-dagster` lays it out, with two watched tables; it is not installed."""
    folder = tmp_path / "own project"
    package = folder / "src" / "own"
    write_table(folder, "first")
    write_table(folder, "second")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (package / "definitions.py").write_text(DEFINITIONS)
    for module in (package, package / "defs"):
        (module / "__init__.py").touch()
    return folder


def tool(wheel: Path, project: Path, *command: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Runs a command in the project's folder, in an environment whose ae_assets is the wheel's."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(wheel),
        "PYTHONWARNINGS": "ignore",
        "AE_ASSETS_HOME": str(project.parent / "home"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "COLUMNS": "300",
    }
    for name in ("DAGSTER_HOME", "AE_ASSETS_PROJECT", "DRIVE_STATS_LOCATION"):
        environment.pop(name, None)
    return subprocess.run(
        command,
        cwd=cwd or project,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def said(result: "subprocess.CompletedProcess[str]") -> str:
    return result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_tables_of_ones_own_project_load_and_run_with_the_wheel(wheel: Path, project: Path) -> None:
    python = "import sys; sys.path.insert(0, 'src')\n"
    listed = tool(wheel, project, sys.executable, "-c", python + LIST)
    assert listed.returncode == 0, said(listed)
    assets = json.loads(listed.stdout.splitlines()[-1])
    assert {key.split("/")[0] for key in assets} == {"first", "second"}
    assert "first/anomalies" in assets

    days = ("--start", "2013-04-10", "--end", "2013-05-19")
    elsewhere = project.parent
    for where, options in ((project, ()), (project / "src", ()), (elsewhere, ("--project", str(project)))):
        missing = tool(
            wheel, project, sys.executable, "-m", "ae_assets.cli", *options, "run", "third", *days, cwd=where
        )
        assert missing.returncode == 2
        assert "the tables are: first, second in own; drive_stats in ae_assets" in said(missing)
    lost = tool(wheel, project, sys.executable, "-m", "ae_assets.cli", "run", "first", *days, cwd=elsewhere)
    assert "the tables are: drive_stats in ae_assets" in said(lost)

    run = tool(wheel, project, sys.executable, "-m", "ae_assets.cli", "run", "first", *days)
    assert run.returncode in {0, 3}, said(run)
    output = project.parent / "out.parquet"
    export = ("export", "first", "anomalies", *days, "--output", str(output))
    exported = tool(wheel, project, sys.executable, "-m", "ae_assets.cli", *export)
    assert exported.returncode == 0, said(exported)
    assert "of 40 days of first/anomalies" in exported.stdout
    if run.returncode == 3:
        assert "-m own.definitions" in said(run), "the command that opens the UI opens this project"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_component_can_be_scaffolded_and_checked_in_ones_own_project(wheel: Path, project: Path) -> None:
    scaffolded = tool(wheel, project, "dg", "scaffold", "defs", "ae_assets.AnomalyPipeline", "another")
    assert scaffolded.returncode == 0, said(scaffolded)
    path = project / "src" / "own" / "defs" / "another" / "defs.yaml"
    path.write_text(path.read_text().replace("FILL_IN", f'"{FLEET}"'))
    checked = tool(wheel, project, "dg", "check", "defs")
    assert checked.returncode == 0, said(checked)


RESOURCES = """
import dagster as dg
from ae_assets.pipeline.resources import LakehouseResource


@dg.definitions
def resources():
    return dg.Definitions(resources={"lakehouse": LakehouseResource(home="/srv/ours")})
"""


@pytest.mark.slow
def test_a_project_may_bring_a_lakehouse_of_its_own(wheel: Path, project: Path) -> None:
    package = project / "src" / "own"
    (package / "defs" / "resources.py").write_text(RESOURCES)
    program = "import sys; sys.path.insert(0, 'src')\nimport own.definitions\n"
    program += "print(own.definitions.defs().resources['lakehouse'].home)"
    loaded = tool(wheel, project, sys.executable, "-c", program)
    assert loaded.stdout.splitlines()[-1:] == ["/srv/ours"], said(loaded)


def test_the_project_is_the_one_named_else_the_one_around_the_working_directory(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AE_ASSETS_PROJECT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert projects() == [OWN]
    monkeypatch.chdir(project / "src" / "own")
    own, package = projects()
    assert (own.folder, own.root_module, own.module, package) == (project, "own", "own.definitions", OWN)
    monkeypatch.chdir(REPOSITORY / "docs")
    assert projects() == [OWN]
    monkeypatch.setenv("AE_ASSETS_PROJECT", str(project))
    assert projects() == [own, OWN]
    monkeypatch.setenv("AE_ASSETS_PROJECT", str(tmp_path))
    with pytest.raises(ConfigError, match="is no Dagster project"):
        projects()


def test_a_dg_toml_is_read_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'directory_type = "project"\n[project]\nroot_module = "own"\ncode_location_target_module = "own.code"\n'
    (tmp_path / "dg.toml").write_text(text)
    monkeypatch.setenv("AE_ASSETS_PROJECT", str(tmp_path))
    assert projects()[0].module == "own.code"
