"""``score``: decisions on raw rows of a file, a folder or an archive, or on a server's drives, without a lakehouse."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from ae_assets.cli.commands import command
from ae_assets.cli.exit_codes import CHECK_FAILED, DONE, RUN_FAILED
from ae_assets.cli.periods import When
from ae_assets.cli.screen import say, shown_progress
from ae_assets.errors import ConfigError, ContractError, SourceError
from ae_assets.pipeline.ranges import period_of

if TYPE_CHECKING:
    import polars as pl

    from ae_assets.model.model import Model, State
    from ae_assets.schemas.periods import Periods
    from ae_assets.sources import Source, SourceDay


class _Usage(click.Command):
    """Two ways to call it, which click cannot tell of arguments alone."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click calls it
        return ["TABLE LOCATION --output FILE [OPTIONS]", "| --smartctl [FILE]... [OPTIONS]"]


@command("Decide on raw rows of a file, or on this server's drives.", cls=_Usage)
@click.argument("places", nargs=-1)
@click.option("--start", type=When(), help="First day or hour to decide on; left out: the first of LOCATION.")
@click.option("--end", type=When(), help="Last day or hour; left out: the last of LOCATION.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="FILE.parquet or FILE.csv")
@click.option(
    "--model",
    "path",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Folder of a model version, models/TABLE/VERSION of a home; left out: the champion of TABLE.",
)
@click.option(
    "--smartctl",
    is_flag=True,
    help="Say how drives stand, by outputs of `smartctl --json -a` (- is standard input); without any by asking those "
    "of this server.",
)
@click.option("--json", "as_json", is_flag=True, help="With --smartctl: one JSON object on standard output.")
@click.option(
    "--history",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --smartctl: the file of what was seen before; left out: ae_assets/drives.sqlite in XDG_STATE_HOME.",
)
@click.option("--no-history", is_flag=True, help="With --smartctl: look at what is there now alone, and keep nothing.")
@click.option(
    "--webhook",
    metavar="URL",
    envvar="AE_ASSETS_SMARTCTL_WEBHOOK",
    help="With --smartctl: post JSON there when the state of a drive changes. Better set in "
    "AE_ASSETS_SMARTCTL_WEBHOOK, since other users see what a command is called with.",
)
def score(
    places: tuple[str, ...],
    start: str | None,
    end: str | None,
    output: Path | None,
    path: Path | None,
    history: Path | None,
    webhook: str | None,
    *,
    smartctl: bool,
    as_json: bool,
    no_history: bool,
) -> int:
    """Decides on raw rows, or says how the drives of one server stand.

    TABLE LOCATION: decides on the raw rows at LOCATION, which are written as TABLE's are, and stores nothing but
    OUTPUT. LOCATION is a folder, file, archive or address as in a table's YAML. OUTPUT has the rows and columns of an
    anomalies table. Days before --start that LOCATION has are read as far as features, scores and episodes look back.

    --smartctl: needs no table. Exit code 0 says that all drives are judged and sound, 3 that one is to be watched or
    fails, 1 that one could not be judged or the history or webhook failed.
    """
    if smartctl:
        return _score_drives(
            places, (start, end, output, path), history, webhook, as_json=as_json, no_history=no_history
        )
    if history or as_json or no_history:
        raise ConfigError("--json, --history and --no-history go with --smartctl; give it too, or leave them out")
    if len(places) != 2 or output is None:
        raise ConfigError(
            f"received {len(places)} of the two arguments TABLE LOCATION{'' if output else ' and no --output'}; "
            "expected `ae-assets score TABLE LOCATION --output FILE`, or `ae-assets score --smartctl [FILE]...`"
        )
    return _score_table(*places, start, end, output, path)


def _score_drives(
    files: tuple[str, ...],
    of_tables: tuple[object, ...],
    history: Path | None,
    webhook: str | None,
    *,
    as_json: bool,
    no_history: bool,
) -> int:
    from ae_assets.cli.one_server import score_drives
    from ae_assets.one_server.history import default_path

    if any(one is not None for one in of_tables):
        raise ConfigError("--start, --end, --output and --model go with TABLE LOCATION, not with --smartctl")
    if no_history and (history is not None or webhook is not None):
        raise ConfigError("--no-history goes neither with --history nor with --webhook, which tells changes")
    kept = None if no_history else history or default_path()
    return score_drives(files, kept, webhook, as_json=as_json)


def _score_table(table: str, location: str, start: str | None, end: str | None, output: Path, path: Path | None) -> int:
    from ae_assets.chain.champion import load_champion
    from ae_assets.cli.export import require_format, write_frames
    from ae_assets.cli.instance import open_workspace
    from ae_assets.decisions.mutes import read_mutes
    from ae_assets.model.model import load_model
    from ae_assets.pipeline.resources import lakehouse_of_environment
    from ae_assets.sources import open_source

    require_format(output)
    lakehouse = lakehouse_of_environment()
    space = open_workspace(table)
    periods = space.table.periods
    model: Model = load_champion(space) if path is None else load_model(path)
    mute_list = space.table.decision.mute_list
    mutes = () if mute_list is None else read_mutes(Path(mute_list))
    source = open_source(location, space.table.reading, make_s3_client=lakehouse.s3_client)
    listed = source.days()
    days = _days(periods, source.location, sorted(listed), start, end)
    counts = _Counts(periods)
    with shown_progress(f"{table}: {len(days)} {periods.plural} of {source.location} by model {model.version}"):
        rows = write_frames(_decisions(model, model.start(mutes), source, listed, days, counts), output)
    for line in counts.lines():
        say(line)
    made = len(days) - len(counts.held_back) - sum(day in days for day in counts.failed)
    say(f"{output}: {rows:,} rows of {made} {periods.plural}")
    return RUN_FAILED if counts.failed else CHECK_FAILED if counts.held_back else DONE


@dataclass
class _Counts:
    periods: "Periods"
    alarms: int = 0
    listed: int = 0
    not_judged: int = 0
    set_aside: Counter[str] = field(default_factory=Counter)
    held_back: dict[date, int] = field(default_factory=dict)
    failed: dict[date, str] = field(default_factory=dict)

    def add(self, decided: "pl.DataFrame", state: "State") -> None:
        from ae_assets.decisions.devices import one_per_device
        from ae_assets.decisions.episodes import is_listed

        self.alarms += int(decided["is_anomaly"].sum())
        self.listed = one_per_device(decided).filter(is_listed()).height
        self.not_judged += decided["score"].null_count()
        self.set_aside.update(state.set_aside["rule"].to_list())
        self.held_back |= state.held_back

    def lines(self) -> Iterator[str]:
        yield (
            f"{self.alarms:,} alarms; {self.listed:,} devices with an open episode in the last {self.periods.noun}; "
            f"{self.not_judged:,} rows not judged"
        )
        if self.set_aside:
            rules = ", ".join(f"{rule} {rows:,}" for rule, rows in self.set_aside.most_common())
            yield f"{self.set_aside.total():,} rows set aside, which are not in the output: {rules}"
        for day, rows in self.held_back.items():
            yield f"held back: {self.periods.key(day)}: so many of its {rows:,} rows are set "
            "aside that nothing is decided on the others"
        for day, reason in self.failed.items():
            yield f"failed: {self.periods.key(day)}: {reason}"


def _days(periods: "Periods", location: str, listed: list[date], start: str | None, end: str | None) -> list[date]:
    first = None if start is None else period_of(periods, start, "--start")
    last = None if end is None else period_of(periods, end, "--end", last=True)
    days = [day for day in listed if (first is None or day >= first) and (last is None or day <= last)]
    if not days:
        has = f"has no {periods.noun}"
        if listed:
            has = f"has the {periods.plural} {periods.key(listed[0])} to {periods.key(listed[-1])}"
        raise ConfigError(f"{location} {has}; none lies between {start or 'its first'} and {end or 'its last'}")
    return days


def _decisions(
    model: "Model",
    state: "State",
    source: "Source",
    listed: "Mapping[date, SourceDay]",
    days: list[date],
    counts: _Counts,
) -> Iterator["pl.DataFrame"]:
    """The decisions on some days, each after those that it looks back on; one that cannot be read fails, asked or not.

    What looks back on a day that failed is decided as the daily assets decide where the table lacks it.
    """
    from ae_assets.chain.raw_columns import RawColumns
    from ae_assets.model.model import no_decisions
    from ae_assets.progress import Progress, publish

    columns = RawColumns(source.location, {})
    first = counts.periods.before(days[0], model.look_back)
    needed = [day for day in sorted(listed) if first <= day <= days[-1]]
    began, rows, asked = monotonic(), 0, set(days)
    yield no_decisions(model.rhythm)
    for done, day in enumerate(needed, 1):
        try:
            raw = columns.fit(source.read(listed[day]), listed[day].origin)
            decided = model.decide_day(raw, day, state)
        except (ContractError, SourceError) as error:
            counts.failed[day] = str(error)
            continue
        rows += raw.height
        publish(Progress("score", done, len(needed), counts.periods.plural, rows, monotonic() - began))
        if day in asked:
            counts.add(decided, state)
            yield decided
