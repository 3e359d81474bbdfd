"""The commands and their exit codes; what a command does is in the module that it imports when it runs."""

import sys
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ae_assets.cli.exit_codes import DONE, EXIT_CODES, INTERRUPTED, WRONG_USE
from ae_assets.cli.periods import Moment, day_option
from ae_assets.errors import AeAssetsError
from ae_assets.pipeline.ranges import range_if_named, range_of

EXAMPLE = """\b
Example:
  ae-assets run drive_stats --start 2013-04-10 --end 2013-08-07 \\
      --train-start 2013-04-10 --train-end 2013-06-08
  ae-assets alarms drive_stats
  ae-assets evaluate drive_stats --start 2013-07-09 --end 2013-08-07
  ae-assets export drive_stats anomalies --start 2013-08-01 --end 2013-08-07 \\
      --output alarms.csv
"""


def explains_errors(command: Callable[..., int]) -> Callable[..., None]:
    """Prints errors that a person can act on without a traceback, and turns the result into the exit code."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            code = command(*args, **kwargs)
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

    return wrapped


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


@main.command(short_help="Run the chain over a range of time.", epilog=EXIT_CODES)
@click.argument("table")
@day_option("--start", "First day or hour to process.")
@day_option("--end", "Last day or hour to process.")
@day_option("--train-start", "First day or hour to train on; with --train-end.", required=False)
@day_option("--train-end", "Last day or hour to train on; with --train-start.", required=False)
@click.option("--retrain", is_flag=True, help="Train again although there is a champion.")
@explains_errors
def run(table: str, start: str, end: str, train_start: str | None, train_end: str | None, *, retrain: bool) -> int:
    """Runs the chain of TABLE over a range of hours, days or weeks: raw, features, model, threshold, anomalies.

    A champion that was trained on the training range given, or any champion where none is given, is used as it is.
    """
    from ae_assets.cli.chain_run import run_chain
    from ae_assets.cli.instance import open_chain

    with open_chain(table) as chain:
        periods = chain.definition.periods
        training = range_if_named(periods, train_start, train_end, ("--train-start", "--train-end"))
        return run_chain(chain, range_of(periods, start, end), training, retrain=retrain)


@main.command(short_help="Judge the champion on days it has not seen.", epilog=EXIT_CODES)
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
@explains_errors
def evaluate(table: str, start: str | None, end: str | None, *, compare: str, origins: int | None) -> int:
    """Judges the champion of TABLE on days that neither its fit nor its threshold has seen.

    With --origins no champion is needed and none is changed: the table's detector is fitted again before each range,
    on the days that training.days says and after an embargo as long as the horizon.
    """
    from ae_assets.cli import chain_run
    from ae_assets.cli.instance import open_chain

    with open_chain(table) as chain:
        days = range_if_named(chain.definition.periods, start, end)
        outcome = chain_run.evaluate(chain, days, compare=compare, origins=origins or 0)
        chain_run.say_answer(outcome, tables=True)
        return chain_run.report(chain, [("evaluation", outcome)])


@main.command(short_help="Write days of an asset to a Parquet or CSV file.", epilog=EXIT_CODES)
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
@explains_errors
def export(
    table: str, asset: str, start: str, end: str, output: Path, as_of: datetime | None, *, spreadsheet_safe: bool
) -> int:
    """Writes hours, days or weeks of one of TABLE's assets to a file; in CSV, nested columns are JSON.

    Texts are written as they came from the source. For people who open the file in a spreadsheet, which would run those
    that begin like a formula, there is --spreadsheet-safe.
    """
    from ae_assets.cli.export import export_days
    from ae_assets.cli.instance import load_table

    definition = load_table(table).table
    days = range_of(definition.periods, start, end)
    rows, count = export_days(definition, asset, days, output, as_of, spreadsheet_safe=spreadsheet_safe)
    click.echo(f"{output}: {rows:,} rows of {count} {definition.periods.plural} of {table}/{asset}")
    return DONE


@main.command(short_help="Run the whole chain on the default source into a fresh home.", epilog=EXIT_CODES)
@click.option("--tables", is_flag=True, help="The tables of sensors instead of the drives: water_level, sewer_flow.")
@explains_errors
def demo(*, tables: bool) -> int:
    """Runs the whole chain on the default source into a fresh home.

    Shows which drives are flagged after the training, which of them then failed, whether the model is any good, and
    how to open the UI.
    """
    from ae_assets.cli.demo import run_demo, run_tables_demo

    return run_tables_demo() if tables else run_demo()
