"""``demo``: the whole chain on the default source, from nothing to the day's alarms and what became of them."""

from datetime import date, timedelta

import polars as pl

from ae_assets.cli.chain_run import RUN_FAILED, open_ui_hint, run_chain
from ae_assets.cli.instance import open_chain, prepare_home
from ae_assets.cli.screen import console, print_table
from ae_assets.errors import ConfigError
from ae_assets.lakehouse import Lakehouse
from ae_assets.pipeline.table import WatchedTable
from ae_assets.sources import open_source

TABLE = "drive_stats"
TRAINING_DAYS = 60
FOLLOWED_DAYS = 30


def run_demo() -> int:
    """Runs the chain over the days of the default source; the alarms shown are of a day whose outcome is known.

    Returns:
        The exit code.
    """
    home = prepare_home()
    tables = Lakehouse.open(home, None)
    if tables.day_rows(f"{TABLE}.raw"):
        raise ConfigError(f"the demo wants a fresh home and {home} holds drive stats already; set AE_ASSETS_HOME to a new folder")
    with open_chain(TABLE) as chain:
        table = chain.definition
        source = open_source(table.source.location)
        listed = sorted(source.days())
        first, last = listed[0], listed[-1]
        what = "a SIMULATED fleet" if source.simulated else "real drives"
        console.print(f"{source.location}: {what}, {len(listed)} days from {first} to {last}", markup=False, soft_wrap=True)
        training = (first, min(last, first + timedelta(days=TRAINING_DAYS - 1)))
        code = run_chain(chain, (first, last), training, retrain=False)
    if code == RUN_FAILED:
        return code
    _show_outcome(tables, table, last - timedelta(days=FOLLOWED_DAYS), last, simulated=source.simulated)
    console.print("\nOpen the UI on the same home, from the project's folder:", markup=False, soft_wrap=True)
    console.print(f"  {open_ui_hint(home)}", markup=False, soft_wrap=True)
    return 0


def _show_outcome(tables: Lakehouse, table: WatchedTable, day: date, last: date, *, simulated: bool) -> None:
    """The alarms of a day, and which of these drives failed in the days after it."""
    name = f"{table.table}.anomalies"
    columns = ["day", "entity", "cohort", "score", "severity", "is_anomaly", "streak_days", "top_features", "label"]
    rows = tables.read(name, day, last, columns)
    alarms = rows.filter(pl.col("day") == day, "is_anomaly").sort("score", descending=True)
    failed = dict(rows.filter(pl.col("label") == 1, pl.col("day") > day).select("entity", "day").iter_rows())
    drives = rows.filter(pl.col("day") == day).height
    kind = "simulated drives" if simulated else "drives"
    shown = [
        (
            alarm["entity"],
            alarm["cohort"],
            f"{alarm['score']:.3g}",
            f"{alarm['severity']:.1e}",
            str(alarm["streak_days"]),
            ", ".join(feature["name"] for feature in alarm["top_features"][:2]),
            f"failed {failed[alarm['entity']]}" if alarm["entity"] in failed else "did not fail",
        )
        for alarm in alarms.head(20).iter_rows(named=True)
    ]
    console.print()
    print_table(
        f"Alarms of {day}: {alarms.height} of {drives:,} {kind}",
        ("drive", "model", "score", "severity", "days", "because of", f"until {last}"),
        shown,
        right=(2, 3, 4),
    )
    hits = sum(alarm in failed for alarm in alarms["entity"])
    console.print(
        f"{len(failed)} {kind} failed in the {(last - day).days} days after it; {hits} of them were flagged on {day}.",
        markup=False, soft_wrap=True,
    )
