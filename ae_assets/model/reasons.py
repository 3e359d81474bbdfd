"""Why a device is flagged: the attributes that moved its score, what it was judged against, and the features behind it.

A cause is a reading of the device. Its age is context: it says what is usual of such a device, so it is told beside the
causes. That an attribute is missing is a cause only where most devices of the same kind report it.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.decisions.explanation import LEAST_SHARE, reasons_of
from ae_assets.detectors import Scores, Windows
from ae_assets.features.catalogue import Feature, catalogue
from ae_assets.features.config import FeatureConfig
from ae_assets.features.units import SCALES, in_own_units, scale_of, undone
from ae_assets.features.wording import age_in_words, attribute_wording_of
from ae_assets.model.scoring import ScoredDay

TOP_FEATURES = 5

UNUSUAL_SHARE = 0.5
"""An attribute that at least this share of a cohort lacks is not missed."""

NOTHING_ON_THE_DAY = "nothing on this day, its score is that of days before"
CONTEXT_ALONE = "its age and kind, no reading of its own"


def explanations(scored: ScoredDay, features: FeatureConfig, reasoned: pl.Series, shown: pl.Series) -> pl.DataFrame:
    """What the scores of some rows are made of; only for these does the detector compute it.

    Args:
        scored: the day's scores.
        features: what the features mean.
        reasoned: boolean (n,), which rows get reasons and context.
        shown: boolean (n,), which get top features; all that are reasoned.

    Returns:
        ``top_features``, ``reasons`` (List of String, those that moved the score most first) and ``context`` (String)
        of each row, null where it has none.
    """
    rows = shown.arg_true().to_numpy().astype(np.int64)
    says, places = scored.explain(rows), np.flatnonzero(reasoned.gather(rows).to_numpy())
    told = _reasons(scored, features, rows[places], says.take(places))
    own = pl.DataFrame({"row": rows, "top_features": top_features(scored.windows.take(rows), says, features)})
    every = pl.select(row=pl.int_range(len(shown)))
    for part in (own, told):
        every = every.join(part, on="row", how="left", maintain_order="left")
    return every.drop("row")


def top_features(windows: Windows, says: Scores, features: FeatureConfig) -> pl.Series:
    """The features with the largest contributions, largest first, with their value and what was expected instead.

    Values and expectations are in the unit of the feature's attribute.
    """
    contributions = says.contributions
    count = min(TOP_FEATURES, contributions.shape[1])
    top = np.argpartition(-contributions, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(contributions, top, axis=1), axis=1, kind="stable")
    top = np.take_along_axis(top, order, axis=1)
    named = _features_of(windows.feature_names, features)
    scales = np.array([SCALES.index(scale_of(feature, features)) for feature in named], np.int8)[top]

    def picked(array: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.take_along_axis(array, top, axis=1)

    names = pl.Series(list(windows.feature_names), dtype=pl.String).gather(top.ravel())
    columns: dict[str, NDArray[np.floating]] = {
        "contribution": picked(contributions),
        "value": undone(windows.values[windows.last_row[:, None], top], scales),
        "expected": undone(picked(says.expected), scales),
    }
    fields = pl.DataFrame(
        {"name": names, **{name: values.ravel().astype(np.float64) for name, values in columns.items()}}
    ).with_columns(pl.col("value", "expected").fill_nan(None))
    top_fields = fields.to_struct("top_features")
    if not len(top):
        return pl.Series("top_features", [], dtype=pl.List(top_fields.dtype))
    return top_fields.reshape((len(top), count)).arr.to_list()


def _reasons(scored: ScoredDay, features: FeatureConfig, rows: NDArray[np.int64], says: Scores) -> pl.DataFrame:
    """The ``row``, reasons and context of some rows."""
    windows = scored.windows
    named = _features_of(windows.feature_names, features)
    scales = [scale_of(feature, features) for feature in named]
    values = windows.values[windows.last_row[rows]]
    readings, expected = (in_own_units(part, scales) for part in (values, says.expected))
    by_row = reasons_of(
        says.contributions * _is_cause(scored, named, features, rows, values, says.contributions),
        says.contributions.sum(axis=1, dtype=np.float64),
        readings,
        expected,
        windows.feature_names,
        {feature.name: feature.column for feature in named if feature.column is not None},
    )
    words = attribute_wording_of(features)
    seen_days = scored.about(pl.Series(rows))["seen_days"].to_list()
    age = next((place for place, feature in enumerate(named) if _is_age(feature, features)), None)
    sentences: list[list[str]] = []
    against: list[str | None] = []
    for place, of_row in enumerate(by_row):
        said = [words(reason.attribute, reason.readings, seen_days[place]) for reason in of_row]
        sentences.append(said or [CONTEXT_ALONE if says.contributions[place].any() else NOTHING_ON_THE_DAY])
        hours = np.nan if age is None else readings[place, age]
        against.append(None if np.isnan(hours) else age_in_words(float(hours), features))
    return pl.DataFrame(
        {
            "row": rows,
            "reasons": pl.Series(sentences, dtype=pl.List(pl.String)),
            "context": pl.Series(against, dtype=pl.String),
        }
    )


def _is_cause(
    scored: ScoredDay,
    named: list[Feature],
    features: FeatureConfig,
    rows: NDArray[np.int64],
    values: NDArray[np.float32],
    contributions: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Which features of these rows may be causes (rows, features)."""
    causes = np.ones(values.shape, np.bool_)
    causes[:, [place for place, feature in enumerate(named) if _is_age(feature, features)]] = False
    flags = np.array([place for place, feature in enumerate(named) if feature.transform == "missing"], np.int64)
    tells = contributions[:, flags] >= LEAST_SHARE * contributions.sum(axis=1, keepdims=True)
    causes[:, flags] = tells & (values[:, flags] == 1)
    asked = flags[causes[:, flags].any(axis=0)]
    if len(asked):
        causes[:, asked] &= _is_unusual(scored, [named[flag].name for flag in asked], rows)
    return causes


def flags_of(names: Sequence[str], features: FeatureConfig) -> list[str]:
    """Those of the names of features that say of an attribute that it is missing."""
    return [feature.name for feature in _features_of(tuple(names), features) if feature.transform == "missing"]


def _is_unusual(scored: ScoredDay, flags: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether most records of each row's cohort in the period report what each flag says is missing (rows, flags)."""
    cohorts = scored.keys.select("cohort")
    share = _shares(scored, flags) if scored.lacking is None else scored.lacking.select("cohort", *flags)
    of_rows = cohorts[rows].join(share, on="cohort", how="left", nulls_equal=True, maintain_order="left")
    # Of a cohort of which nothing is known nothing is missed.
    return of_rows.select((pl.col(flags) < UNUSUAL_SHARE).fill_null(value=False)).to_numpy()


def _shares(scored: ScoredDay, flags: Sequence[str]) -> pl.DataFrame:
    windows = scored.windows
    values = {flag: windows.values[windows.last_row, windows.feature_names.index(flag)] for flag in flags}
    return scored.keys.select("cohort").with_columns(pl.DataFrame(values)).group_by("cohort").mean()


def _is_age(feature: Feature, features: FeatureConfig) -> bool:
    """Whether a feature is how old the device is; that its clock departs from the calendar is a reading."""
    return feature.column is not None and feature.column == features.age_column and feature.transform == "level"


def _features_of(names: tuple[str, ...], features: FeatureConfig) -> list[Feature]:
    """What is known of each feature; one that the table has no more stands for itself."""
    known = {feature.name: feature for feature in catalogue(features)}
    return [known.get(name, Feature(name, name, None, "gap_days")) for name in names]
