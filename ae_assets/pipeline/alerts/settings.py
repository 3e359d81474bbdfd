"""The settings of the alerts, from environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ae_assets.errors import ConfigError
from ae_assets.pipeline.alerts.problems import Rules, Severity

URL, FORMAT = "AE_ASSETS_WEBHOOK_URL", "AE_ASSETS_WEBHOOK_FORMAT"
ALERT_ON, REPEAT_HOURS, UI_URL = "AE_ASSETS_ALERT_ON", "AE_ASSETS_ALERT_REPEAT_HOURS", "AE_ASSETS_UI_URL"

_SEVERITIES = {"warn": Severity.WARNING, "error": Severity.ERROR}


@dataclass(frozen=True)
class AlertSettings:
    """Where alerts go and which there are.

    Attributes:
        url: address of the webhook, which is a secret; None: no alerts.
        slack: whether it takes Slack's messages instead of our JSON.
        ui: address of the Dagster UI, for links; None: no links.
    """

    url: str | None = field(repr=False)
    slack: bool = False
    rules: Rules = field(default_factory=Rules)
    ui: str | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "AlertSettings":
        """Reads the variables; an empty one counts as not set.

        Raises:
            ConfigError: naming the variable and what it may be; the address of the webhook is never quoted.
        """
        body = environment.get(FORMAT) or "json"
        if body not in {"json", "slack"}:
            raise ConfigError(f"{FORMAT} is {body!r}; it may be json or slack")
        least = environment.get(ALERT_ON) or "warn"
        if least not in _SEVERITIES:
            raise ConfigError(f"{ALERT_ON} is {least!r}; it may be warn or error")
        hours = _hours(environment.get(REPEAT_HOURS) or "24")
        rules = Rules(_SEVERITIES[least], hours * 3600 if hours else None)
        ui = environment.get(UI_URL)
        if ui and not ui.startswith(("http://", "https://")):
            raise ConfigError(f"{UI_URL} is {ui!r}; it is the address of the UI, as https://dagster.example.com")
        return cls(_webhook(environment.get(URL)), body == "slack", rules, ui.rstrip("/") if ui else None)


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours < float("inf"):
        raise ConfigError(f"{REPEAT_HOURS} is {text!r}; it is a number of hours, 0 for no reminders")
    return hours


def _webhook(url: str | None) -> str | None:
    if not url:
        return None
    try:
        parts = urlsplit(url)
        named = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        plain = parts.username is None and url.isascii() and not any(letter.isspace() for letter in url)
    except ValueError:
        named = plain = False
    if not (named and plain):
        raise ConfigError(
            f"{URL} (a secret, so not shown) is not an address like https://hooks.example.com/services/...: "
            "http or https, a host, no blanks, no user and password before the host"
        )
    return url
