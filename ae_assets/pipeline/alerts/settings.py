"""The settings of the alerts, from environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ae_assets.errors import ConfigError
from ae_assets.pipeline.alerts.problems import Rules, Severity

URL, FORMER_URL = "AE_ASSETS_ALERT_URL", "AE_ASSETS_WEBHOOK_URL"
ALERT_ON, REPEAT_HOURS, UI_URL = "AE_ASSETS_ALERT_ON", "AE_ASSETS_ALERT_REPEAT_HOURS", "AE_ASSETS_UI_URL"

_SEVERITIES = {"warn": Severity.WARNING, "error": Severity.ERROR}


@dataclass(frozen=True)
class AlertSettings:
    """Where alerts go and which there are.

    Attributes:
        url: address of the service that takes them, a secret; None: no alerts.
        ui: address of the Dagster UI, for links; None: no links.
    """

    url: str | None = field(repr=False)
    rules: Rules = field(default_factory=Rules)
    ui: str | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "AlertSettings":
        """Reads the variables; an empty one counts as not set.

        Raises:
            ConfigError: naming the variable and what it may be.
        """
        least = environment.get(ALERT_ON) or "warn"
        if least not in _SEVERITIES:
            raise ConfigError(f"{ALERT_ON} is {least!r}; it may be warn or error")
        hours = _hours(environment.get(REPEAT_HOURS) or "24")
        rules = Rules(_SEVERITIES[least], hours * 3600 if hours else None)
        ui = environment.get(UI_URL)
        if ui and not ui.startswith(("http://", "https://")):
            raise ConfigError(f"{UI_URL} is {ui!r}; it is the address of the UI, as https://dagster.example.com")
        return cls(url_of(environment), rules, ui.rstrip("/") if ui else None)


def url_of(environment: Mapping[str, str]) -> str | None:
    """The address of the service; None where none is set."""
    return environment.get(URL) or environment.get(FORMER_URL) or None


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours < float("inf"):
        raise ConfigError(f"{REPEAT_HOURS} is {text!r}; it is a number of hours, 0 for no reminders")
    return hours
