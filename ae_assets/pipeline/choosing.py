"""Choosing a detector: jobs that try settings and candidates on a table's own history, and how what came out reads."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from ae_assets.errors import ModelError
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline import metadata
from ae_assets.pipeline.assets import ACCELERATOR, workspace_of
from ae_assets.pipeline.ranges import range_if_named
from ae_assets.pipeline.resources import LakehouseResource

if TYPE_CHECKING:
    from ae_assets.chain.selection import Selected
    from ae_assets.chain.tuning import Tuned
    from ae_assets.chain.workspace import Workspace
    from ae_assets.detectors.config import DetectorConfig
    from ae_assets.evaluation.gain import Gain
    from ae_assets.evaluation.promises import Held

STUDY_FILE = "trials.log"


class SelectConfig(dg.Config):
    """Which days are used."""

    train_start: str | None = Field(
        default=None, description="First day or hour to use; empty: as a model would learn from."
    )
    train_end: str | None = Field(default=None, description="Last day or hour to use; named together with the first.")
    first: int | None = Field(
        default=None,
        description="How many first days or records of each device are used, where the table counts by these.",
    )


class TuneConfig(SelectConfig):
    """Which days are used, and how much is tried."""

    trials: int = Field(default=30, ge=1, description="Trials in all; a run after another goes on with its trials.")
    minutes: float | None = Field(default=None, gt=0, description="No further trial begins after so long.")


def choosing_jobs(table: WatchedTable) -> list[dg.JobDefinition]:
    """`TABLE_select` and `TABLE_tune`, which say what they find in the run and change nothing that is in use."""

    @dg.op(name=f"{table.table}__select", out=dg.Out(dg.Nothing), pool=ACCELERATOR)
    def choose(context: dg.OpExecutionContext, config: SelectConfig, lakehouse: LakehouseResource) -> dg.Output[None]:
        from ae_assets.chain.selection import select

        space = workspace_of(context, table, lakehouse)
        selected = select(
            space,
            _days(space, config),
            lambda one: context.log.info(f"{one.name}: {one.failure or f'fitted in {one.fit_seconds:.1f} s'}"),
            first=config.first,
        )
        heading, *rows = rows_of(selected)
        best = {} if selected.recommended is None else _yaml(selected.recommended.config)
        candidates = {"Candidates": metadata.text_table(heading, rows)}
        return dg.Output(None, metadata={metadata.SUMMARY: selected_in_words(selected), **candidates, **best})

    @dg.op(name=f"{table.table}__tune", out=dg.Out(dg.Nothing), pool=ACCELERATOR)
    def search(context: dg.OpExecutionContext, config: TuneConfig, lakehouse: LakehouseResource) -> dg.Output[None]:
        from ae_assets.chain.tuning import tune

        space = workspace_of(context, table, lakehouse)
        tuned = tune(
            space,
            _days(space, config),
            study_of(Path(lakehouse.home), table.table),
            trials=config.trials,
            seconds=None if config.minutes is None else 60 * config.minutes,
            first=config.first,
            on_trial=lambda one: context.log.info(f"trial {one.number + 1}: {one.figure} {dict(one.changes)}"),
        )
        rows = [[f"{one.number + 1}", f"{one.figure}", f"{dict(one.changes)}"] for one in tuned.tried]
        trials = {"Trials": metadata.text_table(["trial", "figure", "changes"], rows)}
        return dg.Output(None, metadata={metadata.SUMMARY: tuned_in_words(tuned), **trials, **_yaml(tuned.best)})

    @dg.job(
        name=f"{table.table}_select",
        description=f"Which detector is best on {table.table}'s own history, beside the one in use.",
        executor_def=dg.in_process_executor,
    )
    def select_job() -> None:
        choose()

    @dg.job(
        name=f"{table.table}_tune",
        description=f"Other settings of {table.table}'s detector, and whether they are better by more than chance.",
        executor_def=dg.in_process_executor,
    )
    def tune_job() -> None:
        search()

    return [select_job, tune_job]


def study_of(home: Path, table: str) -> Path:
    """Where the trials of a table are kept; its folder is made where missing."""
    folder = home / "tuning" / table
    folder.mkdir(parents=True, exist_ok=True)
    return folder / STUDY_FILE


def _days(space: "Workspace", config: SelectConfig) -> tuple[date, date]:
    names = ("train_start", "train_end")
    return days_to_use(space, range_if_named(space.table.periods, config.train_start, config.train_end, names))


def _yaml(config: "DetectorConfig") -> dict[str, Any]:
    return {"YAML": dg.MetadataValue.md(f"```yaml\n{detector_yaml(config, ())}```")}


def days_to_use(space: "Workspace", named: tuple[date, date] | None) -> tuple[date, date]:
    """The days that are named, else those that a model would learn from.

    Raises:
        ModelError: there are too few of them.
    """
    from ae_assets.chain.training_days import default_training_days

    usual = default_training_days(space) if named is None else named
    if isinstance(usual, str):
        raise ModelError(usual)
    return usual


def detector_yaml(config: "DetectorConfig", told: Sequence[str]) -> str:
    """The section of a table's YAML, with what is told of it as comments above."""
    import yaml

    settings = {"type": config.type} | config.model_dump(mode="json", exclude_defaults=True)
    return "\n".join([*(f"# {line}" for line in told), yaml.safe_dump({"detector": settings}, sort_keys=False)])


def tuned_in_words(tuned: "Tuned") -> str:
    """What came out, and whether it is more than chance."""
    from ae_assets.chain.tuning import AIMS

    measured = AIMS[tuned.aim]
    count = len(tuned.tried)
    if tuned.gain is None:
        return f"Of {count} trials none has a higher {measured} than the YAML's own settings."
    gain = tuned.gain
    told = (
        f"On the last days, which chose nothing, the best of {count} trials reaches {gain.after:.4f} ({measured}), the "
        f"YAML's own settings {gain.before:.4f}: a gain of {gain.difference:+.4f} (95% {gain.low:+.4f} to "
        f"{gain.high:+.4f})"
    )
    if gain.is_beyond_chance:
        return f"{told}, which is more than chance."
    return f"{told}, which lies within chance: the YAML's own settings are as good, as far as these days can tell."


def rows_of(selected: "Selected") -> list[list[str]]:
    """The candidates as rows below a heading, the best on top where they can be ranked."""
    fitted = [one for one in selected.candidates if not one.failure]
    ranked = sorted(fitted, key=lambda one: -(one.gain.after if one.gain is not None else 0))
    measured = (
        ["AP", "gain", "interval", "stable"] if selected.has_labels else ["stable", "agrees", "alarms", "promise"]
    )
    rows = [["detector", *measured, "fit", "score", "stored"]]
    for one in ranked:
        figures = [_share(one.stability), _share(one.agreement), *_promise(one.held)]
        if one.gain is not None:
            gained = ["in use", ""] if one is fitted[0] else [_signed(one.gain), _interval(one.gain)]
            figures = [f"{one.gain.after:.2f}", *gained, _share(one.stability)]
        costs = [f"{one.fit_seconds:.1f} s", f"{one.score_seconds:.1f} s", f"{one.stored_bytes / 1024:,.0f} KiB"]
        rows.append([one.name, *figures, *costs])
    return rows


def _signed(gain: "Gain") -> str:
    return f"{gain.difference:+.2f}"


def _interval(gain: "Gain") -> str:
    return f"{gain.low:+.2f} to {gain.high:+.2f}"


def _promise(held: "Held | None") -> tuple[str, str]:
    """What was observed of what a threshold promises, and whether it was kept."""
    if held is None:
        return "-", "no threshold"
    rate = held.observed
    if rate is None or isinstance(rate, float):
        return "-" if rate is None else f"{rate:.0f} a day", held.kept
    return f"{100 * (rate.value or 0):.1f}% ({100 * rate.low:.1f} to {100 * rate.high:.1f})", held.kept


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def selected_in_words(selected: "Selected") -> str:
    """What came out."""
    own, best = selected.candidates[0], selected.recommended
    if not selected.has_labels:
        return (
            "Nothing is known to have gone wrong with these devices, so nothing says which detector finds more. "
            "stable: how alike a detector ranks the last days after a fit on other days; agrees: how alike it ranks "
            f"them as {own.name}, the table's own. A detector that is not stable is no ground for alarms."
            f"{_promised(own.held)}"
        )
    if best is None or best.gain is None:
        return f"No candidate is better than {own.name}, the table's own, by more than chance."
    gain = best.gain
    return (
        f"{best.name} is better than {own.name}, the table's own, by more than chance: average precision "
        f"{gain.after:.2f} against {gain.before:.2f}, a gain of {_signed(gain)} ({_interval(gain)}, wide enough for "
        "all candidates together)."
    )


def _promised(held: "Held | None") -> str:
    if held is None or held.observed is None:
        return ""
    return (
        f" promise: whether a threshold such as the table's ({held.promise.words}), fitted on the days before, "
        "kept it on the last, all of whose records count as normal; alarms: what it promises, with a 95% interval."
    )
