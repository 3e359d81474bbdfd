"""``calibrate``: chooses the threshold of a model version again by the YAML, without training."""

import click

from ae_assets.cli.commands import explains_errors, main
from ae_assets.cli.exit_codes import EXIT_CODES
from ae_assets.cli.screen import say, shown_progress
from ae_assets.errors import ModelError


@main.command(short_help="Choose the threshold again by the YAML, without training.", epilog=EXIT_CODES)
@click.argument("table")
@click.option("--version", metavar="VERSION", help="Which model version; left out: the champion, else the newest.")
@click.option(
    "--promote",
    type=click.Choice(["if_not_worse", "always"]),
    default="if_not_worse",
    show_default=True,
    help="Whether another version than the champion must be no worse than it to take its place.",
)
@explains_errors
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
