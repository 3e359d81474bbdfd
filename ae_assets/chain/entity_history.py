"""One device: when it was seen, its scores and episodes of the last days, and what of it moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from typing import Any

import polars as pl

from ae_assets.chain.anomaly_day import anomaly_rows, days_with_anomalies, entry, reasons_in
from ae_assets.chain.lives import life_of, lives_in
from ae_assets.chain.stories import drawn_features, in_own_unit, strongest_attributes, title_of
from ae_assets.chain.volume import gaps_until
from ae_assets.chain.workspace import FEATURES, QUARANTINE, Workspace
from ae_assets.decisions.episodes import CLOSED, OPEN, absent_before
from ae_assets.errors import ConfigError
from ae_assets.features.catalogue import Feature
from ae_assets.features.config import FeatureConfig
from ae_assets.features.wording import wording_of
from ae_assets.schemas.records import key_of

MOST_NAMES = 5
ENDED, LEFT = "closed", "left"
"""How an episode is over: the device was clear, or it has had no record for longer than an episode waits."""


@dataclass(frozen=True)
class EntityHistory:
    """What is known of one device.

    Attributes:
        table: the watched table.
        entity: which.
        cohort: its kind; None where no row says.
        first_seen: the first day with a record.
        last_seen: the last one.
        failed_on: its first day of failure; None where none is known.
        newest_day: the newest day that has anomalies.
        absent_before: a device without a record since then is away, and its episode is over.
        first: first of the days that are told.
        last: last of them: the newest, or the last on which it was seen.
        rows: its rows of the anomalies of these days, in order of days.
        set_aside: `day, rule, reason` of its raw rows that went to quarantine.
        attributes: those that changed in these days, the ones behind its scores first.
        simulated: whether it is invented.
        config: what its features are made of.
    """

    table: str
    entity: str
    cohort: str | None
    first_seen: date
    last_seen: date
    failed_on: date | None
    newest_day: date
    absent_before: date
    first: date
    last: date
    rows: pl.DataFrame
    set_aside: pl.DataFrame
    attributes: Sequence[Mapping[str, Any]]
    simulated: bool
    config: FeatureConfig

    @property
    def latest(self) -> dict[str, Any] | None:
        """Its last row, with its day, as `anomaly_day.entry` tells it; None where there is none."""
        if self.rows.is_empty():
            return None
        row = self.rows.row(-1, named=True)
        return {"day": row["day"], **entry(row, wording_of(self.config)), "episode": row["episode"]}

    @property
    def episodes(self) -> list[dict[str, Any]]:
        """Its episodes, the first one first.

        Each with ``since``, ``until`` (its last record so far), ``state`` (open, closed or left), ``alarms``, how
        many records have one, ``highest_score``, and the ``reasons`` of that record; as far as `rows` reach back.
        """
        told = []
        time = key_of(self.rows.columns)[0]
        wording = wording_of(self.config)
        for (since,), rows in self.rows.drop_nulls("episode_start").group_by("episode_start", maintain_order=True):
            until = rows[time][-1]
            worst = rows.sort("score", descending=True, nulls_last=True, maintain_order=True).row(0, named=True)
            over = rows["episode"][-1] == CLOSED
            absent = rows["day"][-1] < self.absent_before
            told.append(
                {
                    "since": since,
                    "until": until,
                    "state": ENDED if over else LEFT if absent else OPEN,
                    "alarms": rows.filter("is_anomaly").height,
                    "highest_score": worst["score"],
                    "reasons": reasons_in(worst, wording),
                }
            )
        return told

    @property
    def scores(self) -> list[dict[str, Any]]:
        """A row per record of the anomalies: its score, what that was held against, and what it is to an episode."""
        return self.rows.select(
            *dict.fromkeys(("day", key_of(self.rows.columns)[0])),
            "score",
            "threshold",
            "severity",
            is_alarm="is_anomaly",
            episode="episode",
            not_judged_because="not_judged_because",
        ).to_dicts()

    @property
    def record(self) -> dict[str, Any]:
        """Everything, as plain values; the keys are documented in docs/commands.md and stay."""
        return {
            "table": self.table,
            "entity": self.entity,
            "cohort": self.cohort,
            "simulated": self.simulated,
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
            "failed_on": self.failed_on,
            "newest_day": self.newest_day,
            "first_day": self.first,
            "last_day": self.last,
            "latest": self.latest,
            "episodes": self.episodes,
            "attributes": list(self.attributes),
            "set_aside": self.set_aside.to_dicts(),
            "scores": self.scores,
        }


def entity_history(space: Workspace, entity: str, days: int) -> EntityHistory:
    """What is known of one device; of the big tables only its own rows are read.

    Args:
        space: the table.
        entity: the device.
        days: how many days are told, up to the newest one or the last on which it was seen.

    Raises:
        ConfigError: no record names such a device (names like it are said), or there are no anomalies yet.
    """
    newest = days_with_anomalies(space)[-1]
    life = life_of(space, entity)
    if life is None:
        raise ConfigError(_unknown(space, entity))
    first_seen, last_seen, failed_on = life
    last = min(newest, space.table.periods.last_of(last_seen))
    first = space.table.periods.spanning(last, timedelta(days=days))
    rows = anomaly_rows(space, first, last, [entity])
    rows = rows.sort(key_of(rows.columns)[0])
    return EntityHistory(
        space.table.table,
        entity,
        rows["cohort"][-1] if rows.height else None,
        first_seen,
        last_seen,
        failed_on,
        newest,
        absent_before(newest, gaps_until(space, newest), space.table.periods),
        first,
        last,
        rows,
        _set_aside(space, entity, first, last),
        _moved(space, entity, first, last, rows["top_features"]),
        space.simulated,
        space.table.features,
    )


def _set_aside(space: Workspace, entity: str, first: date, last: date) -> pl.DataFrame:
    columns = ["day", "rule", "reason"]
    if not space.exists(QUARANTINE):
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    return space.read(QUARANTINE, first, last, columns, entities=[entity]).sort("day")


def _moved(space: Workspace, entity: str, first: date, last: date, top_features: pl.Series) -> list[Mapping[str, Any]]:
    """Attributes with more than one value in a range of days; ages and rates, which always move, are left out."""
    config = space.table.features
    stored = space.schema(FEATURES)
    drawn = {
        column: feature
        for column, feature in drawn_features(config).items()
        if feature.name in stored and config.attributes[column].kind not in {"age", "rate"}
    }
    columns = ["day", *(feature.name for feature in drawn.values())]
    values = space.read(FEATURES, first, last, columns, entities=[entity]).sort("day")
    read = values.select("day", **{column: in_own_unit(values, feature, config) for column, feature in drawn.items()})
    told = [_told(column, drawn[column], read, config) for column in strongest_attributes(top_features, config, drawn)]
    return [one for one in told if one is not None and one["lowest"] != one["highest"]]


def _told(column: str, feature: Feature, values: pl.DataFrame, config: FeatureConfig) -> dict[str, Any] | None:
    known = values.select("day", value=column).drop_nulls()
    if known.is_empty():
        return None
    numbers = [_plain(value) for value in known["value"]]
    return {
        "attribute": column,
        "meaning": title_of(feature, config),
        "first": numbers[0],
        "first_day": known["day"][0],
        "last": numbers[-1],
        "last_day": known["day"][-1],
        "lowest": min(numbers),
        "highest": max(numbers),
    }


def _plain(value: float) -> float:
    """A number without the noise of single precision."""
    return float(f"{value:.5g}")


def _unknown(space: Workspace, entity: str) -> str:
    names, asked = lives_in(space).frame["entity"], entity.casefold()
    plain = {name.casefold(): name for name in names}
    alike = [name for key, name in plain.items() if asked in key][:MOST_NAMES]
    alike = alike or [plain[key] for key in get_close_matches(asked, plain, MOST_NAMES)]
    known = f"did you mean {', '.join(alike)}?" if alike else f"it has {len(names):,}, e.g. {', '.join(names.head(3))}"
    return f"{space.table.table} has no device {entity!r}; {known}"
