"""What the chain asks of a place for versions of models, and which place the settings name."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from ae_assets.lakehouse.models import ModelStore
from ae_assets.lakehouse.on_mlflow.server import Server, is_in_use, is_mlflow
from ae_assets.lakehouse.run_log import NoRunLog, RunLog


class ModelRegistry(Protocol):
    """Versions of the model of each watched table, their thresholds, and which of them is the champion.

    What each call promises is told by `ModelStore`, which keeps folders of files; the other one is `MlflowModels`.
    """

    def new_version(self, table: str, write: Callable[[Path], None], card: Mapping[str, Any]) -> str:
        """Adds a version; it is seen once complete."""

    def versions(self, table: str) -> list[str]:
        """Complete versions, oldest first."""

    def path(self, table: str, version: str) -> Path:
        """A local folder with the files of a version, which are those that were written."""

    def card(self, table: str, version: str) -> dict[str, Any]:
        """Its model card."""

    def promote(self, table: str, version: str) -> None:
        """Makes it the champion, in one step."""

    def champion(self, table: str) -> str | None:
        """The version in use."""

    def write_threshold(self, table: str, version: str, text: str) -> None:
        """Stores the threshold of a version in place of any earlier one."""

    def read_threshold(self, table: str, version: str) -> str:
        """The threshold of a version, as JSON."""

    def remove_incomplete(self, table: str, keep: timedelta) -> tuple[int, int]:
        """Removes what killed processes left: how many files, and their bytes."""


def open_registry(
    home: Path, location: str | None = None, file_properties: Mapping[str, str] | None = None
) -> ModelRegistry:
    """The place for models that a location names: ``mlflow``, ``mlflow+URI``, or files, as `ModelStore.open` has them.

    Raises:
        ModelError: the location cannot be opened, or holds credentials.
    """
    if location is None or not is_mlflow(location):
        return ModelStore.open(home, location, file_properties)
    from ae_assets.lakehouse.on_mlflow.models import MlflowModels

    return MlflowModels(Server.of(location, home))


def open_run_log(home: Path, location: str | None = None) -> RunLog:
    """Where runs are logged: in MLflow, where models are kept there or MLFLOW_TRACKING_URI is set.

    Raises:
        ModelError: the location of models holds credentials.
    """
    kept_there = location is not None and is_mlflow(location)
    if not kept_there and not is_in_use():
        return NoRunLog()
    from ae_assets.lakehouse.on_mlflow.runs import MlflowRuns

    return MlflowRuns(Server.of(location if kept_there and location else "mlflow", home), required=kept_there)
