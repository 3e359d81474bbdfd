"""Resources: the home that holds the embedded lakehouse, the model store and the Dagster instance."""

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from datetime import date
from functools import cache, cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import dagster as dg
import polars as pl
from pydantic import Field

from ae_assets.chain.workspace import STREAM, Workspace
from ae_assets.lakehouse import Lakehouse
from ae_assets.lakehouse.registry import ModelRegistry, open_registry, open_run_log
from ae_assets.lakehouse.run_log import RunLog
from ae_assets.model.definition import SourceSection, WatchedTable
from ae_assets.pipeline.home import home_folder, keep_compiled
from ae_assets.pipeline.launcher import LocalRunLauncher
from ae_assets.pipeline.partitions import periods_of
from ae_assets.pipeline.s3 import VARIABLE, ClientMaker, file_properties, s3_of_environment
from ae_assets.progress import ProgressSink, silent
from ae_assets.sources import Source, open_source

_HANDED_OVER: ContextVar[tuple[SourceSection, Source] | None] = ContextVar("handed_over", default=None)


def lakehouse_of_environment() -> "LakehouseResource":
    """The lakehouse that the environment names: the home of ``AE_ASSETS_HOME``, S3 by ``AE_ASSETS_S3_...``."""
    return LakehouseResource(home=str(home_folder()), s3=s3_of_environment())


@contextmanager
def handing_over(table: WatchedTable, source: Source) -> Generator[None]:
    """Runs of this process read a source that is open and listed already, in place of opening the table's again."""
    token = _HANDED_OVER.set((table.source, source))
    try:
        yield
    finally:
        _HANDED_OVER.reset(token)


class LakehouseResource(dg.ConfigurableResource["LakehouseResource"]):
    """Opens the tables and the model store of a home, or of the catalog that pyiceberg is configured with."""

    home: str = Field(description="Folder of the embedded catalog, warehouse and models.")
    catalog: dict[str, str] = Field(
        default_factory=dict,
        description="pyiceberg catalog properties; empty: its own configuration, else SQLite in home.",
    )

    s3: dg.ResourceDependency[Any] = Field(
        default=cast("Any", None),
        description="An S3Resource of dagster-aws: region, endpoint, profile and credentials of sources on S3 and, "
        "where their own settings name none, of tables and models there; empty: those of the AWS chain.",
    )

    models_location: str | None = Field(
        default=None,
        description="Where the models are, e.g. s3://bucket/models for several machines, or mlflow; empty: "
        "AE_ASSETS_MODELS, else in home.",
    )

    @cached_property
    def tables(self) -> Lakehouse:
        return Lakehouse.open(Path(self.home), self.catalog or None, file_properties(self.s3))

    @cached_property
    def models(self) -> ModelRegistry:
        return open_registry(Path(self.home), self.models_named, file_properties(self.s3))

    @cached_property
    def run_log(self) -> RunLog:
        return open_run_log(Path(self.home), self.models_named)

    @property
    def models_named(self) -> str | None:
        """Where the models are, if anything says so."""
        return self.models_location or os.environ.get("AE_ASSETS_MODELS") or None

    def source_of(self, table: WatchedTable, *, remembering: bool = True) -> Source:
        """The source of a table: what its files hold is remembered in the home, S3 is asked as the resource says."""
        handed_over = _HANDED_OVER.get()
        if handed_over is not None and handed_over[0] == table.source:
            return handed_over[1]
        memory = Path(self.home) / "fingerprints" if remembering else None
        landed = partial(self.tables.iceberg, f"{table.table}.{STREAM}")
        return open_source(table.source.location, table.reading, memory, self.s3_client, landed)

    def workspace(self, table: WatchedTable, progress: ProgressSink = silent) -> Workspace:
        return Workspace(table, self.tables, self.models, progress, self.run_log)

    @property
    def s3_client(self) -> Callable[[Any], Any] | None:
        """Makes the clients of sources on S3, as the resource says; None: the AWS chain does."""
        return None if self.s3 is None else ClientMaker(self.s3)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator["LakehouseResource"]:
        """The resource; a run that uses it shows meanwhile that its process lives, if the launcher wants to know."""
        keep_compiled(Path(self.home))
        run = context.run
        launcher = context.instance.run_launcher if context.instance and run else None
        alive = launcher.alive(run.run_id) if run and isinstance(launcher, LocalRunLauncher) else nullcontext()
        with alive, super().yield_for_execution(context) as opened:
            yield opened


class DayTableIOManager(dg.ConfigurableIOManager):
    """Lets a team's own assets take a table of the chain as a Polars frame, and write such frames of their own.

    Input and output are frames of the periods of the run's partitions, with a ``day`` column that names the period; a
    dictionary by period is accepted as output, and is the way to write several.
    """

    lakehouse: dg.ResourceDependency[LakehouseResource]

    def handle_output(self, context: dg.OutputContext, obj: pl.DataFrame | Mapping[date, pl.DataFrame]) -> None:
        periods = periods_of(context.asset_partitions_def)
        days = [periods.parse(key) for key in context.asset_partition_keys]
        if isinstance(obj, pl.DataFrame):
            frames = {day: obj.filter(pl.col("day") == day) for day in days}
            strays = obj.height - sum(frame.height for frame in frames.values())
            if strays:
                name = context.asset_key.to_user_string()
                first, last = periods.key(days[0]), periods.key(days[-1])
                raise dg.Failure(f"{strays} rows of {name} lie outside the run's {periods.plural} {first} to {last}")
        else:
            frames = dict(obj)
        with self.lakehouse.tables.writer(_table_name(context.asset_key), periods) as writer:
            for day, frame in frames.items():
                writer.write(day, frame)

    def load_input(self, context: dg.InputContext) -> pl.DataFrame:
        """Reads the upstream asset's periods, or the whole table where it is asked without partitions."""
        table = _table_name(context.asset_key)
        if context.has_asset_partitions:
            days = [periods_of(context.asset_partitions_def).parse(key) for key in context.asset_partition_keys]
        else:
            days = sorted(self.lakehouse.tables.day_rows(table))
        return self.lakehouse.tables.read(table, min(days), max(days)).filter(pl.col("day").is_in(days))


def default_resources() -> Mapping[str, Any]:
    """What the assets of a table need, as the environment says: the same objects for all tables, as Dagster asks."""
    return _resources(home_folder(), tuple(sorted(item for item in os.environ.items() if item[0].startswith(VARIABLE))))


@cache
def _resources(home: Path, s3_settings: tuple[tuple[str, str], ...]) -> Mapping[str, Any]:
    del home, s3_settings  # another environment has another lakehouse
    lakehouse = lakehouse_of_environment()
    return MappingProxyType({"lakehouse": lakehouse, "day_tables": DayTableIOManager(lakehouse=lakehouse)})


def _table_name(key: dg.AssetKey) -> str:
    return ".".join(key.path)
