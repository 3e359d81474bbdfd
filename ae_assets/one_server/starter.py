"""Hard disks by the model that comes with this package: readings in, the decisions of `Model.decide` out.

What the model is and how it was judged stands in docs/one-server.md; ``python -m benchmarks.starter`` makes it again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ae_assets.decisions.episodes import OPEN, OPENED
from ae_assets.one_server.outputs import Report
from ae_assets.schemas.layouts.layout import RESCUED_COLUMN

if TYPE_CHECKING:
    import polars as pl

    from ae_assets.model.model import Model

FOLDER = Path(__file__).parent / "starter_model"
WITHOUT_HISTORY = "threshold_without_history.json"
"""In it: the threshold of drives of which no growth is known, whose scores are lower."""
HOURS = "smart_9_raw"
LEAST_HISTORY = timedelta(days=7)
"""Since yesterday hardly any drive has grown, sound or not: shorter histories count as none."""
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Decision:
    """What the model says of a drive on a day.

    Attributes:
        alarm: whether an episode is open; None: it is not judged.
        why: the readings that moved the score, or why there is none.
        score: None where there is none.
        with_growth: whether records of `LEAST_HISTORY` or longer tell how its counters grew.
    """

    alarm: bool | None
    why: tuple[str, ...]
    score: float | None = None
    threshold: float | None = None
    with_growth: bool = False


@cache
def starter_model(*, with_growth: bool = True) -> "Model":
    """The model of the package, for drives with earlier records or for those without any."""
    from ae_assets.model.model import load_model
    from ae_assets.thresholds.threshold import Threshold

    if with_growth:
        return load_model(FOLDER)
    text = (FOLDER / WITHOUT_HISTORY).read_text(encoding="utf-8")
    return replace(starter_model(), threshold=Threshold.from_json(text))


def readings_of(report: Report) -> dict[str, Any]:
    """A hard disk's readings in the columns of drive stats, as far as the model reads them.

    Raw values are smartctl's, as in the published files. Power-on hours are those that smartctl makes of the raw value,
    into which vendors pack minutes and milliseconds.
    """
    hours = report.counts.get("power_on_hours")
    raws = {f"smart_{number}_raw": one.raw for number, one in report.attributes.items()}
    if hours is not None:
        raws[HOURS] = hours
    columns = starter_model().features.attributes
    values = {column: raws.get(column) for column in columns}
    return {
        "model": report.model,
        "capacity_bytes": report.capacity_bytes if (report.capacity_bytes or 0) <= _LARGEST else None,
        **{column: None if value is None else min(value, _LARGEST) for column, value in values.items()},
    }


def decisions(
    records: Mapping[tuple[str, date], Mapping[str, Any]], asked: Iterable[tuple[str, date]]
) -> dict[tuple[str, date], Decision]:
    """What the model decides on drives and days.

    Args:
        records: what `readings_of` gave, by drive and day, those that the asked ones look back on among them.
        asked: which of them to decide on.
    """
    wanted = set(asked)
    if not wanted:
        return {}
    pairs = _looked_back_on(records, wanted, starter_model().features.spans)
    grown = {key for _, key in pairs}
    before = {key for key, _ in pairs}
    return _decisions(records, grown, before) | _decisions(records, wanted - grown, set())


def _decisions(
    records: Mapping[tuple[str, date], Mapping[str, Any]], asked: set[tuple[str, date]], before: set[tuple[str, date]]
) -> dict[tuple[str, date], Decision]:
    """Those of drives that all have an earlier record, or that all have none."""
    if not asked:
        return {}
    model = starter_model(with_growth=bool(before))
    # Without a history each day is a drive of its own, or days of one call would tell growth that runs a day do not.
    names = {(drive, day): drive if before else f"{drive}@{day}" for drive, day in asked | before}
    rows = [{"date": key[1], "serial_number": name, **records[key]} for key, name in names.items()]
    decided, state = model.decide(_frame(rows, model))
    by_name = {(row["entity"], row["day"]): row for row in decided.iter_rows(named=True)}
    aside = {(row["entity"], row["day"]): row for row in state.set_aside.iter_rows(named=True)}

    def decision(name: str, day: date) -> Decision:
        row = by_name.get((name, day))
        return _set_aside(aside.get((name, day))) if row is None else _decided(row, with_growth=bool(before))

    return {key: decision(names[key], key[1]) for key in asked}


def _looked_back_on(
    records: Iterable[tuple[str, date]], wanted: Iterable[tuple[str, date]], spans: Iterable[timedelta]
) -> set[tuple[tuple[str, date], tuple[str, date]]]:
    """The records that growth is measured against, the earliest one within each span, each with the one that asks.

    These are few, and a day of many records takes hardly longer than one of a single record.
    """
    days: dict[str, list[date]] = {}
    for drive, day in sorted(records):
        days.setdefault(drive, []).append(day)
    found = set()
    for drive, day in wanted:
        earlier = [[then for then in days[drive] if day - span <= then < day][:1] for span in spans]
        if min((then for first in earlier for then in first), default=day) <= day - LEAST_HISTORY:
            found |= {((drive, then), (drive, day)) for first in earlier for then in first}
    return found


def _decided(row: Mapping[str, Any], *, with_growth: bool) -> Decision:
    if row["score"] is None:
        return Decision(None, (row["not_judged_because"],))
    alarm = row["episode"] in {OPENED, OPEN}
    return Decision(alarm, tuple(row["reasons"] or ()), row["score"], row["threshold"], with_growth)


def _set_aside(row: Mapping[str, Any] | None) -> Decision:
    if row is None:
        return Decision(None, ("the model was given no readings of it",))
    return Decision(None, (f"{row['column']} is {row['value']}, which cannot be: {row['reason']}",))


def _frame(rows: Sequence[Mapping[str, Any]], model: "Model") -> "pl.DataFrame":
    import polars as pl

    contract = model.contract
    attributes = {column: pl.Int64() for column in model.features.attributes}
    types = {**{name: kind for name, kind in contract.columns.items() if name != RESCUED_COLUMN}, **attributes}
    return pl.DataFrame([{name: row.get(name) for name in types} for row in rows], schema=types)
