"""What a consumer tells of itself."""

import socket
import urllib.error
import urllib.request
from contextlib import suppress

import pytest

from ae_assets.chain.stream import Landed
from ae_assets.cli import stream
from ae_assets.cli.stream import Told, _telling
from ae_assets.errors import ConfigError
from ae_assets_tests.integration.ports import free_port


def asked(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


def test_health_and_figures_are_told_for_as_long_as_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    told, address = Told("levels"), f"127.0.0.1:{port}"
    with _telling(told, str(port)):
        assert asked(f"{address}/health")[0] == 200
        assert asked(f"{address}/ready")[0] == 503
        landed = Landed(rows=7, letters=2, commits=3, lag=11, expired=1)
        landed.delays.extend((number / 10, 9.0) for number in range(100))
        told.see(landed)
        assert asked(f"{address}/ready?x=1")[0] == 200
        assert asked(f"{address}/other")[0] == 404
        status, text = asked(f"{address}/metrics")
        figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert status == 200
        assert figures == {
            'ae_assets_stream_records_total{table="levels",kind="row"}': "7",
            'ae_assets_stream_records_total{table="levels",kind="dead_letter"}': "2",
            'ae_assets_stream_commits_total{table="levels"}': "3",
            'ae_assets_stream_expired_total{table="levels"}': "1",
            'ae_assets_stream_lag_records{table="levels"}': "11",
            'ae_assets_stream_delay_seconds{table="levels",quantile="0.5"}': "5.0",
            'ae_assets_stream_delay_seconds{table="levels",quantile="0.99"}': "9.9",
        }
        monkeypatch.setattr(stream, "HEALTHY_SECONDS", -1.0)
        assert asked(f"{address}/health")[0] == 503
        with socket.socket() as one:
            assert one.connect_ex(("127.0.0.2", port)) != 0, "a port alone is one of this machine alone"
        for hostile in (
            b"\0" * 100_000,
            b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 1_000,
            b"POST / HTTP/1.1\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port), 10) as one, suppress(ConnectionError):
                one.sendall(hostile + b"\r\n\r\n")
                assert b" 200 " not in one.recv(100)
        assert asked(f"{address}/metrics")[0] == 200
    with socket.socket() as one:
        assert one.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) != 0


@pytest.mark.parametrize("listen", ["127.0.0.1:none", "127.0.0.1:70000", "no.such.host.invalid:1"])
def test_an_address_that_cannot_be_listened_at_is_named(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"expected HOST:PORT"), _telling(Told("levels"), listen):
        pass
