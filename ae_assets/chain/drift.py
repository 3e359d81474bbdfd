"""Drift: the reference that is kept beside a threshold, and whether the latest records still look like it.

Both sides hold one row per entity, since the rows of one are alike: a random day of the calibration range for the
reference, the latest record for the days that are judged.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import cast

import polars as pl

from ae_assets.chain.champion import Champion
from ae_assets.chain.volume import gaps_in
from ae_assets.chain.workspace import ANOMALIES, FEATURES, Workspace
from ae_assets.evaluation.drift import Drift, Reference, feature_drifts, score_drift
from ae_assets.features.catalogue import catalogue
from ae_assets.schemas.periods import named
from ae_assets.schemas.records import TIME, key_of, keys_of

MOST_ENTITIES = 20_000
"""Larger fleets are sampled by a hash: more entities would only show shifts that are too small to matter."""

LARGEST_NAMED = 5

_HASH_STEPS = 1_000_000
_SEED = 11


@dataclass(frozen=True)
class PooledVerdict:
    """What a check on a window of days says, with the counts that explain it."""

    passed: bool
    text: str
    facts: dict[str, object]


def reference_of(space: Workspace, first: date, last: date, scores: pl.DataFrame, features: Sequence[str]) -> Reference:
    """The reference of a calibration range from its first to its last period.

    ``scores`` has the columns that say which record, and `score`, of the range as far as it was judged; entities that
    are known to fail may be left out, and whole periods.
    """
    # Which of its records stands for an entity is chosen by a hash, so that no single day colours the reference.
    number = pl.col("entity").hash(_SEED).first() % pl.len()
    key = key_of(scores.columns)
    keys = space.read(FEATURES, first, last, keys_of(scores.columns))
    keys = _sampled(keys.filter(pl.col("day").is_in(scores["day"].unique().implode())))
    ordered = keys.sort("entity", key[0]).group_by("entity", maintain_order=True)
    chosen = ordered.agg(pl.exclude("entity").get(number))
    rows = _rows_at(space, FEATURES, chosen, features)
    return Reference.of(rows, features, scores.join(chosen, on=key)["score"].to_numpy())


def judge_drift(space: Workspace, champion: Champion, last: date) -> dict[str, PooledVerdict]:
    """Judges each device's latest record of the days until the last one against the champion's reference."""
    reference = champion.reference
    first = space.table.periods.spanning(last, timedelta(days=space.table.checks.drift_days))
    judged = (pl.col("model_version") == champion.version) & pl.col("score").is_not_null()
    scored = _latest(space, ANOMALIES, first, last, ["score"], judged)
    rows = _latest(space, FEATURES, first, last, list(reference.features))
    between = f"between {named(first)} and {named(last)}"
    unscored = PooledVerdict(True, f"too few to judge: {champion.version} has scored no day {between}", {})
    absent = PooledVerdict(True, f"too few to judge: there are no features {between}", {})
    return {
        "scores_have_not_drifted": unscored if scored.is_empty() else _score_verdict(space, reference, scored),
        "features_have_not_drifted": absent
        if rows.is_empty()
        else _feature_verdict(space, _judgeable(space, reference, rows), rows),
    }


def _score_verdict(space: Workspace, reference: Reference, rows: pl.DataFrame) -> PooledVerdict:
    limits = space.table.checks
    drift = score_drift(reference, rows["score"], limits.max_score_drift, limits.drift_false_alarm_rate)
    words = "are not distributed" if drift.drifted else "are distributed"
    return PooledVerdict(
        not drift.drifted,
        f"the latest scores of {rows.height:,} devices until {_last_day(rows)} {words} as in calibration: population "
        f"stability index {drift.index:.3f} (allowed {drift.bound:.3f})",
        {**_facts(space, reference, rows), "population_stability_index": drift.index, "bound": drift.bound},
    )


def _feature_verdict(space: Workspace, reference: Reference, rows: pl.DataFrame) -> PooledVerdict:
    limits = space.table.checks
    drifts = feature_drifts(reference, rows, limits.max_feature_drift, limits.drift_false_alarm_rate)
    drifted = [drift for drift in drifts if drift.drifted]
    largest = drifts[0]
    text = (
        f"{len(drifted)} of {len(drifts)} quantities are not distributed as in calibration: "
        + "; ".join(_in_words(drift) for drift in drifted[:LARGEST_NAMED])
        + (f" and {len(drifted) - LARGEST_NAMED} more" if len(drifted) > LARGEST_NAMED else "")
        if drifted
        else f"the features and the cohort mix of {rows.height:,} devices until {_last_day(rows)} are distributed as "
        f"in calibration; the largest population stability index is {largest.index:.3f}, of {largest.name} (allowed "
        f"{largest.bound:.3f})"
    )
    return PooledVerdict(
        not drifted,
        text,
        {
            **_facts(space, reference, rows),
            "drifted": [asdict(drift) for drift in drifted],
            "largest": [asdict(drift) for drift in drifts[:LARGEST_NAMED]],
        },
    )


def _judgeable(space: Workspace, reference: Reference, rows: pl.DataFrame) -> Reference:
    """The reference without the features that look back from the newest day over none but days that the table lacks.

    They are unknown of all devices then, which says nothing of the devices.
    """
    features, periods, day = space.table.features, space.table.periods, max(rows["day"].to_list())
    gaps = gaps_in(space, FEATURES, periods.before(day, features.look_back), day)
    into_a_gap = {
        feature.name
        for feature in catalogue(features)
        if feature.span is not None
        and gaps.issuperset(periods.range(periods.before(day, feature.span), periods.shifted(day, -1)))
    }
    return replace(
        reference, features={name: bins for name, bins in reference.features.items() if name not in into_a_gap}
    )


def _last_day(rows: pl.DataFrame) -> str:
    return named(cast("date", rows["day"].max()))


def _in_words(drift: Drift) -> str:
    missing = (
        f", unknown in {drift.unknown_now:.1%} after {drift.unknown_then:.1%}"
        if abs(drift.unknown_now - drift.unknown_then) >= 0.001
        else ""
    )
    return f"{drift.name} {drift.index:.3f} (allowed {drift.bound:.3f}{missing})"


def _facts(space: Workspace, reference: Reference, rows: pl.DataFrame) -> dict[str, object]:
    """What both verdicts stand on."""
    return {
        "devices": rows.height,
        "window_start": str(rows["day"].min()),
        "window_end": _last_day(rows),
        "reference_devices": reference.entities,
        "reference_start": str(reference.first_day),
        "reference_end": str(reference.last_day),
        "false_alarm_rate": space.table.checks.drift_false_alarm_rate,
    }


def _latest(
    space: Workspace, asset: str, first: date, last: date, columns: Sequence[str], where: pl.Expr | None = None
) -> pl.DataFrame:
    """The latest of each entity's rows between two days; which rows may be restricted."""
    if not any(first <= day <= last for day in space.days_with_rows(asset)):
        return pl.DataFrame()
    record = keys_of(space.schema(asset))
    keys = space.read(asset, first, last, [*record, *([] if where is None else where.meta.root_names())])
    keys = _sampled(keys if where is None else keys.filter(where)).select(record)
    chosen = keys.group_by("entity").agg(pl.exclude("entity").max()).sort("entity")
    return _rows_at(space, asset, chosen, columns) if chosen.height else pl.DataFrame()


def _sampled(keys: pl.DataFrame) -> pl.DataFrame:
    share = MOST_ENTITIES / max(keys["entity"].n_unique(), 1)
    return keys.filter((pl.col("entity").hash(_SEED + 1) % _HASH_STEPS) / _HASH_STEPS < share)


def _rows_at(space: Workspace, asset: str, chosen: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The rows of the chosen records, a period at a time; columns that the table lacks are left out."""
    stored = space.schema(asset)
    wanted = [*keys_of(stored), "cohort", *(column for column in columns if column in stored)]
    by_day = chosen.group_by("day").agg("entity").sort("day")
    rows = pl.concat([space.read(asset, day, day, wanted, of_day) for day, of_day in by_day.rows()])
    return rows.join(chosen, on=key_of(stored), how="semi", maintain_order="left") if TIME in stored else rows
