"""Single drives: the highest scores of all in an evaluation, and the last days of some, with attributes and score."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from ae_assets.chain.champion import Champion
from ae_assets.chain.workspace import ANOMALIES, FEATURES, Workspace
from ae_assets.detectors import windows_of
from ae_assets.evaluation.drives import Drives
from ae_assets.evaluation.protocol import Protocol
from ae_assets.features.catalogue import Feature, catalogue
from ae_assets.features.config import FeatureConfig
from ae_assets.features.units import in_own_units, scale_of
from ae_assets.model.reasons import top_features
from ae_assets.schemas.durations import in_words
from ae_assets.schemas.records import PERIOD, key_of, keys_of, time_of

STORY_DAYS = 60
ATTRIBUTES = 4
RECORDS = 60
"""The last ones of a story, of which it is told what each feature adds to the score."""

DRAWN_TRANSFORMS = (
    "level",
    "magnitude",
    "growth",
    "per_1000_hours",
    "drift",
    "deviation",
    "excess",
    "range",
    "flatline",
)
"""Of an attribute with several features the one that says most to a person is drawn, the longest growth of several."""


@dataclass(frozen=True)
class Story:
    """The last days of a drive.

    Attributes:
        entity: which drive.
        last_day: the day that it ends with.
        history: `day, score, threshold` and the attributes' columns, one row per day, of several records of a day that
            with the highest score; null where nothing is known.
        attributes: what each of those columns means, those that raised the score most first;
            an attribute that the drive does not report is left out.
        parts: ``at, threshold, feature, part``: what each of the strongest features adds to the score of each of its
            last records, in their order.
    """

    entity: str
    last_day: date
    history: pl.DataFrame
    attributes: Mapping[str, str]
    parts: pl.DataFrame


def drive_figures(space: Workspace, champion: Champion, drives: Drives, protocol: Protocol) -> dict[str, bytes]:
    """PNG figures of the drives of an evaluated range by name, with the stories of two where these are kept."""
    from ae_assets.reports.evaluation_figures import drive_score_histogram
    from ae_assets.reports.figures import entity_story

    scores = drive_score_histogram(drives, protocol.window_days, protocol.horizon_days)
    told = {}
    for name, drive in drives.examples.items():
        if (story := story_of(space, champion, drive.entity, drive.failed_on)) is not None:
            told[f"story_of_a_{name}_drive"] = entity_story(
                story.history,
                story.entity,
                attributes=story.attributes,
                failed_on=drive.failed_on,
                remark=f"alarms on {drive.streak} judged days in a row" if drive.streak else "missed",
            )
    return {"drive_scores": scores, **told}


def story_of_top_alarm(space: Workspace, champion: Champion, day: date) -> Story | None:
    """The story of the drive with the highest score among a day's alarms, however long it has had one.

    Muted drives are passed over; None where there is no alarm or the drive's features are not kept.
    """
    columns = ["entity", "score", "is_anomaly", "muted_until"]
    rows = space.read(ANOMALIES, day, day, columns)
    alarms = rows.filter("is_anomaly", pl.col("muted_until").is_null())
    if alarms.is_empty():
        return None
    entity = alarms.sort("score", "entity", descending=[True, False])["entity"][0]
    return story_of(space, champion, entity, day)


def story_of(space: Workspace, champion: Champion, entity: str, last_day: date) -> Story | None:
    """The last days of a drive up to a day; None where it has no scores by this champion or no features."""
    periods, config = space.table.periods, space.table.features
    last = periods.last_of(last_day)
    first = periods.spanning(last, timedelta(days=STORY_DAYS))
    keys = keys_of(space.schema(ANOMALIES))
    columns = [*keys, "score", "threshold", "model_version"]
    rows = space.read(ANOMALIES, first, last, columns, [entity])
    scored = rows.filter(pl.col("model_version") == champion.version)  # scores of an earlier one are on another scale
    drawn = drawn_features(config, space.schema(FEATURES))
    names = [*champion.detector.feature_names, *(feature.name for feature in drawn.values())]
    values = space.read(FEATURES, first, last, list(dict.fromkeys([*keys, "cohort", *names])), [entity])
    if values.is_empty() or not scored["score"].count():
        return None
    explained = _explained(_scored_rows(values, rows), champion)
    scored = scored.join(explained, on=key_of(keys), how="left", maintain_order="left")
    reported = [column for column, feature in drawn.items() if values[feature.name].count()]
    attributes = strongest_attributes(scored["top_features"], config, reported)[:ATTRIBUTES]
    time, _ = key_of(values.columns)
    read = values.select(time, **{column: in_own_unit(values, drawn[column], config) for column in attributes})
    history = scored.select(time, "score", "threshold").join(read, on=time, how="full", coalesce=True).sort(time)
    if history.schema[time] != pl.Date:
        highest = pl.all().get(pl.col("score").fill_null(-1.0).arg_max())
        history = history.group_by(pl.col(time).dt.date().alias("day"), maintain_order=True).agg(highest).drop(time)
    titles = {column: title_of(drawn[column], config) for column in attributes}
    return Story(entity, last, history, titles, parts_of(scored))


def _scored_rows(values: pl.DataFrame, anomalies: pl.DataFrame) -> pl.DataFrame:
    """Features of a drive without those of periods that could not be scored, which no score looks back on either."""
    judged = anomalies[PERIOD].unique()
    was_scored = pl.col(PERIOD).is_in(judged.implode()) | (pl.col(PERIOD) < judged.min())
    return values.filter(was_scored, ~pl.struct(key_of(values.columns)).is_duplicated())


def _explained(values: pl.DataFrame, champion: Champion) -> pl.DataFrame:
    """The ``top_features`` of all records of a drive by their key; the anomalies hold those of the ones they show."""
    detector = champion.detector
    windows = windows_of(values, detector.feature_names, detector.window, step=detector.step)
    judged = windows.take(np.flatnonzero(detector.judges(windows)))
    told = top_features(judged, detector.explain(judged), champion.features)
    return judged.keys().select(key_of(values.columns)).with_columns(told.alias("top_features"))


def parts_of(scored: pl.DataFrame) -> pl.DataFrame:
    """What features add to the scores of the last records; of each record only the strongest are told."""
    recent = scored.sort(time_of(scored.columns)).tail(RECORDS)
    strongest = recent.select(time_of(scored.columns).alias("at"), "threshold", "top_features").explode("top_features")
    fields = strongest.drop_nulls("top_features").unnest("top_features")
    return fields.select("at", "threshold", feature="name", part="contribution")


def drawn_features(config: FeatureConfig, stored: Collection[str]) -> dict[str, Feature]:
    """For each attribute the feature that is drawn of it, if it is stored, in the order of the YAML."""

    def rank(feature: Feature) -> tuple[int, timedelta]:
        return DRAWN_TRANSFORMS.index(feature.transform), -(feature.span or timedelta())

    chosen: dict[str | None, Feature] = {}
    for feature in sorted((one for one in catalogue(config) if one.transform in DRAWN_TRANSFORMS), key=rank):
        chosen.setdefault(feature.column, feature)
    return {name: chosen[name] for name in config.attributes if name in chosen and chosen[name].name in stored}


def strongest_attributes(top_features: pl.Series, config: FeatureConfig, drawn: Collection[str]) -> list[str]:
    """The attributes that can be drawn, those first whose features raised the scores most, then in the YAML's order.

    ``top_features`` are those of each row, as in the anomalies table.
    """
    columns = {feature.name: feature.column for feature in catalogue(config)}
    raised: dict[str, float] = dict.fromkeys(drawn, 0.0)
    for features in top_features.to_list():
        for feature in features or []:
            column = columns.get(feature["name"])
            if column in raised:
                raised[column] += max(feature["contribution"], 0.0)
    return sorted(raised, key=lambda column: -raised[column])


def in_own_unit(rows: pl.DataFrame, feature: Feature, config: FeatureConfig) -> pl.Series:
    """A feature's column with its logarithm undone, null where it is unknown."""
    values = rows[feature.name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return pl.Series(in_own_units(values[:, None], [scale_of(feature, config)])[:, 0]).fill_nan(None)


def title_of(feature: Feature, config: FeatureConfig) -> str:
    """What a feature's values in its own unit are, in words."""
    if feature.column is None:
        return feature.description
    meaning = config.attributes[feature.column].meaning.partition(" (")[0]
    number = feature.column.removeprefix("smart_").removesuffix("_raw")
    said = {
        "growth": f": change over {in_words(feature.span or timedelta())}",
        "per_1000_hours": " per 1,000 hours",
        "drift": ": days by which it departs from the calendar",
        "deviation": " against its own past",
        "flatline": ": records since which it has not changed",
        "active": ": 1 where it is not 0",
        "range": f": range of nine tenths of the values in {in_words(feature.span or timedelta())}",
        "excess": ": share of its range outside of that of its past",
    }.get(feature.transform, "")
    return f"{meaning}{said} (SMART {number})" if number != feature.column else f"{meaning}{said}"
