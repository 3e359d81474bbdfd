"""Where MLflow is, how it is spoken to, and how what it refuses reads."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ae_assets.errors import ModelError

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI = "MLFLOW_TRACKING_URI"
INSTALL = "MLflow is an optional package, and this environment lacks it: pip install 'ae_assets[mlflow]'"
_EXPECTED = f"mlflow, with {URI} set, or mlflow+URI, e.g. mlflow+https://mlflow.example.com"
_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Pauses double from two seconds: half a minute, for a restart; its own seven tries take four minutes. A sensor
    # that asks for the champion is given one.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""Settings of MLflow that hold where the environment has none."""


def is_mlflow(location: str) -> bool:
    """Whether a location of models is one of MLflow."""
    return location == "mlflow" or location.startswith("mlflow+")


def is_in_use() -> bool:
    """Whether the environment names an MLflow."""
    return bool(os.environ.get(URI))


@dataclass(frozen=True)
class Server:
    """An MLflow: a server, or a database that stands in for one.

    Attributes:
        uri: as MLflow takes it.
        home: where files go that have no place of their own: downloads, what could not be sent, and the artifacts of a
            database without a server.
    """

    uri: str = field(repr=False)  # it may hold a password
    home: Path

    @classmethod
    def of(cls, location: str, home: Path) -> "Server":
        """The one that a location names.

        Raises:
            ModelError: it names none, or holds credentials.
        """
        uri = location.partition("+")[2] if location != "mlflow" else os.environ.get(URI, "")
        if not uri:
            raise ModelError(f"Models are to be kept in MLflow, and nothing says where it is: expected {_EXPECTED}.")
        if location != "mlflow" and "@" in uri.partition("://")[2].partition("/")[0]:
            raise ModelError(
                "The address of MLflow holds credentials, which would be seen wherever it is named: expected "
                "mlflow+scheme://host without them; give them to MLflow as MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
            )
        return cls(uri, home)

    @property
    def shown(self) -> str:
        """Where it is, for people."""
        return without_secrets(self.uri)

    def client(self) -> "MlflowClient":
        """What speaks to it.

        Raises:
            ModelError: the package is missing, or MLflow does not know such an address.
        """
        with self.refusals("opening it"):
            return _client(self.uri)

    def experiment(self, table: str) -> str:
        """The number of the experiment of a table, which is made where it is missing.

        It is named after the table, unless MLFLOW_EXPERIMENT_NAME says otherwise.
        """
        from mlflow.exceptions import MlflowException

        client, name = self.client(), os.environ.get("MLFLOW_EXPERIMENT_NAME") or table
        if (found := client.get_experiment_by_name(name)) is not None:
            return str(found.experiment_id)
        served = self.uri.startswith(("http://", "https://", "databricks"))
        # A database without a server would keep files in the folder in which the process happens to run.
        artifacts = None if served else (self.home.absolute() / "mlflow" / name).as_uri()
        try:
            return str(client.create_experiment(name, artifacts))
        except MlflowException:
            # Another process was faster.
            if (found := client.get_experiment_by_name(name)) is not None:
                return str(found.experiment_id)
            raise

    def page_of_run(self, experiment: str, run: str) -> str | None:
        """The page of a run, where the server has pages."""
        if not self.uri.startswith(("http://", "https://")):
            return None
        return f"{self.shown.rstrip('/')}/#/experiments/{experiment}/runs/{run}"

    @contextmanager
    def refusals(self, doing: str) -> Iterator[None]:
        """Turns an error of MLflow into one that says what was done where, without secrets.

        Args:
            doing: what is done, e.g. ``"listing the models of drive_stats"``.
        """
        _import()
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
            reason = without_secrets(str(error)).rstrip(".")
        else:
            return
        # Not from the error of MLflow, whose words a traceback would tell as they are.
        raise ModelError(
            f"MLflow at {self.shown}: {doing} failed: {reason}. Check that it can be reached and lets this user in, "
            "then run it again."
        )


def without_secrets(text: str) -> str:
    """A text without user and password of addresses, and without what the environment has for secrets of MLflow."""
    text = re.sub(r"(?<=://)[^/\s@'\"]*(:[^@\s'\"]*)?@", "", text)
    for name in _SECRETS:
        if secret := os.environ.get(name):
            text = text.replace(secret, "***")
    return text


@cache
def _client(uri: str) -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=os.environ.get("MLFLOW_REGISTRY_URI") or uri)


@cache
def _import() -> None:
    """Imports MLflow with `_DEFAULTS`, some of which it looks at only then."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow  # noqa: F401 - the point
    except ImportError as missing:
        raise ModelError(f"{INSTALL} ({missing})") from missing
    logging.getLogger("mlflow").setLevel(logging.WARNING)
