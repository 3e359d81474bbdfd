"""A table whose models and runs are in MLflow: what stands there, that its pyfunc decides as the chain, and serving."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from ae_assets.chain import Workspace
from ae_assets.chain.logged_facts import promoted_by_hand
from ae_assets.chain.workspace import ANOMALIES, RAW
from ae_assets.errors import ContractError, ModelError
from ae_assets.lakehouse import ModelStore
from ae_assets.lakehouse.on_mlflow import server as on_mlflow
from ae_assets.lakehouse.registry import open_registry, open_run_log
from ae_assets.model import pyfunc
from ae_assets.model.model import load_model
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets.schemas.periods import DAILY
from ae_assets.schemas.records import keys_of
from ae_assets_tests import mlflow_server as mlflow
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.gauges import gauges, numbered, write_period
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table
from ae_assets_tests.chain.test_groups import DAYS as DAYS_OF_PLACES
from ae_assets_tests.chain.test_groups import space_of_places
from ae_assets_tests.integration.ports import free_port
from ae_assets_tests.mlflow_server import PASSWORD, USER, WARNINGS, MlflowServer
from ae_assets_tests.pipeline.runs import failure_of, instance_in, materialise

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("importing_mlflow"), pytest.mark.filterwarnings(*WARNINGS)]

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=39))
TRAINED, JUDGED = DAYS[:15], DAYS[29:]
NOTHING_LISTENS = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Watched:
    """The small table through the chain, with what its runs of Dagster said."""

    space: Workspace
    uri: str
    said: dict[str, dict[str, Any]]
    folder: Path

    @property
    def version(self) -> str:
        champion = self.space.models.champion("fleet")
        assert champion is not None
        return champion

    def run(self) -> Any:
        client = on_mlflow.Server.of(f"mlflow+{self.uri}", self.folder).client()
        (registered,) = client.search_model_versions("name = 'fleet'")
        return client.get_run(registered.run_id)


@pytest.fixture(scope="module")
def watched(
    importing_mlflow: None, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """With user and password in the address, as MLflow allows it."""
    folder = tmp_path_factory.mktemp("watched")
    table, home = watched_table(), folder / "home"
    steps.fill(storage_of(table, home), DAYS)
    with pytest.MonkeyPatch.context() as patched, instance_in(folder) as instance:
        patched.setenv("AE_ASSETS_MODELS", "mlflow")
        patched.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri.replace("//", f"//{USER}:{PASSWORD}@"))
        said = {}
        for assets, days, config in (
            (["model"], None, {"model": {"train_start": str(DAYS[0]), "train_end": str(TRAINED[-1])}}),
            (["threshold"], None, None),
            (["anomalies"], (DAYS[0], DAYS[-1]), None),
            (["evaluation"], None, {"evaluation": {"start": str(JUDGED[0]), "end": str(JUDGED[-1]), "compare": False}}),
        ):
            result = materialise(table, home, assets, days, config, instance)
            assert result.success, failure_of(result)
            said |= {
                event.asset_key.path[-1]: {name: value.value for name, value in event.materialization.metadata.items()}
                for event in result.get_asset_materialization_events()
                if event.asset_key
            }
        yield Watched(LakehouseResource(home=str(home)).workspace(table), mlflow_server.uri, said, folder)


def test_a_training_is_logged_with_settings_data_losses_and_code(watched: Watched) -> None:
    run, card = watched.run(), watched.space.models.card("fleet", watched.version)
    assert run.info.status == "FINISHED"
    assert run.data.params["detector.units"] == "[16, 4, 16]"
    assert run.data.params["training.start"] == str(DAYS[0])
    assert run.data.metrics["rows_for_training"] == card["data"]["rows_for_training"]
    assert run.data.tags["ae_assets.version"] == watched.version
    assert run.data.tags["ae_assets.features_snapshot"] == str(watched.space.tables.snapshot("fleet.features"))
    assert "commit" in run.data.tags["ae_assets.code"]
    client = on_mlflow.Server.of(f"mlflow+{watched.uri}", watched.folder).client()
    losses = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "validation_loss")]
    assert losses == list(enumerate(card["history"]["validation_loss"]))
    kept = client.download_artifacts(run.info.run_id, "card.json", str(watched.folder))
    assert json.loads(Path(kept).read_text()) == card


def test_calibration_verdict_and_evaluation_are_in_the_run_of_the_training(watched: Watched) -> None:
    run = watched.run()
    assert run.data.metrics["threshold"] == watched.said["threshold"]["Threshold"]
    assert run.data.tags["ae_assets.verdict"] == "the first model"
    assert run.data.tags["ae_assets.promoted"] == "true"
    assert any(name.startswith("evaluation/") for name in run.data.metrics), run.data.metrics
    by_hand = partial(promoted_by_hand, "by hand")
    logged = watched.space.run_log.add(watched.space.models.card("fleet", watched.version), by_hand)
    assert logged is not None
    assert logged.problem is None
    assert watched.run().data.tags["ae_assets.verdict"] == "promoted by hand"


def test_the_ui_of_dagster_links_the_run_without_user_and_password(watched: Watched) -> None:
    run = watched.run()
    page = f"{watched.uri}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    assert {said["MLflow run"] for name, said in watched.said.items() if name in ("model", "threshold")} == {page}
    written = b"".join(path.read_bytes() for path in watched.folder.rglob("*") if path.is_file())
    assert b"fleet__model" in written, "the event log is among what is looked at"
    assert PASSWORD.encode() not in written


def loaded(watched: Watched, monkeypatch: pytest.MonkeyPatch, name: str = "fleet@champion") -> Any:
    import mlflow as package

    monkeypatch.setenv("MLFLOW_TRACKING_URI", watched.uri)
    package.set_tracking_uri(watched.uri)
    return package.pyfunc.load_model(f"models:/{name}")


def raw_as_pandas(space: Workspace, days: list[Any]) -> Any:
    """Raw rows as somebody else has them."""
    return space.read(RAW, days[0], days[-1]).to_arrow().to_pandas(date_as_object=False)


def as_stored(answer: Any, stored: pl.DataFrame) -> pl.DataFrame:
    """An answer in pandas with the types of a stored table, which pandas does not have all of."""
    frame = pl.from_arrow(pa.Table.from_pandas(answer, preserve_index=False))
    assert isinstance(frame, pl.DataFrame)
    types = {name: dtype for name, dtype in stored.schema.items() if name != "time"}
    utc = [pl.col(name).dt.replace_time_zone("UTC") for name in ("time",) if name in stored.columns]
    return frame.with_columns(utc).cast(types).sort("day", "entity")  # type: ignore[arg-type]  # by name


def test_the_champion_of_mlflow_decides_on_raw_rows_as_the_chain_did(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded(watched, monkeypatch)
    rows = raw_as_pandas(watched.space, DAYS)[model.metadata.get_input_schema().input_names()]
    decided = model.predict(rows)
    stored = watched.space.read(ANOMALIES, DAYS[0], DAYS[-1]).sort("day", "entity")
    answered = as_stored(decided, stored)
    assert answered[pyfunc.SET_ASIDE].null_count() == stored.height
    assert_frame_equal(answered.select(stored.columns), stored, check_exact=True)
    newest = model.predict(rows, params={"periods": "newest"})
    assert set(newest["day"]) == {decided["day"].max()}
    assert len(newest) == stored.filter(day=DAYS[-1]).height


def test_what_is_logged_is_data_with_signature_example_and_exact_versions(watched: Watched) -> None:
    from mlflow.models import Model

    client = on_mlflow.Server.of(f"mlflow+{watched.uri}", watched.folder).client()
    folder = Path(client.download_artifacts(watched.run().info.run_id, "model", str(watched.folder)))
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"MLmodel", "version.json", "threshold.json", "input_example.json"} <= names
    assert not [name for name in names if Path(name).suffix in {".pkl", ".pickle", ".py", ".joblib"}]
    described = Model.load(str(folder))
    assert described.flavors["python_function"]["loader_module"] == "ae_assets.model.pyfunc"
    required = {one.name for one in described.get_input_schema() if one.required}
    assert required == {"date", "serial_number", "model"}
    assert "smart_5_raw" in described.get_input_schema().input_names()
    requirements = (folder / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in requirements)
    assert f"polars=={pl.__version__}" in requirements


def test_the_example_is_decided_on(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(watched, monkeypatch)
    decided = model.predict(model.input_example)
    assert list(decided["entity"]) == ["A1", "A1"]


@pytest.fixture(scope="module")
def decider(watched: Watched) -> pyfunc.Decider:
    folder = watched.space.models.path("fleet", watched.version)
    (folder / "threshold.json").write_text(watched.space.models.read_threshold("fleet", watched.version))
    return pyfunc.Decider(load_model(folder))


def rows_of(watched: Watched) -> pl.DataFrame:
    return watched.space.read(RAW, DAYS[0], DAYS[2]).drop("day", "rescued", "source_file", "source_row")


def test_arrow_and_polars_are_answered_in_kind(watched: Watched, decider: pyfunc.Decider) -> None:
    rows = rows_of(watched)
    polars = decider.predict(rows)
    arrow = decider.predict(rows.to_arrow())
    assert isinstance(polars, pl.DataFrame)
    answered = pl.from_arrow(arrow)
    assert isinstance(answered, pl.DataFrame)
    assert_frame_equal(answered, polars)
    assert polars.height == rows.height


def test_a_row_that_cannot_be_true_is_answered_with_its_reason(watched: Watched, decider: pyfunc.Decider) -> None:
    first = pl.int_range(pl.len()) == 0
    rows = rows_of(watched).with_columns(
        pl.col("smart_5_raw").cast(pl.Float64) + pl.when(first).then(0.5).otherwise(0.0)
    )
    answered = decider.predict(rows)
    assert isinstance(answered, pl.DataFrame)
    assert answered.height == rows.height
    (aside,) = answered.filter(pl.col(pyfunc.SET_ASIDE).is_not_null()).iter_rows(named=True)
    assert aside["entity"] == rows["serial_number"][0]
    assert aside[pyfunc.SET_ASIDE].startswith("cells_are_readable")
    assert aside["score"] is None


def test_a_period_that_is_held_back_is_answered_with_its_reason(watched: Watched, decider: pyfunc.Decider) -> None:
    rows = rows_of(watched).with_columns(failure=pl.when(pl.col("date") == DAYS[1]).then(7).otherwise("failure"))
    answered = decider.predict(rows)
    assert isinstance(answered, pl.DataFrame)
    said = answered.filter(pl.col("day") == DAYS[1], pl.col("entity").is_null())[pyfunc.SET_ASIDE]
    assert said.len() == 1
    assert "nothing is decided" in said[0]


def test_rows_without_an_entity_and_parameters_that_are_not_known_are_refused(
    watched: Watched, decider: pyfunc.Decider
) -> None:
    with pytest.raises(ContractError, match="the rows lack serial_number"):
        decider.predict(rows_of(watched).drop("serial_number"))
    with pytest.raises(ContractError, match="periods: received 'last', expected 'all' or 'newest'"):
        decider.predict(rows_of(watched), {"periods": "last"})


def decides_as_the_chain(space: Workspace, trained: tuple[date, date], periods: list[date], folder: Path) -> None:
    """Trains, judges, and holds what a pyfunc of the version's folder decides against what was stored."""
    from mlflow.pyfunc import load_model as load_pyfunc

    version = steps.fit(space, *trained)
    steps.judge(space, periods)
    kept = space.models.path(space.table.table, version)
    pyfunc.save(folder, kept, space.models.card(space.table.table, version))
    model = load_pyfunc(str(folder))
    rows = raw_as_pandas(space, periods)[model.metadata.get_input_schema().input_names()]
    for name in rows.select_dtypes("datetimetz"):
        rows[name] = rows[name].dt.tz_localize(None)
    stored = space.read(ANOMALIES, periods[0], periods[-1])
    key = keys_of(stored.columns)
    answered = as_stored(model.predict(rows), stored)
    assert_frame_equal(answered.select(stored.columns).sort(key), stored.sort(key), check_exact=True)


def test_detectors_of_groups_are_one_model(tmp_path: Path) -> None:
    space = space_of_places(tmp_path)
    decides_as_the_chain(space, (DAYS_OF_PLACES[0], DAYS_OF_PLACES[5]), DAYS_OF_PLACES, tmp_path / "packed")


def test_an_ensemble_is_one_model(tmp_path: Path) -> None:
    few = "simulated://?drives=30&days=25&seed=3"
    table = watched_table(few, detector={"type": "ensemble", "members": [{"type": "pca"}, {"type": "ecod"}]})
    space = storage_of(table, tmp_path)
    steps.fill(space, DAYS[:25])
    decides_as_the_chain(space, (DAYS[0], DAYS[9]), DAYS[:25], tmp_path / "packed")


def test_of_several_records_in_a_period_each_is_decided_on(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    days = numbered(DAILY, 0, 5)
    for number, day in enumerate(days):
        write_period(tmp_path / "in", DAILY, day, level=9.0 if number == 5 else 2.0)
    space = storage_of(gauges(tmp_path / "in", DAILY), tmp_path / "home")
    steps.fill(space, days)
    decides_as_the_chain(space, (days[0], days[1]), days, tmp_path / "packed")


def asked(url: str, body: Any) -> tuple[int, Any]:
    content = json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - as above
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def test_mlflow_models_serve_answers_rows_and_refuses_what_is_none(watched: Watched, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/fleet@champion"]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    settings = {
        **mlflow.environment(),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": watched.uri,
    }
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, env=settings, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)
    try:
        mlflow.wait_for(f"http://127.0.0.1:{port}/ping", server, tmp_path / "log")
        day = watched.space.read(RAW, DAYS[0], DAYS[0]).select("date", "serial_number", "model", "^smart_.*$")
        split = {"columns": day.columns, "data": [[str(row[0]), *row[1:]] for row in day.rows()]}
        status, answer = asked(f"http://127.0.0.1:{port}/invocations", {"dataframe_split": split})
        assert status == 200, answer
        assert len(answer["predictions"]) == day.height
        stored = watched.space.read(ANOMALIES, DAYS[0], DAYS[0])
        scores = dict(stored.select("entity", "score").iter_rows())
        assert {one["entity"]: one["score"] for one in answer["predictions"]} == scores
        shown = [one["top_features"] for one in answer["predictions"] if one["top_features"]]
        assert {"name", "contribution", "value", "expected"} == shown[0][0].keys()
        without = {"columns": ["date"], "data": [["2013-04-10"]]}
        assert asked(f"http://127.0.0.1:{port}/invocations", {"dataframe_split": without})[0] == 400
        words = {"columns": day.columns, "data": [[*row[:3], *["many"] * (day.width - 3)] for row in split["data"][:1]]}
        status, answer = asked(f"http://127.0.0.1:{port}/invocations", {"dataframe_split": words})
        assert status == 200, answer
        assert answer["predictions"][0][pyfunc.SET_ASIDE].startswith("cells_are_readable")
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # the command and what it started
        server.wait(30)
    assert not (tmp_path / "mlruns").exists()


def test_where_mlflow_only_logs_it_may_be_away_and_the_training_says_so(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOTHING_LISTENS)
    table, models = watched_table(detector={"type": "pca"}), ModelStore.open(tmp_path)
    space = replace(watched.space, table=table, models=models, run_log=open_run_log(tmp_path))
    result = trained(space)
    assert result.run is None
    assert "MLflow at http://127.0.0.1:9: making a run of fleet failed" in str(result.problem)
    assert len(space.models.versions("fleet")) == 1


def trained(space: Workspace) -> Any:
    from ae_assets.chain.model import TrainingRange, train

    return train(space, TrainingRange.of(DAYS[0], TRAINED[-1], 10)).logged


def test_where_mlflow_keeps_models_and_is_away_nothing_is_trained_in_vain(watched: Watched, tmp_path: Path) -> None:
    table = watched_table(detector={"type": "pca"})
    location = f"mlflow+{NOTHING_LISTENS}"
    models, runs = open_registry(tmp_path, location), open_run_log(tmp_path, location)
    fitted: list[object] = []
    space = Workspace(table, watched.space.tables, models, fitted.append, runs)
    with pytest.raises(ModelError, match="making a run of fleet failed"):
        trained(space)
    assert fitted == []


def test_versions_of_files_are_taken_along_with_their_threshold(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    files = ModelStore.open(tmp_path)
    version = files.new_version("taken", lambda folder: (folder / "model.json").write_text("{}") and None, {})
    files.write_threshold("taken", version, '{"cut": 1}')
    shutil.copytree(tmp_path / "models" / "taken", tmp_path / "unsent_models" / "taken")
    models = open_registry(tmp_path, f"mlflow+{mlflow_server.uri}")
    assert models.versions("taken") == [version]
    assert models.read_threshold("taken", version) == '{"cut": 1}'


def test_a_model_that_mlflow_did_not_take_waits_and_is_sent_when_it_is_back(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    away = open_registry(tmp_path, f"mlflow+{NOTHING_LISTENS}")
    with pytest.raises(ModelError, match="The trained model is not lost") as refusal:
        away.new_version("waiting", lambda folder: (folder / "model.json").write_text("{}") and None, {"rows": 3})
    back = open_registry(tmp_path, f"mlflow+{mlflow_server.uri}")
    (version,) = back.versions("waiting")
    assert version in str(refusal.value)
    assert back.card("waiting", version) == {"rows": 3}
    assert list((tmp_path / "unsent_models" / "waiting").iterdir()) == []


def test_the_run_of_a_training_that_failed_or_was_killed_says_so(
    mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = f"mlflow+{mlflow_server.uri}"
    runs, client = open_run_log(tmp_path, location), on_mlflow.Server.of(location, tmp_path).client()
    with pytest.raises(ZeroDivisionError), runs.training("broken") as run:
        raise ZeroDivisionError
    assert client.get_run(run.reference["run_id"]).info.status == "FAILED"
    with runs.training("broken") as run:
        monkeypatch.setattr("ae_assets.lakehouse.remains.SHORTEST", timedelta(days=-2))
        open_registry(tmp_path, location).remove_incomplete("broken", timedelta(days=-1))
        assert client.get_run(run.reference["run_id"]).info.status == "KILLED"


def test_an_alias_that_was_moved_by_hand_is_the_champion_and_one_of_a_stranger_is_refused(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    location = f"mlflow+{mlflow_server.uri}"
    models, client = open_registry(tmp_path, location), on_mlflow.Server.of(location, tmp_path).client()
    made = [
        models.new_version("moved", lambda folder, n=n: (folder / "model.json").write_text(n) and None, {})
        for n in "ab"
    ]
    models.promote("moved", made[1])
    client.set_registered_model_alias("moved", "champion", "1")
    assert models.champion("moved") == made[0]
    known = client.get_model_version("moved", "1")
    client.create_model_version("moved", known.source, known.run_id)
    client.set_registered_model_alias("moved", "champion", "3")
    with pytest.raises(ModelError, match="this project did not register it"):
        models.champion("moved")


@pytest.mark.parametrize(
    "location", ["mlflow+http://USER:SECRETSECRET@127.0.0.1:9", "mlflow+postgresql://u:SECRETSECRET@127.0.0.1/m"]
)
def test_an_address_with_credentials_is_refused_without_naming_them(tmp_path: Path, location: str) -> None:
    with pytest.raises(ModelError, match="holds credentials") as refusal:
        open_registry(tmp_path, location)
    assert "SECRET" not in str(refusal.value)


def test_a_wrong_password_is_in_no_error(
    mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, uri in (("token", mlflow_server.uri), ("address", mlflow_server.uri.replace("//", "//u:SECRETSECRET@"))):
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "SECRETSECRET")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(ModelError, match="listing the models of fleet failed") as refusal:
            open_registry(tmp_path, "mlflow").versions("fleet")
        assert "SECRET" not in str(refusal.value), name
        assert refusal.value.__cause__ is None
        assert "who are you" in str(refusal.value) or "401" in str(refusal.value)
