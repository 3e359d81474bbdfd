"""``new``: the YAML of a table of one's own, proposed from a file of it."""

import json
from collections.abc import Sequence
from os.path import commonprefix
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from ae_assets.cli.commands import command
from ae_assets.cli.exit_codes import DONE
from ae_assets.cli.screen import say
from ae_assets.errors import ConfigError
from ae_assets.sources.printable import printable

if TYPE_CHECKING:
    import polars as pl

    from ae_assets.model.proposal import Proposal
    from ae_assets.schemas.periods import Partitions
    from ae_assets.sources.sample import Sample

_MOST_NAMED = 5
_LABELS = "labels.csv"


@command("Propose the YAML of a table of your own from a file.")
@click.argument("table")
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="A file of the table (.csv, .parquet, .jsonl, .ndjson or .txt), or a folder or .zip of such files.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write; left out: defs/TABLE/defs.yaml of the project.",
)
def new(table: str, source: Path, output: Path | None) -> int:
    """Looks at the first rows of files and writes a YAML for TABLE: periods, columns, types, time, device, bounds.

    Each line has its reason beside it, and what the rows do not tell stands at the top and is printed. Nothing is
    loaded; `ae-assets check TABLE` says next whether the contract holds.
    """
    import polars as pl
    import yaml

    from ae_assets.cli.project import projects
    from ae_assets.model.parse import parse_table
    from ae_assets.model.proposal import propose
    from ae_assets.model.proposed_yaml import yaml_of
    from ae_assets.sources.day_files import is_archive_name
    from ae_assets.sources.sample import read_sample

    if output is None:
        output = projects()[0].defs_folder / table / "defs.yaml"
    _require_absent(output)
    sample = read_sample(source)
    named, comma = _named_after(sample.names), sample.format == "csv" and sample.separator != ","
    files = sample.file.replace_strict(dict(enumerate(sample.names)), return_dtype=pl.String)
    proposal = propose(
        sample.texts,
        files,
        named,
        decimal_comma_possible=comma,
        share=sample.share,
        share_of_files=sample.share_of_files,
    )
    settings = _source_settings(sample, proposal, named)
    location = source if source.is_dir() or named is None or is_archive_name(source.name) else source.parent
    target, labels = _target(source.resolve(), sample, proposal)
    text = yaml_of(proposal, table, str(location.resolve()), settings, target)
    parse_table(yaml.safe_load(text)["attributes"], str(output))
    if labels is not None:
        _require_absent(output.with_name(_LABELS))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if labels is not None:
            labels.write_csv(output.with_name(_LABELS))
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{output} cannot be written ({error.strerror}); name another --output") from None
    rows = f"{'all' if sample.whole else 'the first'} {sample.texts.height:,} rows"
    more = f" and {len(sample.names) - 1} more" if len(sample.names) > 1 else ""
    say(f"{output}: proposed from {rows} of {printable(sample.names[0])}{more}")
    for doubt in proposal.unsure:
        say(f"unsure: {doubt}")
    say(f"next: look at it, then `ae-assets check {table}`")
    return DONE


def _require_absent(path: Path) -> None:
    if path.exists():
        raise ConfigError(f"{path} is there already and stays as it is; remove it first, or name another --output")


def _target(source: Path, sample: "Sample", proposal: "Proposal") -> tuple[str | None, "pl.DataFrame | None"]:
    """The file of intervals as YAML, where no column is a label; and what is to be written into it, if it is new."""
    import re

    from ae_assets.model.proposal import BEGIN, STEP
    from ae_assets.sources.labels_beside import intervals_beside, intervals_of_lines

    if proposal.label is not None:
        return None, None
    pattern = re.compile(proposal.entity_of_file)

    def device(name: str) -> str:
        found = pattern.search(name if proposal.entity_in_path else PurePosixPath(name).name)
        return name if found is None else found[1]

    def is_known(name: str) -> bool:
        return name in proposal.names or (proposal.entity is None and device(name) in proposal.names)

    beside = intervals_beside(source, (*sample.notes, *sample.others), is_known)
    if beside is not None:
        place, devices = beside
        return f"{json.dumps(place, ensure_ascii=False)}}} # it names {devices} of the {proposal.devices} devices", None
    if not (proposal.is_counted and source.is_dir()):
        return None, None
    stems = {PurePosixPath(name).stem for name in sample.names}
    marks = [name for name in sample.others if PurePosixPath(name).stem in stems]
    labels = intervals_of_lines(source, {name: device(name) for name in sample.names}, marks, BEGIN, STEP)
    if labels is None:
        return None, None
    folders = ", ".join(sorted({str(PurePosixPath(name).parent) for name in marks}))
    proposal.unsure.append(
        f"{_LABELS} is made of the lines of {folders}, which are 0 or 1, for {BEGIN} and steps of a minute: make it "
        "again (remove both files) where source.lines has others"
    )
    return f"{_LABELS}}} # made of {folders}: {labels.height} runs of 1", labels


def _named_after(names: Sequence[str]) -> "Partitions | None":
    """The periods after which all files are named."""
    from ae_assets.schemas.periods import DAILY, HOURLY, WEEKLY
    from ae_assets.schemas.reading import Reading
    from ae_assets.sources.files import period_of_file

    for periods in (DAILY, HOURLY, WEEKLY):
        reading = Reading(periods=periods)
        if all(period_of_file(name, reading) is not None for name in names):
            return periods.partitions
    return None


def _source_settings(sample: "Sample", proposal: "Proposal", named: "Partitions | None") -> dict[str, str]:
    """The keys of the source that say how its files are written, as YAML; what is unsure of them is added."""
    from ae_assets.model.proposal import BEGIN, STEP
    from ae_assets.schemas.durations import written
    from ae_assets.sources.sample import PLAIN_TEXT

    settings = {}
    if sample.separator != ",":
        settings["separator"] = '"\\t"' if sample.separator == "\t" else f'"{sample.separator}"'
    if sample.format == "csv" and not sample.ends_with_line_ends:
        settings["last_line_end"] = "optional # a file ends without a line end"
    if PurePosixPath(sample.names[0]).suffix.lower() in PLAIN_TEXT:
        settings["format"] = "csv # whatever the files are called"
    if sample.columns or proposal.is_counted:
        names = f"columns: {json.dumps(sample.columns, ensure_ascii=False)}" if sample.columns else ""
        counted = f'begin: "{BEGIN}", step: {written(STEP)}' if proposal.is_counted else ""
        settings["lines"] = f"{{{', '.join(filter(None, (names, counted)))}}}"
    if sample.columns:
        proposal.unsure.append(
            f"the files have no header, so their {len(sample.columns)} columns are called {sample.columns[0]} and so "
            "on in source.lines; name them as what they measure, there and below"
        )
    if named is None:
        settings["days_per_file"] = "many # the files are not named after a period"
    if sample.others:
        others = ", ".join(map(printable, sample.others[:_MOST_NAMED]))
        pattern = _pattern_of(sample.names, sample.others)
        if pattern is not None:
            settings["files"] = f"{json.dumps(pattern, ensure_ascii=False)} # leaves out {others}"
        proposal.unsure.append(f"files that hold something else are left out: {others}")
    return settings


def _pattern_of(names: Sequence[str], others: Sequence[str]) -> str | None:
    """How the names of some files begin and those of others do not; None: nothing at their beginning tells them."""
    prefix = commonprefix([PurePosixPath(name).stem for name in names])  # noqa: RUF071 - names, not paths
    told = (
        prefix
        and not set(prefix) & set("*?[]")
        and not any(PurePosixPath(one).name.startswith(prefix) for one in others)
    )
    return f"{prefix}*" if told else None
