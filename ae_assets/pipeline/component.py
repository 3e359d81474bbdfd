"""The Dagster Component that turns the YAML of a watched table into assets, checks, a sensor and jobs."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import dagster as dg
from dagster.components.resolved.errors import ResolutionException
from pydantic import BaseModel, RootModel

from ae_assets.chain.workspace import ANOMALIES, DAILY_INPUT, MAINTENANCE, MODEL, STREAM, THRESHOLD
from ae_assets.errors import ConfigError
from ae_assets.model.definition import WatchedTable
from ae_assets.model.parse import parse_table
from ae_assets.pipeline.assets import build_assets
from ae_assets.pipeline.automation import automation_sensor
from ae_assets.pipeline.checks import build_pooled_checks
from ae_assets.pipeline.choosing import choosing_jobs
from ae_assets.pipeline.daily import RESOURCES
from ae_assets.pipeline.freshness import build_freshness_checks, freshness_sensors
from ae_assets.pipeline.json_schema import table_schema
from ae_assets.pipeline.partitions import partitions_of
from ae_assets.pipeline.repeated_keys import repeated_keys
from ae_assets.pipeline.resources import default_resources
from ae_assets.pipeline.schedules import maintenance_schedules, retraining_schedules
from ae_assets.pipeline.sensors import consume_sensor, landing_sensor

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

DRIVE_STATS = Path(__file__).parent.parent / "defs" / "drive_stats" / "defs.yaml"
"""What a new table begins with."""


class TableAttributes(RootModel[dict[str, Any]]):
    """The YAML's attributes as they stand, with templates; ``parse_table`` validates what they render to."""

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """Keys, descriptions and bounds for editors and ``dg check yaml``; loading does not look at it."""
        return table_schema()


class TableScaffolder(dg.Scaffolder[Any]):
    """Writes the ``defs.yaml`` of drive stats for another table of drives; its location is to be filled in."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        if request.scaffold_format != "yaml":
            raise ConfigError("a watched table is described in YAML; leave out --format python")
        request.target_path.mkdir(parents=True, exist_ok=True)
        (request.target_path / "defs.yaml").write_text(scaffolded(request.target_path.name, request.type_name))


def scaffolded(table: str, type_name: str) -> str:
    """The YAML of a new table: that of drive stats, without what is said of these alone."""
    new = {
        "# Backblaze": "# A watched table: fill in source.location, then `dg check defs`; keys: docs/reference.md\n",
        "type:": f"type: {type_name}\n",
        "  table:": f"  table: {table} # REQUIRED\n",
        "  description:": '  description: "What the table holds."\n',
        "  owners:": "  owners: []\n",
        "    # A simulated fleet": "    # Of other columns `ae-assets new TABLE --from FILE` proposes a YAML.\n",
        "    location:": "    location: FILL_IN # REQUIRED\n",
    }
    lines = DRIVE_STATS.read_text().splitlines(keepends=True)
    return "".join(next((text for key, text in new.items() if line.startswith(key)), line) for line in lines)


@dg.scaffold_with(TableScaffolder)
class AnomalyPipeline(dg.Component):
    """A watched table: raw rows, validated features, a model, its threshold and a table of anomalies by period."""

    yaml_model: ClassVar[type[TableAttributes]] = TableAttributes

    def __init__(self, table: WatchedTable) -> None:
        self.table = table

    @classmethod
    def get_model_cls(cls) -> type[TableAttributes]:
        return cls.yaml_model

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        return dg.ComponentTypeSpec(
            description="Watches a table of periodic device records and says each hour, day or week which devices "
            "behave abnormally.",
            produces=["asset", "asset_check", "sensor", "schedule", "job"],
        )

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "AnomalyPipeline":
        """Renders the templates and validates the result.

        Returns:
            The table; or what stands for one whose ``only_with`` is not set.

        Raises:
            ConfigError: naming file, key, what was received and what is allowed.
        """
        where = _file_name(context)
        _refuse_repeated_keys(Path(where))
        raw = attributes.root if isinstance(attributes, TableAttributes) else {}
        if (variable := raw.get("only_with")) and isinstance(variable, str) and not os.environ.get(variable):
            return TableLeftOut(str(raw.get("table")), variable)
        try:
            rendered = context.resolution_context.resolve_value(raw)
        except ResolutionException as error:
            raise ConfigError(f"{where}: a template could not be rendered: {error}") from None
        return cls(_with_files_beside(parse_table(rendered, where, dict(_lines(context))), Path(where).parent))

    def resources(self) -> Mapping[str, Any]:
        """What the table's assets need where the project does not bring it: the lakehouse of ``AE_ASSETS_HOME``.

        A module of the project's folder of definitions may bring a resource ``lakehouse`` instead; a project that
        merges one in elsewhere makes a subclass that gives none.
        """
        return default_resources()

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        table = self.table
        partitions = partitions_of(table)
        daily = _job(
            table,
            table.partitions,
            (*DAILY_INPUT, ANOMALIES),
            f"The job to begin with: {table.periods.one} or a range of them of {table.table}, from raw to "
            "anomalies. Without a model it makes the features and fails at the anomalies: "
            f"then run {table.table}_retrain, and these {table.periods.plural} again.",
        )
        retrain = _job(
            table,
            "retrain",
            (MODEL, THRESHOLD),
            f"A new model of {table.table} with its threshold; it becomes the champion if training "
            "converged and it is not found worse than the champion in use.",
        )
        maintain = _job(
            table,
            "maintenance",
            (MAINTENANCE,),
            f"Keeps the tables of {table.table} small: few files, few old states, none that nothing names.",
        )
        landing = [landing_sensor(table, partitions, daily)]
        jobs = [daily, retrain, maintain]
        if table.is_of_a_topic:
            consume = _job(table, "consume", (STREAM,), f"Lands what the topic of {table.table} holds.")
            jobs.append(consume)
            landing.append(consume_sensor(table, consume))
        return dg.Definitions(
            assets=build_assets(table, partitions),
            asset_checks=[build_pooled_checks(table), *build_freshness_checks(table)],
            jobs=[*jobs, *choosing_jobs(table)],
            sensors=[*landing, automation_sensor(table), *freshness_sensors(table)],
            schedules=[*retraining_schedules(table, retrain), *maintenance_schedules(table, maintain)],
            resources={**RESOURCES, **_not_brought(self.resources(), context)},
        )


def _job(table: WatchedTable, name: str, assets: Sequence[str], description: str) -> "UnresolvedAssetJobDefinition":
    return dg.define_asset_job(
        f"{table.table}_{name}",
        selection=dg.AssetSelection.assets(*([table.table, asset] for asset in assets)),
        description=description,
        executor_def=dg.in_process_executor,
    )


class TableLeftOut(AnomalyPipeline):
    """Stands for a table that is not loaded, since an environment variable is not set."""

    def __init__(self, name: str, variable: str) -> None:
        self.name, self.variable = name, variable

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - Dagster's
        return dg.Definitions()


def _not_brought(resources: Mapping[str, Any], context: dg.ComponentLoadContext | None) -> dict[str, Any]:
    """Those that no Python module of the project's folder of definitions brings; without a project all of them.

    Beside a lakehouse of the project none: the others would look into another one.
    """
    if context is None:
        return dict(resources)
    brought: set[str] = set()
    for path in sorted(context.defs_module_path.rglob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if any(key in text for key in resources):  # Dagster builds each module once, and this asks for it earlier
            brought |= (context.build_defs(path).resources or {}).keys()
    return {} if "lakehouse" in brought else {key: one for key, one in resources.items() if key not in brought}


def _with_files_beside(table: WatchedTable, folder: Path) -> WatchedTable:
    """The table with absolute paths of its mute list and its intervals; in a YAML they may start at its folder."""
    decision, target = table.decision, table.target
    if decision.mute_list is not None:
        decision = decision.model_copy(update={"mute_list": str((folder / decision.mute_list).absolute())})
    if target.file is not None and "://" not in target.file:
        target = target.model_copy(update={"file": str((folder / Path(target.file).expanduser()).absolute())})
    return table.model_copy(update={"decision": decision, "target": target})


def _refuse_repeated_keys(path: Path) -> None:
    repeated = repeated_keys(path.read_text()) if path.is_file() else []
    if repeated:
        lines = [f"  {key.path}: lines {key.first_line} and {key.line}" for key in repeated]
        raise ConfigError(
            f"{path}: keys stand twice, of which only the last would count; keep one of each:\n" + "\n".join(lines)
        )


def _file_name(context: dg.ComponentLoadContext) -> str:
    path = Path(str(context.path))
    return str(path if path.suffix in {".yaml", ".yml"} else path / "defs.yaml")


def _lines(context: dg.ComponentLoadContext) -> Iterator[tuple[tuple[str, ...], int]]:
    """Line of each key below ``attributes``, where Dagster kept the positions."""
    tree = context.resolution_context.source_position_tree
    if tree is None:
        return
    stack: list[tuple[tuple[str, ...], Any]] = [((), tree.children.get("attributes", tree))]
    while stack:
        path, node = stack.pop()
        if path:
            yield path, node.position.start.line
        stack.extend(((*path, str(key)), child) for key, child in node.children.items())
