"""What a sample of somebody's own rows suggests: each finding with its reason, and what is unsure.

Nothing here is a decision: what a sample of rows suggests is written down, for a person to look at and change.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

import polars as pl

from ae_assets.errors import ConfigError
from ae_assets.schemas.columns import RESERVED_COLUMNS, stored_name
from ae_assets.schemas.periods import PERIODS, Partitions
from ae_assets.schemas.times import read_times

ENOUGH = 0.9
"""Share of the known cells of a column that have to look alike."""

OFTEN = 0.2
"""Share of the steps in which a counter of use rises; one of errors hardly ever does."""

_TIME_FORMS: Sequence[tuple[str, str]] = (
    (r"\d{4}-\d{2}-\d{2}", ""),
    (r"\d{8}", ""),
    (r"\d{4}/\d{2}/\d{2}", ""),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", "%d.%m.%Y"),
    (r"\d{1,2}/\d{1,2}/\d{4}", "%d/%m/%Y"),
    (r"\d{1,2}/\d{1,2}/\d{4}", "%m/%d/%Y"),
    (r"\d{1,2}-\d{1,2}-\d{4}", "%d-%m-%Y"),
)
_TIMES_OF_DAY: Sequence[tuple[str, str]] = (
    (r"", ""),
    (r" \d{1,2}:\d{2}", " %H:%M"),
    (r" \d{1,2}:\d{2}:\d{2}", " %H:%M:%S"),
    (r" \d{1,2}:\d{2}:\d{2}\.\d+", " %H:%M:%S%.f"),
    (r"T\d{2}:\d{2}:\d{2}", "T%H:%M:%S"),
    (r"T\d{2}:\d{2}:\d{2}Z", "T%H:%M:%SZ"),
    (r"T\d{2}:\d{2}:\d{2}\.\d+Z?", "T%H:%M:%S%.f"),
    (r"T\d{2}:\d{2}:\d{2}[+-]\d{2}:\d{2}", "T%H:%M:%S%:z"),
)
_ISO_FORMS = {r"\d{4}-\d{2}-\d{2}": "%Y-%m-%d", r"\d{8}": "%Y%m%d", r"\d{4}/\d{2}/\d{2}": "%Y/%m/%d"}
_PARTS = (("year", "%Y"), ("month", "%m"), ("day", "%d"), ("hour", "%H"), ("minute", "%M"), ("second", "%S"))
_TIME_WORDS = re.compile(r"date|time|datum|zeit|stamp|day", re.IGNORECASE)
_ENTITY_WORDS = re.compile(
    r"serial|device|station|sensor|machine|host|unit|asset|pump|entity|(^|_)id$|name|^id(_|$)", re.IGNORECASE
)
_COHORT_WORDS = re.compile(r"model|type|kind|class|cohort|vendor", re.IGNORECASE)
_LABEL_WORDS = re.compile(r"fail|label|anomal|broken|fault|defect", re.IGNORECASE)
_MARK_WORDS = re.compile(r"qual|flag|remark|status|grade|(^|_)qc($|_)", re.IGNORECASE)
_AGE_WORDS = re.compile(r"hour|runtime|uptime|age$|operating", re.IGNORECASE)
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*$"
_COMMA_NUMBER = r"^\s*[+-]?\d+,\d+\s*$"
_MOST_CODES = 20
_MOST_CELLS = 20_000
_BEFORE_THE_YEAR = r"^(.*?[^\d\W_])[-_ .]*(?:19|20)\d{2}.*\.[^.]+$"
"""A file's name that begins with the device's, and goes on with a year."""
_MOST_NAMED = 5
_SENTINELS = (-9999.0, -999.0, -99999.0, -999.9, 9999.0, 99999.0)


Kind = Literal["counter", "use", "gauge", "age"]
"""As of attributes; use is a counter of which only the growth says something."""


@dataclass
class Proposal:
    """What is proposed for a table.

    Attributes:
        time: columns of the time.
        formats: how it is written; none for dates with the year first.
        entity: the column of the device; None: none was found.
        entity_of_file: what finds the device in a file's name, where no column was found.
        cohort: that of its kind.
        label: that of failures.
        decimal_mark: of its numbers.
        values: the columns that are measured.
        marks: columns that may say that a record is abnormal.
        partitions: by which periods rows are stored.
        step: the usual time between the records of a device; None: no device has two.
        cadence: the same where a period holds several records of a device.
        reasons: by key, why.
        unsure: what a person is to look at, a sentence each.
    """

    time: tuple[str, ...]
    formats: tuple[str, ...]
    entity: str | None = None
    entity_of_file: str = r"^(.+)\.[^.]+$"
    cohort: str | None = None
    label: str | None = None
    decimal_mark: Literal[".", ","] = "."
    values: list["Measured"] = field(default_factory=list)
    marks: tuple[str, ...] = ()
    partitions: Partitions = "daily"
    step: timedelta | None = None
    cadence: timedelta | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    unsure: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Measured:
    """A column of numbers: its type, what is missing in it, its bounds, and what kind of attribute it is."""

    name: str
    type: Literal["int", "float"]
    kind: Kind
    reason: str
    lowest: float
    highest: float
    missing: float | None
    why_missing: str = "stands far from all others"


def propose(
    texts: pl.DataFrame, files: pl.Series, named: Partitions | None = None, *, decimal_comma_possible: bool = False
) -> Proposal:
    """What the rows of a sample suggest.

    Args:
        texts: columns as text, null = missing.
        files: of each row the name of its file.
        named: the periods after which the files are named; None: their names say no period.
        decimal_comma_possible: whether a comma may stand before decimals: it separates no fields.

    Raises:
        ConfigError: no column is a time, or none holds numbers.
    """
    columns, formats, reason, doubt = _time(texts)
    proposal = Proposal(columns, formats, reasons={"time": reason}, unsure=[doubt] if doubt else [])
    times = _parsed(texts, columns, formats)
    rest = [name for name in texts.columns if name not in columns and name.lower() not in RESERVED_COLUMNS]
    if taken := [name for name in texts.columns if name.lower() in RESERVED_COLUMNS]:
        stored = ", ".join(f"{name} is stored as {stored_name(name)}" for name in taken)
        proposal.reasons["values"] = f"the tables use some names themselves: {stored}"
    _find_entity(proposal, texts, times, rest)
    entities = texts[proposal.entity] if proposal.entity else _entities_of_files(proposal, files, times, named)
    _find_cohort_and_label(proposal, texts, rest)
    _find_marks(proposal, texts, rest)
    named_columns = {proposal.entity, proposal.cohort, proposal.label, *proposal.marks}
    numbers = {
        name: found
        for name in rest
        if name not in named_columns and (found := _numbers(texts[name], decimal_comma_possible))
    }
    if any(mark == "," for _, mark in numbers.values()):
        proposal.decimal_mark = ","
    order = pl.DataFrame({"entity": entities, "time": times})
    proposal.values = _with_common_gaps([_measured(name, series, order) for name, (series, _) in numbers.items()])
    if not proposal.values:
        raise ConfigError(
            f"none of the columns {', '.join(texts.columns[:12])} holds numbers that could be watched; expected a file "
            "with a time, a device and what is measured of it in columns"
        )
    _doubt_copies(proposal, {name: series for name, (series, _) in numbers.items()})
    texts_left = [name for name in rest if name not in named_columns and name not in numbers]
    if texts_left:
        left_out = f"left out, since they are text: {', '.join(texts_left)}"
        proposal.reasons["values"] = "; ".join(filter(None, [proposal.reasons.get("values"), left_out]))
    _find_periods(proposal, order, named)
    return proposal


def _time(texts: pl.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...], str, str]:
    """Columns, formats, reason and doubt of the time."""
    parts = {part: name for part, _ in _PARTS for name in texts.columns if name.strip().lower() == part}
    if {"year", "month", "day"} <= parts.keys():
        chosen = [(parts[part], code) for part, code in _PARTS if part in parts]
        form = " ".join(code for _, code in chosen)
        return tuple(name for name, _ in chosen), (form,), "the columns are named after the parts of a time", ""
    names = sorted(texts.columns, key=lambda name: _TIME_WORDS.search(name) is None)
    for name in names:
        known = texts[name].drop_nulls()
        found = [] if known.is_empty() else _forms_of(known.gather_every(1 + len(known) // _MOST_CELLS))
        if not found:
            continue
        share = sum(one.share for one in found)
        examples = " or ".join(json.dumps(one.example, ensure_ascii=False) for one in found)
        reason = f"{share:.0%} of its cells are written so, e.g. {examples}"
        doubts = [
            f"{name} may be written {one.or_else} as well as {one.form}: nothing in the sample tells"
            for one in found
            if one.or_else
        ]
        formats = tuple(one.form for one in found) if any(one.form for one in found) else ()
        if len(formats) > 1:
            formats = tuple(one.form or _ISO_FORMS[one.pattern] for one in found)
        return (name,), formats, reason, next(iter(doubts), "")
    raise ConfigError(
        f"none of the columns {', '.join(texts.columns[:12])} looks like a time; expected dates such as 2024-04-17, "
        "17.04.2024 or 2024-04-17 06:15, or columns named year, month, day"
    )


@dataclass(frozen=True)
class _Form:
    """One way in which the cells of a column are written as times.

    Attributes:
        pattern: of their text.
        form: as strftime has it; empty where it need not be said.
        share: of the known cells.
        example: one of them.
        or_else: another format that reads them too, as another day; empty: there is none.
    """

    pattern: str
    form: str
    share: float
    example: str
    or_else: str


def _forms_of(known: pl.Series) -> list[_Form]:
    """The ways in which the cells of a column are written, the most frequent first; none where others are too many."""
    found: list[_Form] = []
    forms: dict[str, list[str]] = {}
    for pattern, form in _forms():
        forms.setdefault(pattern, []).append(form)
    for pattern, candidates in forms.items():
        fit = known.filter(known.str.contains(f"^{pattern}$"))
        read = [form for form in candidates if len(fit) and _part(_read(fit, form).is_not_null()) >= ENOUGH]
        if read:
            others = [other for other in read[1:] if ("%d/%m" in read[0]) != ("%d/%m" in other)]
            found.append(_Form(pattern, read[0], len(fit) / len(known), str(fit[0]), "".join(others[:1])))
    found.sort(key=lambda one: -one.share)
    return found if sum(one.share for one in found) >= ENOUGH else []


def _forms() -> Iterator[tuple[str, str]]:
    """Patterns of times with their formats; the format is empty where it need not be said."""
    for tail, tail_form in _TIMES_OF_DAY:
        for head, form in _TIME_FORMS:
            full = form or (_ISO_FORMS[head] if tail else "")
            yield head + tail, full + tail_form


def _read(texts: pl.Series, form: str) -> pl.Series:
    if not form:
        digits = texts.str.replace_all(r"[-/]", "")
        return digits.str.to_date("%Y%m%d", strict=False).cast(pl.Datetime("us"))
    return read_times(texts, form).cast(pl.Datetime("us"))


def _parsed(texts: pl.DataFrame, columns: Sequence[str], formats: Sequence[str]) -> pl.Series:
    text = texts.select(pl.concat_str(columns, separator=" ")).to_series()
    read = [_read(text, form).alias(str(number)) for number, form in enumerate(formats or [""])]
    return pl.select(pl.coalesce(read).alias("time")).to_series()


def _find_entity(proposal: Proposal, texts: pl.DataFrame, times: pl.Series, rest: Sequence[str]) -> None:
    candidates: list[tuple[bool, float, int, str]] = []
    for place, name in enumerate(rest):
        column = texts[name]
        known = column.drop_nulls()
        # A name is no measurement: whole numbers may be names, numbers with decimals are none.
        if known.is_empty() or _part(known.str.contains(r"^[+-]?\d*[.,]\d+$")) > 1 - ENOUGH:
            continue
        pairs = pl.DataFrame({"entity": column, "time": times}).drop_nulls()
        unique = pairs.n_unique() / max(pairs.height, 1)
        repeats = known.n_unique() <= max(1, len(known) // 2) or times.n_unique() == 1
        hinted = _ENTITY_WORDS.search(name) is not None
        numeric = known.str.contains(_NUMBER).all()
        if unique >= ENOUGH and repeats and (hinted or not numeric):
            candidates.append((not hinted, -unique, place, name))
    if not candidates:
        return
    _, unique, _, proposal.entity = min(candidates)
    devices = texts[proposal.entity].n_unique()
    proposal.reasons["entity"] = (
        f"{devices:,} different names, and {-unique:.0%} of the rows are its only one at their time"
    )
    if len(candidates) > 1:
        others = ", ".join(name for *_, name in sorted(candidates)[1:4])
        proposal.unsure.append(f"the device may be named by {others} instead of {proposal.entity}")


def _entities_of_files(proposal: Proposal, files: pl.Series, times: pl.Series, named: Partitions | None) -> pl.Series:
    """The device of each row by the name of its file, where no column names it."""
    names = files.str.split("/").list.last()
    distinct = names.unique()
    if named is not None:
        proposal.unsure.append("no column names the device, and files are named after a period: say which device it is")
        return pl.repeat("one", len(files), eager=True)
    if distinct.str.contains(_BEFORE_THE_YEAR).all():
        proposal.entity_of_file = _BEFORE_THE_YEAR
    entities = names.str.extract(proposal.entity_of_file)
    unique = _part(pl.DataFrame({"entity": entities, "time": times}).drop_nulls().is_unique())
    devices = ", ".join(entities.unique().sort().head(_MOST_NAMED))
    if unique < ENOUGH:
        proposal.unsure.append("no column names the device of a row so that each has one record at a time")
    elif len(distinct) == 1:
        proposal.reasons["entity"] = "no column names a device and each time stands once: the file is one device's"
    else:
        proposal.reasons["entity"] = f"no column names a device, and in a file each time stands once: {devices}"
        proposal.unsure.append(f"the device is taken from the names of files: {devices}")
    return entities


def _find_cohort_and_label(proposal: Proposal, texts: pl.DataFrame, rest: Sequence[str]) -> None:
    others = [name for name in rest if name != proposal.entity]
    if proposal.entity is not None:
        devices = texts[proposal.entity].n_unique()
        for name in sorted(others, key=lambda name: _COHORT_WORDS.search(name) is None):
            kinds = texts[name].drop_nulls().n_unique()
            steady = texts.select(pl.struct(proposal.entity, name).n_unique()).item() == devices
            numeric = texts[name].drop_nulls().str.contains(_NUMBER).all()
            if not steady or numeric or not 1 < kinds <= devices // 2:
                continue
            if _COHORT_WORDS.search(name):
                proposal.cohort = name
                proposal.reasons["cohort"] = f"{kinds} kinds, and no device changes its own"
            else:
                proposal.unsure.append(f"{name} has {kinds} texts that no device changes: it may be the cohort")
            break
    for name in others:
        values = set(texts[name].drop_nulls().str.to_lowercase().unique().to_list())
        if values and values <= {"0", "1", "true", "false", "0.0", "1.0"} and name != proposal.cohort:
            failures = texts[name].str.to_lowercase().is_in(["1", "true", "1.0"]).sum()
            said = f"{failures:,} of {texts.height:,} rows are 1"
            if _LABEL_WORDS.search(name):
                proposal.label = name
                proposal.reasons["label"] = f"{said}; it should say that the device failed on that day"
                break
            proposal.unsure.append(f"{name} holds only 0 and 1 ({said}): a label, if it says that the device failed")


def _find_marks(proposal: Proposal, texts: pl.DataFrame, rest: Sequence[str]) -> None:
    """Columns with a code here and there, whose names say that they are remarks on the other columns."""
    proposal.marks = tuple(
        name
        for name in rest
        if _MARK_WORDS.search(name)
        and texts[name].null_count() > texts.height // 2
        and texts[name].n_unique() <= _MOST_CODES
        and name not in (proposal.entity, proposal.cohort, proposal.label)
    )
    if proposal.marks and proposal.label is None:
        names = ", ".join(proposal.marks)
        proposal.unsure.append(
            f"{names}: they may mark abnormal records, see label; if so, what they say is never measured"
        )


def _doubt_copies(proposal: Proposal, numbers: Mapping[str, pl.Series]) -> None:
    """Says which columns repeat another, as corrected ones do: what is corrected later is not known when it counts."""
    for name, values in numbers.items():
        for other, copy in numbers.items():
            known = values.is_not_null() & copy.is_not_null()
            if other.startswith(name) and other != name and known.any() and _part((values == copy).filter(known)) > 0.5:
                share = _part((values == copy).filter(known))
                proposal.unsure.append(
                    f"{other} equals {name} in {share:.0%} of the rows: leave it out where it is made of it later"
                )


def _numbers(column: pl.Series, comma_possible: bool) -> tuple[pl.Series, Literal[".", ","]] | None:
    """A column of text as numbers, and what stands before their decimals; None where it holds others."""
    known = column.drop_nulls()
    if known.is_empty():
        return None
    if _part(known.str.contains(_NUMBER)) >= ENOUGH:
        return column.str.strip_chars().cast(pl.Float64, strict=False), "."
    either = f"{_NUMBER}|{_COMMA_NUMBER}"
    if comma_possible and _part(known.str.contains(either)) >= ENOUGH:
        return column.str.strip_chars().str.replace(",", ".").cast(pl.Float64, strict=False), ","
    return None


def _measured(name: str, numbers: pl.Series, order: pl.DataFrame) -> Measured:
    missing = next((value for value in _SENTINELS if _is_far_off(numbers, value)), None)
    values = numbers if missing is None else numbers.set(numbers == missing, None)
    known = values.drop_nulls()
    lowest, highest = (0.0, 0.0) if known.is_empty() else (_float(known.min()), _float(known.max()))
    whole = bool((known == known.floor()).all())
    kind, reason = _kind(name, values, order, whole=whole)
    return Measured(name, "int" if whole else "float", kind, reason, lowest, highest, missing)


def _with_common_gaps(values: Sequence[Measured]) -> list[Measured]:
    """The columns with a number that stands for a missing value in two of them, where none of theirs could be it."""
    counts = Counter(value.missing for value in values if value.missing is not None)
    common, columns = next(iter(counts.most_common(1)), (0.0, 0))
    reason = f"stands for a missing value in {columns} other columns"
    return [
        replace(value, missing=common, why_missing=reason)
        if columns > 1 and value.missing is None and not value.lowest <= common <= value.highest
        else value
        for value in values
    ]


def _kind(name: str, values: pl.Series, order: pl.DataFrame, *, whole: bool) -> tuple[Kind, str]:
    steps = (
        order.with_columns(value=values)
        .drop_nulls()
        .sort("entity", "time")
        .select(pl.col("value").diff().over("entity").alias("step"), pl.col("time").diff().over("entity").alias("ago"))
        .drop_nulls()
    )
    rising = 0.0 if steps.is_empty() else _part(steps["step"] >= 0)
    if whole and rising >= 0.98 and (steps["step"] > 0).any():
        per_day = steps.filter(pl.col("ago") > timedelta()).select(
            (pl.col("step") / (pl.col("ago").dt.total_seconds() / 86_400)).median()
        )
        if _AGE_WORDS.search(name) or 23 <= _float(per_day.item() or 0) <= 25:
            return "age", "rises with the time in use; its level rises on all devices and would look abnormal later"
        often = _part(steps["step"] > 0)
        if often >= OFTEN:
            return "use", f"rises in {often:.0%} of the steps, so its level tells how old a device is"
        return "counter", f"falls in {1 - rising:.1%} of the steps"
    return "gauge", "goes up and down" if len(
        steps
    ) else "a device has one record only, so nothing shows whether it counts"


def _is_far_off(numbers: pl.Series, value: float) -> bool:
    """Whether a value stands so far from all others that it says that there is none."""
    others = numbers.filter(numbers != value).drop_nulls()
    if others.is_empty() or not (numbers == value).any():
        return False
    lowest, highest = _float(others.min()), _float(others.max())
    return value < lowest - (highest - lowest) if value < 0 else value > highest + (highest - lowest)


def _find_periods(proposal: Proposal, order: pl.DataFrame, named: Partitions | None) -> None:
    """The cadence, and by which periods rows are stored: those of the files' names, or one in which records come."""
    steps = steps_between(order)
    middle = steps.median()
    step = proposal.step = middle if isinstance(middle, timedelta) else None
    proposal.partitions, proposal.reasons["partitions"] = _periods_for(step, named)
    if step is None or step >= PERIODS[proposal.partitions].step:
        return
    proposal.cadence = max(timedelta(seconds=round(step.total_seconds())), timedelta(seconds=1))
    share = _part((steps - step).abs() <= step / 10)
    proposal.reasons["cadence"] = f"the median step between records of a device; {share:.0%} are so long"


def steps_between(records: pl.DataFrame) -> pl.Series:
    """The times between a device's records and the ones before them; records of the same time count once.

    Args:
        records: ``entity`` and ``time``.
    """
    known = records.select("entity", "time").drop_nulls().unique().sort("entity", "time")
    return known.select(pl.col("time").diff().over("entity")).to_series().drop_nulls()


def _periods_for(step: timedelta | None, named: Partitions | None) -> tuple[Partitions, str]:
    if named is not None:
        return named, f"files are named after {PERIODS[named].noun}s"
    if step is None:
        return "daily", "no device has two records in the sample"
    every = f"a device has a record every {span_in_words(step)}"
    if step < timedelta(minutes=1):
        return "hourly", f"{every}, so a day would hold more than {timedelta(days=1) // timedelta(minutes=1):,} of them"
    if step > timedelta(days=1):
        return "weekly", f"{every}, so most days would have none"
    return "daily", every


def span_in_words(span: timedelta) -> str:
    """E.g. ``15 minutes``."""
    seconds = int(span.total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % length == 0:
            count = seconds // length
            return unit if count == 1 else f"{count:,} {unit}s"
    return f"{seconds:,} seconds"


def _part(truths: pl.Series) -> float:
    """Share of true values."""
    return _float(truths.mean())


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
