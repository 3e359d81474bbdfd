"""``alarms``: the devices that a day asks to look at, from what is stored."""

import click

from ae_assets.cli.commands import explains_errors, main
from ae_assets.cli.exit_codes import DONE, EXIT_CODES
from ae_assets.cli.periods import When
from ae_assets.cli.screen import say_json, say_lines, text_width
from ae_assets.pipeline.ranges import period_of


@main.command(short_help="List the devices that a day asks to look at.", epilog=EXIT_CODES)
@click.argument("table")
@click.argument("day", type=When(), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, and nothing else.")
@explains_errors
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
