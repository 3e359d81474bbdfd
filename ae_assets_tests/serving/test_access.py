"""Who may ask, from where, and what of it is told."""

import ssl
import subprocess
from pathlib import Path

import pytest

from ae_assets.errors import ConfigError
from ae_assets.serving.guard import Tokens
from ae_assets.serving.settings import Settings, settings_of
from ae_assets_tests.serving import server
from ae_assets_tests.serving.server import TOKEN, Running

SECRET = "secret-that-no-message-repeats"  # noqa: S105


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"host": "0.0.0.0"}, "needs a token"),  # noqa: S104 - which is refused
        ({"host": "::", "token": TOKEN}, "--behind-proxy"),
        ({"host": "example.org", "token": TOKEN}, "--behind-proxy"),
        ({"tls_cert": "cert.pem"}, "belong together"),
        ({"token": "short"}, "shorter than 16"),
        ({"token_file": "no-such-file"}, "cannot be read"),
    ],
)
def test_a_server_that_would_not_be_safe_is_refused(settings: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        settings_of(settings, {}).require_safe()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"host": "::1"},
        {"host": "localhost"},
        {"host": "0.0.0.0", "token": TOKEN, "behind_proxy": "1"},  # noqa: S104
        {"host": "0.0.0.0", "token": TOKEN, "tls_cert": "cert.pem", "tls_key": "key.pem"},  # noqa: S104
    ],
)
def test_a_server_that_is_safe_starts(settings: dict[str, str]) -> None:
    settings_of(settings, {}).require_safe()


def test_settings_of_the_environment_are_checked_and_their_values_are_not_repeated() -> None:
    assert settings_of({"port": 1}, {"AE_ASSETS_SERVE_ROWS": "7", "AE_ASSETS_SERVE_PORT": "2"}) == Settings(
        port=1, rows=7
    )
    for name, value in {"ROWS": SECRET, "TOKENS": SECRET, "SECONDS": "-1"}.items():
        with pytest.raises(ConfigError, match=f"AE_ASSETS_SERVE_{name}") as refused:
            settings_of({}, {f"AE_ASSETS_SERVE_{name}": value})
        assert SECRET not in str(refused.value)
    assert SECRET not in repr(Settings(token=SECRET))


def test_each_token_of_a_file_is_taken_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"{TOKEN}\n\n{SECRET}\n")
    tokens = Tokens(Settings(token_file=tmp_path / "tokens").tokens)
    for good in (f"Bearer {TOKEN}", f"bearer {SECRET}"):
        assert tokens.take([(b"authorization", good.encode())])
    for bad in ("", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", "Bearer ", f"Bearer {TOKEN}{TOKEN}"):
        assert not tokens.take([(b"authorization", bad.encode())])
    assert not tokens.take([])
    assert not tokens.take([(b"authorization", f"Bearer {TOKEN}".encode())] * 2)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/metrics", "/openapi.json", "/v1/tables/fleet/model", "/nowhere", "/docs"])
def test_without_a_token_only_the_probes_are_answered(running: Running, path: str) -> None:
    for token in (None, "x" * 32):
        answer = running.ask("GET", path, token=token)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    for probe in ("/health", "/ready"):
        assert running.ask("GET", probe, token=None).status == 200


@pytest.mark.slow
def test_tls_is_spoken_and_a_stop_ends_it_well(project: Path, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout", key, "-out", certificate]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", *new, *subject], check=True, capture_output=True)  # noqa: S607 - that of the system
    one = server.started(project, "--tls-cert", str(certificate), "--tls-key", str(key), "--open-metrics")
    one.tls = ssl.create_default_context(cafile=certificate)
    assert one.ask("GET", "/metrics", token=None).status == 200
    assert one.ask("GET", "/openapi.json", token=None).status == 401
    assert one.stop() == 0
    assert "listening at https://127.0.0.1" in one.log
    assert TOKEN not in one.log
