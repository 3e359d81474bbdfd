import logging
import re
import socket
import traceback
from dataclasses import replace
from importlib import util
from io import StringIO
from typing import Any

import pytest

from ae_assets.errors import ConfigError
from ae_assets.pipeline.alerts import delivery
from ae_assets.pipeline.alerts.delivery import DeliveryError, Service
from ae_assets.pipeline.alerts.problems import Alert, Event, Kind, Problem, Severity, Sighting, Subject
from ae_assets.pipeline.alerts.settings import AlertSettings
from ae_assets.pipeline.alerts.wording import as_json
from ae_assets_tests.pipeline.alerts.receiver import HOOK, Receiver, receiver

UI = "https://dagster.example.com"
SEEN = Sighting(Subject(Kind.RUN, "fleet/raw", "daily"), passed=False, at=1e9, message="Sektor für <Sektor> & mehr")
ALERT = Alert(Event.FAILING, Problem(SEEN, frozenset(), since=1e9))


@pytest.fixture
def there():
    with receiver() as one:
        yield one


def deliver(address: str, alert: Alert = ALERT, seconds: float = 20.0) -> None:
    Service(address, wait_seconds=0.01).deliver(alert, UI, seconds)


def test_a_message_arrives_once_and_whole(there: Receiver) -> None:
    deliver(there.url)
    assert there.requests == there.taken == [as_json(ALERT, UI)]


def test_the_parameters_of_an_address_are_sent_with_it(there: Receiver) -> None:
    deliver(f"{there.url}?token=a%20b&empty=&also=c")
    assert there.paths == [f"/services/{HOOK}?token=a+b&empty=&also=c"]


@pytest.mark.parametrize(
    ("alert", "kind"),
    [
        (ALERT, "failure"),
        (Alert(Event.RECOVERED, ALERT.problem, SEEN), "success"),
        (replace(ALERT, problem=replace(ALERT.problem, sighting=replace(SEEN, severity=Severity.WARNING))), "warning"),
    ],
)
def test_a_service_that_takes_no_json_gets_title_text_and_kind(there: Receiver, alert: Alert, kind: str) -> None:
    deliver(there.url.replace("http://", "form://"), alert)
    (message,) = there.taken
    assert message["title"].split(": ")[1] == "fleet/raw"
    assert alert.problem.sighting.message in message["message"]
    assert alert.id in message["message"]
    assert message["type"] == kind


@pytest.mark.parametrize("trouble", [(500, {}), (503, {}), (429, {}), None])
def test_what_may_pass_is_tried_again(there: Receiver, trouble: Any) -> None:
    there.answers = [trouble, trouble]
    deliver(there.url)
    assert there.taken == [as_json(ALERT, UI)]
    assert len(there.requests) == 3


@pytest.mark.parametrize("status", [302, 400, 403, 404, 503])
def test_a_refusal_is_an_error_with_its_status(there: Receiver, status: int) -> None:
    there.answers = [(status, {"Location": there.url})] * 3
    with pytest.raises(DeliveryError, match=str(status)):
        deliver(there.url)
    assert (len(there.requests), there.taken) == (3, [])


def test_a_service_that_never_answers_is_left_when_time_is_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(DeliveryError, match="did not finish within"):
        deliver(f"http://127.0.0.1:{silent.getsockname()[1]}/x", seconds=0.3)


def test_no_error_and_no_log_tells_the_address(
    there: Receiver, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    log = StringIO()
    monkeypatch.setattr(logging.root, "handlers", [logging.StreamHandler(log)])
    monkeypatch.setattr(logging.root, "level", logging.DEBUG)
    there.answers = [(500, {}), None, (404, {})]
    with pytest.raises(DeliveryError) as refused:
        deliver(there.url)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(DeliveryError) as away:
            deliver(f"http://127.0.0.1:{unused.getsockname()[1]}/{HOOK}")
    with pytest.raises(ConfigError) as misspelt:
        Service(f"htp://hooks.example.com/{HOOK}")
    with pytest.raises(DeliveryError) as unknown:
        deliver(f"json://{HOOK.rsplit('/', 1)[1]}.invalid/x")
    written = capfd.readouterr()
    told = [log.getvalue(), written.out, written.err, repr(AlertSettings.of({"AE_ASSETS_ALERT_URL": there.url}))]
    for error in (refused, away, misspelt, unknown):
        told += traceback.format_exception(error.value)
    assert not re.search("T0AB12|B0CD34|nobody-else", "".join(told))


@pytest.mark.parametrize(
    "url",
    ["hooks.example.com/x", "ftp://hooks.example.com/x", "http://a b/", "slack://x"],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="AE_ASSETS_ALERT_URL"):
        Service(url)


def test_the_addresses_that_services_give_out_are_known_as_theirs() -> None:
    service = Service("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
    assert service._notifier.service_name == "Slack"


def test_without_apprise_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "find_spec", lambda name: None if name == "apprise" else util.find_spec(name))
    with pytest.raises(ConfigError, match=r"pip install 'ae_assets\[alerts\]'"):
        Service("https://hooks.example.com/x")


@pytest.mark.parametrize(
    ("name", "value"),
    [
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
    settings = AlertSettings.of({"AE_ASSETS_ALERT_URL": "", "AE_ASSETS_ALERT_ON": ""})
    assert settings.url is None
    assert settings == AlertSettings.of({})
    assert settings.rules.repeat_seconds == 24 * 3600
    assert AlertSettings.of({"AE_ASSETS_ALERT_REPEAT_HOURS": "0"}).rules.repeat_seconds is None
    assert AlertSettings.of({"AE_ASSETS_WEBHOOK_URL": "https://hooks.example.com"}).url == "https://hooks.example.com"
