"""What was found in files, remembered in a file of the home between processes."""

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

_Content = TypeVar("_Content")


class Memory:
    """What was found by key, as plain values. A memory that cannot be read or written costs time and nothing else.

    Args:
        folder: where it is kept; None: nowhere.
        kind: what is found, the beginning of the file's name.
        location: of the source, by which its memory is told from that of others.
        version: of how it is written.
    """

    def __init__(self, folder: Path | None, kind: str, location: str | os.PathLike[str], version: int) -> None:
        name = hashlib.sha256(os.fsencode(location)).hexdigest()[:16]
        self._file = None if folder is None else folder / f"{kind}{name}.json"
        self._version = version

    def recall(self, read: Callable[[Any], _Content]) -> dict[str, _Content]:
        """All that was remembered last; nothing where that cannot be read, or was written in another way.

        Args:
            read: makes what was found of plain values; ValueError, TypeError or KeyError where it cannot.
        """
        if self._file is None:
            return {}
        try:
            content = json.loads(self._file.read_text())
            if content["version"] != self._version:
                return {}
            return {key: read(values) for key, values in content["files"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}

    def remember(self, values: Mapping[str, Any]) -> None:
        """Remembers these and nothing else."""
        if self._file is None:
            return
        content = {"version": self._version, "files": values}
        draft = self._file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(content, separators=(",", ":")))
            draft.replace(self._file)
