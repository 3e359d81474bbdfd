"""Zip archives on a web server, read by range requests: a day costs its member and the directory, not the archive.

Only the transport is here; `ranges` makes a seekable file of it.
"""

import base64
import http.client
import re
import ssl
import urllib.error
import urllib.request
import urllib.response
from collections.abc import Callable
from email.message import Message
from html import unescape
from pathlib import Path
from typing import IO, TypeVar
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit

from ae_assets.errors import SourceError
from ae_assets.schemas.reading import Reading
from ae_assets.sources.archives import ArchiveSource, DirectoryCache
from ae_assets.sources.day_files import DayFileSource, Listing, is_archive_name
from ae_assets.sources.files import stray_name_reason
from ae_assets.sources.printable import printable, without_secrets
from ae_assets.sources.ranges import TRANSIENT_STATUS, Patience, RangedArchive, State, TransientError

MAX_INDEX_BYTES = 8 * 2**20
"""Longest index page that is read."""

MOST_ARCHIVES = 1_000
"""More links to archives are not followed: each is asked for its version at every look of the sensor."""

_Result = TypeVar("_Result")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)
_LINK = re.compile(
    r"""<a\s[^<>]{0,2000}?\bhref\s{0,9}=\s{0,9}("[^"<>]{0,2000}"|'[^'<>]{0,2000}'|[^\s"'<>]{1,2000})""", re.IGNORECASE
)
"""Not `html.parser`, which takes hours over pages that are made to be slow."""
_BLOCK = 2**20


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


def http_source(address: str, reading: Reading, memory: Path | None) -> DayFileSource:
    """The source at the address of an archive, or of a folder whose address ends with a slash.

    Raises:
        SourceError: it is the address of neither.
    """
    archive = HttpArchive(address)
    if archive.location.endswith("/"):
        return HttpFolderSource(address, reading, memory)
    if not archive.location.lower().endswith(".zip"):
        raise SourceError(
            f"{archive.location}: expected the address of a .zip file, or of its folder with / at the end."
        )
    return ArchiveSource(archive.location, archive, reading, memory)


class HttpFolderSource(DayFileSource):
    """The zip archives that an index page links to, as web servers write for a folder.

    Only links into the same folder of the same server are followed, with the user and password of the address. Archives
    that cannot be read are treated as `archives.DirectoryCache.combined` says.
    """

    def __init__(self, address: str, reading: Reading, memory: Path | None) -> None:
        self._remote = _Remote(address, Patience())
        super().__init__(self._remote.location, reading, memory)
        self._address = urlunsplit(urlsplit(address)._replace(query="", fragment=""))
        self._archives: dict[str, HttpArchive] = {}
        self._cache = DirectoryCache(self._reading)

    def _listing(self) -> Listing:
        strays: list[str] = []
        archives: dict[str, HttpArchive] = {}
        targets = _links_into(self.location, self._remote.page())
        for name in sorted({unquote(urlsplit(target).path.rsplit("/", 1)[-1]) for target in targets}):
            if is_archive_name(name):
                if len(archives) >= MOST_ARCHIVES:
                    raise SourceError(f"{self.location}: the index page links to more than {MOST_ARCHIVES:,} archives.")
                archives[name] = self._archives.get(name) or HttpArchive(self._address + quote(name))
            else:
                hidden = stray_name_reason(name, self._reading) if name.startswith(".") else None
                strays.append(f"{name}: {hidden or 'not a zip archive; over http(s) only archives are read'}")
        self._archives = archives
        return self._cache.combined(self.location, archives.values(), [], strays)


def text_at(address: str) -> str:
    """The whole text at an http(s) address.

    Raises:
        SourceError: it cannot be fetched, or is longer than a page may be.
    """
    return _Remote(address, Patience()).page()


def _links_into(folder: str, page: str) -> list[str]:
    """Addresses that a page links to and that are files directly in a folder, whose address ends with a slash."""
    targets = (unescape(match[1].strip("\"'")) for match in _LINK.finditer(page))
    absolute = [_joined(folder, target) for target in targets]
    return [
        target
        for target in absolute
        if target.startswith(folder) and re.fullmatch(r"[^/?#]+", target.removeprefix(folder))
    ]


def _joined(folder: str, target: str) -> str:
    try:
        return urljoin(folder, target)
    except ValueError:  # no address
        return ""


def _parts(address: str) -> SplitResult:
    """The parts of a web address; an address that has none is an error that does not show what may be its password."""
    try:
        parts = urlsplit(address)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        parts, host = urlsplit(""), None
    if not host:
        raise SourceError(
            "no web address: its host or port cannot be read. Expected https://host:port/….zip; in a user or password"
            " write / as %2F, ? as %3F, # as %23 and @ as %40."
        ) from None
    behind_host = parts.path + parts.query + parts.fragment
    if "@" in behind_host:
        raise SourceError(
            "a web address with an @ behind its host. In a user or password write / as %2F, ? as %3F, # as %23 and @ as"
            " %40, and an @ of the path as %40."
        )
    if re.search(r"[^!-~]", host + behind_host):
        raise SourceError(
            f"{without_secrets(address)}: a web address with spaces or characters beyond printable ASCII. Write"
            " them percent-encoded (%20), and a name of a host in its xn-- form. Expected https://host/….zip"
        )
    return parts


class _Remote:
    """Range requests to one address, with retries."""

    def __init__(self, address: str, patience: Patience) -> None:
        parts = _parts(address)
        host, port = parts.hostname or "", parts.port
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
                raise SourceError(f"{self.location}: the page has more than {MAX_INDEX_BYTES:,} bytes.")
            return content.decode("utf-8", "replace")

        return self._patiently(attempt)

    def _patiently(self, attempt: Callable[[], _Result]) -> _Result:
        def explained() -> _Result:
            try:
                return attempt()
            except urllib.error.HTTPError as answer:
                with answer:
                    problem = printable(f"{answer.code} {answer.reason}")
                    if answer.code not in TRANSIENT_STATUS:
                        raise SourceError(self._refusal(answer.code, problem)) from answer
                    raise TransientError(problem, _retry_after(answer.headers)) from answer
            except (http.client.InvalidURL, ValueError) as failure:
                # Of a redirect, whose address may hold a token; from None, since the failure's text has it too.
                problem = (
                    f"{self.location}: cannot be asked for, or leads to no web address ({type(failure).__name__})."
                )
                raise SourceError(problem) from None
            except (OSError, http.client.HTTPException) as failure:
                reason = failure.reason if isinstance(failure, urllib.error.URLError) else failure
                if isinstance(reason, ssl.SSLCertVerificationError):
                    raise SourceError(
                        f"{self.location}: the server's certificate is not trusted ({reason.verify_message})."
                        " Add its authority to the system's certificates."
                    ) from failure
                raise TransientError(printable(str(reason)) or type(reason).__name__) from failure

        return self._patience.ask(self.location, explained, "the address")

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
        expected_bytes = min(end, state.size) - start
        if len(received) < expected_bytes:
            raise http.client.IncompleteRead(b"", expected_bytes - len(received))
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
    """Follows redirects, but never from https to an unprotected address, nor to what is no web address."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message
    ) -> urllib.response.addinfourl | None:
        try:
            _refuse_other_kinds(req.host, headers.get("Location", ""))
            return super().http_error_302(req, fp, code, msg, headers)  # type: ignore[arg-type]
        except Exception:
            fp.close()  # urllib forgets it where the redirect leads nowhere
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

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


def _refuse_other_kinds(host: str, target: str) -> None:
    if urlsplit(target).scheme.lower() not in ("", "http", "https"):
        raise SourceError(f"{host}: redirects to what is no web address; refused.")


def _retry_after(headers: Message) -> float:
    text = headers.get("Retry-After", "")
    return float(text) if re.fullmatch(r"\d{1,6}", text) else 0.0
