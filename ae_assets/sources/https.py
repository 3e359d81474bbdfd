"""Zip archives on a web server, read by range requests: a day costs its member and the directory, not the archive.

Only the transport is here; `ranges` makes a seekable file of it.
"""

import base64
import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from html.parser import HTMLParser
from typing import IO, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from ae_assets.errors import SourceError
from ae_assets.sources.archives import DirectoryCache
from ae_assets.sources.day_files import DayFileSource, Listing
from ae_assets.sources.ranges import Patience, RangedArchive, State

MAX_INDEX_BYTES = 8 * 2**20
"""Longest index page that is read."""

_Result = TypeVar("_Result")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_BLOCK = 2**20
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT_SECONDS = 60.0


class HttpArchive(RangedArchive):
    """An archive at an http(s) address.

    Args:
        address: may carry `user:password@`, and a token in its query; neither is printed.
        patience: retries and timeouts.

    Attributes:
        location: the address without user, password, query and fragment.
    """

    def __init__(self, address: str, patience: Patience | None = None) -> None:
        remote = _Remote(address, patience or Patience())
        self.location = remote.location
        super().__init__(unquote(self.location.rsplit("/", 1)[-1]), remote)


class HttpFolderSource(DayFileSource):
    """The zip archives that an index page links to, as web servers write for a folder.

    Only links into the same folder of the same server are followed. Archives that cannot be read are treated as
    `archives.DirectoryCache.combined` says.

    Args:
        address: ends with a slash; may carry `user:password@`, which is used for the archives too.
    """

    def __init__(self, address: str, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self._remote = _Remote(address, self._patience)
        super().__init__(self._remote.location)
        self._address = urlunsplit(urlsplit(address)._replace(query="", fragment=""))
        self._archives: dict[str, HttpArchive] = {}
        self._cache = DirectoryCache()

    def _listing(self) -> Listing:
        links = _Links()
        links.feed(self._remote.page())
        strays: list[str] = []
        archives: dict[str, HttpArchive] = {}
        for name in sorted(
            {unquote(urlsplit(target).path.rsplit("/", 1)[-1]) for target in links.inside(self.location)}
        ):
            if name.lower().endswith(".zip"):
                archives[name] = self._archives.get(name) or HttpArchive(self._address + quote(name), self._patience)
            else:
                strays.append(f"{name}: not a zip archive; over http(s) only archives are read")
        self._archives = archives
        return self._cache.combined(self.location, archives.values(), [], strays)


class _Links(HTMLParser):
    """Targets of the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self._targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._targets += [value for name, value in attrs if tag == "a" and name == "href" and value]

    def inside(self, folder: str) -> list[str]:
        """Targets that are files directly in a folder, whose address ends with a slash."""
        absolute = [urljoin(folder, target) for target in self._targets if _is_address(target)]
        return [
            target
            for target in absolute
            if target.startswith(folder) and re.fullmatch(r"[^/?#]+", target.removeprefix(folder))
        ]


def _is_address(text: str) -> bool:
    try:
        urlsplit(text)
    except ValueError:
        return False
    return True


class _Remote:
    """Range requests to one address, with retries."""

    def __init__(self, address: str, patience: Patience) -> None:
        parts = urlsplit(address)
        try:
            host, port = parts.hostname or "", parts.port
        except ValueError as problem:
            raise SourceError(
                f"The port in an {parts.scheme} address is no number. Expected https://host:port/….zip"
            ) from problem
        if not host or re.search(r"[\s\x00-\x1f]", address):
            raise SourceError(f"{parts.scheme}://{host}{parts.path}: no web address. Expected https://host/….zip")
        host_and_port = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
        self.location = urlunsplit((parts.scheme.lower(), host_and_port, parts.path, "", ""))
        self._url = urlunsplit((parts.scheme.lower(), host_and_port, parts.path, parts.query, ""))
        self._authorization: str | None = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._authorization = "Basic " + base64.b64encode(pair.encode()).decode()
        self._patience = patience
        self._opener = urllib.request.build_opener(_NoDowngrade)

    def state(self) -> State:
        """Size, ETag and time of change as the server tells them now; one request for one byte."""
        return self._fetched(0, 1, None)[0]

    def fetch(self, start: int, end: int, expected: State) -> bytes:
        """Bytes [start, end) of a version."""
        return self._fetched(start, end, expected)[1]

    def _fetched(self, start: int, end: int, expected: State | None) -> tuple[State, bytes]:
        """Bytes [start, end) and the version they belong to, which is `expected` if that is given."""
        received = bytearray()
        state = expected

        def attempt() -> State:
            nonlocal state
            state = self._continue(start, end, state, received)
            return state

        return self._patiently(attempt), bytes(received)

    def page(self) -> str:
        """The whole text at the address, for an index page."""

        def attempt() -> str:
            with self._opener.open(self._request({}), timeout=self._patience.timeout_seconds) as answer:
                content: bytes = answer.read(MAX_INDEX_BYTES + 1)
            if len(content) > MAX_INDEX_BYTES:
                raise SourceError(f"{self.location}: the index page has more than {MAX_INDEX_BYTES:,} bytes.")
            return content.decode("utf-8", "replace")

        return self._patiently(attempt)

    def _patiently(self, attempt: Callable[[], _Result]) -> _Result:
        """The result of an attempt, repeated after failures that may pass; SourceError after the last one."""
        failures = 0
        while True:
            wait = 0.0
            try:
                return attempt()
            except urllib.error.HTTPError as answer:
                with answer:
                    problem = f"{answer.code} {answer.reason}"
                    wait = _retry_after(answer.headers)
                    if answer.code not in _TRANSIENT_STATUS:
                        raise SourceError(self._refusal(answer.code, problem)) from answer
            except (OSError, http.client.HTTPException) as failure:
                reason = failure.reason if isinstance(failure, urllib.error.URLError) else failure
                if isinstance(reason, ssl.SSLCertVerificationError):
                    raise SourceError(
                        f"{self.location}: the server's certificate is not trusted ({reason.verify_message})."
                        " Add its authority to the system's certificates."
                    ) from failure
                problem = str(reason) or type(reason).__name__
            failures += 1
            if failures >= self._patience.attempts:
                raise SourceError(
                    f"{self.location}: no complete answer after {failures} attempts; the last one ended with:"
                    f" {problem}. Check the address and the network, and try again later."
                )
            time.sleep(max(min(_LONGEST_WAIT_SECONDS, wait), self._patience.wait_after(failures)))

    def _request(self, headers: dict[str, str]) -> urllib.request.Request:
        common = {"Accept-Encoding": "identity", "User-Agent": "ae-assets"}
        # open_source and _NoDowngrade let http and https through only
        request = urllib.request.Request(self._url, headers={**common, **headers})  # noqa: S310
        if self._authorization is not None:
            request.add_unredirected_header("Authorization", self._authorization)
        return request

    def _continue(self, start: int, end: int, expected: State | None, received: bytearray) -> State:
        """One request for what is still missing; appends to `received` what arrives, even if the connection breaks."""
        first = start + len(received)
        request = self._request({"Range": f"bytes={first}-{end - 1}"})
        with self._opener.open(request, timeout=self._patience.timeout_seconds) as answer:
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                raise SourceError(
                    f"{self.location}: the server answers {answer.status} with the whole file instead of 206 with the"
                    " part asked for; reading single days needs range requests. Download the archive and name the local"
                    " file."
                )
            span = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if span is None or int(span[1]) != first or int(span[2]) >= end or answer.headers.get("Content-Encoding"):
                raise SourceError(
                    f"{self.location}: asked for the bytes {first}-{end - 1}, the server sent"
                    f" {answer.headers.get('Content-Range')!r}. Download the archive and name the local file."
                )
            state = State(int(span[3]), answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")
            if expected is not None and state != expected:
                raise SourceError(
                    f"{self.location}: the archive was replaced while it was read. List the source again and read"
                    " what it lists."
                )
            while block := answer.read(min(_BLOCK, end - start - len(received))):
                received += block
        wanted = min(end, state.size) - start
        if len(received) < wanted:
            raise http.client.IncompleteRead(b"", wanted - len(received))
        return state

    def _refusal(self, status: int, problem: str) -> str:
        advice = {
            401: "Put user and password into the address, https://user:password@host/….",
            403: "Check the rights, or whether a signed address has expired.",
            404: "Check the address.",
            410: "Check the address.",
            416: "The file is empty or has shrunk: list the source again.",
        }.get(status, "Check the address.")
        return f"{self.location}: the server answers {problem}. {advice}"


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to an unprotected address."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise SourceError(
                f"{req.host}: redirects from https to the unprotected {urlsplit(newurl).scheme}; refused."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _retry_after(headers: Message) -> float:
    text = headers.get("Retry-After", "")
    return float(text) if re.fullmatch(r"\d{1,6}", text) else 0.0
