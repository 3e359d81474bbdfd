"""``check``: whether the source of a table keeps the contract of its YAML, told by one day, before any run."""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

import click

from ae_assets.cli.commands import command
from ae_assets.cli.exit_codes import CHECK_FAILED, DONE
from ae_assets.cli.periods import When
from ae_assets.cli.screen import say
from ae_assets.pipeline.ranges import period_of
from ae_assets.schemas.durations import written
from ae_assets.schemas.records import ENTITY

if TYPE_CHECKING:
    import polars as pl

    from ae_assets.features.validation import Validated
    from ae_assets.model.definition import WatchedTable
    from ae_assets.sources import SourceDay

_MOST_NAMED = 5


@command("Say whether a day of the source keeps the contract.")
@click.argument("table")
@click.option(
    "--day",
    type=When(),
    help="The day, hour or week to read; left out: the newest that is at least half as large as the largest.",
)
def check(table: str, day: str | None) -> int:
    """Reads one day of TABLE's source and says whether the contract of its YAML holds; nothing is stored.

    It does not hold where rows are set aside beyond checks.max_share_set_aside, or where no row has a value of an
    attribute that features are made of.
    """
    from ae_assets.chain.raw_columns import RawColumns
    from ae_assets.cli.instance import load_table
    from ae_assets.features.validation import validate_day
    from ae_assets.pipeline.resources import lakehouse_of_environment
    from ae_assets.schemas.contracts import contract_of
    from ae_assets.sources import listed_day

    definition = load_table(table).table
    periods = definition.periods
    source = lakehouse_of_environment().source_of(definition, remembering=False)
    days, strays = source.days(), source.strays()
    span = f"no {periods.noun}"
    if days:
        span = f"{len(days):,} {periods.plural} from {periods.key(min(days))} to {periods.key(max(days))}"
    say(f"{source.location}: {span}; {len(strays)} left out")
    for stray in strays[:_MOST_NAMED]:
        say(f"  left out: {stray}")
    if not days:
        return CHECK_FAILED
    listed = listed_day(source, _newest_that_tells(days) if day is None else period_of(periods, day, "--day"))
    raw = RawColumns(source.location, {}).fit(source.read(listed), listed.origin)
    config = definition.features
    contract = contract_of(
        definition.layout, tuple(config.attributes), config.low_bits, definition.periods, config.groups
    )
    validated = validate_day(raw, listed.day, contract)
    unreadable = f"{raw['rescued'].count():,} with cells that cannot be read"
    say(f"{periods.key(listed.day)}, {listed.origin}: {raw.height:,} rows, {unreadable}")
    for line in _facts(definition, raw, validated):
        say(f"  {line}")
    problems = list(_problems(definition, validated))
    for problem in problems:
        say(f"  does not hold: {problem}")
    if not problems:
        say(f"to run it: `{_run(definition, min(days), max(days))}`")
    say("the contract does not hold" if problems else "the contract holds")
    return CHECK_FAILED if problems else DONE


def _run(table: "WatchedTable", first: date, last: date) -> str:
    """The command that makes all days, of which the first are learned from where enough are left to be judged."""
    periods, calibration = table.periods, table.calibration
    command = f"ae-assets run {table.table} --start {periods.key(first)} --end {periods.key(last)}"
    learned = periods.count(timedelta(days=table.training.days))
    calibrated = periods.count(timedelta(days=calibration.embargo_days + calibration.days))
    until = periods.shifted(first, learned - 1)
    if table.learned is not None or not periods.shifted(until, calibrated) < last:
        return command
    return f"{command} --train-start {periods.key(first)} --train-end {periods.key(until)}"


def _newest_that_tells(days: "Mapping[date, SourceDay]") -> date:
    """The newest period but for those in which few devices report, as at the end of a file."""
    largest = max(listed.size_bytes for listed in days.values())
    return max(day for day, listed in days.items() if 2 * listed.size_bytes >= largest)


def _facts(table: "WatchedTable", raw: "pl.DataFrame", validated: "Validated") -> Iterator[str]:
    from ae_assets.chain.set_aside import broken_rules

    layout, valid = table.layout, validated.valid
    if aside := validated.quarantine.height:
        rules = "; ".join(rule.in_words for rule in broken_rules(validated.quarantine)[:_MOST_NAMED])
        yield f"{aside:,} of {valid.height + aside:,} rows are set aside: {rules}"
    devices = f"{valid['entity'].n_unique():,} devices of {valid['cohort'].n_unique():,} kinds"
    yield f"{devices}; {_labels(table, raw, valid)}"
    if layout.time.cadence is not None and valid.height:
        yield _records(layout.time.cadence, valid)
    marks = () if layout.abnormal is None else layout.abnormal.columns
    known = {
        layout.entity,
        layout.time.name,
        layout.cohort,
        layout.label,
        *layout.required,
        *layout.values,
        *marks,
        *layout.reserved,
    }
    if layout.values and (others := [name for name in raw.columns[:-2] if name not in known]):
        yield f"kept as text, since the YAML does not name them: {', '.join(others)}"
    for name in (*layout.values, *marks):
        if name not in raw.columns:
            yield f"the file has no column {name!r}"


def _labels(table: "WatchedTable", raw: "pl.DataFrame", valid: "pl.DataFrame") -> str:
    """What is known to have gone wrong.

    Raises:
        SourceError: the file of intervals cannot be read.
    """
    from ae_assets.evaluation.target import labelled_pieces
    from ae_assets.sources.intervals import read_intervals

    layout, file = table.layout, table.target.file
    if layout.label is not None:
        return f"{valid['label'].count():,} labels, {(valid['label'] == 1).sum():,} of them failures"
    if file is not None:
        intervals = read_intervals(file)
        return (
            f"{intervals.height:,} intervals of {intervals['entity'].n_unique():,} devices are known from target.file"
        )
    if layout.abnormal is not None:
        marks = [name for name in layout.abnormal.columns if name in raw.columns]
        records = raw.select(*marks, entity=layout.entity, at=layout.time.name)
        pieces = labelled_pieces(records, marks, layout.abnormal.abnormal)
        return f"{pieces.select('entity', 'start').n_unique():,} records are marked as abnormal"
    return "no label is named, so nothing is judged by what went wrong"


def _records(cadence: timedelta, valid: "pl.DataFrame") -> str:
    """How many records a device has, how far apart they are, and how far the YAML says."""
    from ae_assets.model.proposal import every, steps_between

    steps = steps_between(valid)["step"].median()
    often = f", one {every(steps)}" if isinstance(steps, timedelta) else ""
    most = max(valid[ENTITY].value_counts()["count"])
    return f"a device has up to {most:,} records{often}; source.columns.time.cadence: {written(cadence)}"


def _problems(table: "WatchedTable", validated: "Validated") -> Iterator[str]:
    from ae_assets.features.volume import are_many

    valid, aside = validated.valid, validated.quarantine
    if are_many(aside.height, valid.height + aside.height, table.checks.max_share_set_aside):
        yield f"that is more than checks.max_share_set_aside, {table.checks.max_share_set_aside:.1%}"
        for rule in aside["rule"].unique(maintain_order=True)[:_MOST_NAMED]:
            yield f"{rule}: {aside.filter(rule=rule)['reason'][0]}"
    for name in table.features.attributes:
        if name not in valid.columns or not valid[name].count():
            yield f"no row has a value of {name}, which features are made of"
