"""What every place for models promises: files here and elsewhere, and MLflow, in a database and served."""

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ae_assets.errors import ModelError
from ae_assets.lakehouse import ModelStore
from ae_assets.lakehouse.on_mlflow import server
from ae_assets.lakehouse.registry import ModelRegistry, open_registry, open_run_log
from ae_assets.lakehouse.run_log import NoRunLog
from ae_assets_tests.mlflow_server import WARNINGS, MlflowServer

PLACES = (
    "a folder",
    "a bucket",
    pytest.param("MLflow's database", marks=pytest.mark.slow),
    pytest.param("MLflow's server", marks=pytest.mark.slow),
)
pytestmark = pytest.mark.filterwarnings(*WARNINGS)
_NUMBERS = count()


@dataclass(frozen=True)
class Place:
    """A place for models.

    Attributes:
        home: of those who open it.
        location: as a setting names it; None: in the home. A folder with ``bucket`` in front stands in for one.
        files: where its files are.
        table: a watched table of the test's own.
    """

    home: Path
    location: str | None
    files: Path
    table: str

    def open(self) -> ModelRegistry:
        if self.location is None or not self.location.startswith("bucket:"):
            return open_registry(self.home, self.location)
        from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

        bucket = SubTreeFileSystem(self.location.removeprefix("bucket:"), LocalFileSystem())
        return _Bucket("store", bucket, self.home / "cache")


class _Bucket(ModelStore):
    """An object store makes folders by itself; the folder that stands in for one here does not."""

    def _put_bytes(self, path: str, content: bytes) -> None:
        self._files.create_dir(path.rsplit("/", 1)[0])
        super()._put_bytes(path, content)


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    home, table = tmp_path / "home", f"t{next(_NUMBERS)}"
    match request.param:
        case "a folder":
            return Place(home, None, home, table)
        case "a bucket":
            (tmp_path / "bucket").mkdir()
            return Place(home, f"bucket:{tmp_path / 'bucket'}", tmp_path / "bucket", table)
    request.getfixturevalue("importing_mlflow")
    if request.param == "MLflow's server":
        running: MlflowServer = request.getfixturevalue("mlflow_server")
        return Place(home, f"mlflow+{running.uri}", running.folder, table)
    database = request.getfixturevalue("mlflow_database")
    return Place(home, f"mlflow+sqlite:///{database}", home, table)


@pytest.fixture(scope="module")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("database") / "mlflow.db"


def write_weights(folder: Path, weights: str = "w") -> None:
    (folder / "model.keras").write_text(weights)
    (folder / "more").mkdir()
    (folder / "more" / "preprocessing.json").write_text("{}")


def added(place: Place, weights: str = "w", **card: Any) -> str:
    return place.open().new_version(place.table, lambda folder: write_weights(folder, weights), card)


def test_a_place_that_was_never_written_is_empty(place: Place) -> None:
    models = place.open()
    assert models.versions(place.table) == []
    assert models.champion(place.table) is None


def test_a_version_gives_back_files_and_card(place: Place) -> None:
    version = added(place, rows=3)
    models = place.open()
    assert models.versions(place.table) == [version]
    assert (models.path(place.table, version) / "model.keras").read_text() == "w"
    assert (models.path(place.table, version) / "more" / "preprocessing.json").read_text() == "{}"
    assert models.card(place.table, version) == {"rows": 3}
    assert models.versions("other") == []


def test_versions_are_in_order_of_time_and_promoted_and_rolled_back(place: Place) -> None:
    made = [added(place, str(number)) for number in range(3)]
    models = place.open()
    assert models.versions(place.table) == sorted(made)
    assert len(set(made)) == 3
    assert models.champion(place.table) is None
    for version in (made[0], made[2], made[1]):
        models.promote(place.table, version)
        assert place.open().champion(place.table) == version


def test_of_versions_that_are_promoted_at_once_one_is_the_champion(place: Place) -> None:
    made = [added(place, str(number)) for number in range(2)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda version: place.open().promote(place.table, version), made * 4))
    assert place.open().champion(place.table) in made


def test_a_failed_write_leaves_no_version(place: Place) -> None:
    def fail(folder: Path) -> None:
        write_weights(folder)
        raise ZeroDivisionError

    models = place.open()
    with pytest.raises(ZeroDivisionError):
        models.new_version(place.table, fail, {})
    with pytest.raises(ModelError, match="cannot be stored as JSON"):
        models.new_version(place.table, write_weights, {"loss": float("nan")})
    with pytest.raises(ModelError, match="expected at least one"):
        models.new_version(place.table, lambda folder: None, {})
    assert models.versions(place.table) == []


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def write_and_die(place: Place) -> None:
    """Writes a version, and is killed when its files are there and it is to be seen."""
    patched = pytest.MonkeyPatch()
    if place.location is None:
        patched.setattr(Path, "rename", die)
    elif place.location.startswith("mlflow"):
        from mlflow import MlflowClient

        patched.setattr(MlflowClient, "create_model_version", die)
    else:
        put = _Bucket._put_bytes
        patched.setattr(_Bucket, "_put_bytes", lambda self, path, content: (
            die() if path.endswith("version.json") else put(self, path, content)
        ))  # fmt: skip
    added(place)


def in_another_process(work: Callable[[Place], None], place: Place) -> int | None:
    process = multiprocessing.get_context("spawn").Process(target=work, args=(place,))
    process.start()
    process.join(300)
    return process.exitcode


@pytest.mark.slow
def test_a_version_whose_writer_was_killed_is_not_seen(place: Place) -> None:
    if place.location is not None and "sqlite" in place.location:
        pytest.skip("as at the server, and another process takes long to import MLflow")
    first = added(place, "first")
    assert in_another_process(write_and_die, place) == -signal.SIGKILL
    elsewhere = Place(place.home.with_name("elsewhere"), place.location, place.files, place.table)
    models = (place if place.location is None else elsewhere).open()
    assert models.versions(place.table) == [first]
    assert models.remove_incomplete(place.table, timedelta(hours=1)) == (0, 0), "it may be under way"


def test_an_unknown_version_cannot_be_used(place: Place) -> None:
    known, models = added(place), place.open()
    with pytest.raises(ModelError, match=f"has no version 20200101T000000000Z-00000000; it has {known}"):
        models.promote(place.table, "20200101T000000000Z-00000000")
    with pytest.raises(ModelError, match="it has none: materialise other/model first"):
        models.card("other", known)


def test_a_threshold_is_replaced_and_read_back(place: Place) -> None:
    version, models = added(place), place.open()
    with pytest.raises(ModelError, match=f"no threshold yet: materialise {place.table}/threshold first"):
        models.read_threshold(place.table, version)
    models.write_threshold(place.table, version, '{"cut": 1}')
    models.write_threshold(place.table, version, '{"cut": 2}')
    assert json.loads(place.open().read_threshold(place.table, version)) == {"cut": 2}
    with pytest.raises(ModelError, match="is not JSON"):
        models.write_threshold(place.table, version, "cut: 3")


@pytest.mark.parametrize("name", ["../t", "a/b", "", ".", "t' or name = 'u"])
def test_names_cannot_leave_the_place(place: Place, name: str) -> None:
    models = place.open()
    with pytest.raises(ModelError, match="is not a watched table"):
        models.new_version(name, write_weights, {})
    with pytest.raises(ModelError, match="is not a watched table"):
        models.champion(name)
    with pytest.raises(ModelError, match="is not a model version"):
        models.path(place.table, name)


def test_a_version_with_a_damaged_file_is_not_loaded(place: Place) -> None:
    if place.location is None:
        pytest.skip("a local version is read in place")
    version, weights = added(place, f"weights of {place.table}"), f"weights of {place.table}"
    (damaged,) = [path for path in place.files.rglob("model.keras") if path.read_bytes() == weights.encode()]
    damaged.write_text("other")
    with pytest.raises(ModelError, match=r"not those it was written with: model\.keras"):
        place.open().path(place.table, version)


def test_a_threshold_that_is_stored_half_leaves_the_one_before_and_a_damaged_one_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place.location is None or not place.location.startswith("mlflow"):
        pytest.skip("a file is put in place in one step")
    from mlflow import MlflowClient

    version, models = added(place), place.open()
    before, text = f'{{"cut of {place.table}": 1}}', '{"cut": 2}'
    models.write_threshold(place.table, version, before)
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_model_version_tag", broken)
        with pytest.raises(ModelError, match="storing the threshold"):
            models.write_threshold(place.table, version, text)
    assert models.read_threshold(place.table, version) == before
    (stored,) = [path for path in place.files.rglob("thresholds/*.json") if path.read_text() == before]
    stored.write_text(text)
    with pytest.raises(ModelError, match="is not the one that was stored"):
        models.read_threshold(place.table, version)


def broken(*_: object, **__: object) -> None:
    raise OSError("the line is dead")


def test_what_a_killed_process_left_in_the_home_is_removed_once_it_is_old(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place.location is None or not place.location.startswith("mlflow"):
        pytest.skip("of files: test_models.py")
    version = added(place)
    left = place.home / "unsent_models" / place.table / ".partial-abc"
    left.mkdir()
    (left / "model.keras").write_text("half")
    models = place.open()
    assert models.remove_incomplete(place.table, timedelta(hours=1)) == (0, 0)
    monkeypatch.setattr("ae_assets.lakehouse.remains.SHORTEST", timedelta(days=-2))
    assert models.remove_incomplete(place.table, timedelta(days=-1)) == (1, 4)
    assert models.versions(place.table) == [version]


def test_without_the_package_the_line_that_installs_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    server._import.cache_clear()
    with pytest.raises(ModelError, match=r"pip install 'ae_assets\[mlflow\]'"):
        open_registry(tmp_path, "mlflow+http://127.0.0.1:9").versions("t")


def test_without_an_address_it_is_said_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ModelError, match="MLFLOW_TRACKING_URI set"):
        open_registry(tmp_path, "mlflow")
    assert isinstance(open_run_log(tmp_path), NoRunLog)
