"""``clusters``: whether the alarms of a table fall into types of failure."""

from dataclasses import replace
from pathlib import Path

import click

from ae_assets.cli.commands import command
from ae_assets.cli.exit_codes import DONE
from ae_assets.cli.periods import day_option
from ae_assets.cli.screen import say, shown_progress
from ae_assets.errors import ConfigError
from ae_assets.pipeline.ranges import range_if_named

MAP_FILE = "map.png"


@command("Say whether the alarms fall into types of failure.")
@click.argument("table")
@day_option("--start", "First day or hour; with --end. Left out: all that the champion has scored and not seen.",
            required=False)  # fmt: skip
@day_option("--end", "Last day or hour; with --start.", required=False)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the map of the alarms; left out: clusters/TABLE/map.png in the home.",
)
def clusters(table: str, start: str | None, end: str | None, output: Path | None) -> int:
    """Groups the alarms of TABLE by how they lie in the latent space of its network, or by what their score is made of.

    Says what tells each group apart, how many of its devices are known to have gone wrong, and whether the groups come
    back when the alarms are drawn again. Nothing in use changes.
    """
    from ae_assets.chain.champion import load_champion
    from ae_assets.chain.failure_types import failure_types
    from ae_assets.chain.unseen import days_not_seen
    from ae_assets.cli.instance import open_workspace, prepare_home
    from ae_assets.features.wording import wording_of
    from ae_assets.progress import publish
    from ae_assets.reports.failure_types import failure_type_parts, latent_map
    from ae_assets.reports.parts import page_text

    space = replace(open_workspace(table), progress=publish)
    home, champion = prepare_home(), load_champion(space)
    days = range_if_named(space.table.periods, start, end) or days_not_seen(space, champion)
    with shown_progress("clusters"):
        found = failure_types(space, champion, days)
    say(page_text(failure_type_parts(found, wording_of(space.table.features))))
    if len(found.places):
        path = output or home / "clusters" / table / MAP_FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(latent_map(found))
        except OSError as error:
            raise ConfigError(f"{path} cannot be written ({error.strerror}); name another --output") from None
        say(f"{path}: the alarms on a map")
    return DONE
