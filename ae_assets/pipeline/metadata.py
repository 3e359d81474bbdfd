"""What the UI shows of each asset: descriptions, column schemas and lineage, row counts, figures and tables.

Heavy modules (figures, schemas) are imported inside the functions that run with a materialisation.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from ae_assets.features.catalogue import catalogue
from ae_assets.pipeline import maintenance_metadata
from ae_assets.pipeline.chain.storage import (
    ANOMALIES,
    EVALUATION,
    FEATURES,
    MAINTENANCE,
    MODEL,
    QUARANTINE,
    RAW,
    THRESHOLD,
    Storage,
)
from ae_assets.pipeline.chain.volume import in_words
from ae_assets.pipeline.table import WatchedTable
from ae_assets.pipeline.unknown_names import never_delivered

if TYPE_CHECKING:
    from ae_assets.pipeline.chain.anomaly_day import AnomalyDay
    from ae_assets.pipeline.chain.champion import Champion
    from ae_assets.pipeline.chain.evaluation import Evaluation
    from ae_assets.pipeline.chain.features import FeatureDay
    from ae_assets.pipeline.chain.model import TrainedModel
    from ae_assets.pipeline.chain.raw import RawDay
    from ae_assets.pipeline.chain.rolling import RollingEvaluation
    from ae_assets.pipeline.chain.threshold import Calibrated

Metadata = dict[str, Any]

MOST_DAYS_WITH_FIGURES = 7
"""Runs over more days draw figures for their last day only: a figure costs more than scoring its day."""

NOT_LOADED = {"missing": "missing in the source", "kept": "not in the source any more; the rows loaded before are kept"}

ALARMS_SHOWN = 100

LONGEST_INLINE = 990
"""The UI shows Markdown in place up to 1,000 characters, and behind a link from there on."""

FENCE = "\n```\n"
"""Around a text whose columns the UI must leave as they are."""

OF_RUN = "_in_run"
"""How the names of values about a whole run end; the others of a daily asset are about one partition."""

ROW_COUNT = "dagster/partition_row_count"

FINGERPRINT = "fingerprint"
"""Of the file that a day of raw was loaded from; tells whether other rows came."""


def definition(table: WatchedTable, asset: str) -> Metadata:
    """What is known of an asset before anything is materialised."""
    if asset in (RAW, FEATURES, QUARANTINE, ANOMALIES):
        return {"dagster/table_name": f"{table.table}.{asset}", "source": _source(table)}
    return {}


def _source(table: WatchedTable) -> str:
    """The location as it may be shown: the one in the YAML may hold a password."""
    return table.source.open().location


def describe(table: WatchedTable, asset: str) -> str:
    """The description of an asset, in Markdown."""
    watched = table.description or f"Rows of {table.table}."
    features = table.features
    attributes = "\n".join(
        f"| `{name}` | {attribute.kind} | {attribute.meaning} |" for name, attribute in features.attributes.items()
    )
    return {
        RAW: f"{watched}\n\nThe source's rows of each day as they are, typed, nothing dropped, with the file they came "
        f"from. A day that the source lacks is an empty day. Source: `{_source(table)}`.",
        FEATURES: "Validated rows turned into features: one row per device and day, each made of the device's own last "
        f"{features.look_back_days} days. Unknown values stay null and have a flag.\n\n"
        f"| attribute | kind | meaning |\n| --- | --- | --- |\n{attributes}",
        QUARANTINE: "Rows that cannot be true, with the rule they break and the value that breaks it. "
        "Raw = features + quarantine, every day.",
        MODEL: f"`{table.detector.type}` fitted on devices that stay healthy for {table.horizon_days} days. "
        "Configure `train_start` and `train_end` when you launch it. A version becomes the champion when its "
        "threshold is materialised after it, unless it is worse than the champion in use.",
        THRESHOLD: f"The cut of the newest model by the policy `{table.threshold.policy}`, on the "
        f"{table.calibration.days} days that follow the training range after {table.calibration.embargo_days} days. "
        "The version then becomes the champion, unless it detects less than the one in use on the latest labelled days "
        "that neither has seen; configure `promote: always` to do without the comparison.",
        ANOMALIES: "One row per device and day: score, threshold, verdict, severity (how rare such a score was in "
        "calibration), episode and the reasons for it. Sorted by falling score.",
        EVALUATION: "Detection and false alarms of the champion and of the comparisons, on days that neither fit nor "
        f"threshold has seen. An alarm counts in the {table.horizon_days} days before a failure.",
        MAINTENANCE: maintenance_metadata.describe(table.maintenance),
    }[asset]


def raw_day(facts: "RawDay") -> Metadata:
    """One partition of raw."""
    if facts.status != "loaded":
        return {ROW_COUNT: facts.rows, "status": NOT_LOADED[facts.status]}
    return {
        ROW_COUNT: facts.rows,
        "status": facts.status,
        "source_file": facts.origin,
        FINGERPRINT: facts.fingerprint,
        "file_size_bytes": facts.size_bytes,
        "rows_with_unreadable_cells": facts.rescued_rows,
    }


def raw_run(storage: Storage, loaded: Sequence["RawDay"], strays: Sequence[str]) -> Metadata:
    """A run of raw."""
    from ae_assets.reports.figures import volume_by_day
    from ae_assets.reports.tables import markdown_image

    missing = [facts.day for facts in loaded if facts.status != "loaded"]
    held = storage.days_of(RAW)
    recent = {day: held[day] for day in sorted(held)[-180:]}
    return {
        "days_in_run": len(loaded),
        "rows_in_run": sum(facts.rows for facts in loaded),
        "days_missing_in_run": len(missing),
        **({"missing_days_in_run": ", ".join(str(day) for day in missing[:50])} if missing else {}),
        **({"left_out_of_the_source": "\n".join(strays[:50])} if strays else {}),
        **({"volume": _image(markdown_image(volume_by_day(recent), "rows per day"))} if recent else {}),
        **_columns(storage, RAW),
    }


def features_day(facts: "FeatureDay") -> Metadata:
    """One partition of features."""
    return {ROW_COUNT: facts.feature_rows, "quarantined": facts.quarantine_rows}


def quarantine_day(facts: "FeatureDay") -> Metadata:
    """One partition of quarantine."""
    return {ROW_COUNT: facts.quarantine_rows, "by_rule": dict(facts.quarantined)}


def features_run(storage: Storage, built: Sequence["FeatureDay"]) -> Metadata:
    """A run of features."""
    lineage = {
        feature.name: [dg.TableColumnDep(dg.AssetKey([storage.table.table, RAW]), feature.column)]
        for feature in catalogue(storage.table.features)
        if feature.column is not None
    }
    return {
        "days_in_run": len(built),
        "rows_in_run": sum(facts.feature_rows for facts in built),
        **_unreported(storage, built),
        "dagster/column_lineage": dg.TableColumnLineage(deps_by_column=lineage),
        **_columns(storage, FEATURES),
    }


def _unreported(storage: Storage, built: Sequence["FeatureDay"]) -> Metadata:
    """The attributes that no row of a run has a value of: those that raw never had a column of with the nearest."""
    rows = [facts.unreported for facts in built if facts.feature_rows]
    names = sorted(frozenset.intersection(*rows)) if rows else []
    never = dict(never_delivered(storage))
    words = [f"{name} ({never[name]})" if name in never else name for name in names]
    return {"attributes_without_values_in_run": ", ".join(words)} if words else {}


def quarantine_run(storage: Storage, built: Sequence["FeatureDay"]) -> Metadata:
    """A run of quarantine."""
    rules: Counter[str] = Counter()
    for facts in built:
        rules.update(facts.quarantined)
    broken = ", ".join(f"{rule} {rows:,}" for rule, rows in rules.most_common())
    return {
        "rows_in_run": rules.total(),
        **({"rules_broken_in_run": broken} if rules else {}),
        **_columns(storage, QUARANTINE),
    }


def model_run(trained: "TrainedModel") -> Metadata:
    """A training."""
    from ae_assets.reports.figures import training_curve
    from ae_assets.reports.tables import markdown_image

    history = trained.detector.history
    facts = trained.card["data"]
    drawn = (
        {"training_curve": _image(markdown_image(training_curve(history), "training and validation loss by epoch"))}
        if history.train_loss
        else {}
    )
    return {
        "version": trained.version,
        "detector": trained.card["detector"]["type"],
        "trained_on": f"{trained.card['training']['start']} to {trained.card['training']['end']}",
        **_left_out(trained.card["days_left_out"]),
        "windows_for_training": history.windows_seen,
        "windows_available": history.windows_available,
        "rows_near_a_failure_left_out": facts["rows_left_out_near_failure"],
        "rows_before_failure": facts["rows_before_failure"],
        "validation_loss": history.kept_loss,
        "epochs": len(history.train_loss),
        "training_seconds": round(history.seconds, 1),
        "card": dg.MetadataValue.json(trained.card),
        **drawn,
    }


def _left_out(days: Sequence[str]) -> Metadata:
    """The days of a range that do not count, where there are any."""
    if not days:
        return {}
    said = in_words([date.fromisoformat(day) for day in days])
    return {"left_out": f"{said}: an implausible number of rows"}


def threshold_run(calibrated: "Calibrated") -> Metadata:
    """A calibration."""
    from ae_assets.reports.figures import score_histogram
    from ae_assets.reports.tables import markdown_image

    threshold = calibrated.threshold
    scores = calibrated.scores.join(threshold.cuts(calibrated.scores), on="day")
    share = scores.select((pl.col("score") > pl.col("cut")).mean()).item()
    png = score_histogram(threshold.calibration, threshold.cut)
    return {
        "version": calibrated.version,
        "champion_before": calibrated.promotion.champion_before or "none",
        "champion": calibrated.version if calibrated.promotion.promoted else calibrated.promotion.champion_before,
        "verdict": calibrated.promotion.reason.value,
        "verdict_in_words": calibrated.promotion.words,
        "promotion": dg.MetadataValue.json(calibrated.promotion.record),
        "calibrated_on": f"{threshold.calibration.first_day} to {threshold.calibration.last_day}",
        **_left_out([day.isoformat() for day in calibrated.calibration.left_out]),
        "calibration_rows": threshold.calibration.rows,
        "calibration_rows_not_judged": calibrated.not_judged.rows,
        "devices_never_judged_in_calibration": calibrated.not_judged.entities,
        "cut": threshold.cut,
        "share_of_calibration_rows_over_it": share,
        "policy": dg.MetadataValue.json(threshold.policy.model_dump(mode="json")),
        "promise": threshold.promise.words,
        "scores": _image(markdown_image(png, "calibration scores with the threshold")),
    }


def anomalies_day(
    storage: Storage, facts: "AnomalyDay", champion: "Champion", *, drawn: bool, simulated: bool
) -> Metadata:
    """One partition of anomalies: what a person needs to judge the day."""
    from ae_assets.features.wording import wording_of
    from ae_assets.reports.figures import score_histogram
    from ae_assets.reports.tables import alarms_table, markdown_image, short_alarms_table

    wording = wording_of(storage.table.features)
    seen = facts.day <= champion.seen_until
    devices = "simulated devices" if simulated else "devices"
    cut = facts.frame["threshold"][0] if facts.frame.height else champion.threshold.cut
    summary = (
        f"{facts.alarms:,} alarms, {facts.new_alarms:,} of them new, among {facts.rows:,} {devices}"
        + (f"; {facts.before.in_words(facts.day)}. " if facts.before else ". ")
        + (f"{facts.listed:,} episodes are open. " if facts.listed != facts.alarms else "")
        + (f"{facts.muted_alarms:,} more alarms are muted. " if facts.muted_alarms else "")
        + (f"{facts.devices_not_judged:,} devices are not judged. " if facts.devices_not_judged else "")
        + ("The model or its threshold has seen this day." if seen else "The model has not seen this day.")
    )
    values: Metadata = {
        "summary": summary,
        "top_alarms": dg.MetadataValue.md(short_alarms_table(facts.frame, longest=LONGEST_INLINE, wording=wording)),
        "all_alarms": dg.MetadataValue.md(alarms_table(facts.frame, ALARMS_SHOWN, wording=wording)),
        ROW_COUNT: facts.rows,
        "alarms": facts.alarms,
        "new_alarms": facts.new_alarms,
        "open_episodes": facts.listed,
        **_muted(facts),
        **_not_judged(facts),
        "threshold": round(cut, 6),
        "model_version": champion.version,
    }
    if drawn and facts.rows:
        png = score_histogram(
            champion.threshold.calibration, cut, facts.frame["score"].drop_nulls().to_numpy(), label=str(facts.day)
        )
        values["scores"] = _image(markdown_image(png, f"scores of {facts.day} with the threshold"))
    return values


def _muted(facts: "AnomalyDay") -> Metadata:
    """What the mute list keeps from a day's list, where it does."""
    from ae_assets.reports.tables import muted_table

    if not facts.muted_rows:
        return {}
    return {
        "muted_devices": facts.muted_rows,
        "muted_alarms": facts.muted_alarms,
        "muted": dg.MetadataValue.md(muted_table(facts.frame)),
    }


def _not_judged(facts: "AnomalyDay") -> Metadata:
    """The devices without a score, where there are some."""
    from ae_assets.reports.tables import markdown_table

    if not facts.not_judged:
        return {}
    groups = pl.DataFrame([(group.cohort, group.devices, group.because) for group in facts.not_judged], orient="row")
    groups.columns = ["model", "devices", "because"]
    return {
        "devices_not_judged": facts.devices_not_judged,
        "not_judged": dg.MetadataValue.md(markdown_table(groups, limit=20)),
    }


def _mute_list(days: Sequence["AnomalyDay"]) -> Metadata:
    """What can be tidied up in the mute list: entries that are over, and those that named no device of the run."""
    from ae_assets.decisions import expired_mutes

    if not days or not days[0].mutes:
        return {}
    unknown = {mute for facts in days for mute in facts.unknown_mutes}
    named = {mute for facts in days for mute in set(facts.mutes) - set(facts.unknown_mutes) if mute.holds_on(facts.day)}
    over = expired_mutes(days[0].mutes, max(facts.day for facts in days))
    reported = {"expired_mutes": over, "unknown_mutes": sorted(unknown - named, key=lambda mute: mute.line)}
    suffix = OF_RUN if len(days) > 1 else ""
    return {
        f"{name}{suffix}": "\n".join(mute.in_words() for mute in mutes[:50])
        for name, mutes in reported.items()
        if mutes
    }


def anomalies_run(storage: Storage, champion: "Champion", found: Iterable["AnomalyDay"]) -> Metadata:
    """A run of anomalies."""
    days = list(found)
    columns = {
        "entity": "entity",
        "cohort": "cohort",
        "label": "label",
        "day": "day",
    }
    sources = [
        dg.TableColumnDep(dg.AssetKey([storage.table.table, FEATURES]), name)
        for name in champion.detector.feature_names
    ]
    lineage = {
        **{
            name: [dg.TableColumnDep(dg.AssetKey([storage.table.table, FEATURES]), source)]
            for name, source in columns.items()
        },
        "score": sources,
        "day_score": sources,
        "top_features": sources,
        "reasons": sources,
    }
    counts = {
        "days_in_run": len(days),
        "rows_in_run": sum(facts.rows for facts in days),
        "alarms_in_run": sum(facts.alarms for facts in days),
        **({"muted_alarms_in_run": sum(facts.muted_alarms for facts in days)} if days and days[0].mutes else {}),
    }
    return {
        **(counts if len(days) > 1 else {}),
        **_mute_list(days),
        **(_worst_alarm(storage, champion, max(facts.day for facts in days)) if days else {}),
        "dagster/column_lineage": dg.TableColumnLineage(deps_by_column=lineage),
        **_columns(storage, ANOMALIES),
    }


def _worst_alarm(storage: Storage, champion: "Champion", day: date) -> Metadata:
    """The last 60 days of the drive that a person would look at first."""
    from ae_assets.pipeline.chain.stories import story_of_top_alarm
    from ae_assets.reports.figures import entity_story
    from ae_assets.reports.tables import markdown_image

    story = story_of_top_alarm(storage, champion, day)
    if story is None:
        return {}
    png = entity_story(story.history, story.entity, attributes=story.attributes, remark=f"until {day}")
    return {"worst_alarm": _image(markdown_image(png, f"{story.entity}: score and attributes until {day}"))}


def not_evaluated(words: str) -> Metadata:
    """An evaluation for which there are too few days yet."""
    return {"range": "none", "in_words": dg.MetadataValue.md(f"{FENCE}{words}{FENCE}")}


def evaluation_run(evaluation: "Evaluation | RollingEvaluation") -> Metadata:
    """An evaluation."""
    from ae_assets.reports.tables import markdown_image

    return {
        "range": f"{evaluation.start} to {evaluation.end}",
        "model_version": evaluation.version,
        "comparison": dg.MetadataValue.md(evaluation.markdown),
        "in_words": dg.MetadataValue.md(f"{FENCE}{evaluation.text}{FENCE}"),
        "result": dg.MetadataValue.json(evaluation.record),
        **{name: _image(markdown_image(png, name.replace("_", " "))) for name, png in evaluation.figures.items()},
    }


def _image(markdown: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(markdown)


def _columns(storage: Storage, asset: str) -> Metadata:
    """The column schema of a stored table, with what each column means."""
    from ae_assets.schemas.anomalies import ANOMALY_SCHEMA
    from ae_assets.schemas.describe import columns
    from ae_assets.schemas.features import feature_schema
    from ae_assets.schemas.quarantine import QUARANTINE_SCHEMA

    features = storage.table.features
    described = {name: attribute.meaning for name, attribute in features.attributes.items()}
    schema = {FEATURES: feature_schema(features), QUARANTINE: QUARANTINE_SCHEMA, ANOMALIES: ANOMALY_SCHEMA}.get(asset)
    if schema is not None:
        described = {column.name: column.description for column in columns(schema)}
    if not storage.tables.exists(storage.name(asset)):
        return {}
    stored = storage.tables.schema(storage.name(asset))
    return {
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(name, _type(dtype), description=described.get(name)) for name, dtype in stored.items()
            ]
        )
    }


def _type(dtype: pl.DataType) -> str:
    return str(dtype).lower()
