"""How catalogs' servers and S3 are waited for: timeouts and tries that pyiceberg leaves open, where nothing is set."""

from collections.abc import Mapping

import requests
from pyarrow.fs import AwsStandardS3RetryStrategy
from pyiceberg.exceptions import ServerError, ServiceUnavailableError, TooManyRequestsError
from sqlalchemy.engine import make_url

S3_DEFAULTS = {
    # The SDK calls a connection dead after 1 and a transfer after 3 seconds, and gives up after 3 tries in 2 seconds.
    "s3.connect-timeout": "5",
    "s3.request-timeout": "6",
    "s3.retry-strategy-impl": "ae_assets.lakehouse.servers.PatientS3Retries",
}
_S3_TRIES = 6
_POSTGRES = {
    "connect_timeout": "10",
    # A server that vanished without a word is noticed after a minute and not after two hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_POSTGRES_DRIVERS = {"postgresql+psycopg2", "postgresql+psycopg", "postgresql"}
_REST_IMPLEMENTATION = "ae_assets.lakehouse.rest.RestCatalogWithTimeouts"


AWAY = (
    ServerError,  # of a REST catalog, also where two make a namespace at once
    ServiceUnavailableError,
    TooManyRequestsError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,  # an answer that broke off
)
"""What a REST catalog's server that is away, busy or silent looks like."""


class PatientS3Retries(AwsStandardS3RetryStrategy):  # type: ignore[misc] # pyarrow has no types
    """Six tries with pauses that double, 16 seconds together on average: a busy or restarting server needs them."""

    def __init__(self) -> None:
        super().__init__(max_attempts=_S3_TRIES)


def with_patience(properties: Mapping[str, str]) -> dict[str, str]:
    """The settings of a catalog, with timeouts and tries where they name none."""
    completed = {**S3_DEFAULTS, **properties}
    uri, kind = completed.get("uri", ""), completed.get("type", "").lower()
    if "py-catalog-impl" not in completed and (kind == "rest" or (not kind and uri.startswith("http"))):
        completed.pop("type", None)
        completed["py-catalog-impl"] = _REST_IMPLEMENTATION
    if uri.split("://")[0] in _POSTGRES_DRIVERS:
        url = make_url(uri)
        timeouts = {name: value for name, value in _POSTGRES.items() if name not in url.query}
        completed["uri"] = url.update_query_dict(timeouts).render_as_string(hide_password=False)
    return completed
