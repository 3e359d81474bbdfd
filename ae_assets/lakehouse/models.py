"""The model store: versions of a table's model as folders of files, and which of them is the champion.

Knows nothing of what is in a model's files; works on a local folder or, through pyarrow, on any of its file systems.
"""

import functools
import hashlib
import json
import re
import tempfile
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from ae_assets.errors import ModelError
from ae_assets.lakehouse.failures import storage_errors
from ae_assets.lakehouse.remains import check_keep, cutoff, is_old, remove, sum_of_sizes
from ae_assets.lakehouse.versions import (
    MANIFEST,
    PARTIAL,
    THRESHOLD,
    VERSION,
    as_json,
    checked_table,
    checked_version,
    downloaded,
    file_names,
    no_threshold,
    no_version,
    require_json,
    write_version,
)

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

_CHAMPION = "champion.json"
_refusals = functools.partial(storage_errors, error=ModelError)
_S3_ARGUMENTS = {
    "s3.endpoint": "endpoint_override",
    "s3.region": "region",
    "s3.access-key-id": "access_key",
    "s3.secret-access-key": "secret_key",
    "s3.session-token": "session_token",
}


class ModelStore:
    """Versions of the model of each watched table, as ``<root>/<table>/<version>/``.

    A version holds the files of its model and ``version.json`` (the model card and each file's size and digest), which
    is written last: a version without it was never finished and is not seen. Files of a version never change; only its
    threshold is added later. ``<root>/<table>/champion.json`` names the version in use.
    """

    def __init__(self, root: str, files: "FileSystem", cache: Path | None) -> None:
        """Takes a folder of a file system, and a local one for downloaded versions: None if the first is local too."""
        self._root = root.rstrip("/")
        self._files = files
        self._cache = cache

    @classmethod
    def open(
        cls, home: Path, location: str | None = None, file_properties: Mapping[str, str] | None = None
    ) -> "ModelStore":
        """Opens the store in ``home/models``, or at another location; makes no folder before the first write.

        Args:
            home: folder of the default store, and of downloaded versions of a remote one.
            location: a folder, or an address that pyarrow knows, e.g. ``s3://bucket/models``.
            file_properties: pyiceberg's settings of files on S3, e.g. ``{"s3.region": ...}``; what the address itself
                says stands over them, the AWS chain below.

        Raises:
            ModelError: the address cannot be opened, or holds credentials.
        """
        from pyarrow import fs

        if location is None or "://" not in location:
            return cls(str((Path(location) if location else home / "models").absolute()), fs.LocalFileSystem(), None)
        if "@" in location.partition("://")[2].partition("/")[0]:
            raise ModelError(
                "The address of the model store holds credentials, which would be seen wherever it is named: expected "
                "scheme://bucket/folder without them; give them to the AWS chain, by role, profile or environment."
            )
        try:
            files, root = (
                _on_s3(location, file_properties)
                if file_properties and location.startswith("s3://")
                else fs.FileSystem.from_uri(location)
            )
        except (OSError, ValueError) as reason:
            raise ModelError(f"The model store {location} cannot be opened: {reason}") from reason
        if isinstance(files, fs.LocalFileSystem):
            return cls(root, files, None)
        return cls(root, files, home / "cache" / "models" / hashlib.sha256(location.encode()).hexdigest()[:8])

    def new_version(self, table: str, write: Callable[[Path], None], card: Mapping[str, Any]) -> str:
        """Adds a version; it is seen once complete, and never if writing it fails or is killed.

        Args:
            table: the watched table.
            write: puts the model's files into the empty local folder that it is given.
            card: the model card, to be stored as JSON.

        Returns:
            the version: UTC time to the millisecond and the start of the digest of its files.

        Raises:
            ModelError: nothing was written, or the card cannot be JSON.
        """
        parent = self._table(table)
        local = self._cache is None
        if local:
            with _refusals(f"making a folder for the models of {table}"):
                Path(parent).mkdir(parents=True, exist_ok=True)
        # On one file system with its final place a local version is moved there in one step.
        with (
            _refusals(f"storing a model of {table}"),
            tempfile.TemporaryDirectory(prefix=PARTIAL, dir=parent if local else None) as partial,
        ):
            written = Path(partial) / "version"
            version = write_version(written, table, write, card)
            self._publish(written, f"{parent}/{version}")
        return version

    def versions(self, table: str) -> list[str]:
        """Complete versions of a table's model, oldest first; empty if there are none."""
        from pyarrow import fs

        selector = fs.FileSelector(self._table(table), allow_not_found=True)
        with _refusals(f"listing the models of {table}"):
            infos = self._files.get_file_info(selector)
        names = [info.base_name for info in infos if info.type == fs.FileType.Directory]
        named = sorted(name for name in names if re.fullmatch(VERSION, name))
        return [name for name in named if self._is_file(f"{self._table(table)}/{name}/{MANIFEST}")]

    def path(self, table: str, version: str) -> Path:
        """A local folder with the files of a version; a remote version is downloaded once.

        Raises:
            ModelError: no such version, or a download that does not match the digests written with it, or whose
                manifest names files outside the version.
        """
        files = self._manifest(table, version)["files"]
        if self._cache is None:
            return Path(self._version(table, version))
        target = self._cache / table / version
        if not (target / MANIFEST).exists():
            with _refusals(f"downloading model {version} of {table} to {target}"):
                self._download(table, version, files, target)
        return target

    def card(self, table: str, version: str) -> dict[str, Any]:
        return dict(self._manifest(table, version)["card"])

    def promote(self, table: str, version: str) -> None:
        """Makes a version the champion, in one step."""
        self._manifest(table, version)
        pointer = {"version": version, "promoted_at": datetime.now(UTC).isoformat()}
        self._put(f"{self._table(table)}/{_CHAMPION}", as_json(pointer, "The champion"))

    def champion(self, table: str) -> str | None:
        """The version in use, None if none was promoted yet."""
        text = self._get(f"{self._table(table)}/{_CHAMPION}")
        if text is None:
            return None
        return checked_version(str(json.loads(text)["version"]))

    def write_threshold(self, table: str, version: str, text: str) -> None:
        """Stores the threshold of a version in place of any earlier one.

        Raises:
            ModelError: no such version, or the text is not JSON.
        """
        self._manifest(table, version)
        require_json(table, version, text)
        self._put(f"{self._version(table, version)}/{THRESHOLD}", text)

    def read_threshold(self, table: str, version: str) -> str:
        """The threshold of a version, as JSON.

        Raises:
            ModelError: no such version, or it has no threshold yet.
        """
        self._manifest(table, version)
        text = self._get(f"{self._version(table, version)}/{THRESHOLD}")
        if text is None:
            raise no_threshold(table, version)
        return text

    def remove_incomplete(self, table: str, keep: timedelta) -> tuple[int, int]:
        """Removes what killed processes left: versions that were never finished, and files that were half written.

        Never a complete version, nor the champion's folder, nor anything that changed within `keep`, an hour or more.

        Returns:
            how many files were removed, and their bytes together.
        """
        from pyarrow import fs

        check_keep(keep)
        folder = self._table(table)
        parts: dict[str, list[FileInfo]] = {}
        removed: list[FileInfo] = []
        with _refusals(f"removing what broken runs left of the models of {table}"):
            for info in self._files.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True)):
                parts.setdefault(info.path.removeprefix(f"{folder}/").split("/")[0], []).append(info)
            if not parts:
                return 0, 0
            before = cutoff(self._files, f"{folder}/{PARTIAL}{uuid.uuid4().hex}", keep)
            champion = self.champion(table)
            for name, infos in parts.items():
                files = [info for info in infos if info.is_file]
                if self._is_incomplete(table, name) and name != champion:
                    # A folder in a bucket has no time of its own.
                    if all(is_old(info, before) for info in files or infos):
                        self._files.delete_dir(f"{folder}/{name}")
                        removed += files
                else:
                    old = [info for info in files if PARTIAL in info.base_name and is_old(info, before)]
                    removed += remove(self._files, old)
        return len(removed), sum_of_sizes(removed)

    def _is_incomplete(self, table: str, name: str) -> bool:
        """Whether something in a table's folder is a version that is not finished."""
        if re.fullmatch(VERSION, name):
            return not self._is_file(f"{self._version(table, name)}/{MANIFEST}")
        return name.startswith(PARTIAL)

    def _publish(self, written: Path, target: str) -> None:
        if self._cache is None:
            written.rename(target)
            return
        for name in [*(name for name in file_names(written) if name != MANIFEST), MANIFEST]:
            self._put_bytes(f"{target}/{name}", (written / name).read_bytes())

    def _download(self, table: str, version: str, files: Mapping[str, Any], target: Path) -> None:
        def fetch(name: str) -> bytes:
            return self._bytes(f"{self._version(table, version)}/{name}")

        downloaded(table, version, files, fetch, target)

    def _manifest(self, table: str, version: str) -> dict[str, Any]:
        text = self._get(f"{self._version(table, version)}/{MANIFEST}")
        if text is None:
            raise no_version(table, version, self.versions(table))
        manifest: dict[str, Any] = json.loads(text)
        return manifest

    def _table(self, table: str) -> str:
        return f"{self._root}/{checked_table(table)}"

    def _version(self, table: str, version: str) -> str:
        return f"{self._table(table)}/{checked_version(version)}"

    def _is_file(self, path: str) -> bool:
        with _refusals(f"looking for {path}"):
            return bool(self._files.get_file_info(path).is_file)

    def _get(self, path: str) -> str | None:
        with _refusals(f"reading {path}"), suppress(FileNotFoundError):
            return self._bytes(path).decode()
        return None

    def _bytes(self, path: str) -> bytes:
        with self._files.open_input_stream(path) as stream:
            return bytes(stream.read())

    def _put(self, path: str, text: str) -> None:
        with _refusals(f"writing {path}"):
            if self._cache is not None:
                self._put_bytes(path, text.encode())
                return
            partial = Path(f"{path}{PARTIAL}{uuid.uuid4().hex}")
            try:
                partial.write_text(text, encoding="utf-8")
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)

    def _put_bytes(self, path: str, content: bytes) -> None:
        with self._files.open_output_stream(path) as stream:
            stream.write(content)


def _on_s3(location: str, properties: Mapping[str, str]) -> "tuple[FileSystem, str]":
    """The file system and the folder of an address on S3, whose query may hold what pyarrow's addresses hold."""
    from pyarrow.fs import S3FileSystem

    address = urlsplit(location)
    settings = {argument: properties[name] for name, argument in _S3_ARGUMENTS.items() if name in properties}
    return S3FileSystem(**(settings | dict(parse_qsl(address.query)))), f"{address.netloc}{address.path}"
