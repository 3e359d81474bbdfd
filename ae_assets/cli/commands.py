"""The commands and their exit codes; what a command does is in the module that it imports when it runs."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial, wraps
from pathlib import Path
from typing import Any, Literal

import click

from ae_assets.cli.exit_codes import DONE, EXIT_CODES, INTERRUPTED, WRONG_USE
from ae_assets.cli.periods import Moment, When, day_option
from ae_assets.cli.screen import say, say_json, say_lines, shown_progress, text_width
from ae_assets.errors import AeAssetsError, ModelError
from ae_assets.pipeline.ranges import period_of, range_if_named, range_of

EXAMPLE = """\b
Example:
  ae-assets run drive_stats --start 2013-04-10 --end 2013-08-07 \\
      --train-start 2013-04-10 --train-end 2013-06-08
  ae-assets alarms drive_stats
  ae-assets evaluate drive_stats --start 2013-07-09 --end 2013-08-07
  ae-assets export drive_stats anomalies --start 2013-08-01 --end 2013-08-07 \\
      --output alarms.csv
"""


def command(short_help: str, cls: type[click.Command] = click.Command) -> Callable[[Callable[..., int]], click.Command]:
    """Makes a command of a function that gives the exit code; errors that a person can act on have no traceback."""

    def decorated(function: Callable[..., int]) -> click.Command:
        @wraps(function)
        def explaining(*args: Any, **kwargs: Any) -> None:
            try:
                code = function(*args, **kwargs)
            except AeAssetsError as error:
                click.echo(f"error: {error}", err=True)
                code = WRONG_USE
            except KeyboardInterrupt:
                click.echo(
                    "\ninterrupted: days that were committed stay, no day is half written; "
                    "give the same command again to go on",
                    err=True,
                )
                code = INTERRUPTED
            sys.exit(code)

        return main.command(cls=cls, short_help=short_help, epilog=EXIT_CODES)(explaining)

    return decorated


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=f"{EXAMPLE}\n{EXIT_CODES}")
@click.version_option(package_name="ae-assets", prog_name="ae-assets")
@click.option(
    "--project",
    metavar="DIR",
    help="Folder of the Dagster project whose tables are meant; left out: AE_ASSETS_PROJECT, else the project in whose "
    "folder you are, and after it the tables of this package.",
)
def main(project: str | None) -> None:
    """Watches tables of device records and says which devices behave abnormally.

    AE_ASSETS_HOME names the folder for tables, models and runs (default: .ae_assets in the working directory);
    DRIVE_STATS_LOCATION names the source of drive stats (default: a simulated fleet).
    """


@command("Run the chain over a range of time.")
@click.argument("table")
@day_option("--start", "First day or hour to process.")
@day_option("--end", "Last day or hour to process.")
@day_option("--train-start", "First day or hour to train on; with --train-end.", required=False)
@day_option("--train-end", "Last day or hour to train on; with --train-start.", required=False)
@click.option("--retrain", is_flag=True, help="Train again although there is a champion.")
@click.option(
    "--engine",
    type=click.Choice(["local", "spark"]),
    help="What makes raw, features and anomalies; left out: as the YAML says.",
)
def run(
    table: str,
    start: str,
    end: str,
    train_start: str | None,
    train_end: str | None,
    *,
    retrain: bool,
    engine: Literal["local", "spark"] | None,
) -> int:
    """Runs the chain of TABLE over a range of hours, days or weeks: raw, features, model, threshold, anomalies.

    A champion that was trained on the training range given, or any champion where none is given, is used as it is.
    """
    from ae_assets.cli.chain_run import run_chain
    from ae_assets.cli.instance import open_chain

    with open_chain(table) as chain:
        periods = chain.definition.periods
        training = range_if_named(periods, train_start, train_end, ("--train-start", "--train-end"))
        return run_chain(chain, range_of(periods, start, end), training, retrain=retrain, engine=engine)


@command("Judge the champion on days it has not seen.")
@click.argument("table")
@day_option(
    "--start", "First day to judge; with --end. Left out: the latest days that it has not seen.", required=False
)
@day_option("--end", "Last day to judge; with --start.", required=False)
@click.option(
    "--compare",
    type=click.Choice(["none", "table", "all"]),
    default="table",
    show_default=True,
    help="What is fitted and judged on the same split: nothing, the table's comparisons, or these and every baseline.",
)
@click.option(
    "--origins",
    type=click.IntRange(min=1),
    metavar="N",
    help="Judge N ranges as long as this one, going back in time, each after a fit of its own, and pool them.",
)
def evaluate(table: str, start: str | None, end: str | None, *, compare: str, origins: int | None) -> int:
    """Judges the champion of TABLE on days that neither its fit nor its threshold has seen.

    With --origins no champion is needed and none is changed: the table's detector is fitted again before each range,
    on the days that training.days says and after an embargo as long as the horizon.
    """
    from ae_assets.cli.chain_run import judge, report, say_answer
    from ae_assets.cli.instance import open_chain

    with open_chain(table) as chain:
        days = range_if_named(chain.definition.periods, start, end)
        outcome = judge(chain, days, compare=compare, origins=origins or 0)
        say_answer(outcome, tables=True)
        return report(chain, [("evaluation", outcome)])


@command("Write days of an asset to a Parquet or CSV file.")
@click.argument("table")
@click.argument("asset", type=click.Choice(["raw", "features", "quarantine", "anomalies"]))
@day_option("--start", "First day or hour.")
@day_option("--end", "Last day or hour.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="FILE.parquet or FILE.csv"
)
@click.option(
    "--as-of",
    type=Moment(),
    help="The rows as they were at a time, in UTC unless it names a zone; maintenance.keep_days says how far back.",
)
@click.option(
    "--spreadsheet-safe",
    is_flag=True,
    help="In CSV, put an apostrophe before texts that a spreadsheet would run as a formula (=, +, -, @).",
)
def export(
    table: str, asset: str, start: str, end: str, output: Path, as_of: datetime | None, *, spreadsheet_safe: bool
) -> int:
    """Writes hours, days or weeks of one of TABLE's assets to a file; in CSV, nested columns are JSON.

    Texts are written as they came from the source. For people who open the file in a spreadsheet, which would run those
    that begin like a formula, there is --spreadsheet-safe.
    """
    from ae_assets.cli.export import export_days
    from ae_assets.cli.instance import open_workspace

    space = open_workspace(table)
    periods = space.table.periods
    days = range_of(periods, start, end)
    rows, count = export_days(space, asset, days, output, as_of, spreadsheet_safe=spreadsheet_safe)
    click.echo(f"{output}: {rows:,} rows of {count} {periods.plural} of {table}/{asset}")
    return DONE


@command("Write what a table's source holds to CSV files.")
@click.argument("table")
@day_option("--start", "First day or hour.")
@day_option("--end", "Last day or hour.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="A folder.")
def export_source(table: str, start: str, end: str, output: Path) -> int:
    """Writes hours, days or weeks of TABLE's source to CSV files, one for each, which a table reads as any others.

    Nothing of it goes through the tables of the home, and no row is judged.
    """
    from ae_assets.cli.export_source import export_source as exported
    from ae_assets.cli.instance import open_chain

    with open_chain(table) as chain, shown_progress("export"):
        definition = chain.definition
        days = definition.periods.range(*range_of(definition.periods, start, end))
        rows, count = exported(chain.source(), definition.reading, days, output)
    absent = f"; the source lacks {len(days) - count:,} of the {len(days):,}" if count < len(days) else ""
    click.echo(f"{output}: {rows:,} rows of {count:,} {definition.periods.plural}{absent}")
    return DONE


@command("Land the records of a topic of Kafka.")
@click.argument("table")
@click.option("--until-end", is_flag=True, help="Land what the topic holds now, and end.")
@click.option(
    "--group", metavar="NAME", help="Consumers of one group share the topic; left out: ae_assets-TABLE.", default=None
)
@click.option("--listen", metavar="[HOST:]PORT", help="Tell /health, /ready and /metrics (Prometheus) there.")
def consume(table: str, group: str | None, listen: str | None, *, until_end: bool) -> int:
    """Lands the records of TABLE's topic in its home, each once, until it is stopped by Ctrl-C or SIGTERM.

    Their periods are then there for the table's assets, as files would be. What is no record of the table is kept with
    the reason in TABLE.dead_letters.
    """
    from ae_assets.cli.instance import open_chain
    from ae_assets.cli.stream import consumed

    with open_chain(table) as chain, shown_progress("consume"):
        for line in consumed(chain, group or f"ae_assets-{table}", listen, until_end=until_end):
            click.echo(line)
    return DONE


@command("Send what a table's source holds to a topic of Kafka.")
@click.argument("table")
@day_option("--start", "First day or hour.")
@day_option("--end", "Last day or hour.")
@click.option("--to", "location", metavar="kafka://HOST:PORT/TOPIC", required=True, help="Made where it is missing.")
def produce(table: str, start: str, end: str, location: str) -> int:
    """Sends hours, days or weeks of TABLE's source to a topic, as JSON keyed by the device.

    The records of one of them come into view together or not at all.
    """
    from ae_assets.cli.instance import open_chain
    from ae_assets.cli.stream import produced

    with open_chain(table) as chain, shown_progress("produce"):
        click.echo(produced(chain, range_of(chain.definition.periods, start, end), location))
    return DONE


@command("List the devices that a day asks to look at.")
@click.argument("table")
@click.argument("day", type=When(), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, and nothing else.")
def alarms(table: str, day: str | None, *, as_json: bool) -> int:
    """Lists the devices of TABLE with an open episode on DAY, the newest where it is left out.

    DAY is a day, an hour of a table with hourly partitions, or any day of a week.

    Each with the day since which its episode is open, its score, how rare such a score was in calibration, and why.
    """
    from ae_assets.chain.anomaly_day import stored_day
    from ae_assets.cli.instance import open_workspace
    from ae_assets.reports.alarms_text import day_text

    space = open_workspace(table)
    asked = None if day is None else period_of(space.table.periods, day, "DAY")
    record = stored_day(space, asked)
    if as_json:
        say_json(record)
    else:
        say_lines(day_text(record, text_width()))
    return DONE


@command("Show one device: scores, episodes, reasons, what moved.")
@click.argument("table")
@click.argument("entity")
@click.option(
    "--days",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    help="How many days to tell, up to the newest one or the last on which the device was seen.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, and nothing else.")
def show(table: str, entity: str, days: int, *, as_json: bool) -> int:
    """Shows what is known of ENTITY, a device of TABLE.

    When it was seen and whether it failed; its scores, episodes and reasons; whether it is judged and muted; which of
    its attributes moved.
    """
    from ae_assets.chain.entity_history import entity_history
    from ae_assets.cli.instance import open_workspace
    from ae_assets.reports.alarms_text import history_text

    history = entity_history(open_workspace(table), entity, days)
    if as_json:
        say_json(history)
    else:
        say_lines(history_text(history, text_width()))
    return DONE


@command("Choose the threshold again by the YAML, without training.")
@click.argument("table")
@click.option("--version", metavar="VERSION", help="Which model version; left out: the champion, else the newest.")
@click.option(
    "--promote",
    type=click.Choice(["if_not_worse", "always"]),
    default="if_not_worse",
    show_default=True,
    help="Whether another version than the champion must be no worse than it to take its place.",
)
def calibrate(table: str, version: str | None, promote: str) -> int:
    """Chooses the threshold of a version of TABLE's model again, by the policy and the days that the YAML says now.

    Days that are scored from then on are held against the new cut; those before keep theirs until they are made again.
    """
    from ae_assets.chain.settings import require_settings
    from ae_assets.cli.chain_run import print_facts, report
    from ae_assets.cli.instance import open_chain

    with open_chain(table) as chain:
        models = chain.space.models
        chosen = version or models.champion(table) or next(reversed(models.versions(table)), None)
        if chosen is None:
            raise ModelError(
                f"{table} has no model yet, so there is no threshold to choose; train one: "
                f"`ae-assets run {table} --start DAY --end DAY`"
            )
        require_settings(chain.space, chosen)
        with shown_progress("threshold"):
            outcome = chain.run(("threshold",), None, {"threshold": {"version": chosen, "promote": promote}})
        print_facts([outcome])
        if outcome.success:
            say(
                f"Days scored before keep their threshold; to hold them against the new one: "
                f"`ae-assets run {table} --start DAY --end DAY`"
            )
        return report(chain, [("threshold", outcome)])


@command("Put a model version into use by hand.")
@click.argument("table")
@click.argument("version")
def promote(table: str, version: str) -> int:
    """Makes VERSION of TABLE's model the champion, without a comparison.

    It must have a threshold. Days that are materialised from now on are scored by it; those before keep their scores.
    """
    import dagster as dg

    from ae_assets.chain.champion import load_version
    from ae_assets.chain.logged_facts import promoted_by_hand
    from ae_assets.cli.instance import open_chain

    with open_chain(table) as chain:
        before = chain.space.models.champion(table)
        if before == version:
            raise ModelError(f"{version} is the champion of {table} already; name another version")
        load_version(chain.space, version)
        chain.space.models.promote(table, version)
        said = f"{version} replaces {before or 'no version'} as the champion of {table}, by hand"
        logged = chain.space.run_log.add(chain.space.models.card(table, version), partial(promoted_by_hand, said))
        chain.instance.report_runless_asset_event(
            dg.AssetObservation(
                dg.AssetKey([table, "threshold"]),
                description=said,
                metadata={"Champion": version, "Champion before": before or "none", "Verdict": "promoted by hand"},
            )
        )
    click.echo(said)
    if logged is not None and logged.problem is not None:
        say(f"Not logged in MLflow: {logged.problem}")
    return DONE


@command("Rebuild published headlines on own data, beside honest figures.")
@click.argument("table")
@day_option("--start", "First of the three days to fit on; left out: the first with features.", required=False)
def reproduce(table: str, start: str | None) -> int:
    """Rebuilds the constructions behind published headlines, such as 7 of 7 failures without a false alarm, on TABLE.

    Beside each: what it finds among as many healthy devices, and what the same networks find where they are judged on
    days that they have not seen. Features are needed of three days and, a horizon later, of thirty with failures.
    """
    from ae_assets.chain.reproduction import reproduce as reproduced
    from ae_assets.cli.instance import open_workspace
    from ae_assets.progress import publish
    from ae_assets.reports.reproduction import reproduction_text

    space = replace(open_workspace(table), progress=publish)
    first = None if start is None else period_of(space.table.periods, start, "--start")
    with shown_progress("reproduction"):
        told = reproduced(space, first)
    say(reproduction_text(told))
    return DONE


@command("Fetch the jars that Spark reads tables with.")
def spark_jars() -> int:
    """Fetches the jars of engine: spark by Maven, once for a Python environment, and checks their digests."""
    from ae_assets.engines.spark.jars import jar_set

    for jar in jar_set().fetched():
        click.echo(jar)
    return DONE


@command("Run the whole chain on the default source into a fresh home.")
@click.option("--tables", is_flag=True, help="The tables of sensors instead of the drives: water_level, sewer_flow.")
@click.option("--stream", is_flag=True, help="Channels in Cassandra, by way of Kafka; starts both servers.")
def demo(*, tables: bool, stream: bool) -> int:
    """Runs the whole chain on the default source into a fresh home.

    Shows which drives are flagged after the training, which of them then failed, whether the model is any good, and
    how to open the UI.
    """
    from ae_assets.cli.demo import run_demo, run_tables_demo

    if stream:
        from ae_assets.cli.demo_stream import run_stream_demo

        return run_stream_demo()
    return run_tables_demo() if tables else run_demo()
