import logging
import re
import socket
import traceback
from email.utils import formatdate
from time import time

import pytest

from ae_assets.errors import ConfigError
from ae_assets.pipeline.alerts.settings import AlertSettings
from ae_assets.pipeline.alerts.webhook import DeliveryError, Webhook
from ae_assets_tests.pipeline.alerts.receiver import HOOK, Receiver, receiver

BODY = {"id": "1", "message": "Sektor für Sektor"}


@pytest.fixture
def there():
    with receiver() as one:
        yield one


@pytest.fixture
def waits() -> list[float]:
    return []


def webhook(there: Receiver, waits: list[float], **more: object) -> Webhook:
    return Webhook(there.url, sleep=waits.append, **more)  # type: ignore[arg-type]


def test_a_message_arrives_once_and_whole(there: Receiver, waits: list[float]) -> None:
    webhook(there, waits).post(BODY)
    assert (there.requests, waits) == ([BODY], [])


@pytest.mark.parametrize("trouble", [(500, {}), (503, {}), (429, {}), None])
def test_what_may_pass_is_tried_again_with_longer_pauses(there: Receiver, waits: list[float], trouble) -> None:
    there.answers = [trouble, trouble]
    webhook(there, waits).post(BODY)
    assert there.taken == [BODY]
    assert len(there.requests) == 3
    assert waits == [0.5, 1.0]


@pytest.mark.parametrize("after", ["7", lambda: formatdate(time() + 8, usegmt=True)])
def test_a_server_that_asks_for_peace_gets_it(there: Receiver, waits: list[float], after) -> None:
    there.answers = [(429, {"Retry-After": after if isinstance(after, str) else after()})]
    webhook(there, waits).post(BODY)
    assert there.taken == [BODY]
    assert 6 <= waits[0] <= 8


def test_a_server_that_asks_for_more_time_than_there_is_is_left_for_later(there: Receiver, waits: list[float]) -> None:
    there.answers = [(429, {"Retry-After": "120"})]
    with pytest.raises(DeliveryError, match=r"127\.0\.0\.1 took no alert: HTTP status 429 \(1 attempts\)"):
        webhook(there, waits, deadline=35.0, clock=lambda: 0.0).post(BODY)
    assert waits == []


@pytest.mark.parametrize(
    ("status", "advice"),
    [(400, "AE_ASSETS_WEBHOOK_FORMAT"), (403, "renew"), (404, "renew"), (302, "not followed"), (418, "status 418")],
)
def test_a_refusal_is_not_tried_again_and_says_what_to_do(
    there: Receiver, waits: list[float], status: int, advice: str
) -> None:
    there.answers = [(status, {"Location": there.url})]
    with pytest.raises(DeliveryError, match=advice):
        webhook(there, waits).post(BODY)
    assert len(there.requests) == 1


def test_no_error_and_no_log_tells_the_address(
    there: Receiver, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    there.answers = [(500, {}), None, (404, {})]
    with pytest.raises(DeliveryError) as refused:
        webhook(there, waits).post(BODY)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = Webhook(f"http://127.0.0.1:{unused.getsockname()[1]}/{HOOK}", sleep=waits.append)
        with pytest.raises(DeliveryError, match="ConnectionRefusedError") as away:
            nobody.post(BODY)
    with pytest.raises(ConfigError) as misspelt:
        AlertSettings.of({"AE_ASSETS_WEBHOOK_URL": f"htp://hooks.example.com/{HOOK}"})
    settings = AlertSettings.of({"AE_ASSETS_WEBHOOK_URL": there.url})
    told = [caplog.text, repr(settings), repr(nobody)]
    for error in (refused, away, misspelt):
        told += traceback.format_exception(error.value)
    assert not re.search("T0AB12|B0CD34|nobody-else", "".join(told))


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example.com/x",
        "ftp://hooks.example.com/x",
        "https:///x",
        "https://u:p@h.example/x",
        "https://h:0/",
        "http://a b/",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="AE_ASSETS_WEBHOOK_URL"):
        AlertSettings.of({"AE_ASSETS_WEBHOOK_URL": url})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AE_ASSETS_WEBHOOK_FORMAT", "teams"),
        ("AE_ASSETS_ALERT_ON", "info"),
        ("AE_ASSETS_ALERT_REPEAT_HOURS", "-1"),
        ("AE_ASSETS_ALERT_REPEAT_HOURS", "daily"),
        ("AE_ASSETS_ALERT_REPEAT_HOURS", "nan"),
        ("AE_ASSETS_UI_URL", "dagster.example.com"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is '{value}'; it "):
        AlertSettings.of({name: value})


def test_settings_have_sensible_defaults_and_an_empty_variable_is_not_set() -> None:
    settings = AlertSettings.of({"AE_ASSETS_WEBHOOK_URL": "", "AE_ASSETS_ALERT_ON": ""})
    assert settings.url is None
    assert settings == AlertSettings.of({})
    assert settings.rules.repeat_seconds == 24 * 3600
    assert AlertSettings.of({"AE_ASSETS_ALERT_REPEAT_HOURS": "0"}).rules.repeat_seconds is None
