"""What was found in files, remembered in a file of the home between processes."""

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

Found = TypeVar("Found")


class Memory(Generic[Found]):
    """What was found by key. A memory that cannot be read or written costs time and nothing else.

    Args:
        folder: where it is kept; None: nowhere.
        kind: what is found, the beginning of the file's name.
        location: of the source, by which its memory is told from that of others.
        version: of how it is written.
        read: makes what was found of plain values; what it cannot read (ValueError, TypeError, KeyError) is forgotten.
        write: makes plain values of it.
    """

    def __init__(
        self,
        folder: Path | None,
        kind: str,
        location: str | os.PathLike[str],
        version: int,
        read: Callable[[Any], Found],
        write: Callable[[Found], Any],
    ) -> None:
        name = hashlib.sha256(os.fsencode(location)).hexdigest()[:16]
        self._file = None if folder is None else folder / f"{kind}{name}.json"
        self._version = version
        self._read, self._write = read, write

    def recall(self) -> dict[str, Found]:
        """All that was remembered last; nothing where that cannot be read, or was written in another way."""
        if self._file is None:
            return {}
        try:
            content = json.loads(self._file.read_text())
            if content["version"] != self._version:
                return {}
            return {key: self._read(found) for key, found in content["files"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}

    def remember(self, found: Mapping[str, Found]) -> None:
        """Remembers these and nothing else."""
        if self._file is None:
            return
        content = {"version": self._version, "files": {key: self._write(one) for key, one in found.items()}}
        draft = self._file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(content, separators=(",", ":")))
            draft.replace(self._file)
