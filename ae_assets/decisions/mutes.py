"""The mute list: entities and cohorts that nobody wants to hear of until a day, each with a reason.

Muting decides what is shown and counted. It changes no score, and no alarm and no episode where the cut is the fitted
one. A policy whose cut follows the day takes it from the rows that are not muted, so that these have its budget of
alarms to themselves.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import polars as pl

from ae_assets.errors import ConfigError
from ae_assets.schemas.periods import DAILY

COLUMNS = ("entity", "cohort", "since", "until", "reason")
EXAMPLE = "entity,cohort,until,reason"
MOST_PROBLEMS_NAMED = 20

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

Kind = Literal["entity", "cohort"]


@dataclass(frozen=True)
class Mute:
    """One entry of a mute list, at a line of its file: muted from ``since`` on, or ever, to the end of ``until``."""

    kind: Kind
    name: str
    until: date
    reason: str
    since: date | None
    line: int

    def holds_on(self, day: date) -> bool:
        """Whether the entry is in force on a day, or in a period by its first day."""
        first = DAILY.of(day)
        return (self.since is None or self.since <= first) and first <= self.until

    def in_words(self) -> str:
        """The entry as a person reads it in a report."""
        return f"{self.kind} {self.name} until {self.until} (line {self.line}): {self.reason}"


def read_mutes(path: Path) -> tuple[Mute, ...]:
    """Reads a mute list.

    A CSV has a header and the columns ``entity``, ``cohort`` (one of the two is filled in each line), ``until``,
    ``reason`` and, if wanted, ``since``; days are written YYYY-MM-DD. A YAML holds a list of mappings with these keys.

    Args:
        path: a ``.csv``, ``.yaml`` or ``.yml`` file in UTF-8.

    Raises:
        ConfigError: the file is missing or not readable, or lines are malformed: each is named with line and column,
            what was received and what was expected.
    """
    reader = {".csv": _csv_lines, ".yaml": _yaml_lines, ".yml": _yaml_lines}.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(f"the mute list {path} is neither a .csv nor a .yaml file; name it after its format")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"the mute list {path} does not exist; create it with the first line {EXAMPLE!r}, or remove "
            "decision.mute_list"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the mute list {path} cannot be read as UTF-8 text: {error}") from error
    mutes, problems = [], []
    for line in reader(text, path):
        found = list(_problems(line))
        problems += [f"  line {line.number}, column {column}: {problem}" for column, problem in found]
        if not found:
            mutes.append(_mute(line))
    if problems:
        more = len(problems) - MOST_PROBLEMS_NAMED
        named = problems[:MOST_PROBLEMS_NAMED] + ([f"  and {more} more"] if more > 0 else [])
        raise ConfigError(f"the mute list {path} is malformed; nothing of it is used:\n" + "\n".join(named))
    return tuple(mutes)


def _malformed(path: Path, what: str) -> ConfigError:
    return ConfigError(f"the mute list {path} is malformed:\n  {what}")


def with_mutes(rows: pl.DataFrame, mutes: Sequence[Mute], day: date) -> pl.DataFrame:
    """Marks the rows of a day whose entity or cohort is muted; where several entries hold, the one that holds longest.

    Returns:
        The rows in their order with ``muted_until`` (Date) and ``mute_reason`` (String), null where nothing is muted.
    """
    by_entity, by_cohort = (_in_force(mutes, kind, day) for kind in ("entity", "cohort"))
    entity_wins = pl.col("__entity_until").is_not_null() & (
        pl.col("__cohort_until").is_null() | (pl.col("__entity_until") >= pl.col("__cohort_until"))
    )
    return (
        rows.join(by_entity, on="entity", how="left", maintain_order="left")
        .join(by_cohort, on="cohort", how="left", maintain_order="left")
        .with_columns(
            muted_until=pl.when(entity_wins).then("__entity_until").otherwise("__cohort_until"),
            mute_reason=pl.when(entity_wins).then("__entity_reason").otherwise("__cohort_reason"),
        )
        .select(*rows.columns, "muted_until", "mute_reason")
    )


def expired_mutes(mutes: Sequence[Mute], day: date) -> tuple[Mute, ...]:
    """Entries that ended before a day; they can be removed from the list."""
    return tuple(mute for mute in mutes if mute.until < DAILY.of(day))


def unknown_mutes(mutes: Sequence[Mute], rows: pl.DataFrame, day: date) -> tuple[Mute, ...]:
    """Entries in force on a day whose entity or cohort has no row on it: misspelt, or gone."""
    held = [mute for mute in mutes if mute.holds_on(day)]
    names = [mute.name for mute in held]
    known = {kind: set(rows.filter(pl.col(kind).is_in(names))[kind]) for kind in ("entity", "cohort")}
    return tuple(mute for mute in held if mute.name not in known[mute.kind])


def _in_force(mutes: Sequence[Mute], kind: Kind, day: date) -> pl.DataFrame:
    """The entries of one kind that hold on a day, one for each name: of several, the last that holds longest."""
    until, reason = f"__{kind}_until", f"__{kind}_reason"
    held = [(mute.name, mute.until, mute.reason) for mute in mutes if mute.kind == kind and mute.holds_on(day)]
    return (
        pl.DataFrame(held, schema={kind: pl.String, until: pl.Date, reason: pl.String}, orient="row")
        .sort(until, maintain_order=True)
        .unique(kind, keep="last", maintain_order=True)
    )


@dataclass(frozen=True)
class _Line:
    """What one entry of a file says, as text by column; an empty cell is left out."""

    number: int
    cells: Mapping[str, str]
    surplus: Sequence[str] = ()


def _problems(line: _Line) -> Iterator[tuple[str, str]]:
    """Column and complaint of everything that is wrong with a line."""
    named = [kind for kind in ("entity", "cohort") if kind in line.cells]
    if not named:
        yield "entity", "received neither an entity nor a cohort; expected one of them"
    if len(named) == 2:
        both = f"entity {line.cells['entity']!r} and cohort {line.cells['cohort']!r}"
        yield "cohort", f"received {both}; expected one of them, so make two lines of it"
    for column in ("until", "since"):
        text = line.cells.get(column)
        if text is not None and _day(text) is None:
            yield column, f"received {text!r}; expected a day written YYYY-MM-DD"
    since, until = (_day(line.cells.get(column, "")) for column in ("since", "until"))
    if since is not None and until is not None and since > until:
        yield "since", f"received {since}, which lies after until {until}; expected an earlier day"
    if "until" not in line.cells:
        yield "until", "received nothing; expected the last day that is muted, written YYYY-MM-DD"
    if "reason" not in line.cells:
        yield "reason", "received nothing; expected why it is muted, in words"
    for surplus in line.surplus:
        yield surplus, "there is no such column; expected " + ", ".join(COLUMNS)


def _mute(line: _Line) -> Mute:
    kind: Kind = "entity" if "entity" in line.cells else "cohort"
    until, since = date.fromisoformat(line.cells["until"]), _day(line.cells.get("since", ""))
    return Mute(kind, line.cells[kind], until, line.cells["reason"], since, line.number)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def _csv_lines(text: str, path: Path) -> Iterator[_Line]:
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    number = 0
    try:
        for row in reader:
            number, before = reader.line_num, number
            if not any(cell.strip() for cell in row):
                continue
            if header is None:
                header = _header(row, number, path)
                continue
            cells = {name: cell.strip() for name, cell in zip(header, row, strict=False) if cell.strip()}
            surplus = [str(place + 1) for place in range(len(header), len(row))]
            yield _Line(before + 1, cells, surplus)
    except csv.Error as error:
        expected = "expected cells with commas between them, and quotes around a cell that has commas"
        raise _malformed(path, f"line {number + 1}: {error}; {expected}") from error
    if header is None:
        raise ConfigError(f"the mute list {path} is empty; expected the first line {EXAMPLE!r}")


def _header(row: Sequence[str], number: int, path: Path) -> list[str]:
    header = [cell.strip() for cell in row]
    strange = [name for name in header if name not in COLUMNS]
    repeated = [name for name in COLUMNS if header.count(name) > 1]
    missing = [name for name in ("until", "reason") if name not in header]
    missing += [] if {"entity", "cohort"} & set(header) else ["entity or cohort"]
    if not (strange or repeated or missing):
        return header
    said = [
        f"{what} {', '.join(map(repr, names))}"
        for what, names in (("no such column:", strange), ("twice:", repeated), ("missing:", missing))
        if names
    ]
    place = f"line {number}, its header {','.join(header)!r}"
    raise _malformed(path, f"{place}: {'; '.join(said)}; expected e.g. {EXAMPLE!r}")


def _yaml_lines(text: str, path: Path) -> Iterator[_Line]:
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = "" if mark is None else f"line {mark.line + 1}, character {mark.column + 1}: "
        raise _malformed(path, f"{at}{error.problem}") from error
    except yaml.YAMLError as error:
        raise _malformed(path, str(error)) from error
    if root is None:
        return
    if not isinstance(root, yaml.SequenceNode):
        example = "- {entity: ZA12, until: 2024-06-30, reason: being replaced}"
        raise _malformed(path, f"line {root.start_mark.line + 1}: expected a list of entries such as {example!r}")
    for entry in root.value:
        yield _yaml_line(entry, path)


def _yaml_line(entry: Any, path: Path) -> _Line:
    import yaml

    number = entry.start_mark.line + 1
    pairs = entry.value if isinstance(entry, yaml.MappingNode) else None
    if pairs is None or not all(isinstance(node, yaml.ScalarNode) for pair in pairs for node in pair):
        place = f"line {number}, character {entry.start_mark.column + 1}"
        keys = ", ".join(COLUMNS)
        raise _malformed(path, f"{place}: expected an entry with the keys {keys}, and a plain value for each")
    # The text of a value counts, not its type: an entity 0042 is no number, and a day is checked as in a CSV.
    texts = [(key.value, "" if value.tag.endswith(":null") else value.value.strip()) for key, value in pairs]
    names = [name for name, _ in texts]
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise _malformed(path, f"line {number}: names {repeated} twice; keep one")
    return _Line(number, {name: text for name, text in texts if text}, [name for name in names if name not in COLUMNS])
