"""What the model store keeps, what it shows, and what it refuses."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from ae_assets.errors import LakehouseError, ModelError
from ae_assets.lakehouse import ModelStore


def write_weights(folder: Path, weights: str = "w") -> None:
    (folder / "model.keras").write_text(weights)
    (folder / "more").mkdir()
    (folder / "more" / "preprocessing.json").write_text("{}")


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    if request.param == "local":
        return ModelStore.open(tmp_path)
    from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

    (tmp_path / "bucket").mkdir()
    return ModelStore("store", SubTreeFileSystem(str(tmp_path / "bucket"), LocalFileSystem()), tmp_path / "cache")


@pytest.fixture(autouse=True)
def folders_as_object_stores_have_them(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object store makes folders by itself; the folder that stands in for one here does not."""
    if store._cache is None:
        return
    put = store._put_bytes

    def put_with_folder(path: str, content: bytes) -> None:
        store._files.create_dir(path.rsplit("/", 1)[0])
        put(path, content)

    monkeypatch.setattr(store, "_put_bytes", put_with_folder)


def test_opening_a_store_makes_no_files(tmp_path: Path) -> None:
    store = ModelStore.open(tmp_path / "home")
    assert store.versions("t") == []
    assert store.champion("t") is None
    assert not (tmp_path / "home").exists()


def test_a_half_written_version_is_not_seen(store: ModelStore) -> None:
    version = store.new_version("t", write_weights, {})
    store._files.delete_file(f"{store._version('t', version)}/version.json")
    assert store.versions("t") == []
    with pytest.raises(ModelError, match="has no version"):
        store.path("t", version)


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "more/../../escaped"])
def test_a_manifest_that_names_files_outside_its_version_is_refused(store: ModelStore, name: str) -> None:
    if store._cache is None:
        pytest.skip("a local version is read in place")
    version = store.new_version("t", write_weights, {})
    path = f"{store._version('t', version)}/version.json"
    manifest = json.loads(store._get(path) or "")
    manifest["files"][name] = manifest["files"]["model.keras"]
    store._put_bytes(path, json.dumps(manifest).encode())
    with pytest.raises(ModelError, match="names files outside it"):
        store.path("t", version)
    assert not list(store._cache.rglob("escaped"))


def test_an_address_with_credentials_is_refused_without_naming_them(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds credentials") as refusal:
        ModelStore.open(tmp_path, "s3://KEY:SECRETSECRET@bucket/models?endpoint_override=127.0.0.1:1")
    assert "SECRET" not in str(refusal.value)


UNFINISHED = "20200101T000000000Z-00000000"


def leave_remains(store: ModelStore) -> None:
    """What processes leave that are killed while they write a version, a local one, a threshold, the champion."""
    version = store.new_version("t", write_weights, {})
    store.promote("t", version)
    store.write_threshold("t", version, '{"cut": 1}')
    for name in (
        f"{UNFINISHED}/model.keras",
        f"{UNFINISHED}/more/preprocessing.json",
        ".partial-abc/version/model.keras",
        f"{version}/threshold.json.partial-0123",
        "champion.json.partial-0123",
    ):
        store._files.create_dir(f"{store._table('t')}/{name}".rsplit("/", 1)[0])
        store._put_bytes(f"{store._table('t')}/{name}", b"half")


def test_unfinished_versions_and_files_are_removed_once_they_are_old(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_remains(store)
    assert store.remove_incomplete("t", timedelta(hours=1)) == (0, 0)
    # Files carry the time of their store, so keeping less than no time stands in for waiting.
    monkeypatch.setattr("ae_assets.lakehouse.remains.SHORTEST", timedelta(days=-2))
    assert store.remove_incomplete("t", timedelta(days=-1)) == (5, 5 * len(b"half"))
    (version,) = store.versions("t")
    assert store.champion("t") == version
    assert store.read_threshold("t", version) == '{"cut": 1}'
    assert (store.path("t", version) / "more" / "preprocessing.json").read_text() == "{}"
    assert store.remove_incomplete("t", timedelta(days=-1)) == (0, 0)
    with pytest.raises(ModelError, match="has no version"):
        store.card("t", UNFINISHED)


def test_a_champion_is_never_removed_even_where_its_manifest_is_gone(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = store.new_version("t", write_weights, {})
    store.promote("t", version)
    store._files.delete_file(f"{store._version('t', version)}/version.json")
    monkeypatch.setattr("ae_assets.lakehouse.remains.SHORTEST", timedelta(days=-2))
    assert store.remove_incomplete("t", timedelta(days=-1)) == (0, 0)
    assert store._is_file(f"{store._version('t', version)}/model.keras")


def test_a_version_of_which_one_file_is_young_stays(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from ae_assets.lakehouse import models

    leave_remains(store)
    monkeypatch.setattr(models, "is_old", lambda info, before: "preprocessing" not in info.base_name)
    store.remove_incomplete("t", timedelta(days=1))
    assert store._is_file(f"{store._table('t')}/{UNFINISHED}/model.keras")
    assert not store._is_file(f"{store._table('t')}/champion.json.partial-0123")


def test_a_store_that_was_never_written_has_no_remains_and_gets_no_folder(tmp_path: Path) -> None:
    store = ModelStore.open(tmp_path / "home")
    assert store.remove_incomplete("t", timedelta(days=1)) == (0, 0)
    assert not (tmp_path / "home").exists()
    with pytest.raises(LakehouseError, match="at least 1:00:00"):
        store.remove_incomplete("t", timedelta(minutes=1))
