"""``demo``: the whole chain on the default source, from nothing to the flagged drives and an evaluation."""

import os
from datetime import date
from typing import NamedTuple

import polars as pl

from ae_assets.chain.champion import load_champion
from ae_assets.chain.workspace import ANOMALIES, RAW, Workspace
from ae_assets.cli.chain_run import judge, open_ui_hint, report, run_chain, say_answer
from ae_assets.cli.exit_codes import RUN_FAILED
from ae_assets.cli.instance import Chain, open_chain
from ae_assets.cli.screen import say, say_lines, text_width
from ae_assets.errors import ConfigError
from ae_assets.reports.alarms_text import fitted, folded
from ae_assets.reports.tables import number
from ae_assets.sources import open_source

TABLE = "drive_stats"
SENSOR_TABLES = {
    "water_level": ("WATER_LEVEL_LOCATION", "simulated://?entities=5&days=180&seed=7"),
    "sewer_flow": ("SEWER_FLOW_LOCATION", "simulated://?entities=1&days=98&seed=7&start=2013-04-08"),
}
"""Tables of sensors, each with the variable that says where its files lie, and small invented ones."""
DRIVES_SHOWN = 20


def run_demo() -> int:
    """Runs the chain over all days of the source, trained on their first half, and judges it on those that are left.

    Returns:
        The exit code.

    Raises:
        ConfigError: the home is in use, or the source is too short.
    """
    with open_chain(TABLE) as chain:
        _require_fresh(chain)
        source = chain.source()
        listed = sorted(source.days())
        training = _training_range(chain, listed)
        code = run_chain(chain, (listed[0], listed[-1]), training, retrain=False)
        if code == RUN_FAILED:
            return code
        evaluation = judge(chain, compare="none")
        first = chain.definition.periods.shifted(load_champion(chain.space).seen_until, 1)
        show_followed(followed(chain.space, first, listed[-1]), simulated=source.simulated)
        say("\nIs the model any good?", style="bold")
        say_answer(evaluation)
        say(f"For a comparison with rules and another network: `ae-assets evaluate {TABLE}`")
        code = report(chain, [("evaluation", evaluation)]) or code
        say("\nOpen the UI on the same home:")
        say(f"  {open_ui_hint(chain)}", folded=False)
    return code


def run_tables_demo() -> int:
    """Runs the chain of each table of sensors over all of its periods, of invented series where no files are named.

    Returns:
        The worst exit code.

    Raises:
        ConfigError: the home is in use.
    """
    codes, hint = [], ""
    for table, (variable, location) in SENSOR_TABLES.items():
        os.environ.setdefault(variable, location)
        with open_chain(table) as chain:
            _require_fresh(chain)
            say(f"\n{table}", style="bold")
            listed = sorted(chain.source().days())
            codes.append(run_chain(chain, (listed[0], listed[-1]), None, retrain=False))
            hint = open_ui_hint(chain)
    say("\nOpen the UI on the same home:")
    say(f"  {hint}", folded=False)
    return RUN_FAILED if RUN_FAILED in codes else max(codes)


def _require_fresh(chain: Chain) -> None:
    if chain.space.days_of(RAW):
        raise ConfigError(
            f"the demo wants a fresh home and {chain.home} holds {chain.table} already; "
            "set AE_ASSETS_HOME to a new folder, or use `ae-assets run`"
        )


def _training_range(chain: Chain, listed: list[date]) -> tuple[date, date]:
    """The first half of the days, when the other half goes beyond what the threshold takes."""
    table = chain.definition
    days = table.periods.range(listed[0], listed[-1]) if listed else []
    taken = max(table.calibration.embargo_days + table.calibration.days, table.horizon_days)
    if len(days) // 2 <= taken:
        location = open_source(table.source.location, table.reading).location
        raise ConfigError(
            f"{location} holds {len(days)} days and the demo needs {2 * taken + 2} or more: "
            f"half to train on, {taken} for the threshold, and some to watch"
        )
    return days[0], days[len(days) // 2 - 1]


class Followed(NamedTuple):
    """Drives on days that neither fit nor threshold has seen.

    Attributes:
        first: the first of these days.
        last: the last of them; what happens later is not known.
        drives: drives with a record on these days.
        flagged: a row per drive with an alarm before its failure, if any: entity, flagged_on, alarm_days, failed_on and
            of its highest score: score, reasons; highest score first.
    """

    first: date
    last: date
    drives: int
    flagged: pl.DataFrame


def followed(space: Workspace, first: date, last: date) -> Followed:
    """What the anomaly table says of a range of days, read a day at a time."""
    columns = ["day", "entity", "score", "is_anomaly", "reasons", "label"]
    drives: set[str] = set()
    kept = []
    for _, frame in space.iter_days(ANOMALIES, first, last, columns):
        drives.update(frame["entity"])
        kept.append(frame.filter(pl.col("is_anomaly") | (pl.col("label") == 1)))
    failed_on = pl.col("day").filter(pl.col("label") == 1).min().over("entity")
    flagged = (
        pl.concat(kept)
        .with_columns(failed_on=failed_on)
        .filter("is_anomaly", pl.col("failed_on").is_null() | (pl.col("day") < pl.col("failed_on")))
        .sort("score", descending=True)
        .group_by("entity", maintain_order=True)
        .agg(
            pl.col("score", "reasons", "failed_on").first(),
            pl.col("day").min().alias("flagged_on"),
            pl.len().alias("alarm_days"),
        )
    )
    return Followed(first, last, len(drives), flagged)


def show_followed(seen: Followed, *, simulated: bool) -> None:
    """Prints the flagged drives, and which of them then failed."""
    kind, width, flagged = "simulated drives" if simulated else "drives", text_width(), seen.flagged
    summary = (
        f"From {seen.first} to {seen.last}, {(seen.last - seen.first).days + 1} days that neither the fit nor the "
        f"threshold has seen, {flagged.height} of {seen.drives:,} {kind} are flagged."
    )
    say_lines(["", *folded(summary, width)])
    shown = [
        (
            drive["entity"],
            f"{drive['flagged_on']:%m-%d}",
            str(drive["alarm_days"]),
            number(drive["score"]),
            drive["reasons"][0].partition(", ")[0],
            f"failed {drive['failed_on']:%m-%d}" if drive["failed_on"] else "works",
        )
        for drive in flagged.head(DRIVES_SHOWN).iter_rows(named=True)
    ]
    if shown:
        head = ("drive", "since", "days", "score", "most because of", f"on {seen.last:%m-%d}")
        left = flagged.height - len(shown)
        more = [f"{left:,} more with lower scores are not shown."] if left else []
        came_true = (
            f"{flagged['failed_on'].count()} of the {flagged.height} flagged drives failed; "
            "the latest flags had little time to come true."
        )
        say_lines(["", *fitted([head, *shown], width, shortened=4, right={2, 3}), *more, *folded(came_true, width)])
