"""Who is judged: a record without a score is neither an alarm nor clear, and says what is not known of its device."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from ae_assets.detectors import FittedDetector
from ae_assets.features.catalogue import catalogue
from ae_assets.features.config import FeatureConfig, feature_prefix
from ae_assets.features.wording import unknown_in_words
from ae_assets.model.scoring import ScoredDay
from ae_assets.schemas.records import key_of

LEARNED_FROM = "the model learns from the first days of a device"
"""Why a record has no score that is of one of the days of its device from which the model learned."""


@dataclass(frozen=True)
class NotJudged:
    """Devices of one cohort that have no score in a period, for one reason."""

    cohort: str
    because: str
    devices: int


def not_judged(rows: pl.DataFrame) -> tuple[NotJudged, ...]:
    """The devices without a score, by cohort and reason, the most first.

    Args:
        rows: ``cohort, not_judged_because`` of a day.
    """
    groups = rows.drop_nulls("not_judged_because").group_by("cohort", "not_judged_because").len()
    ordered = groups.sort(["len", "cohort", "not_judged_because"], descending=[True, False, False])
    return tuple(NotJudged(*group) for group in ordered.iter_rows())


def not_judged_because(scored: ScoredDay, detector: FittedDetector, features: FeatureConfig) -> pl.Series:
    """For each row without a score the attributes that it would rest on and what is known of them, else null."""
    because = pl.repeat(None, len(scored.score), dtype=pl.String, eager=True)
    rows = (~scored.judged).arg_true()
    if rows.is_empty():
        return because
    attributes = _attributes_of(detector.evidence, features)
    lost = scored.about(rows)["lost_attributes"]
    states = pl.DataFrame({name: _states(name, scored, rows, lost) for name in attributes})
    distinct = states.unique(maintain_order=True)
    words = [
        unknown_in_words(
            features, *([name for name in attributes if row[name] == state] for state in ("lost", "missing", "new"))
        )
        for row in distinct.iter_rows(named=True)
    ]
    sentences = states.join(distinct.with_columns(words=pl.Series(words)), on=attributes, maintain_order="left")[
        "words"
    ]
    return because.scatter(rows, sentences)


def lacks_what_it_reported(scored: ScoredDay, detector: FittedDetector, features: FeatureConfig) -> pl.Series:
    """Whether each row lacks an attribute that the detector looks at and its device reported inside the look-back."""
    attributes = _attributes_of(detector.inputs, features)
    key = key_of(scored.keys.columns)
    lost = scored.records.drop_nulls("lost_attributes").filter(
        pl.col("lost_attributes").list.set_intersection(attributes).list.len() > 0
    )
    marked = lost.select(*key, lacks=pl.lit(True))
    return scored.keys.select(key).join(marked, on=key, how="left", maintain_order="left")["lacks"].fill_null(False)


def _states(attribute: str, scored: ScoredDay, rows: pl.Series, lost: pl.Series) -> pl.Series:
    """Of each of the rows, whether the attribute is lost or missing, or is new, so that nothing can be made of it."""
    names, flag = scored.windows.feature_names, f"{feature_prefix(attribute)}_missing"
    missing = np.ones(len(rows), np.bool_)
    if flag in names:
        missing = scored.windows.values[scored.windows.last_row[rows.to_numpy()], names.index(flag)] != 0
    return pl.select(
        pl.when(lost.list.contains(attribute).fill_null(False))
        .then(pl.lit("lost"))
        .when(pl.Series(missing))
        .then(pl.lit("missing"))
        .otherwise(pl.lit("new"))
    ).to_series()


def _attributes_of(names: Iterable[str], features: FeatureConfig) -> list[str]:
    """The attributes that features are made of, each once; a feature that is made of none stands for itself."""
    columns = {feature.name: feature.column or feature.name for feature in catalogue(features)}
    return list(dict.fromkeys(columns.get(name, name) for name in names))
