"""``serve``: tables answer requests by their champions."""

import os
from pathlib import Path
from typing import Any

import click

from ae_assets.cli.commands import command
from ae_assets.cli.exit_codes import DONE
from ae_assets.errors import ConfigError


@command("Answer requests with decisions (REST).")
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...")
@click.option("--host", help="Address to listen at; left out: 127.0.0.1, this machine alone.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; left out: 8080.")
@click.option(
    "--model",
    "folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Folder of a model version, of one TABLE; left out: its champion, and each later one.",
)
@click.option("--tls-cert", type=click.Path(dir_okay=False, path_type=Path), help="Certificate with its chain, PEM.")
@click.option("--tls-key", type=click.Path(dir_okay=False, path_type=Path), help="Its key, PEM.")
@click.option("--behind-proxy", is_flag=True, default=None, help="A proxy in front of it speaks TLS.")
@click.option("--open-metrics", is_flag=True, default=None, help="/metrics asks for no token.")
def serve(tables: tuple[str, ...], folder: Path | None, **given: Any) -> int:
    """Answers requests over HTTP: rows of devices in, decisions with their reasons out, by the champion of each TABLE.

    The bearer token of callers is in AE_ASSETS_SERVE_TOKEN, or several in the file AE_ASSETS_SERVE_TOKEN_FILE; without
    one only this machine is listened to. /openapi.json says what can be asked; docs/serving.md has the limits, each set
    by AE_ASSETS_SERVE_... It ends on Ctrl-C or SIGTERM, after the requests in work.
    """
    try:
        from ae_assets.serving.app import Server
        from ae_assets.serving.server import listening, serve
    except ImportError as error:
        raise ConfigError(f"serving needs the extra serve ({error}): pip install 'ae-assets[serve]'") from None
    from ae_assets.cli.instance import open_workspace
    from ae_assets.pipeline.home import home_folder, keep_compiled
    from ae_assets.serving.served import ServedTable
    from ae_assets.serving.settings import settings_of

    if folder is not None and len(tables) > 1:
        raise ConfigError(f"--model is of one table, received {len(tables)}: {', '.join(tables)}")
    settings = settings_of(given)
    settings.require_safe()
    os.environ.pop("AE_ASSETS_SERVE_TOKEN", None)  # no process or report of this one sees it
    keep_compiled(home_folder())
    with listening(settings) as own:
        served = [ServedTable(open_workspace(name), folder) for name in dict.fromkeys(tables)]
        for table in served:
            table.open()
            click.echo(f"{table.name}: model {table.in_use.model.version}")
        app = Server(served, settings).app()
        serve(
            app,
            settings,
            own,
            lambda address: click.echo(f"listening at {address}; its routes: {address}/openapi.json"),
        )
    click.echo("stopped")
    return DONE
