"""Delivery by Apprise, which knows the services, how each is written to, and when to try again.

A service may have its key in any part of its address, so nothing of an address is told, not even its host.
"""

import logging
import re
from importlib.util import find_spec

from ae_assets.errors import AeAssetsError, ConfigError
from ae_assets.pipeline.alerts.problems import Alert, Event
from ae_assets.pipeline.alerts.settings import URL
from ae_assets.pipeline.alerts.wording import as_json, as_text, title_of

RETRIES, WAIT_SECONDS = 2, 1.0
"""Within a look; the next look tries again what is not delivered by then."""

_LEFT_OUT = dict.fromkeys(("version", "attachments", "type"))
"""Apprise leaves out of its JSON body what it is told to be None."""


class DeliveryError(AeAssetsError):
    """The service did not take a message."""


class Service:
    """A service that takes alerts.

    Its address is one that https://appriseit.com/services lists; a web address that Apprise does not know is sent JSON.

    Raises:
        ConfigError: Apprise is not installed, or it is no address.
    """

    def __init__(self, address: str, wait_seconds: float = WAIT_SECONDS) -> None:
        if find_spec("apprise") is None:
            raise ConfigError(f"{URL} is set, which needs Apprise; install it: pip install 'ae_assets[alerts]'")
        from apprise import Apprise, AppriseAsset

        _keep_addresses_out_of_logs()
        asset = AppriseAsset(
            app_id="ae-assets",
            image_url_mask=None,
            http_redirects=False,  # what is sent to one server is not carried to another
            default_service_retry=RETRIES,
            default_service_wait=wait_seconds,
        )
        notifier = Apprise.instantiate(address, asset) or Apprise.instantiate(_as_json_service(address), asset)
        if notifier is None:
            raise ConfigError(
                f"{URL} (a secret, so not shown) is no address that Apprise knows. Expected that of a webhook, as"
                " https://hooks.example.com/..., or one of https://appriseit.com/services, as mailto://... or slack://..."
            )
        self._address, self._notifier, self._apprise = address, notifier, Apprise(notifier, asset)

    def deliver(self, alert: Alert, ui: str | None, seconds: float) -> None:
        """Sends an alert: all of it as JSON to a service that takes JSON, to others its title and text.

        Raises:
            DeliveryError: it was not taken within some seconds; with the last answer.
        """
        from apprise.plugins.custom_json import NotifyJSON

        title, body = title_of(alert), as_text(alert, ui)
        if isinstance(self._notifier, NotifyJSON):
            ours = as_json(alert, ui)
            title, body = ours.pop("title"), ours.pop("message")
            self._notifier.payload_extras |= _LEFT_OUT | ours
        severity = {"error": "failure", "warning": "warning"}[alert.problem.sighting.severity]
        kind = "success" if alert.event is Event.RECOVERED else severity
        sent = self._apprise.notify(body, title, kind, body_format="text", timeout=seconds)
        if not sent:
            answers = [entry.message for entry in sent.logs()] or ["no reason is given."]
            raise DeliveryError(
                f"{self._notifier.service_name}, the service of {URL}, took no alert: {self._masked(answers[-1])}"
                " Nothing is lost, the next look tries again; if it stays, renew the address or look at the service."
            )

    def _masked(self, answer: str) -> str:
        return re.sub(r"\w{6,}", lambda word: "…" if word[0] in self._address else word[0], answer)


def _as_json_service(web_address: str) -> str:
    """A web address as one of Apprise's JSON service, which wants each parameter marked by a dash."""
    place, mark, parameters = re.sub(r"^http(s?)://", r"json\1://", web_address).partition("?")
    return place + (f"?-{parameters.replace('&', '&-')}" if mark else "")


def _keep_addresses_out_of_logs() -> None:
    """Both log addresses; what Apprise says of a delivery comes with its result."""
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.handlers = logger.handlers or [logging.NullHandler()]
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
