"""What a day's anomaly table says to a person: its counts, the day in a sentence, and which devices to look at."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import polars as pl

from ae_assets.chain.day_before import DayBefore
from ae_assets.chain.volume import gaps_until
from ae_assets.chain.workspace import ANOMALIES, Workspace
from ae_assets.decisions.devices import one_per_device
from ae_assets.decisions.episodes import CLOSED, OPEN, OPENED, absent_before, is_listed, with_episodes
from ae_assets.decisions.mutes import Mute, unknown_mutes
from ae_assets.errors import ConfigError
from ae_assets.features.wording import Wording, wording_of
from ae_assets.model.judgement import NotJudged, not_judged
from ae_assets.schemas.anomalies import anomaly_types
from ae_assets.schemas.periods import DAILY, Periods, named
from ae_assets.schemas.records import TIME, Rhythm

MOST_GONE = 10

REASONS_OF_OLD_ROWS = 3
"""Of rows from before there were reasons in words, the strongest features are put into words instead."""


@dataclass(frozen=True)
class AnomalyDay:
    """What the anomaly table of a period says of its devices; ``frame`` is that table, ``devices`` a row of each."""

    day: date
    rows: int
    alarms: int
    """Devices with an alarm that are not muted."""
    new_alarms: int
    """Those of them whose episode opens on the day."""
    listed: int
    """Devices with an open episode that are not muted, whether or not they have an alarm on the day."""
    closed: int
    """Devices that are not muted and whose episode ends on the day."""
    muted_alarms: int
    muted_rows: int
    threshold: float | None
    """The cut of the day; None where it has no rows."""
    before: str | None
    """The alarms of the last day before and what became of them, in words; None where no such day is known."""
    not_judged: tuple[NotJudged, ...]
    """Devices that are not muted and have no score, by cohort and reason, the most first."""
    mutes: tuple[Mute, ...]
    """The mute list that was used."""
    unknown_mutes: tuple[Mute, ...]
    """Its entries that were in force and named no device or cohort of the day."""
    gone: tuple[str, ...]
    """Devices with an open episode the day before that have no row, each with the reason."""
    frame: pl.DataFrame
    devices: pl.DataFrame

    @classmethod
    def of(
        cls,
        day: date,
        frame: pl.DataFrame,
        before: DayBefore | None,
        mutes: Sequence[Mute] = (),
        gone: Sequence[str] = (),
    ) -> "AnomalyDay":
        """What the rows of a day say, beside the last day before with the mutes that were used and what is gone."""
        muted = pl.col("muted_until").is_not_null()
        devices = one_per_device(frame)
        heard = devices.filter(~muted)
        return cls(
            day,
            rows=devices.height,
            alarms=heard.filter("is_anomaly").height,
            new_alarms=heard.filter("is_new").height,
            listed=devices.filter(is_listed()).height,
            closed=heard.filter(pl.col("episode") == CLOSED).height,
            muted_alarms=devices.filter("is_anomaly", muted).height,
            muted_rows=devices.filter(muted).height,
            threshold=frame["threshold"][0] if frame.height else None,
            before=None if before is None else before.in_words(day, devices),
            not_judged=not_judged(heard),
            mutes=tuple(mutes),
            unknown_mutes=unknown_mutes(mutes, frame, day),
            gone=tuple(gone),
            frame=frame,
            devices=devices,
        )

    @property
    def devices_not_judged(self) -> int:
        """Devices that are not muted and have no score."""
        return sum(group.devices for group in self.not_judged)

    def without_rows(self) -> "AnomalyDay":
        """The counts alone, for runs over many days."""
        return replace(self, frame=self.frame.clear(), devices=self.devices.clear())

    def in_words(self, *, simulated: bool) -> str:
        """The day in a sentence or two; ``simulated`` says whether the devices are invented."""
        devices = "simulated devices" if simulated else "devices"
        before = f"; {self.before}" if self.before else ""
        alarms = f"{_of(self.alarms, 'alarm')}, {self.new_alarms:,} of them new"
        said = [f"{named(self.day)}: {alarms}, among {self.rows:,} {devices}{before}."]
        if self.listed != self.alarms:
            said.append(f"{_of(self.listed, 'episode')} {_are(self.listed)} open.")
        if self.muted_alarms:
            said.append(f"{_of(self.muted_alarms, 'more alarm')} {_are(self.muted_alarms)} muted.")
        if self.devices_not_judged:
            said.append(f"{_of(self.devices_not_judged, 'device')} {_are(self.devices_not_judged)} not judged.")
        if self.gone:
            names = ", ".join(self.gone[:MOST_GONE])
            more = f" and {len(self.gone) - MOST_GONE:,} more" if len(self.gone) > MOST_GONE else ""
            said.append(f"Devices with an open episode are gone: {names}{more}.")
        return " ".join(said)


def entry(row: dict[str, Any], wording: Wording) -> dict[str, Any]:
    """A row of `anomaly_rows` as a person or a script asks for it, in plain values.

    Returns:
        ``time`` of its record, where a device has several in a period; ``entity, cohort``; ``since`` and ``days_open``,
        when its episode began and its age; ``is_new``; ``is_alarm``, null where it is not judged; ``score, threshold,
        severity``; ``reasons``, and ``context``, what they are judged against; ``not_judged_because``; ``muted_until,
        mute_reason``; ``failed``, whether it failed on the day, null where nobody knows.
    """
    since, failed = row["episode_start"], row["label"]
    return {
        **({TIME: row[TIME]} if TIME in row else {}),
        "entity": row["entity"],
        "cohort": row["cohort"],
        "since": since,
        "days_open": None if since is None else days_since(since, row),
        "is_new": row["is_new"],
        "is_alarm": row["is_anomaly"],
        "score": row["score"],
        "threshold": row["threshold"],
        "severity": row["severity"],
        "reasons": reasons_in(row, wording),
        "context": row["context"],
        "not_judged_because": row["not_judged_because"],
        "muted_until": row["muted_until"],
        "mute_reason": row["mute_reason"],
        "failed": None if failed is None else bool(failed),
    }


def days_since(start: date, row: dict[str, Any]) -> int:
    """On how many days an episode has been open at a row of the anomalies, the first one included."""
    return max((DAILY.of(row.get(TIME, row["day"])) - DAILY.of(start)).days, 0) + 1


def reasons_in(row: dict[str, Any], wording: Wording) -> list[str]:
    """The attributes behind a row's score in words; none where it has no alarm and no episode.

    Rows without reasons are from before there were any; the values of their features are those of the features table.
    """
    if row["reasons"] is not None:
        return list(row["reasons"])
    strongest = (row["top_features"] or [])[:REASONS_OF_OLD_ROWS] if row["is_anomaly"] else []
    return [wording(feature["name"], feature["value"], feature["expected"]) for feature in strongest]


def stored_day(space: Workspace, day: date | None = None) -> dict[str, Any]:
    """A day of the anomalies as it is stored, the newest if None, as plain values; docs/commands.md has the keys.

    Raises:
        ConfigError: the table has no anomalies, or none of that day; which days there are is said.
    """
    days = days_with_anomalies(space)
    asked = days[-1] if day is None else day
    if asked not in days:
        others = _days_in_words(space.table.periods, days, asked)
        raise ConfigError(f"{space.name(ANOMALIES)} has no anomalies of {named(asked)}; {others}")
    continued = absent_before(asked, gaps_until(space, asked), space.table.periods)
    earlier = [other for other in space.days_with_rows(ANOMALIES) if continued <= other < asked]
    rows = anomaly_rows(space, asked, asked)
    before = DayBefore.of(anomaly_rows(space, earlier[-1], earlier[-1])) if earlier else None
    facts = AnomalyDay.of(asked, rows, before, gone=() if before is None else before.gone(space, asked, rows))
    wording = wording_of(space.table.features)
    devices = facts.devices.sort(["score", "entity"], descending=[True, False], nulls_last=True)

    def entries(condition: pl.Expr) -> list[dict[str, Any]]:
        return [entry(row, wording) for row in devices.filter(condition).iter_rows(named=True)]

    heard = pl.col("muted_until").is_null()
    muted = entries(pl.col("episode").is_in([OPENED, OPEN]) & ~heard)
    newer = "" if asked == days[-1] else f" The newest day is {named(days[-1])}."
    return {
        "table": space.table.table,
        "day": asked,
        "newest_day": days[-1],
        "simulated": space.simulated,
        "summary": facts.in_words(simulated=space.simulated) + newer,
        "model_versions": rows["model_version"].unique().sort().to_list(),
        "counts": {
            "devices": facts.rows,
            "alarms": facts.alarms,
            "new": facts.new_alarms,
            "open": facts.listed,
            "closed": facts.closed,
            "muted": len(muted),
            "not_judged": facts.devices_not_judged,
        },
        "open": entries(is_listed()),
        "closed": entries((pl.col("episode") == CLOSED) & heard),
        "muted": muted,
        "not_judged": [vars(group) for group in facts.not_judged],
    }


def days_with_anomalies(space: Workspace) -> list[date]:
    """The days that have anomalies, in order.

    Raises:
        ConfigError: there are none.
    """
    days = sorted(space.days_of(ANOMALIES))
    if not days:
        raise ConfigError(
            f"{space.name(ANOMALIES)} holds no day yet; `ae-assets run {space.table.table} --start DAY --end DAY` "
            "makes some"
        )
    return days


def anomaly_rows(
    space: Workspace,
    first: date,
    last: date,
    entities: Collection[str] | None = None,
    columns: Collection[str] | None = None,
) -> pl.DataFrame:
    """Stored rows of a range of days; a column of the schema that a table is too old to have is null."""
    rhythm, stored = space.table.rhythm, space.schema(ANOMALIES)
    columns = list(anomaly_types(rhythm) if columns is None else columns)
    rows = space.read(ANOMALIES, first, last, [column for column in columns if column in stored], entities)
    return in_full(rows, columns, rhythm)


def in_full(rows: pl.DataFrame, columns: Sequence[str], rhythm: Rhythm) -> pl.DataFrame:
    """Stored rows with these columns; those that the rows are too old to have are null."""
    types = anomaly_types(rhythm)
    missing = [pl.lit(None, types[column]).alias(column) for column in columns if column not in rows.columns]
    return with_episodes(rows.with_columns(missing)).select(*columns)


def _days_in_words(periods: Periods, days: Sequence[date], asked: date) -> str:
    """Which days there are, and which of them lie nearest to the one that was asked for."""
    nearest = [*[day for day in days if day < asked][-1:], *[day for day in days if day > asked][:1]]
    number = f"{len(days)} {periods.plural} from {named(days[0])} to {named(days[-1])}"
    return f"it has those of {number}, the nearest of {' and '.join(map(named, nearest))}"


def _of(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
