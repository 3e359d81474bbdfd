"""Whatever is sent, the server answers within its limits, says no value that it was sent, and goes on."""

import gzip
import json
import re
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ae_assets_tests.serving.server import TOKEN, Running

pytestmark = pytest.mark.slow
JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
ROW = {"date": "2013-05-24", "serial_number": "S1", "model": "M", "smart_5_raw": 1}
SECRET = "value-that-is-told-to-nobody"  # noqa: S105 - stands for what a body holds


def arrow_of(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


def rows_as_arrow(**columns: Any) -> pa.Table:
    return pa.table({**{name: [value] for name, value in ROW.items()}, **columns})


def json_rows(*rows: Any) -> bytes:
    return json.dumps({"rows": rows}).encode()


def opened(depth: int, inside: str) -> bytes:
    return (inside * depth + "1" + {"[": "]", '{"a":': "}"}[inside] * depth).encode()


def row_of(cells: str) -> bytes:
    """JSON that Python does not write."""
    return f'{{"rows":[{{"date":"2013-05-24","serial_number":"S","model":"M",{cells}}}]}}'.encode()


DAYS_APART = [{**ROW, "date": day} for day in ("0001-01-01", "2013-05-24", "9999-12-31")]
UUIDS = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16], pa.binary(16)))
RUNS = pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array([1]))
BODIES = {
    "no body": (b"", 422),
    "no JSON": (b"{", 422),
    "no object": (b"[1]", 422),
    "no rows": (b'{"rows": []}', 422),
    "deep JSON": (b'{"rows":' + opened(150_000, "[") + b"}", 422),
    "lists without end": (b'{"rows":[' + b"[]," * 1_000_000 + b"[]]}", 413),
    "numbers without end": (b'{"rows":[[' + b"1," * 3_000_000 + b"1]]}", 413),
    "deep cell": (row_of('"smart_5_raw":' + opened(50_000, '{"a":').decode()), 422),
    "another text encoding": (json_rows(ROW).decode().encode("utf-16"), 200),
    "half a character": (row_of(r'"smart_5_raw":"\ud800"'), 200),
    "half a character in bytes": (row_of('"smart_5_raw":"X"').replace(b"X", b"\xed\xa0\x80"), 200),
    "a list and true among cells": (row_of('"smart_5_raw":[1],"smart_9_raw":true,"smart_194_raw":""'), 200),
    "no number": (row_of('"smart_5_raw":NaN,"smart_9_raw":-Infinity'), 200),
    "a number of many digits": (row_of(f'"smart_5_raw":{"9" * 900}'), 200),
    "a long cell": (json_rows({**ROW, "serial_number": "S" * 2_000}), 413),
    "many columns": (json_rows({**ROW, **{f"c{number}": 1 for number in range(10_000)}}), 413),
    "many rows": (b'{"rows":[' + b"{}," * 100_000 + b"{}]}", 413),
    "a name twice": (json_rows({**ROW, "MODEL": "M"}), 422),
    "a reserved name": (json_rows({**ROW, "rescued": '{"line": "x"}', "source_row": 7}), 200),
    "control characters": (json_rows({**ROW, "serial_number": "S\x1f\x00\n"}), 200),
    "far apart": (json_rows(*DAYS_APART), 413),
    "SQL for a device": (json_rows({**ROW, "serial_number": "x'; DROP TABLE fleet; --"}), 200),
    "a large body": (b" " * (9 * 2**20), 413),
    "Arrow called JSON": (arrow_of(rows_as_arrow()), 422),
}
IN_GZIP = {
    "no gzip": (json_rows(ROW), 422),
    "half a gzip": (gzip.compress(json_rows(ROW))[:-9], 422),
    "two gzips": (gzip.compress(json_rows(ROW)) * 2, 422),
    "a gzip bomb": (gzip.compress(b" " * 400_000_000, 9), 413),
}
IN_ARROW = {
    "JSON": (json_rows(ROW), 422),
    "nothing": (b"", 422),
    "compressed": (arrow_of(rows_as_arrow(smart_9_raw=["x" * 900]), compression="zstd"), 415),
    "nested": (arrow_of(rows_as_arrow(smart_9_raw=[[1, 2]])), 422),
    "an extension": (arrow_of(rows_as_arrow(smart_9_raw=UUIDS)), 422),
    "runs": (arrow_of(rows_as_arrow(smart_9_raw=RUNS)), 422),
    "nulls without end": (arrow_of(pa.table({"date": pa.nulls(2**30)})), 413),
    "long texts of a dictionary": (arrow_of(rows_as_arrow(model=pa.array(["M" * 3_000]).dictionary_encode())), 413),
}
HOSTILE = {
    **{name: (*case, JSON, {}) for name, case in BODIES.items()},
    **{name: (*case, JSON, {"Content_Encoding": "gzip"}) for name, case in IN_GZIP.items()},
    **{f"Arrow: {name}": (*case, ARROW, {}) for name, case in IN_ARROW.items()},
    "another type": (json_rows(ROW), 415, "text/csv", {}),
    "another encoding": (json_rows(ROW), 415, JSON, {"Content_Encoding": "br"}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies_are_answered(running: Running, name: str) -> None:
    body, status, kind, headers = HOSTILE[name]
    began = time.monotonic()
    try:
        answer = running.ask("POST", "/v1/tables/fleet/decide", body, Content_Type=kind, **headers)
    except (BrokenPipeError, ConnectionResetError):
        assert status == 413  # the server does not wait for the rest of a body that is too large
    else:
        assert answer.status == status, answer.body[:300]
    assert time.monotonic() - began < 20
    assert running.decide([ROW]).status == 200


def test_an_arrow_stream_with_wrong_bytes_is_answered(running: Running) -> None:
    whole = arrow_of(rows_as_arrow(model=pa.array(["M"]).dictionary_encode()))
    wrong = [struct.pack("<q", number) for number in (-1, 2**62, 0, 2**31 - 1)]
    for place in range(0, len(whole) - 8, 29):
        body = whole[:place] + wrong[place % 4] + whole[place + 8 :]
        assert running.ask("POST", "/v1/tables/fleet/decide", body, Content_Type=ARROW).status < 500


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tables/../../etc/passwd/model",
        "/v1/tables/%2e%2e%2f%2e%2e%2fetc/model",
        "/v1/tables/fleet%00/model",
        "/v1/tables/fleet;drop/model",
        "/v1/tables/other/decide",
        "/v1/tables/fleet/entities/..%2f..%2fetc%2fpasswd",
        "/v1/tables/fleet/entities/%ff%fe",
        "/v1/tables/fleet/entities/" + "x" * 5_000,
        "/v1/tables/fleet/entities/a'%20OR%201=1",
    ],
)
def test_names_lead_nowhere_else(running: Running, path: str) -> None:
    assert running.ask("GET", path).status in {404, 405}


@pytest.mark.parametrize("query", ["?from=yesterday", "?from=" + "9" * 400, "?from=99999-01-01", "?history=elsewhere"])
def test_a_question_that_cannot_be_read_is_refused(running: Running, query: str) -> None:
    assert running.decide([ROW], query).status == 422


def test_slow_headers_and_slow_bodies_are_cut_off(running: Running) -> None:
    head = f"POST /v1/tables/fleet/decide HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
    began = time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", running.port), 30) as headers,
        socket.create_connection(("127.0.0.1", running.port), 30) as body,
    ):
        headers.sendall(head)
        body.sendall(head + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        assert b" 408 " in body.recv(1000)
        with suppress(ConnectionResetError):
            assert headers.recv(1000) == b""
    assert time.monotonic() - began < 10


def test_no_value_of_a_row_and_no_token_is_logged_or_counted(running: Running) -> None:
    running.decide([{**ROW, "serial_number": SECRET, "smart_5_raw": SECRET}])
    running.ask("GET", f"/v1/tables/fleet/entities/{SECRET}")
    running.ask("GET", f"/{SECRET}?{SECRET}={SECRET}", token=SECRET * 3)
    told = running.log + running.ask("GET", "/metrics").body.decode()
    assert SECRET not in told
    assert TOKEN not in told
    lines = [json.loads(line) for line in running.log.splitlines() if line.startswith("{")]
    assert {"time", "event", "request", "status", "ms", "route"} <= lines[-1].keys()


def test_what_openapi_allows_and_what_it_does_not_give_no_error_of_the_server(running: Running, tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            Path(sys.executable).parent / "schemathesis", "run", f"http://127.0.0.1:{running.port}/openapi.json",
            "--header", f"Authorization: Bearer {TOKEN}", "--max-examples", "15", "--seed", "1", "--no-color",
            "--phases", "examples,coverage,fuzzing", "--max-time", "10",
            "--checks", "not_a_server_error,status_code_conformance,content_type_conformance",
        ],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-6000:]
    assert re.search(r"\d+ generated", ran.stdout), ran.stdout[-3000:]
    assert '"event": "failure"' not in running.log
