"""One device: when it was seen, its scores and episodes of the last days, and what of it moved."""

from collections.abc import Mapping
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
from ae_assets.features.wording import Wording, wording_of
from ae_assets.schemas.records import key_of

MOST_NAMES = 5
ENDED, LEFT = "closed", "left"
"""How an episode is over: the device was clear, or it has had no record for longer than an episode waits."""


def entity_history(space: Workspace, entity: str, days: int) -> dict[str, Any]:
    """What is known of one device, as plain values; docs/commands.md has the keys.

    So many days are told, up to the newest one or the last on which it was seen. Of the big tables only its own rows
    are read.

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
    time = key_of(rows.columns)[0]
    rows = rows.sort(time)
    wording = wording_of(space.table.features)
    latest = None
    if rows.height:
        row = rows.row(-1, named=True)
        latest = {"day": row["day"], **entry(row, wording), "episode": row["episode"]}
    away = absent_before(newest, gaps_until(space, newest), space.table.periods)
    scores = rows.select(
        *dict.fromkeys(("day", time)),
        "score",
        "threshold",
        "severity",
        is_alarm="is_anomaly",
        episode="episode",
        not_judged_because="not_judged_because",
    )
    return {
        "table": space.table.table,
        "entity": entity,
        "cohort": rows["cohort"][-1] if rows.height else None,
        "simulated": space.simulated,
        "first_seen": first_seen,
        "last_seen": last_seen,
        "failed_on": failed_on,
        "newest_day": newest,
        "first_day": first,
        "last_day": last,
        "latest": latest,
        "episodes": _episodes(rows, time, away, wording),
        "attributes": _moved(space, entity, first, last, rows["top_features"]),
        "set_aside": _set_aside(space, entity, first, last).to_dicts(),
        "scores": scores.to_dicts(),
    }


def _episodes(rows: pl.DataFrame, time: str, away: date, wording: Wording) -> list[dict[str, Any]]:
    """The episodes of rows in order of time; one whose device has had no record since a day is left behind."""
    told = []
    for (since,), of_episode in rows.drop_nulls("episode_start").group_by("episode_start", maintain_order=True):
        worst = of_episode.sort("score", descending=True, nulls_last=True, maintain_order=True).row(0, named=True)
        last = of_episode.row(-1, named=True)
        told.append(
            {
                "since": since,
                "until": last[time],
                "state": ENDED if last["episode"] == CLOSED else LEFT if last["day"] < away else OPEN,
                "alarms": of_episode.filter("is_anomaly").height,
                "highest_score": worst["score"],
                "reasons": reasons_in(worst, wording),
            }
        )
    return told


def _set_aside(space: Workspace, entity: str, first: date, last: date) -> pl.DataFrame:
    columns = ["day", "rule", "reason"]
    if not space.exists(QUARANTINE):
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    return space.read(QUARANTINE, first, last, columns, entities=[entity]).sort("day")


def _moved(space: Workspace, entity: str, first: date, last: date, top_features: pl.Series) -> list[Mapping[str, Any]]:
    """Attributes with more than one value in a range of days; ages and rates, which always move, are left out."""
    config = space.table.features
    drawn = {
        column: feature
        for column, feature in drawn_features(config, space.schema(FEATURES)).items()
        if config.attributes[column].kind not in {"age", "rate"}
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
    numbers = [float(f"{value:.5g}") for value in known["value"]]  # without the noise of single precision
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


def _unknown(space: Workspace, entity: str) -> str:
    names, asked = lives_in(space).frame["entity"], entity.casefold()
    plain = {name.casefold(): name for name in names}
    alike = [name for key, name in plain.items() if asked in key][:MOST_NAMES]
    alike = alike or [plain[key] for key in get_close_matches(asked, plain, MOST_NAMES)]
    known = f"did you mean {', '.join(alike)}?" if alike else f"it has {len(names):,}, e.g. {', '.join(names.head(3))}"
    return f"{space.table.table} has no device {entity!r}; {known}"
