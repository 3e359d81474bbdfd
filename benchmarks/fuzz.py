"""Coverage-guided fuzzing of the readers: `python -m benchmarks.fuzz csv --seconds 600 --pieces-of data_2013.zip`.

A finding is whatever is neither a SourceError nor rows that the tests' oracle agrees with; its input is kept. The
fuzzer is atheris (libFuzzer for Python), which no lock holds because only this file needs it: `pip install atheris`.
"""

import argparse
import importlib
import io
import os
import random
import subprocess
import sys
import tempfile
import types
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ae_assets.errors import SourceError
from ae_assets.schemas.reading import Reading

READERS = {
    "csv": tuple(f"ae_assets.sources.{module}" for module in ("csv_day", "rescue", "layout", "dates", "reading")),
    "zip": ("ae_assets.sources.archives", "ae_assets.sources.day_files"),
}
TOKENS = (
    b"""|,|\n|\r|\0|\xff| |#|"|""|'|\r\n|\xef\xbb\xbf|,nan,|,NULL,|,1e5,|,2.5E1,|,1E-400,|,24.0,|, ,|,true,|,300,"""
    b"""|,9223372036854775808,|,2013-4-1,|\n2013-04-10,Z9,M,1,0,5\n|\xc3\xa4|\xed\xa0\x80|..|\xff\xff\xff\xff|\n\n"""
).split(b"|")
SMALL_STRETCH_BYTES = 2000
"""So that small inputs have several stretches."""


def read_csv(data: bytes) -> None:
    """Reads a file and compares it with the oracle."""
    from ae_assets.sources import csv_day
    from ae_assets_tests.sources.oracle import check_rows

    csv_day.STRETCH_BYTES = SMALL_STRETCH_BYTES
    try:
        frame = csv_day.parse_day(data, "a.csv")
    except SourceError:
        return
    check_rows(data, frame)


def read_zip(data: bytes) -> None:
    """Reads every day of an archive; each has the checksum and size that it was listed with, and is read as CSV."""
    from ae_assets.sources.archives import archive_listing

    held = types.SimpleNamespace(name="a.zip", open=lambda _part: io.BytesIO(data), version=lambda: "1")
    try:
        files = archive_listing(held, Reading()).files
    except SourceError:
        return
    for file in files:
        try:
            content = file.fetch()
        except SourceError:
            continue
        if (len(content), zlib.crc32(content)) != (file.listed.size_bytes, file.checksum()):
            raise AssertionError(file.listed)
        read_csv(content)


def mutated(data: bytes, most: int, seed: int) -> bytes:
    """A change behind the header of a CSV file or in the directory of an archive, more seldom anywhere."""
    import atheris

    chance = random.Random(seed)  # noqa: S311 - no secret
    place = data.rfind(b"PK\1\2") if data.startswith(b"PK") else data.find(b"\n") + 1
    if place < 0 or chance.random() < 0.2:
        place = 0
    head, rest = data[:place], data[place:]
    if chance.random() < 0.5:
        at = chance.randint(0, len(rest))
        return (head + rest[:at] + chance.choice(TOKENS) + rest[at + chance.randint(0, 2) :])[:most]
    return head + bytes(atheris.Mutate(rest, max(1, most - place)))


def seeds(reader: str, archives: list[Path]) -> Iterator[bytes]:
    """Small files in the official layout, and the first lines of days of real archives."""
    from ae_assets_tests.sources.files import day_csv

    files = [
        day_csv(rows=60),
        day_csv(),
        day_csv().replace(b"8\n", b'8.0\r\n"'),
        day_csv().replace(b"Z1", b'"Z ""1"""'),
    ]
    for archive in archives:
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if name.endswith(".csv")]
            for name in (names[0], names[-1]):
                lines = opened.open(name).readlines()[:6]
                narrow = [b",".join(line.rstrip().split(b",")[:14]) for line in lines]  # quicker to try
                files += [b"".join(lines[:3]), b"\n".join(narrow)]
    for number, content in enumerate(files):
        if reader == "csv":
            yield content
            continue
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED) as opened:
            with opened.open("in/2013-04-10.csv", "w", force_zip64=number % 3 == 0) as member:
                member.write(content)
            opened.writestr("2013-04-11.csv", content)
        yield packed.getvalue()


def reached(read: Callable[[bytes], None], corpus: Path, modules: tuple[str, ...]) -> Iterator[str]:
    """Lines of the functions of each module that the corpus reaches, told by running it once more."""
    files = {name: str(importlib.import_module(name).__file__) for name in modules}
    lines: dict[str, set[int]] = {path: set() for path in files.values()}

    def trace(frame: types.FrameType, _event: str, _argument: object) -> Any:
        if frame.f_code.co_filename not in lines:
            return None
        lines[frame.f_code.co_filename].add(frame.f_lineno)
        return trace

    for case in sorted(corpus.iterdir()):
        sys.settrace(trace)
        try:
            read(case.read_bytes())
        finally:
            sys.settrace(None)
    for name, path in files.items():
        code = compile(Path(path).read_text(), path, "exec")
        inside = set().union(*(_lines(part) for part in _functions(code)))
        missed = sorted(inside - lines[path])
        yield f"{name}: {len(inside) - len(missed)} of {len(inside)} lines of its functions; missed {missed}"


def _functions(code: types.CodeType) -> Iterator[types.CodeType]:
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield part
            yield from _functions(part)


def _lines(code: types.CodeType) -> set[int]:
    return {line for _, _, line in code.co_lines() if line and line > code.co_firstlineno}


def main() -> int:
    """Fuzzes one reader; exit code 0 without a finding."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("reader", choices=["csv", "zip"])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--pieces-of", type=Path, action="append", default=[], metavar="ARCHIVE.zip")
    parser.add_argument("--folder", type=Path, help="keeps the corpus between runs (default: a temporary folder)")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    asked, options = parser.parse_known_args()
    read = {"csv": read_csv, "zip": read_zip}[asked.reader]
    if asked.inside:
        import atheris

        sys.modules.pop("zipfile")  # what is imported already is not instrumented
        with atheris.instrument_imports(include=[*READERS["csv"], *READERS["zip"], "zipfile"]):
            read(b"")
        atheris.Setup([sys.argv[0], *options], read, custom_mutator=mutated)
        atheris.Fuzz()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="fuzz-"))
    corpus = folder / asked.reader
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(seeds(asked.reader, asked.pieces_of)):
        (corpus / f"seed-{number}").write_bytes(content)
    again = [sys.executable, "-m", "benchmarks.fuzz", asked.reader, "--inside", "yes"]
    limits = [f"-max_total_time={asked.seconds}", "-rss_limit_mb=4000", "-timeout=60", "-max_len=6000"]
    kept = f"-artifact_prefix={folder}/finding-"
    one_thread = os.environ | {"POLARS_MAX_THREADS": "1"}  # inputs are small
    command = [*again, *limits, kept, "-print_final_stats=1", *options, str(corpus)]
    code = subprocess.run(command, check=False, env=one_thread).returncode
    print("\n".join(reached(read, corpus, READERS[asked.reader])))
    return code


if __name__ == "__main__":
    sys.exit(main())
