"""The jobs that choose a detector say in the run what they found, as the commands do."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ae_assets.chain import Workspace
from ae_assets.pipeline.choosing import choosing_jobs, study_of
from ae_assets.pipeline.metadata import SUMMARY
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets_tests.chain.test_tuning import USED, readings, space_in

DAYS = {"train_start": str(USED[0]), "train_end": str(USED[1])}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def space(home: Path) -> Workspace:
    return space_in(home.parent, readings())


def told(space: Workspace, home: Path, name: str, **config: Any) -> dict[str, Any]:
    """The metadata of the run's one step."""
    (job,) = (one for one in choosing_jobs(space.table) if one.name == f"stations_{name}")
    result = job.execute_in_process(
        run_config={"ops": {f"stations__{name}": {"config": {**DAYS, **config}}}},
        resources={"lakehouse": LakehouseResource(home=str(home))},
    )
    (output,) = result.filter_events(lambda event: event.event_type is dg.DagsterEventType.STEP_OUTPUT)
    return {key: one.value for key, one in output.step_output_data.metadata.items()}


def test_a_run_of_tune_keeps_its_trials_where_the_command_does(space: Workspace, home: Path) -> None:
    said = told(space, home, "tune", trials=2)
    assert "trials" in said[SUMMARY]
    assert said["YAML"].splitlines()[:3] == ["```yaml", "detector:", *said["YAML"].splitlines()[2:3]]
    assert "pca" in said["YAML"]
    assert said["Trials"].count("\n") >= 3
    assert study_of(home, "stations").is_file()


@pytest.mark.slow
def test_a_run_of_select_has_the_candidates_as_a_table(space: Workspace, home: Path) -> None:
    said = told(space, home, "select")
    assert "more than chance" in said[SUMMARY]
    assert "| ensemble |" in said["Candidates"].replace("  ", " ").replace("  ", " ")
