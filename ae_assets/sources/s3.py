"""Daily files and zip archives below a prefix of an S3 bucket; archives are read by parts.

Credentials, region, role and endpoint are those of whoever makes the client; else those of the AWS chain: environment
(`AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, `AWS_REGION`, `AWS_ENDPOINT_URL_S3`), `~/.aws`, the role of the container or
machine. Servers that are not Amazon's are addressed by path, which all of them understand.

Keys are only ever compared and printed, never used as paths.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from datetime import date
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from ae_assets.errors import SourceError
from ae_assets.schemas.reading import Reading
from ae_assets.sources.archives import ArchiveSource, DirectoryCache
from ae_assets.sources.day_files import (
    MAX_DAY_BYTES,
    DayFileSource,
    Listing,
    is_archive_name,
    left_out_folder,
)
from ae_assets.sources.files import DataFile, period_of_file, stray_name_reason
from ae_assets.sources.printable import printable, without_secrets
from ae_assets.sources.ranges import TRANSIENT_STATUS, Patience, RangedArchive, State, TransientError
from ae_assets.sources.source import SourceDay

MOST_OBJECTS = 100_000
"""More keys are not listed: a listing asks for a thousand at a time, and the sensor lists again at each look."""

_Result = TypeVar("_Result")
_BLOCK = 2**16
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


S3ClientMaker = Callable[[Any], Any]
"""Makes a boto3 client of S3 with a `botocore.config.Config`, which says how long it waits and how often it tries."""


def s3_source(
    location: str,
    reading: Reading | None = None,
    patience: Patience | None = None,
    make_client: S3ClientMaker | None = None,
    memory: Path | None = None,
) -> DayFileSource:
    """The source at an `s3://bucket/prefix` or `s3://bucket/archive.zip`; nothing is asked of the server yet.

    Args:
        location: bucket and prefix or archive.
        reading: how the files are written.
        patience: how long a server that is away is waited for.
        make_client: whose region, endpoint and credentials are used; None: those of the AWS chain.
        memory: folder in which the days of files that hold many are remembered; None: nowhere.

    Raises:
        SourceError: the location names no bucket, or boto3 is not installed.
    """
    bucket, _, key = location.partition("://")[2].partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise SourceError(
            f"{without_secrets(location)}: what follows s3:// is no name of a bucket. Expected s3://bucket/prefix, and"
            " keys in the environment, never in the location."
        )
    client = _Client(bucket, patience or Patience(), make_client or _client_of_the_chain)
    if key.lower().endswith(".zip"):
        archive = RangedArchive(key.rsplit("/", 1)[-1], _Object(client, key))
        return ArchiveSource(f"s3://{bucket}/{key}", archive, reading, memory)
    return S3Source(client, key, reading or Reading(), memory)


def text_at(location: str) -> str:
    """The whole text of an object at s3://bucket/key.

    Raises:
        SourceError: the location names no object, or it cannot be fetched.
    """
    bucket, _, key = location.partition("://")[2].partition("/")
    if not (_BUCKET.fullmatch(bucket) and key):
        raise SourceError(f"{without_secrets(location)}: expected s3://bucket/key")
    client = _Client(bucket, Patience(), _client_of_the_chain)
    return _Object(client, key).content().decode("utf-8", "replace")


def _client_of_the_chain(config: Any) -> Any:
    import boto3

    return boto3.session.Session().client("s3", config=config)


class S3Source(DayFileSource):
    """The days below a prefix, in any depth, or a single daily file.

    An object's fingerprint is its size and ETag, which come with the listing. Archives that cannot be read are treated
    as `archives.DirectoryCache.combined` says; the directory of an archive is read again when its ETag changes.

    Args:
        client: of the bucket.
        key: a prefix, empty for the whole bucket, or the key of a daily file.
    """

    def __init__(self, client: "_Client", key: str, reading: Reading, memory: Path | None) -> None:
        self._single = period_of_file(key, reading)
        self._key = key if self._single is not None else f"{key.strip('/')}/".lstrip("/")
        super().__init__(f"s3://{client.bucket}/{self._key.rstrip('/')}", reading, memory)
        self._client = client
        self._cache = DirectoryCache(reading)

    def _listing(self) -> Listing:
        if self._single is not None:
            stored = _Object(self._client, self._key, self._client.head(self._key))
            return Listing([stored.day_file(self._key.rsplit("/", 1)[-1], self._single)], [])
        files: list[DataFile] = []
        strays: list[str] = []
        archives: dict[str, RangedArchive] = {}
        for key, state in self._client.objects(self._key):
            stored, name = _Object(self._client, key, state), key.removeprefix(self._key)
            base = name.rsplit("/", 1)[-1]
            day = period_of_file(name, self._reading)
            if not base:
                continue  # what consoles write for a folder
            if (left_out := left_out_folder(name)) is not None:
                strays.append(": ".join(left_out))
            elif is_archive_name(base):
                archives[name] = RangedArchive(name, stored)
            elif day is None:
                strays.append(f"{name}: {stray_name_reason(base, self._reading)}")
            else:
                files.append(stored.day_file(name, day))
        if not (files or archives or strays):
            strays.append(
                f"{self.location}: no object lies below this prefix; expected YYYY-MM-DD.csv files or zip archives, or"
                " the whole key of one such object"
            )
        return self._cache.combined(self.location, archives.values(), files, list(dict.fromkeys(strays)))


class _Object:
    """One object, in the version that was listed; without one, in that which is there when it is asked for."""

    def __init__(self, client: "_Client", key: str, listed: State | None = None) -> None:
        self._client = client
        self._key = key
        self._listed = listed

    def state(self) -> State:
        return self._listed or self._client.head(self._key)

    def fetch(self, start: int, end: int, expected: State) -> bytes:
        if min(end, expected.size) <= start:
            return b""
        return self._client.read(self._key, start, min(end, expected.size), expected)

    def content(self) -> bytes:
        """All of it. SourceError where it cannot be had, or is larger than a day may be."""
        state = self.state()
        if state.size > MAX_DAY_BYTES:
            place = self._client.place(self._key)
            raise SourceError(f"{place}: {state.size:,} bytes are more than the {MAX_DAY_BYTES:,} a day may have.")
        return self.fetch(0, state.size, state)

    def day_file(self, name: str, day: date) -> DataFile:
        """The file of a day that it is."""
        state = self.state()
        listed = SourceDay(day, f"{state.size:x}-{state.mark}", name, state.size)
        return DataFile(listed, lambda: zlib.crc32(self.content()), self.content)


class _Client:
    """Requests to one bucket, repeated after failures that may pass."""

    def __init__(self, bucket: str, patience: Patience, make_client: S3ClientMaker) -> None:
        if find_spec("boto3") is None:  # not imported: sources are opened in every process, most read nothing
            raise SourceError(f"s3://{bucket}: reading from S3 needs boto3; install it: pip install 'ae_assets[aws]'")
        self.bucket = bucket
        self._patience = patience
        self._make_client = make_client

    def __getstate__(self) -> dict[str, Any]:
        """Sent to another process, it connects there."""
        return {name: value for name, value in vars(self).items() if name != "_s3"}

    @cached_property
    def _s3(self) -> Any:
        from botocore.config import Config

        silence = self._patience.timeout_seconds
        # Attempts are counted here, so that a body that breaks off is continued and not fetched from the start.
        settings = {"connect_timeout": silence, "read_timeout": silence, "retries": {"total_max_attempts": 1}}
        client = self._make_client(Config(**settings))
        if not client.meta.endpoint_url.split("/")[2].endswith((".amazonaws.com", ".amazonaws.com.cn")):
            client = self._make_client(Config(**settings, s3={"addressing_style": "path"}))
        return client

    def objects(self, prefix: str) -> Iterator[tuple[str, State]]:
        """Key and version of each object below a prefix, in the order of the keys.

        Raises:
            SourceError: the bucket cannot be listed, or holds too many objects there.
        """
        place, token, seen = self.place(prefix), dict[str, str](), 0
        while True:
            page = self._patiently(place, partial(self._call, "list_objects_v2", Prefix=prefix, **token))
            entries = page.get("Contents", [])
            for entry in entries:
                if not {"Key", "Size", "ETag"} <= entry.keys():
                    raise SourceError(f"{place}: the server lists objects without size or ETag.")
                yield entry["Key"], State(entry["Size"], entry["ETag"].strip('"'))
            seen += max(100, len(entries))  # a server that sends empty pages without end is left, too
            if seen > MOST_OBJECTS:
                raise SourceError(
                    f"{place}: more than {MOST_OBJECTS:,} objects, which take too long to list at every look. Name the"
                    " prefix below which the days of this table lie."
                )
            if not page.get("IsTruncated"):
                return
            if not page.get("NextContinuationToken"):
                raise SourceError(f"{place}: the server's list of objects breaks off. Try again later.")
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def head(self, key: str) -> State:
        """The version of an object that is there now."""
        place = self.place(key)
        answer = self._patiently(place, partial(self._call, "head_object", Key=key))
        if not {"ContentLength", "ETag"} <= answer.keys():
            raise SourceError(f"{place}: the server tells neither its size nor an ETag.")
        return State(answer["ContentLength"], answer["ETag"].strip('"'))

    def read(self, key: str, start: int, end: int, expected: State) -> bytes:
        """Bytes [start, end) of a version of an object; what a broken connection brought is kept."""
        received = bytearray()

        def attempt() -> None:
            span = f"bytes={start + len(received)}-{end - 1}"
            with self._call("get_object", Key=key, IfMatch=f'"{expected.mark}"', Range=span)["Body"] as body:
                while block := body.read(min(_BLOCK, end - start - len(received) + 1)):
                    received.extend(block)

        place = self.place(key)
        self._patiently(place, attempt, lambda: len(received))
        if len(received) != end - start:
            raise SourceError(f"{place}: asked for {end - start:,} bytes, the server sent {len(received):,}.")
        return bytes(received)

    def place(self, key: str) -> str:
        """What messages call an object or a prefix."""
        return printable(f"s3://{self.bucket}/{key}")

    def _call(self, operation: str, **arguments: Any) -> Any:
        return getattr(self._s3, operation)(Bucket=self.bucket, **arguments)

    def _patiently(
        self, place: str, attempt: Callable[[], _Result], progress: Callable[[], int] = lambda: 0
    ) -> _Result:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
        from urllib3.exceptions import HTTPError

        def explained() -> _Result:
            try:
                return attempt()
            except (NoCredentialsError, PartialCredentialsError) as missing:
                raise SourceError(
                    f"{place}: there are no complete AWS credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,"
                    " AWS_PROFILE, or give the machine a role."
                ) from missing
            except ClientError as answer:
                status = answer.response["ResponseMetadata"]["HTTPStatusCode"]
                problem = f"{status} {answer.response['Error'].get('Code', '')}"
                if status not in TRANSIENT_STATUS:
                    raise SourceError(_refusal(place, status, problem)) from answer
                raise TransientError(problem) from answer
            except (BotoCoreError, HTTPError, OSError, ValueError) as failure:  # ValueError: a number that is none
                raise TransientError(printable(str(failure)) or type(failure).__name__) from failure

        return self._patience.ask(place, explained, "AWS_ENDPOINT_URL_S3, AWS_REGION", progress)


def _refusal(place: str, status: int, problem: str) -> str:
    advice = {
        301: "The bucket is in another region: set AWS_REGION.",
        400: "Check AWS_REGION and the credentials.",
        403: "Check the credentials and their rights: s3:ListBucket on the bucket, s3:GetObject on its objects.",
        404: "Check the bucket and the key; what was listed may be gone: list the source again.",
        412: "The object was replaced since it was listed: list the source again and read what it lists.",
        416: "The object has shrunk since it was listed: list the source again.",
    }.get(status, "Check the location.")
    return f"{place}: the server answers {problem}. {advice}"
