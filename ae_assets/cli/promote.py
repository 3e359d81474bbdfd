"""``promote``: puts a model version into use by hand, such as a challenger that was rejected or an earlier champion."""

import click

from ae_assets.cli.commands import explains_errors, main
from ae_assets.cli.exit_codes import DONE, EXIT_CODES
from ae_assets.errors import ModelError


@main.command(short_help="Put a model version into use by hand.", epilog=EXIT_CODES)
@click.argument("table")
@click.argument("version")
@explains_errors
def promote(table: str, version: str) -> int:
    """Makes VERSION of TABLE's model the champion, without a comparison.

    It must have a threshold. Days that are materialised from now on are scored by it; those before keep their scores.
    """
    import dagster as dg

    from ae_assets.chain.champion import load_version
    from ae_assets.cli.instance import open_chain

    with open_chain(table) as chain:
        before = chain.space.models.champion(table)
        if before == version:
            raise ModelError(f"{version} is the champion of {table} already; name another version")
        load_version(chain.space, version)
        chain.space.models.promote(table, version)
        said = f"{version} replaces {before or 'no version'} as the champion of {table}, by hand"
        chain.instance.report_runless_asset_event(
            dg.AssetObservation(
                dg.AssetKey([table, "threshold"]),
                description=said,
                metadata={"Champion": version, "Champion before": before or "none", "Verdict": "promoted by hand"},
            )
        )
    click.echo(said)
    return DONE
