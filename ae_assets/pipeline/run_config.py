"""What the config of a run may say of the days that a model learns from, and of those that it is judged on."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg
from pydantic import Field

from ae_assets.chain.training_days import default_training_days
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.errors import ConfigError
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.ranges import period_of, range_if_named

if TYPE_CHECKING:
    from ae_assets.chain.model import TrainingRange


class EngineConfig(dg.Config):
    """What makes the rows."""

    engine: Literal["table", "local", "spark"] = Field(
        default="table", description="`local` or `spark`; `table`: the `engine` of the table's YAML."
    )

    def of(self, table: WatchedTable) -> Literal["local", "spark"]:
        """The engine that is asked for."""
        return table.engine if self.engine == "table" else self.engine


class ModelConfig(dg.Config):
    """Which days the model learns from."""

    train_start: str | None = Field(
        default=None,
        description="First training day, YYYY-MM-DD, or hour, YYYY-MM-DDTHH; empty: so that they are `training.days`.",
    )
    train_end: str | None = Field(
        default=None,
        description="Last training day; empty: the latest that leaves room for the embargo and the calibration range "
        "and, where there is a champion, for the days on which the two are compared.",
    )


class CalibrationConfig(dg.Config):
    """Which version gets a threshold, and whether it must prove itself."""

    promote: Literal["if_not_worse", "always"] = Field(
        default="if_not_worse",
        description="`if_not_worse`: the version replaces the champion unless it detects less on the latest labelled "
        "days that neither has seen; where the two cannot be compared it replaces it. `always`: without a comparison.",
    )
    version: str | None = Field(default=None, description="Which model version; empty: the newest.")


class EvaluationConfig(dg.Config):
    """Which days are judged."""

    start: str | None = Field(
        default=None,
        description="First day judged, YYYY-MM-DD, or hour, YYYY-MM-DDTHH, after what the champion has seen; empty: "
        "the latest days that it has scored and not seen are judged, in whole windows where failures are known.",
    )
    end: str | None = Field(default=None, description="Last day judged; named together with `start`.")
    compare: bool = Field(default=True, description="Whether the table's comparisons are fitted and judged beside it.")
    baselines: bool = Field(
        default=False, description="Whether every baseline with default settings is fitted and judged beside it."
    )
    origins: int = Field(
        default=0,
        ge=0,
        description="Rolling origin: how many ranges as long as this one, going back in time, are judged after a fit "
        "of their own, the table's detector included; their figures are pooled. 0: the champion on this range.",
    )


def training_range(space: Workspace, config: ModelConfig) -> "TrainingRange":
    """The periods that a training uses: those configured, else the latest that leave room to calibrate and to judge it.

    Raises:
        ConfigError: when one is badly written, or there are too few features to take the default from.
    """
    from ae_assets.chain.model import TrainingRange

    table, periods = space.table, space.table.periods
    if config.train_end is not None:
        end = period_of(periods, config.train_end, "train_end", last=True)
        start = periods.spanning(end, timedelta(days=table.training.days))
        if table.learned is not None:
            start = min(space.days_with_rows(FEATURES), default=end)
    else:
        planned = default_training_days(space)
        if isinstance(planned, str):
            raise ConfigError(f"{table.table} cannot have a model yet: {planned}")
        start, end = planned
    if config.train_start is not None:
        start = period_of(periods, config.train_start, "train_start")
    return TrainingRange.of(start, end, table.horizon_days, periods, table.learned)


def judged_range(space: Workspace, config: EvaluationConfig) -> tuple[date, date] | str:
    """The periods that an evaluation judges: those configured, else the latest there are, or why there are none.

    Raises:
        ConfigError: they are badly written, in the wrong order, or hold no window.
    """
    from ae_assets.chain.unseen import latest_days, latest_unseen_days

    if space.table.target_kind is None:
        from ae_assets.chain.evaluation import nothing_known

        return nothing_known(space.table)
    days = _configured(space.table, config.start, config.end)
    if days is not None:
        return days
    return latest_days(space) if config.origins else latest_unseen_days(space)


def _configured(table: WatchedTable, start: str | None, end: str | None) -> tuple[date, date] | None:
    days = range_if_named(table.periods, start, end, ("start", "end"))
    if days is not None:
        require_window(table, *days)
    return days


def require_window(table: WatchedTable, first: date, last: date) -> None:
    """Refuses a range that is too short for a false alarm rate.

    Raises:
        ConfigError: it holds no window.
    """
    periods, window = table.periods, table.checks.window_days
    length = periods.end(last) - periods.start(first)
    if length < timedelta(days=window):
        raise ConfigError(
            f"{periods.key(first)} to {periods.key(last)} are {length.days} days, and a false alarm rate needs a "
            f"window of {window} (checks.window_days); judge {window} days or more"
        )


def refusing_before_the_run(table: WatchedTable, op: str) -> dg.ConfigMapping:
    """The config of an evaluation's op, which Dagster reads when a run is asked for: what is wrong begins no run."""

    def checked(config: Mapping[str, Any]) -> dict[str, Any]:
        try:
            _configured(table, config["start"], config["end"])
        except ConfigError as error:
            # Any other error would be told below that a function of Dagster has failed.
            raise dg.DagsterInvalidConfigError(str(error), [], config) from None  # type: ignore[no-untyped-call]
        return {op: {"config": dict(config)}}

    return dg.ConfigMapping(config_fn=checked, config_schema=EvaluationConfig.to_config_schema().as_field())
