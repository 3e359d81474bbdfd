"""``new``: the YAML of a table of one's own, proposed from a file of it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ae_assets.cli.commands import explains_errors, main
from ae_assets.cli.exit_codes import DONE, EXIT_CODES
from ae_assets.cli.screen import say
from ae_assets.errors import ConfigError

if TYPE_CHECKING:
    from ae_assets.sources.sample import Sample


@main.command(short_help="Propose the YAML of a table of your own from a file.", epilog=EXIT_CODES)
@click.argument("table")
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="A file of the table (.csv, .parquet, .jsonl or .ndjson), or a folder of such files.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write; left out: defs/TABLE/defs.yaml of the project.",
)
@explains_errors
def new(table: str, source: Path, output: Path | None) -> int:
    """Looks at the first rows of a file and writes a YAML for TABLE: columns, types, time, device, bounds.

    Each line has its reason beside it, and what the rows do not tell stands at the top and is printed. Nothing is
    loaded; `ae-assets check TABLE` says next whether the contract holds.
    """
    import yaml

    from ae_assets.cli.project import projects
    from ae_assets.model.parse import parse_table
    from ae_assets.model.proposal import propose
    from ae_assets.model.proposed_yaml import yaml_of
    from ae_assets.sources.sample import read_sample

    if output is None:
        output = projects()[0].defs_folder / table / "defs.yaml"
    if output.exists():
        raise ConfigError(f"{output} is there already and stays as it is; remove it first, or name another --output")
    sample = read_sample(source)
    proposal = propose(sample.texts, decimal_comma_possible=sample.format == "csv" and sample.separator != ",")
    location, settings = _source_of(source, sample)
    if settings.get("days_per_file") is None and proposal.entity is None:
        proposal.unsure.append("a file for each day says nothing of the device in its name")
    text = yaml_of(proposal, table, location, settings)
    parse_table(yaml.safe_load(text)["attributes"], str(output))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{output} cannot be written ({error.strerror}); name another --output") from None
    rows = f"{'all' if sample.whole else 'the first'} {sample.texts.height:,} rows"
    say(f"{output}: proposed from {rows} of {sample.file}")
    for doubt in proposal.unsure:
        say(f"unsure: {doubt}")
    say(f"next: look at it, then `ae-assets check {table}`")
    return DONE


def _source_of(given: Path, sample: "Sample") -> tuple[str, dict[str, str]]:
    """Where the files lie, and the keys of the source that say how they are written."""
    from ae_assets.schemas.reading import Reading
    from ae_assets.sources.files import period_of_file

    settings = {}
    if sample.separator != ",":
        settings["separator"] = '"\\t"' if sample.separator == "\t" else f'"{sample.separator}"'
    if sample.format == "csv" and not _ends_with_a_line_end(sample.file):
        settings["last_line_end"] = "optional # the file ends without a line end"
    if period_of_file(sample.file.name, Reading()) is not None:
        return str((given if given.is_dir() else given.parent).resolve()), settings
    settings["days_per_file"] = "many # the file is not named after a day"
    return str(given.resolve()), settings


def _ends_with_a_line_end(file: Path) -> bool:
    with file.open("rb") as opened:
        opened.seek(-1, 2)
        return opened.read(1) == b"\n"
