"""Versions of models in MLflow: a registered model for each table, the champion an alias, each version a pyfunc."""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ae_assets.errors import ModelError
from ae_assets.lakehouse.on_mlflow.runs import TABLE_TAG, VERSION_TAG
from ae_assets.lakehouse.on_mlflow.server import Server
from ae_assets.lakehouse.remains import check_keep
from ae_assets.lakehouse.run_log import RUN
from ae_assets.lakehouse.versions import (
    MANIFEST,
    PARTIAL,
    THRESHOLD,
    checked_table,
    checked_version,
    downloaded,
    no_threshold,
    no_version,
    require_json,
    write_version,
)

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
_MANIFEST_TAG, _THRESHOLD_TAG = "ae_assets.manifest", "ae_assets.threshold"
_MODEL, _FILES, _THRESHOLDS = "model", "model/data", "thresholds"
"""Folders of a run's artifacts: the pyfunc, the files of the version in it, and its thresholds by their digests."""
_UNSENT = "unsent_models"


@dataclass(frozen=True)
class MlflowModels:
    """Keeps what `ModelStore` keeps, in MLflow.

    A version is one of the registered model that is named after its table, tagged with our name of it. It is registered
    when its files are all there, in one call, so one that is half written is not seen. Its files are artifacts of the
    run of its training, as a pyfunc. A threshold is an artifact of its own that a tag names by its digest; the pyfunc
    has a copy. The champion is the alias ``champion``: whoever moves it in MLflow promotes or rolls back.

    Attributes:
        server: which MLflow.
    """

    server: Server

    def new_version(self, table: str, write: Callable[[Path], None], card: Mapping[str, Any]) -> str:
        """Adds a version; see `ModelStore.new_version`.

        Raises:
            ModelError: as there, or MLflow refuses it: then the version waits in the home and is sent later.
        """
        waiting = self._unsent(checked_table(table))
        waiting.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=waiting) as partial:
            version = write_version(Path(partial) / "version", table, write, card)
            (Path(partial) / "version").rename(waiting / version)
        try:
            self._send(table, waiting / version)
        except ModelError as error:
            raise ModelError(
                f"{error} The trained model is not lost: version {version} of {table} is in {waiting / version}, and "
                "goes to MLflow when versions are asked for next on this machine, for example when you materialise "
                f"{table}/threshold."
            ) from None
        return version

    def versions(self, table: str) -> list[str]:
        """Complete versions of a table's model, oldest first; those that MLflow did not take before are sent first."""
        for folder in sorted(self._unsent(checked_table(table)).glob("[0-9]*Z-*")):
            self._send(table, folder)
        return sorted({one.tags[VERSION_TAG] for one in self._registered(table)})

    def path(self, table: str, version: str) -> Path:
        """A local folder with the files of a version, downloaded once; see `ModelStore.path`."""
        registered, manifest = self._manifest(table, version)
        target = self._cache(table) / version
        if not (target / MANIFEST).exists():
            with (
                self.server.refusals(f"downloading model {version} of {table} to {target}"),
                self._download(registered, f"{_FILES}/{version}") as folder,
            ):
                downloaded(table, version, manifest["files"], lambda name: (folder / name).read_bytes(), target)
        return target

    def card(self, table: str, version: str) -> dict[str, Any]:
        return dict(self._manifest(table, version)[1]["card"])

    def promote(self, table: str, version: str) -> None:
        """Makes a version the champion, in one step."""
        number = str(self._version(table, version).version)
        with self.server.refusals(f"promoting {version} of {table}"):
            from mlflow.exceptions import MlflowException

            client = self.server.client()
            try:
                client.set_registered_model_alias(table, CHAMPION, number)
            except MlflowException as error:
                if error.error_code != "BAD_REQUEST":
                    raise
                # Of two that set an alias for the first time at once its database refuses one; now it is there.
                client.set_registered_model_alias(table, CHAMPION, number)

    def champion(self, table: str) -> str | None:
        """The version in use, None if none was promoted yet.

        Raises:
            ModelError: the alias names a version that this project did not register.
        """
        with self.server.refusals(f"asking for the champion of {table}"):
            from mlflow.exceptions import MlflowException

            try:
                found = self.server.client().get_model_version_by_alias(checked_table(table), CHAMPION)
            except MlflowException as error:
                if error.error_code in {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}:
                    return None
                raise
        if (version := found.tags.get(VERSION_TAG)) is None:
            raise ModelError(
                f"MLflow at {self.server.shown}: the alias {CHAMPION} of {table} names its version {found.version}, "
                f"which has no tag {VERSION_TAG}: this project did not register it. Move the alias to one that has."
            )
        return checked_version(version)

    def write_threshold(self, table: str, version: str, text: str) -> None:
        """Stores the threshold of a version in place of any earlier one; see `ModelStore.write_threshold`."""
        registered = self._version(table, version)
        require_json(table, version, text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        with (
            self.server.refusals(f"storing the threshold of {table} {version}"),
            tempfile.TemporaryDirectory() as folder,
        ):
            client = self.server.client()
            for name, place in ((f"{digest}.json", _THRESHOLDS), (THRESHOLD, f"{_FILES}/{version}")):
                (path := Path(folder) / name).write_bytes(text.encode())
                client.log_artifact(registered.run_id, str(path), place)
            # From here on it is the one in use.
            client.set_model_version_tag(table, str(registered.version), _THRESHOLD_TAG, digest)

    def read_threshold(self, table: str, version: str) -> str:
        """The threshold of a version, as JSON; see `ModelStore.read_threshold`.

        Raises:
            ModelError: as there, or it is not the one that was stored.
        """
        registered = self._version(table, version)
        if (digest := registered.tags.get(_THRESHOLD_TAG)) is None:
            raise no_threshold(table, version)
        with (
            self.server.refusals(f"reading the threshold of {table} {version}"),
            self._download(registered, f"{_THRESHOLDS}/{digest}.json") as path,
        ):
            content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise ModelError(
                f"The threshold of {table} {version} is not the one that was stored: choose it again, "
                f"`ae-assets calibrate {table} --version {version}`."
            )
        return content.decode()

    def remove_incomplete(self, table: str, keep: timedelta) -> tuple[int, int]:
        """Ends the runs that killed processes left open, and removes what they left in the home.

        What they left among the artifacts is for ``mlflow gc`` to remove.

        Returns:
            how many files of the home were removed, and their bytes together.
        """
        check_keep(keep)
        before = int((time.time() - keep.total_seconds()) * 1000)
        with self.server.refusals(f"ending runs of {table} that were killed"):
            client, experiment = self.server.client(), self.server.experiment(checked_table(table))
            asked = f"attributes.status = 'RUNNING' and tags.`{TABLE_TAG}` = '{table}' and start_time < {before}"
            for run in client.search_runs([experiment], asked):
                client.set_terminated(run.info.run_id, "KILLED")
        partials = [*self._unsent(table).glob(f"{PARTIAL}*"), *self._cache(table).glob(f"{PARTIAL}*")]
        old = [folder for folder in partials if folder.stat().st_mtime * 1000 < before]
        sizes = [path.stat().st_size for folder in old for path in folder.rglob("*") if path.is_file()]
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)
        return len(sizes), sum(sizes)

    def _send(self, table: str, folder: Path) -> None:
        """Registers the version in a local folder, with the threshold where it has one, and removes the folder."""
        from ae_assets.model.pyfunc import save

        manifest = (folder / MANIFEST).read_bytes()
        card = json.loads(manifest)["card"]
        tags = {VERSION_TAG: folder.name, _MANIFEST_TAG: hashlib.sha256(manifest).hexdigest()}
        with (
            self.server.refusals(f"registering model {folder.name} of {table}"),
            tempfile.TemporaryDirectory() as packed,
        ):
            client = self.server.client()
            save(Path(packed) / _MODEL, folder, card)
            if known := card.get(RUN):
                run = client.get_run(known["run_id"])
            else:
                run = client.create_run(self.server.experiment(table), tags={TABLE_TAG: table}, run_name=folder.name)
            client.log_artifacts(run.info.run_id, str(Path(packed) / _MODEL), _MODEL)
            self._make_registered_model(table)
            client.create_model_version(table, f"{run.info.artifact_uri}/{_MODEL}", run.info.run_id, tags)
            if not known:
                client.set_terminated(run.info.run_id)
            if (threshold := folder / THRESHOLD).exists():
                self.write_threshold(table, folder.name, threshold.read_text(encoding="utf-8"))
        shutil.rmtree(folder, ignore_errors=True)  # another process may have sent it as well

    def _make_registered_model(self, table: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.server.client().create_registered_model(table)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _registered(self, table: str, version: str | None = None) -> "list[ModelVersion]":
        """What of a table is registered with our name of it, or of one of these."""
        asked = f"name = '{checked_table(table)}'"
        if version is not None:
            asked += f" and tags.`{VERSION_TAG}` = '{checked_version(version)}'"
        found: list[ModelVersion] = []
        with self.server.refusals(f"listing the models of {table}"):
            page = self.server.client().search_model_versions(asked)
            found += page
            while page.token:
                page = self.server.client().search_model_versions(asked, page_token=page.token)
                found += page
        return [one for one in found if VERSION_TAG in one.tags]

    def _version(self, table: str, version: str) -> "ModelVersion":
        if not (found := self._registered(table, version)):
            raise no_version(table, version, self.versions(table))
        return max(found, key=lambda one: int(one.version))

    def _manifest(self, table: str, version: str) -> "tuple[ModelVersion, dict[str, Any]]":
        """What is registered of a version, and its manifest, which is downloaded once."""
        registered = self._version(table, version)
        kept = self._cache(table) / f"{version}.json"
        if not kept.exists():
            with (
                self.server.refusals(f"reading the card of {table} {version}"),
                self._download(registered, f"{_FILES}/{version}/{MANIFEST}") as path,
            ):
                content = path.read_bytes()
                if hashlib.sha256(content).hexdigest() != registered.tags.get(_MANIFEST_TAG):
                    raise ModelError(
                        f"The manifest of model {version} of {table} is not the one that was written with it. Train it "
                        "again, or promote another version."
                    )
                path.replace(kept)
        manifest: dict[str, Any] = json.loads(kept.read_bytes())
        return registered, manifest

    @contextmanager
    def _download(self, registered: "ModelVersion", artifact: str) -> Iterator[Path]:
        """A local copy of a file, or of a folder, that lies beside the cache for the time being."""
        cache = self._cache(registered.name)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=cache) as folder:
            yield Path(self.server.client().download_artifacts(registered.run_id, artifact, folder))

    def _cache(self, table: str) -> Path:
        place = hashlib.sha256(self.server.shown.encode()).hexdigest()[:8]
        return self.server.home / "cache" / "models" / place / table

    def _unsent(self, table: str) -> Path:
        return self.server.home / _UNSENT / table
