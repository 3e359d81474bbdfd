"""Whether an Arrow IPC stream has compressed buffers, before any of them is unpacked.

PyArrow allocates what a compressed buffer says that it unpacks to, and takes no limit. The headers of messages are
flatbuffers (format/Message.fbs of Apache Arrow), of which a few fields are read here.
"""

import struct
from typing import Any

import pyarrow as pa

_HEADER, _DATA, _COMPRESSION = 2, 1, 3
"""Fields of Message (its header), DictionaryBatch (its record batch) and RecordBatch, by their order in the schema."""


def is_compressed(stream: Any) -> bool:
    """Whether a record batch or a dictionary of a stream, a buffer of PyArrow, is.

    Raises:
        ValueError: the stream has no such messages.
    """
    for message in pa.ipc.MessageReader.open_stream(stream):
        if message.type not in {"record batch", "dictionary"}:
            continue
        metadata = message.metadata.to_pybytes()
        try:
            root = _at("<I", metadata, 0)
            batch = _table(metadata, root, _HEADER)
            if batch is not None and message.type == "dictionary":
                batch = _table(metadata, batch, _DATA)
            if batch is None or _field(metadata, batch, _COMPRESSION) is not None:
                return True
        except struct.error:
            raise ValueError("a message of the stream is cut off") from None
    return False


def _at(kind: str, content: bytes, place: int) -> int:
    if place < 0:
        raise struct.error
    return int(struct.unpack_from(kind, content, place)[0])


def _field(content: bytes, table: int, number: int) -> int | None:
    """The place of a field of a table; None where the table has none."""
    directory = table - _at("<i", content, table)
    entry = 4 + 2 * number
    if entry + 2 > _at("<H", content, directory):
        return None
    offset = _at("<H", content, directory + entry)
    return table + offset if offset else None


def _table(content: bytes, table: int, number: int) -> int | None:
    place = _field(content, table, number)
    return None if place is None else place + _at("<I", content, place)
