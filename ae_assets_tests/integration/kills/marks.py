"""Marks at the steps of a write: each file's beginning and end, each call of the catalog, each rename."""

import os
import signal
from collections.abc import Callable
from functools import wraps
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


class Marks:
    """Sends marks to another process, and ends this one at the mark of a given number, as `kill -9` does."""

    def __init__(self, connection: Connection, last: int | None) -> None:
        self._connection = connection
        self._left = last

    def __call__(self, mark: str) -> None:
        self._connection.send_bytes(mark.encode())
        if self._left is None:
            return
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


class _MarkedStream:
    """A file that is being written, whose end is marked."""

    def __init__(self, stream: Any, ended: Callable[[], None]) -> None:
        self._stream = stream
        self._ended = ended

    def __enter__(self) -> "_MarkedStream":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        if not self._stream.closed:
            self._stream.close()
            self._ended()


def mark_writes(mark: Callable[[str], None]) -> None:
    """Marks every write of this process from now on."""
    from pyiceberg.catalog.rest import RestCatalog
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

    from ae_assets.lakehouse import ModelStore

    create = PyArrowFile.create

    def create_marked(file: PyArrowFile, overwrite: bool = False) -> Any:
        kind = "data file" if file.location.endswith(".parquet") else "metadata file"
        mark(f"{kind} begun")
        return _MarkedStream(create(file, overwrite), lambda: mark(f"{kind} written"))

    PyArrowFile.create = create_marked  # type: ignore[method-assign]
    for owner, name, words in (
        (SqlCatalog, "commit_table", "commit"),
        (SqlCatalog, "create_tables", "catalog"),
        (SqlCatalog, "create_table", "table"),
        (SqlCatalog, "create_namespace", "namespace"),
        (RestCatalog, "commit_table", "commit"),
        (RestCatalog, "create_table", "table"),
        (RestCatalog, "create_namespace_if_not_exists", "namespace"),
        (PyArrowFileIO, "delete", "deletion"),
        (ModelStore, "_publish", "model"),
        (ModelStore, "_put", "model pointer or threshold"),
        (ModelStore, "_put_bytes", "model file"),
        (Path, "rename", "rename"),
        (Path, "replace", "rename"),
    ):
        setattr(owner, name, _marked(getattr(owner, name), words, mark))


def _marked(function: Callable[..., Any], words: str, mark: Callable[[str], None]) -> Callable[..., Any]:
    @wraps(function)
    def marked(*arguments: Any, **named: Any) -> Any:
        mark(f"{words} begun")
        result = function(*arguments, **named)
        mark(f"{words} done")
        return result

    return marked
