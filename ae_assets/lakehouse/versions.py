"""What a version of a model is, wherever it is kept: files, and a manifest with its card and each file's digest."""

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ae_assets.errors import ModelError

MANIFEST = "version.json"
THRESHOLD = "threshold.json"
VERSION = r"\d{8}T\d{9}Z-[0-9a-f]{8}"
PARTIAL = ".partial-"
_TABLE = r"[A-Za-z0-9_]+"


def checked_table(name: str) -> str:
    """The name of a watched table, which cannot lead out of its folder."""
    return _checked(name, "watched table", _TABLE)


def checked_version(name: str) -> str:
    """The name of a version, which cannot lead out of its folder."""
    return _checked(name, "model version", VERSION)


def _checked(name: str, kind: str, pattern: str) -> str:
    if not re.fullmatch(pattern, name):
        raise ModelError(f"'{name}' is not a {kind}: expected text that matches {pattern}.")
    return name


def write_version(folder: Path, table: str, write: Callable[[Path], None], card: Mapping[str, Any]) -> str:
    """Makes a local folder of a new version: the files that ``write`` puts there, and the manifest.

    Returns:
        the version: UTC time to the millisecond and the start of the digest of its files.

    Raises:
        ModelError: nothing was written, or the card cannot be JSON.
    """
    folder.mkdir()
    write(folder)
    digests = {name: _digest(folder / name) for name in file_names(folder)}
    if not digests or {MANIFEST, THRESHOLD} & digests.keys():
        raise ModelError(
            f"A version of {table} consists of the files {sorted(digests)}: expected at least one, and none named "
            f"{MANIFEST} or {THRESHOLD}."
        )
    created = datetime.now(UTC)
    content = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
    version = f"{created:%Y%m%dT%H%M%S}{created.microsecond // 1000:03d}Z-{content[:8]}"
    manifest = {"version": version, "created_at": created.isoformat(), "files": digests, "card": dict(card)}
    (folder / MANIFEST).write_text(as_json(manifest, f"The card of a model of {table}"), encoding="utf-8")
    return version


def downloaded(table: str, version: str, files: Mapping[str, Any], fetch: Callable[[str], bytes], target: Path) -> None:
    """Puts the files of a version and its manifest into a new local folder, once all are those that were written.

    Args:
        table: the watched table.
        version: of its model.
        files: the digest of each file, as the manifest has them.
        fetch: the content of a file.
        target: the folder; another process may make it at the same time.

    Raises:
        ModelError: a file has another digest, or the manifest names files outside the version.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=target.parent) as partial:
        folder = Path(partial) / "version"
        if outside := [name for name in files if not (folder / name).resolve().is_relative_to(folder.resolve())]:
            raise ModelError(
                f"The manifest of model {version} of {table} names files outside it: {outside[:3]}. It was not "
                "written by this project; look who can write to the model store."
            )
        for name in [*files, MANIFEST]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(fetch(name))
        if wrong := [name for name in files if _digest(folder / name) != files[name]]:
            raise ModelError(
                f"Files of model {version} of {table} are not those it was written with: {', '.join(wrong)}. "
                "Train it again, or promote another version."
            )
        try:
            folder.rename(target)
        except OSError:
            # Another process was faster; its files are the same.
            if not (target / MANIFEST).exists():
                raise


def no_version(table: str, version: str, versions: Sequence[str]) -> ModelError:
    hint = f"it has {', '.join(versions[-5:])}" if versions else f"it has none: materialise {table}/model first"
    return ModelError(f"The model of {table} has no version {version}; {hint}.")


def no_threshold(table: str, version: str) -> ModelError:
    return ModelError(f"Model {version} of {table} has no threshold yet: materialise {table}/threshold first.")


def require_json(table: str, version: str, text: str) -> None:
    """Raises ModelError unless a threshold is JSON."""
    try:
        json.loads(text)
    except ValueError as reason:
        raise ModelError(f"The threshold of {table} {version} is not JSON: {reason}") from reason


def file_names(folder: Path) -> list[str]:
    """Paths of all files below a folder, relative to it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def as_json(value: Any, what: str) -> str:
    """The value as JSON text; ``what`` it is says an error."""
    try:
        return json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as reason:
        raise ModelError(f"{what} cannot be stored as JSON: {reason}") from reason


def _digest(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        return {"size_bytes": path.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
