"""Delivery to a webhook: tried again while that may help, and the address is never told to anyone.

The standard library is used, since requests and urllib3 log addresses.
"""

import http.client
import itertools
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import IO, Any
from urllib.parse import urlsplit

from ae_assets.errors import AeAssetsError

LEAST_SECONDS = 1.0
"""An attempt is not begun with less time left."""


class DeliveryError(AeAssetsError):
    """The webhook did not take a message."""


@dataclass(frozen=True)
class Webhook:
    """An address that takes JSON by POST.

    Attributes:
        url: the address, a secret.
        deadline: until when (`clock`) attempts go on; None: ``attempts`` alone limit them.
        attempts: for one message.
        first_wait_seconds: pause after a first failure, doubled after each further one; a ``Retry-After`` is obeyed.
        timeout_seconds: longest silence of the server.
    """

    url: str = field(repr=False)
    deadline: float | None = None
    attempts: int = 4
    first_wait_seconds: float = 0.5
    timeout_seconds: float = 10.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @property
    def host(self) -> str:
        """All of the address that may be told."""
        return urlsplit(self.url).hostname or "?"

    def post(self, body: Mapping[str, Any]) -> None:
        """Delivers a message.

        Raises:
            DeliveryError: no attempt was answered with 2xx in time; it names the host only.
        """
        data = json.dumps(body).encode()
        for attempt in itertools.count(1):
            reason, wait = self._attempt(data)
            if reason is None:
                return
            if wait is None:
                raise DeliveryError(f"the webhook at {self.host} refused an alert: {reason}")
            pause = max(wait, self.first_wait_seconds * 2.0 ** (attempt - 1))
            if attempt == self.attempts or pause + LEAST_SECONDS > self._seconds_left():
                raise DeliveryError(
                    f"the webhook at {self.host} took no alert: {reason} ({attempt} attempts); "
                    "nothing is lost, the next look tries again"
                )
            self.sleep(pause)

    def _seconds_left(self) -> float:
        return float("inf") if self.deadline is None else self.deadline - self.clock()

    def _attempt(self, data: bytes) -> tuple[str | None, float | None]:
        """Why an attempt failed, and seconds that the server wants to wait; None: it did not, and: never again."""
        request = urllib.request.Request(  # noqa: S310 - the settings allow http and https only
            self.url,
            data=data,
            headers={"Content-Type": "application/json; charset=utf-8", "User-Agent": "ae-assets"},
            method="POST",
        )
        timeout = max(LEAST_SECONDS, min(self.timeout_seconds, self._seconds_left()))
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout):
                return None, None
        except urllib.error.HTTPError as error:
            with error:
                return _refusal(error.code, error.headers)
        except urllib.error.URLError as error:
            return f"no connection ({type(error.reason).__name__})", 0.0
        except (OSError, http.client.HTTPException) as error:
            return f"no answer ({type(error).__name__})", 0.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is posted to one server is not carried to another."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        del req, fp, code, msg, headers, newurl


_ADVICE = {
    400: "it does not understand the message; is AE_ASSETS_WEBHOOK_FORMAT right?",
    401: "the address is not allowed to post; renew AE_ASSETS_WEBHOOK_URL",
    403: "the address is not allowed to post; renew AE_ASSETS_WEBHOOK_URL",
    404: "there is no such webhook; renew AE_ASSETS_WEBHOOK_URL",
    410: "the webhook was taken away; renew AE_ASSETS_WEBHOOK_URL",
}


def _refusal(status: int, headers: Message) -> tuple[str, float | None]:
    if status in {408, 425, 429} or status >= 500:
        return f"HTTP status {status}", _retry_after(headers.get("Retry-After"))
    advice = "it answers with another address, which is not followed" if 300 <= status < 400 else _ADVICE.get(status)
    return f"HTTP status {status}" + (f": {advice}" if advice else ""), None


def _retry_after(text: str | None) -> float:
    """Seconds of a Retry-After header, which holds seconds or a date; 0 where it says nothing that can be read."""
    if text is None:
        return 0.0
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0
