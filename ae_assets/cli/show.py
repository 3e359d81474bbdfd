"""``show``: what is known of one device, from what is stored."""

import click

from ae_assets.cli.commands import explains_errors, main
from ae_assets.cli.exit_codes import DONE, EXIT_CODES
from ae_assets.cli.screen import say_json, say_lines, text_width

SHOWN_DAYS = 60


@main.command(short_help="Show one device: scores, episodes, reasons, what moved.", epilog=EXIT_CODES)
@click.argument("table")
@click.argument("entity")
@click.option(
    "--days",
    type=click.IntRange(min=1),
    default=SHOWN_DAYS,
    show_default=True,
    help="How many days to tell, up to the newest one or the last on which the device was seen.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, and nothing else.")
@explains_errors
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
