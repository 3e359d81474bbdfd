"""What a sample of somebody's own rows suggests: each finding with its reason, and what is unsure.

Nothing here is a decision: what a sample of rows suggests is written down, for a person to look at and change.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import product
from typing import Literal

import polars as pl

from ae_assets.errors import ConfigError
from ae_assets.schemas.columns import RESERVED_COLUMNS, stored_name
from ae_assets.schemas.durations import in_words
from ae_assets.schemas.periods import PERIODS, Partitions
from ae_assets.schemas.times import has_time_of_day, read_times

BEGIN, STEP = datetime(2024, 1, 1), timedelta(minutes=1)  # noqa: DTZ001 - as the clock of the table shows it
"""The times of lines that say none: a guess to be corrected."""

ENOUGH = 0.9
"""Share of the known cells of a column that have to look alike."""

OFTEN = 0.2
"""Share of the steps in which a counter of use rises; one of errors hardly ever does."""

_YEAR_FIRST = {r"\d{4}-\d{2}-\d{2}": "%Y-%m-%d", r"\d{8}": "%Y%m%d", r"\d{4}/\d{2}/\d{2}": "%Y/%m/%d"}
"""Dates whose format need not be said."""
_DATES: dict[str, tuple[str, ...]] = {
    **{pattern: (form,) for pattern, form in _YEAR_FIRST.items()},
    r"\d{1,2}\.\d{1,2}\.\d{4}": ("%d.%m.%Y",),
    r"\d{1,2}/\d{1,2}/\d{4}": ("%d/%m/%Y", "%m/%d/%Y"),
    r"\d{1,2}-\d{1,2}-\d{4}": ("%d-%m-%Y",),
}
_CLOCKS = {
    r"\d{1,2}:\d{2}": "%H:%M",
    r"\d{1,2}:\d{2}:\d{2}": "%H:%M:%S",
    r"\d{1,2}:\d{2}:\d{2}\.\d+": "%H:%M:%S%.f",
    r"\d{1,2}:\d{2} [AaPp][Mm]": "%I:%M %p",
    r"\d{1,2}:\d{2}:\d{2} [AaPp][Mm]": "%I:%M:%S %p",
}
_OFFSETS = {r"": "", r"Z": "Z", r"[+-]\d{2}:\d{2}": "%:z", r"[+-]\d{4}": "%z"}
_TIMES_OF_DAY = {"": ""} | {
    f"{mark}{clock}{offset}": f"{mark}{form}{offset_form}"
    for mark, (clock, form), (offset, offset_form) in product(" T", _CLOCKS.items(), _OFFSETS.items())
}
_LIKE_A_DATE = r"^(\d{8}|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4})"
_EPOCHS = {r"^\d{9,10}(\.\d+)?$": "%s", r"^\d{12,13}(\.\d+)?$": "%Q"}
"""Seconds and milliseconds since 1970."""
_PARTS = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M", "second": "%S"}
_TIME_WORDS = re.compile(r"date|time|datum|zeit|stamp|day|epoch|unix|(^|_)(ts|at)($|_)", re.IGNORECASE)
_ENTITY_WORDS = re.compile(
    r"serial|device|station|sensor|machine|host|unit|asset|pump|entity|(^|_)id$|name|^id(_|$)", re.IGNORECASE
)
_COHORT_WORDS = re.compile(r"model|type|kind|class|cohort|vendor", re.IGNORECASE)
_LABEL_WORDS = re.compile(r"fail|label|anomal|broken|fault|defect|outlier|change.?point", re.IGNORECASE)
_MARK_WORDS = re.compile(r"qual|flag|remark|status|grade|(^|_)qc($|_)", re.IGNORECASE)
_CORRECTED_WORDS = re.compile(r"^[^a-z]*(corr?(ected)?|adj(usted)?|clean(ed)?|fixed|final)$", re.IGNORECASE)
_AGE_WORDS = re.compile(r"hour|runtime|uptime|age$|operating", re.IGNORECASE)
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*$"
_COMMA_NUMBER = r"^\s*[+-]?\d+,\d+\s*$"
_MOST_CODES = 20
_LEAST_COUNTED = 100
_MOST_CELLS = 20_000
_BEFORE_THE_YEAR = r"^(.*?[^\d\W_])[-_ .]*(?:19|20)\d{2}.*\.[^.]+$"
"""A file's name that begins with the device's, and goes on with a year."""
_MOST_NAMED = 5
_SENTINELS = (-9999.0, -999.0, -99999.0, -999.9, 9999.0, 99999.0)


Kind = Literal["counter", "use", "gauge", "age"]
"""As of attributes; use is a counter of which only the growth says something."""


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


@dataclass
class Proposal:
    """What is proposed for a table.

    Attributes:
        time: columns of the time.
        formats: how it is written; none for dates with the year first.
        entity: the column of the device; None: none was found.
        entity_of_file: what finds the device in a file's name, where no column was found.
        entity_in_path: whether it is looked for in the name with the folders above it.
        cohort: that of its kind.
        label: that of failures, or of abnormal records where a device has several in a period.
        label_cells: what stands in it where it says so.
        further_labels: columns that are not measured, since they may say the same.
        decimal_mark: of its numbers.
        is_counted: whether no column says the time, so that lines are counted from `BEGIN` in steps of `STEP`.
        names: of the devices in the sample.
        values: the columns that are measured.
        marks: columns that may say that a record is abnormal.
        partitions: by which periods rows are stored.
        step: the usual time between the records of a device; None: no device has two.
        cadence: the same where a period holds several records of a device.
        longest_step: that of the device whose records come least often.
        days: from the first to the last record of a usual device.
        records: of the device with the fewest, unless it has next to none.
        normal_records: before the first that is labelled, in nine of ten devices; None: without a label.
        side_by_side: whether devices begin at about the same time.
        reasons: by key, why.
        unsure: what a person is to look at, a sentence each.
    """

    time: tuple[str, ...]
    formats: tuple[str, ...]
    entity: str | None = None
    entity_of_file: str = r"^(.+)\.[^.]+$"
    entity_in_path: bool = False
    cohort: str | None = None
    label: str | None = None
    label_cells: tuple[str, ...] = ()
    further_labels: tuple[str, ...] = ()
    decimal_mark: Literal[".", ","] = "."
    is_counted: bool = False
    values: list[Measured] = field(default_factory=list)
    marks: tuple[str, ...] = ()
    partitions: Partitions = "daily"
    step: timedelta | None = None
    cadence: timedelta | None = None
    longest_step: timedelta | None = None
    names: frozenset[str] = frozenset()
    days: int = 1
    records: int = 1
    normal_records: int | None = None
    side_by_side: bool = True
    reasons: dict[str, str] = field(default_factory=dict)
    unsure: list[str] = field(default_factory=list)

    @property
    def devices(self) -> int:
        """In the sample."""
        return len(self.names)

    @property
    def is_mixed(self) -> bool:
        """Whether the records of some devices come far more often than those of others."""
        return self.step is not None and self.longest_step is not None and self.longest_step > 2 * self.step


def propose(
    texts: pl.DataFrame,
    files: pl.Series,
    named: Partitions | None = None,
    *,
    decimal_comma_possible: bool = False,
    share: float = 1.0,
    share_of_files: float = 1.0,
) -> Proposal:
    """What the rows of a sample suggest.

    Args:
        texts: columns as text, null = missing.
        files: of each row the name of its file.
        named: the periods after which the files are named; None: their names say no period.
        decimal_comma_possible: whether a comma may stand before decimals: it separates no fields.
        share: of the rows of these files that are given.
        share_of_files: of the files that these are.

    Raises:
        ConfigError: no column is a time, or none holds numbers.
    """
    proposal, times = _with_time(texts, files)
    rest = texts.select(
        name for name in texts.columns if name not in proposal.time and name.lower() not in RESERVED_COLUMNS
    )
    _find_entity(proposal, rest, times)
    entities = rest[proposal.entity] if proposal.entity else _entities_of_files(proposal, files, times, named)
    if proposal.entity:
        rest = rest.drop(proposal.entity)
        _find_cohort(proposal, rest, entities)
    rest = rest.drop(proposal.cohort or ())
    _find_label(proposal, rest)
    rest = rest.drop(proposal.label or ())
    _find_marks(proposal, rest)
    rest = rest.drop(proposal.marks, proposal.further_labels)
    numbers = _numbers(proposal, rest, comma_possible=decimal_comma_possible)
    records = pl.DataFrame({"entity": entities, "time": times})
    copies = _copies(proposal, numbers)
    proposal.values = _with_common_gaps([_measured(values, records) for values in numbers.drop(copies)])
    if not proposal.values:
        raise ConfigError(
            f"none of the columns {', '.join(texts.columns[:12])} holds numbers that could be watched; expected a file "
            "with a time, a device and what is measured of it in columns"
        )
    renamed = [f"{name} is stored as {stored_name(name)}" for name in texts.columns if name.lower() in RESERVED_COLUMNS]
    left_out = rest.drop(numbers.columns).columns
    remarks = [
        *([f"the tables use some names themselves: {', '.join(renamed)}"] if renamed else []),
        *([f"left out, since they are text: {', '.join(left_out)}"] if left_out else []),
    ]
    if remarks:
        proposal.reasons["values"] = "; ".join(remarks)
    proposal.names = frozenset(records["entity"].drop_nulls())
    one_file_each = proposal.entity is None and proposal.devices == files.n_unique()
    label = texts[proposal.label] if proposal.label else None
    _find_lives(proposal, records, label, share if one_file_each else share * share_of_files)
    _find_periods(proposal, records, named)
    return proposal


def _find_lives(proposal: Proposal, records: pl.DataFrame, label: pl.Series | None, share: float) -> None:
    """How long devices have records, and whether at the same time; ``share`` of the records of each are given."""
    abnormal = pl.lit(False) if label is None else pl.Series(label.is_in(proposal.label_cells)).fill_null(False)
    ordered = records.with_columns(abnormal=abnormal).drop_nulls().sort("entity", "time")
    number = pl.int_range(pl.len())
    lives = ordered.group_by("entity").agg(
        first=pl.col("time").min(),
        length=pl.col("time").max() - pl.col("time").min(),
        count=pl.len() / share,
        normal=number.filter("abnormal").min(),
    )
    if lives.is_empty():
        return
    length = lives["length"].median()
    length = length / share if isinstance(length, timedelta) else timedelta()
    proposal.days = length.days + 1
    usual = lives.filter(pl.col("count") >= pl.col("count").median() / 10)
    proposal.records = max(int(_float(usual["count"].min())), 1)
    late = lives["first"] > lives["first"].min() + length / 4  # type: ignore[operator]  # a time, says the schema
    proposal.side_by_side = _share(late) <= 1 - ENOUGH
    known = lives["normal"].drop_nulls()
    proposal.normal_records = int(_float(known.quantile(1 - ENOUGH, "lower"))) if len(known) else None


def _with_time(texts: pl.DataFrame, files: pl.Series) -> tuple[Proposal, pl.Series]:
    """A proposal of the time alone, and the time of each row."""
    parts = {part: name for part in _PARTS for name in texts.columns if name.strip().lower() == part}
    if {"year", "month", "day"} <= parts.keys():
        form = " ".join(_PARTS[part] for part in parts)
        proposal = Proposal(tuple(parts.values()), (form,))
        proposal.reasons["time"] = "the columns are named after the parts of a time"
        return proposal, _times(texts.select(pl.concat_str(parts.values(), separator=" ")).to_series(), [form])
    for name in sorted(texts.columns, key=lambda name: _TIME_WORDS.search(name) is None):
        written = _ways_of_writing(texts[name].drop_nulls())
        if not written:
            continue
        forms = [way.forms[0] for way in written]
        clock = None if any(map(has_time_of_day, forms)) else _clock_beside(texts.drop(name))
        if clock is not None:
            forms = [f"{form} {clock[1]}" for form in forms]
            proposal = Proposal((name, clock[0]), tuple(forms))
            proposal.reasons["time"] = "one column is the date, the other the time of day"
            return proposal, _times(texts.select(pl.concat_str(proposal.time, separator=" ")).to_series(), forms)
        proposal = Proposal((name,), () if set(forms) <= set(_YEAR_FIRST.values()) else tuple(forms))
        examples = " or ".join(json.dumps(way.example, ensure_ascii=False) for way in written)
        share = sum(way.share for way in written)
        proposal.reasons["time"] = f"{share:.0%} of its cells are written so, e.g. {examples}"
        proposal.unsure += [
            f"{name} may be written {way.forms[1]} as well as {way.forms[0]}: nothing in the sample tells"
            for way in written
            if len(way.forms) > 1
        ][:1]
        return proposal, _times(texts[name], forms)
    numbers = texts.select((pl.all().str.contains(_NUMBER) | pl.all().is_null()).all()).row(0)
    if all(numbers) and texts.height >= _LEAST_COUNTED * files.n_unique():
        proposal = Proposal(("time",), ("%Y-%m-%d %H:%M:%S",), is_counted=True)
        proposal.reasons["time"] = "no column says it: lines are counted, see source.lines"
        proposal.unsure.append(
            f"no column says when a line was written, so each is taken for {in_words(STEP)} after "
            f"the one before, from {BEGIN} on in each file; correct source.lines, and cadence with it"
        )
        places = pl.Series(files.rle_id()).to_frame("file").select(pl.int_range(pl.len()).over("file")).to_series()
        return proposal, pl.select(pl.lit(BEGIN) + places * STEP).to_series().alias("time")
    raise ConfigError(
        f"none of the columns {', '.join(texts.columns[:12])} looks like a time; expected dates such as 2024-04-17, "
        "17.04.2024 or 2024-04-17 06:15, or columns named year, month, day. Where lines follow each other in equal "
        "steps and say no time, write the YAML by hand with source.lines: {begin: ..., step: ...} (docs/own-table.md)"
    )


def _clock_beside(texts: pl.DataFrame) -> tuple[str, str] | None:
    """The first column of times of day, and how they are written."""
    for column, (clock, form) in product(texts, _CLOCKS.items()):
        cells = column.drop_nulls()
        if len(cells) and _TIME_WORDS.search(column.name) and _share(cells.str.contains(f"^{clock}$")) >= ENOUGH:
            return column.name, form
    return None


@dataclass(frozen=True)
class _Written:
    """A way in which some cells of a column are written: the formats that read it, its share, and one of the cells."""

    forms: tuple[str, ...]
    share: float
    example: str


def _ways_of_writing(texts: pl.Series) -> list[_Written]:
    """How the times of a column are written, the most frequent way first; none where too many cells are no times."""
    texts = texts.gather_every(1 + len(texts) // _MOST_CELLS)
    ways: list[_Written] = []
    for epoch, form in _EPOCHS.items():
        if len(texts) and _TIME_WORDS.search(texts.name) and texts.str.contains(epoch).all():
            return [_Written((form,), 1.0, str(texts[0]))]
    if _share(texts.str.contains(_LIKE_A_DATE)) < ENOUGH:
        return []
    for (clock, clock_form), (date, date_forms) in product(_TIMES_OF_DAY.items(), _DATES.items()):
        cells = texts.filter(texts.str.contains(f"^{date}{clock}$"))
        forms = tuple(
            form + clock_form
            for form in date_forms
            if len(cells) and _share(read_times(cells, form + clock_form).is_not_null()) >= ENOUGH
        )
        if forms:
            ways.append(_Written(forms, len(cells) / len(texts), str(cells[0])))
    ways.sort(key=lambda way: -way.share)
    return ways if sum(way.share for way in ways) >= ENOUGH else []


def _times(texts: pl.Series, forms: Sequence[str]) -> pl.Series:
    read = [read_times(texts, form).cast(pl.Datetime("us")) for form in forms]
    return pl.select(pl.coalesce(read).alias("time")).to_series()


def _find_entity(proposal: Proposal, rest: pl.DataFrame, times: pl.Series) -> None:
    candidates: list[tuple[bool, float, int, str]] = []
    for place, column in enumerate(rest):
        texts = column.drop_nulls()
        if len(texts) < ENOUGH * len(column):  # a record without a device is nobody's
            continue
        # A name is no measurement: whole numbers may be names, numbers with decimals are none.
        if texts.is_empty() or _share(texts.str.contains(r"^[+-]?\d*[.,]\d+$")) > 1 - ENOUGH:
            continue
        pairs = pl.DataFrame({"entity": column, "time": times}).drop_nulls()
        unique = pairs.n_unique() / max(pairs.height, 1)
        repeats = texts.n_unique() <= max(1, len(texts) // 2) or times.n_unique() == 1
        hinted = _ENTITY_WORDS.search(column.name) is not None
        if unique >= ENOUGH and repeats and (hinted or not texts.str.contains(_NUMBER).all()):
            candidates.append((not hinted, -unique, place, column.name))
    if not candidates:
        return
    (_, unique, _, proposal.entity), *others = sorted(candidates)
    devices = rest[proposal.entity].n_unique()
    proposal.reasons["entity"] = (
        f"{devices:,} different names, and {-unique:.0%} of the rows are its only one at their time"
    )
    if others:
        names = ", ".join(name for *_, name in others[:3])
        proposal.unsure.append(f"the device may be named by {names} instead of {proposal.entity}")


def _entities_of_files(proposal: Proposal, files: pl.Series, times: pl.Series, named: Partitions | None) -> pl.Series:
    """The device of each row by the name of its file, where no column names it."""
    names = files.str.split("/").list.last()
    distinct = names.unique()
    deepest = files.unique().str.count_matches("/").min()
    if named is None and len(distinct) < files.n_unique() and isinstance(deepest, int):
        return _entities_of_paths(proposal, files, deepest)
    if named is not None:
        proposal.unsure.append("no column names the device, and files are named after a period: say which device it is")
        return pl.repeat("one", len(files), eager=True)
    if distinct.str.contains(_BEFORE_THE_YEAR).all():
        proposal.entity_of_file = _BEFORE_THE_YEAR
    entities = names.str.extract(proposal.entity_of_file)
    unique = _share(pl.DataFrame({"entity": entities, "time": times}).drop_nulls().is_unique())
    devices = ", ".join(entities.unique().sort().head(_MOST_NAMED))
    if unique < ENOUGH:
        proposal.unsure.append("no column names the device of a row so that each has one record at a time")
    elif len(distinct) == 1:
        proposal.reasons["entity"] = "no column names a device and each time stands once: the file is one device's"
    else:
        proposal.reasons["entity"] = f"no column names a device, and in a file each time stands once: {devices}"
        proposal.unsure.append(f"the device is taken from the names of files: {devices}")
    return entities


def _entities_of_paths(proposal: Proposal, files: pl.Series, deepest: int) -> pl.Series:
    """The device of each row by the name of its file with as many folders above it as tell the files apart."""
    entities = files
    for depth in range(1, deepest + 1):
        proposal.entity_of_file = "(" + "[^/]+/" * depth + r"[^/]+)\.[^.]+$"
        entities = files.str.extract(proposal.entity_of_file)
        if entities.n_unique() == files.n_unique():
            break
    proposal.entity_in_path = True
    devices = ", ".join(entities.unique().sort().head(_MOST_NAMED))
    proposal.reasons["entity"] = f"no column names a device, and folders have files of the same names: {devices}"
    proposal.unsure.append(f"the device is taken from the names of files and the folders above them: {devices}")
    return entities


def _find_cohort(proposal: Proposal, rest: pl.DataFrame, entities: pl.Series) -> None:
    """The first column of texts that no device changes and several devices share; one that is named so goes first."""
    devices = entities.n_unique()
    for column in sorted(rest, key=lambda column: _COHORT_WORDS.search(column.name) is None):
        texts = column.drop_nulls()
        kinds = texts.n_unique()
        steady = pl.DataFrame({"entity": entities, "kind": column}).n_unique() == devices
        if not steady or not 1 < kinds <= devices // 2 or texts.str.contains(_NUMBER).all():
            continue
        if _COHORT_WORDS.search(column.name):
            proposal.cohort = column.name
            proposal.reasons["cohort"] = f"{kinds} kinds, and no device changes its own"
        else:
            proposal.unsure.append(f"{column.name} has {kinds} texts that no device changes: it may be the cohort")
        return


def _find_label(proposal: Proposal, rest: pl.DataFrame) -> None:
    """The first column of yes and no whose name says that something was wrong; others of that name are left out."""
    for column in rest:
        texts = column.drop_nulls()
        yes = texts.str.to_lowercase().is_in(["1", "true", "1.0"])
        no = texts.str.to_lowercase().is_in(["0", "false", "0.0"])
        if texts.is_empty() or not (yes | no).all() or not (yes.any() or _LABEL_WORDS.search(column.name)):
            continue
        ones = f"{yes.sum():,} of {rest.height:,} rows are 1"
        if not _LABEL_WORDS.search(column.name):
            proposal.unsure.append(
                f"{column.name} holds only 0 and 1 ({ones}): a label, if it says that the device failed"
            )
        elif proposal.label is None:
            proposal.label = column.name
            proposal.label_cells = tuple(sorted({"1", "1.0", *texts.filter(yes).unique()}))
            proposal.reasons["label"] = ones
        else:
            proposal.further_labels = (*proposal.further_labels, column.name)
            proposal.unsure.append(
                f"{column.name} holds only 0 and 1 ({ones}) and is not measured: it may say what went wrong, as "
                f"{proposal.label} does"
            )


def _find_marks(proposal: Proposal, rest: pl.DataFrame) -> None:
    """Columns with a code here and there, whose names say that they are remarks on the other columns."""
    proposal.marks = tuple(
        column.name
        for column in rest
        if _MARK_WORDS.search(column.name)
        and column.null_count() > rest.height // 2
        and column.n_unique() <= _MOST_CODES
    )
    if proposal.marks and proposal.label is None:
        names = ", ".join(proposal.marks)
        proposal.unsure.append(
            f"{names}: they may mark abnormal records, see label; if so, what they say is never measured"
        )


def _numbers(proposal: Proposal, rest: pl.DataFrame, *, comma_possible: bool) -> pl.DataFrame:
    """The columns of text that are numbers, as such; what stands before their decimals is noted."""
    numbers: list[pl.Series] = []
    for column in rest:
        cells = column.drop_nulls()
        plain = cells.str.contains(_NUMBER)
        with_comma = cells.str.contains(_COMMA_NUMBER) & comma_possible
        if cells.is_empty() or _share(plain | with_comma) < ENOUGH:
            continue
        if with_comma.any():
            proposal.decimal_mark = ","
        texts = column.str.replace(",", ".") if with_comma.any() else column
        numbers.append(texts.str.strip_chars().cast(pl.Float64, strict=False))
    return pl.DataFrame(numbers)


def _copies(proposal: Proposal, numbers: pl.DataFrame) -> list[str]:
    """The columns that repeat another, as corrected ones do: what is corrected later is not known when it counts."""
    copies = {}
    for values, copy in product(numbers, numbers):
        if copy.name.startswith(values.name) and copy.name != values.name:
            share = _share((values == copy).drop_nulls())
            if share > 0.5 or _CORRECTED_WORDS.search(copy.name.removeprefix(values.name)):
                copies[copy.name] = f"{copy.name} equals {values.name} in {share:.0%} of the rows"
    proposal.unsure += [
        f"{said} and is not measured: it may be made of it later, with knowledge that a day does not have"
        for said in copies.values()
    ]
    return list(copies)


def _measured(numbers: pl.Series, records: pl.DataFrame) -> Measured:
    missing = next((value for value in _SENTINELS if _is_far_off(numbers, value)), None)
    values = numbers if missing is None else numbers.set(numbers == missing, None)
    measured = values.drop_nulls()
    whole = bool((measured == measured.floor()).all())
    kind, reason = _kind(values, records, whole=whole)
    lowest, highest = _float(measured.min()), _float(measured.max())
    # A gauge that shows whole numbers in the sample may show others later.
    written: Literal["int", "float"] = "int" if whole and kind != "gauge" else "float"
    return Measured(numbers.name, written, kind, reason, lowest, highest, missing)


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


def _kind(values: pl.Series, records: pl.DataFrame, *, whole: bool) -> tuple[Kind, str]:
    ordered = records.with_columns(value=values).drop_nulls().sort("entity", "time")
    steps = ordered.select(
        step=pl.col("value").diff().over("entity"), days=pl.col("time").diff().over("entity") / timedelta(days=1)
    ).drop_nulls()
    if steps.is_empty():
        return "gauge", "a device has one record only, so nothing shows whether it counts"
    rising, often = _share(steps["step"] >= 0), _share(steps["step"] > 0)
    if not whole or rising < 0.98 or not often:
        return "gauge", "goes up and down"
    per_day = steps.filter(pl.col("days") > 0).select(pl.col("step") / pl.col("days")).to_series().median()
    if _AGE_WORDS.search(values.name) or 23 <= _float(per_day) <= 25:
        return "age", "rises with the time in use; its level rises on all devices and would look abnormal later"
    if often >= OFTEN:
        return "use", f"rises in {often:.0%} of the steps, so its level tells how old a device is"
    return "counter", f"falls in {1 - rising:.1%} of the steps"


def _is_far_off(numbers: pl.Series, value: float) -> bool:
    """Whether a value stands so far from all others that it says that there is none."""
    others = numbers.filter(numbers != value).drop_nulls()
    if others.is_empty() or not (numbers == value).any():
        return False
    lowest, highest = _float(others.min()), _float(others.max())
    return value < lowest - (highest - lowest) if value < 0 else value > highest + (highest - lowest)


def _find_periods(proposal: Proposal, records: pl.DataFrame, named: Partitions | None) -> None:
    """The cadence, and by which periods rows are stored: those of the files' names, or one in which records come."""
    steps = steps_between(records)
    middle = steps["step"].median()
    step = proposal.step = middle if isinstance(middle, timedelta) else None
    longest = steps.group_by("entity").agg(pl.col("step").median())["step"].max()
    proposal.longest_step = longest if isinstance(longest, timedelta) else step
    proposal.partitions, proposal.reasons["partitions"] = _periods_for(step, named, is_short=proposal.days < 2)
    if step is None or step >= PERIODS[proposal.partitions].step:
        return
    proposal.cadence = max(timedelta(seconds=round(step.total_seconds())), timedelta(seconds=1))
    share = _share((steps["step"] - step).abs() <= step / 10)
    proposal.reasons["cadence"] = f"the median step between records of a device; {share:.0%} are so long"
    if proposal.is_mixed:
        slowest = every(proposal.longest_step or step)
        proposal.unsure.append(
            f"some devices have a record {every(step)}, others {slowest}: what counts time takes each for the former"
        )


def steps_between(records: pl.DataFrame) -> pl.DataFrame:
    """``entity, step``: the times between a device's records and the ones before them; those of one time count once.

    Args:
        records: ``entity`` and ``time``.
    """
    ordered = records.select("entity", "time").drop_nulls().unique().sort("entity", "time")
    return ordered.select("entity", step=pl.col("time").diff().over("entity")).drop_nulls()


def _periods_for(step: timedelta | None, named: Partitions | None, *, is_short: bool) -> tuple[Partitions, str]:
    if named is not None:
        return named, f"files are named after {PERIODS[named].noun}s"
    if step is None:
        return "daily", "no device has two records in the sample"
    often = f"a device has a record {every(step)}"
    if step < timedelta(minutes=1) and is_short:
        return "daily", f"{often}, and next to none for more than a day"
    if step < timedelta(minutes=1):
        return "hourly", f"{often}, so a day would hold more than {timedelta(days=1) // timedelta(minutes=1):,} of them"
    if step > timedelta(days=1):
        return "weekly", f"{often}, so most days would have none"
    return "daily", often


def every(step: timedelta) -> str:
    """E.g. ``every 15 minutes``, ``every day``."""
    return f"every {in_words(step).removeprefix('an ').removeprefix('a ')}"


def _share(truths: pl.Series) -> float:
    return _float(truths.mean())


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
