"""Tells a web address which drives stand otherwise than it was last told.

The address may have a key in any part, so nothing of it is ever said.
"""

import ipaddress
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from ae_assets.errors import AeAssetsError, ConfigError
from ae_assets.one_server.states import ALARMS, Standing, State

OPENED, CHANGED, CLOSED = "opened", "changed", "closed"
SECONDS, TRIES, WAIT_SECONDS = 10.0, 3, 2.0
_AGAIN = {408, 425, 429}
"""Answers below 500 after which another try may help."""


class DeliveryError(AeAssetsError):
    """The address did not take the message."""


def require_address(url: str) -> None:
    """Raises ConfigError unless it is https, or http on this machine."""
    try:
        parts = urlsplit(url)
        host, known = parts.hostname or "", parts.port != 0
    except ValueError:
        known, host, parts = False, "", urlsplit("")
    if not known or not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))):
        raise ConfigError(
            "the address of --webhook (a secret, so not shown) must be https://HOST/..., or http:// on 127.0.0.1"
        )


def changes(standings: Sequence[Standing], told: Mapping[str, str]) -> list[dict[str, Any]]:
    """The drives with a serial number whose state is another than was told; a sound one that was never told is none.

    One that is not judged now, such as one that sleeps, stays as it was told.
    """
    found = []
    for one in standings:
        drive, was = one.report.drive, told.get(one.report.drive or "", State.HEALTHY)
        if drive is None or one.state in {was, State.NOT_JUDGED}:
            continue
        before, after = was in ALARMS, one.state in ALARMS
        if before or after:
            event = CHANGED if before and after else OPENED if after else CLOSED
            found.append({"event": event, "was": str(was), **one.record})
    return found


def deliver(url: str, found: Sequence[Mapping[str, Any]], at: datetime, wait_seconds: float = WAIT_SECONDS) -> None:
    """Posts the changes as one JSON object; tries again what may help, for half a minute at most.

    Raises:
        DeliveryError: it was not taken; with the last answer.
    """
    import requests

    body: Any = {
        "source": "ae-assets score --smartctl",
        "host": socket.gethostname(),
        "at": at.isoformat(),
        "drives": found,
    }
    said = ""
    with requests.Session() as session:
        session.trust_env = url.startswith("https://")  # no proxy on the way to this machine
        for attempt in range(TRIES):
            time.sleep(wait_seconds * attempt)
            try:
                answer = session.post(url, json=body, timeout=SECONDS, allow_redirects=False)
            except requests.RequestException as error:
                said = type(error).__name__  # its text holds the address
                continue
            if answer.ok and not answer.is_redirect:
                return
            said = f"it answered {answer.status_code}"
            if answer.status_code < 500 and answer.status_code not in _AGAIN:
                break
    raise DeliveryError(
        f"the address of --webhook took no message ({said}); the next run tells it again, since it is not remembered "
        "as told"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
