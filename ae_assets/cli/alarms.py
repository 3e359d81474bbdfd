"""``alarms``: the devices that a day asks to look at, from what is stored."""

from datetime import date

import click

from ae_assets.cli.commands import Day, explains_errors, main
from ae_assets.cli.exit_codes import DONE, EXIT_CODES
from ae_assets.cli.screen import say_json, say_lines, text_width


@main.command(short_help="List the devices that a day asks to look at.", epilog=EXIT_CODES)
@click.argument("table")
@click.argument("day", type=Day(), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, and nothing else.")
@explains_errors
def alarms(table: str, day: date | None, *, as_json: bool) -> int:
    """Lists the devices of TABLE with an open episode on DAY, the newest day where it is left out.

    Each with the day since which its episode is open, its score, how rare such a score was in calibration, and why.
    """
    from ae_assets.chain.anomaly_day import stored_day
    from ae_assets.cli.instance import open_workspace
    from ae_assets.reports.alarms_text import day_text

    record = stored_day(open_workspace(table), day).record
    if as_json:
        say_json(record)
    else:
        say_lines(day_text(record, text_width()))
    return DONE
