"""What the UI shows of each asset: descriptions, column schemas and lineage, row counts, figures and tables.

Heavy modules (figures, schemas) are imported inside the functions that run with a materialisation.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from ae_assets.chain.raw_columns import never_delivered
from ae_assets.chain.volume import in_words
from ae_assets.chain.workspace import (
    ANOMALIES,
    EVALUATION,
    FEATURES,
    MAINTENANCE,
    MODEL,
    QUARANTINE,
    RAW,
    THRESHOLD,
    Workspace,
)
from ae_assets.features.catalogue import catalogue
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline import maintenance_metadata
from ae_assets.pipeline.target_wording import abnormal_rows, judged_by, learned_from, promoted_where
from ae_assets.schemas.durations import written as in_short
from ae_assets.schemas.periods import Periods, named
from ae_assets.sources import open_source

if TYPE_CHECKING:
    from ae_assets.chain.anomaly_day import AnomalyDay
    from ae_assets.chain.champion import Champion
    from ae_assets.chain.features import FeatureDay
    from ae_assets.chain.model import TrainedModel
    from ae_assets.chain.raw import RawDay
    from ae_assets.chain.results import Evaluation
    from ae_assets.chain.threshold import Calibrated

Metadata = dict[str, Any]

MOST_DAYS_WITH_FIGURES = 7
"""Runs over more days draw figures for their last day only: a figure costs more than scoring its day."""

NOT_LOADED = {"missing": "missing in the source", "kept": "not in the source any more; the rows loaded before are kept"}

MOST_NAMED = 50
"""Periods, strays or mutes that are named one by one."""

ALARMS_SHOWN = 100
LISTED = 50
"""Devices that a day's list shows in place; of more, the most severe."""

IN_WORDS = "As text"
"""What the command line prints of an evaluation."""

FENCE = "\n```\n"
"""Around a text whose columns the UI must leave as they are."""

SUMMARY, THIS_RUN = "Summary", "This run"
"""What comes first: a partition, a version or a run in a sentence. And a run over several days, beside each of them."""

DEVICES = "Devices to look at"

STRAYS, UNREPORTED = "Left out of the source", "Attributes without values"
MUTES_OVER, MUTES_OF_NOBODY = "Mutes that are over", "Mutes of nobody"
TO_TIDY = (UNREPORTED, MUTES_OVER, MUTES_OF_NOBODY)
"""What of a run somebody should look after; the command line prints these as well."""

ROW_COUNT, COLUMN_LINEAGE, COLUMN_SCHEMA = (
    "dagster/partition_row_count",
    "dagster/column_lineage",
    "dagster/column_schema",
)
"""What Dagster itself looks for; it comes last."""

FINGERPRINT = "fingerprint"
"""Of the file that a day of raw was loaded from; tells whether other rows came."""


def definition(table: WatchedTable, asset: str) -> Metadata:
    """What is known of an asset before anything is materialised."""
    if asset in (RAW, FEATURES, QUARANTINE, ANOMALIES):
        return {"dagster/table_name": f"{table.table}.{asset}", "source": _source(table)}
    return {}


def _source(table: WatchedTable) -> str:
    """The location as it may be shown: the one in the YAML may hold a password."""
    return open_source(table.source.location, table.reading).location


def describe(table: WatchedTable, asset: str) -> str:
    """The description of an asset, in Markdown."""
    watched = table.description or f"Rows of {table.table}."
    features = table.features
    attributes = "\n".join(
        f"| `{name}` | {attribute.kind} | {attribute.meaning} |" for name, attribute in features.attributes.items()
    )
    noun = table.periods.noun
    chain, retrain = f"`{table.table}_{table.partitions}`", f"`{table.table}_retrain`"
    each = "time" if table.layout.has_several_records else noun
    return {
        RAW: f"{watched}\n\nThe source's rows of each {noun} as they are, typed, nothing dropped, with the file they "
        f"came from. {table.periods.one.capitalize()} that the source lacks is empty. Source: `{_source(table)}`.\n\n"
        f"To begin: the job {chain} makes {table.periods.plural}, from here to the anomalies; {retrain} the model that "
        "they need first.",
        FEATURES: f"Validated rows turned into features: one row per device and {each}, made of the device's own last "
        f"{in_short(features.look_back)}. Unknown values stay null and have a flag.\n\n"
        f"| attribute | kind | meaning |\n| --- | --- | --- |\n{attributes}",
        QUARANTINE: "Rows that cannot be true, with the rule they break and the value that breaks it. "
        f"Raw = features + quarantine, every {noun}.",
        MODEL: f"`{table.detector.type}` fitted on {learned_from(table)}. The job {retrain} makes a version and its "
        "threshold, which makes it the champion unless it is worse than the one in use. Without `train_start` and "
        "`train_end` it takes the latest days that leave room for the threshold.",
        THRESHOLD: f"The cut of the newest model by the policy `{table.threshold.policy}`, on the "
        f"{table.calibration.days} days that follow the training range after {table.calibration.embargo_days} days. "
        + promoted_where(table),
        ANOMALIES: "Which devices to look at, and why: the tab *Partitions* shows the list of each "
        f"{noun}. The job {chain} makes {table.periods.one} with all that it rests on.\n\n"
        f"One row per device and {each}: score, threshold, verdict, "
        "severity (how rare such a score was in calibration), episode and the reasons for it. Sorted by falling score.",
        EVALUATION: "Whether the model is any good: what the champion detects and how often it is wrong, beside the "
        "comparisons, on days that neither fit nor threshold has seen. Without `start` and `end` the latest of them. "
        + judged_by(table),
        MAINTENANCE: maintenance_metadata.describe(table.maintenance),
    }[asset]


Days = Iterator[tuple[date, Metadata]]
"""What each partition of an asset shows. Values that Dagster takes for all partitions of a run would come first,
so those of the run and those that Dagster looks for stand here as well, after those of the partition."""


def raw_days(space: Workspace, loaded: Sequence["RawDay"], strays: Sequence[str]) -> Days:
    """The partitions of raw that a run loaded."""
    run, table = _raw_run(space, loaded, strays), _columns(space, RAW)
    for facts in loaded:
        yield facts.day, {**_raw_day(space, facts), **run, ROW_COUNT: facts.rows, **table}


def _raw_day(space: Workspace, facts: "RawDay") -> Metadata:
    key = space.table.periods.key(facts.day)
    if facts.status != "loaded":
        return {SUMMARY: f"{key}: {NOT_LOADED[facts.status]}.", "Rows": facts.rows}
    unreadable = (
        f" {facts.rescued_rows:,} of them have cells that cannot be read; their text is kept."
        if facts.rescued_rows
        else ""
    )
    return {
        SUMMARY: f"{key}: {facts.rows:,} rows of {facts.origin}.{unreadable}",
        "Rows": facts.rows,
        "Rows with unreadable cells": facts.rescued_rows,
        "File size in bytes": facts.size_bytes,
        "Source file": facts.origin,
        FINGERPRINT: facts.fingerprint,
    }


def _raw_run(space: Workspace, loaded: Sequence["RawDay"], strays: Sequence[str]) -> Metadata:
    from ae_assets.reports.figures import volume_by_day
    from ae_assets.reports.tables import markdown_image

    periods = space.table.periods
    missing = [facts.day for facts in loaded if facts.status != "loaded"]
    held = space.days_of(RAW)
    recent = {day: held[day] for day in sorted(held)[-180:]}
    said = f"{sum(facts.rows for facts in loaded):,} rows"
    if missing:
        said += f"; not in the source: {in_words(missing, periods)}"
    drawn: Metadata = {}
    if recent:
        png = volume_by_day(recent, periods=periods)
        drawn = {f"Rows by {periods.noun}": _image(markdown_image(png, f"rows per {periods.noun}"))}
    return {
        **drawn,
        **({STRAYS: "\n".join(strays[:MOST_NAMED])} if strays else {}),
        **_this_run(space, [facts.day for facts in loaded], said),
    }


def features_days(space: Workspace, built: Sequence["FeatureDay"]) -> Days:
    """The partitions of features that a run built."""
    rows, aside = (
        sum(counts) for counts in zip(*((one.feature_rows, one.quarantine_rows) for one in built), strict=True)
    )
    said = f"{rows:,} rows" + (f"; {aside:,} raw rows were set aside" if aside else "")
    run = {**_unreported(space, built), **_this_run(space, [facts.day for facts in built], said)}
    raw = dg.AssetKey([space.table.table, RAW])
    deps = {
        feature.name: [dg.TableColumnDep(raw, feature.column)]
        for feature in catalogue(space.table.features)
        if feature.column is not None
    }
    table = {COLUMN_LINEAGE: dg.TableColumnLineage(deps_by_column=deps), **_columns(space, FEATURES)}
    for facts in built:
        yield facts.day, {**_features_day(space, facts), **run, ROW_COUNT: facts.feature_rows, **table}


def _unreported(space: Workspace, built: Sequence["FeatureDay"]) -> Metadata:
    """The attributes that no row of a run has a value of: those that raw never had a column of with the nearest."""
    rows = [facts.unreported for facts in built if facts.feature_rows]
    names = sorted(frozenset.intersection(*rows)) if rows else []
    never = never_delivered(space)
    empty, absent = [name for name in names if name not in never], [never[name] for name in names if name in never]
    said = [", ".join(empty)] * bool(empty) + [f"in no file: {', '.join(absent)}"] * bool(absent)
    return {UNREPORTED: "; ".join(said)} if said else {}


def quarantine_days(space: Workspace, built: Sequence["FeatureDay"]) -> Days:
    """The partitions of quarantine that a run built."""
    rules: Counter[str] = Counter()
    for facts in built:
        rules.update(facts.quarantined)
    run, table = _this_run(space, [facts.day for facts in built], _set_aside(rules)), _columns(space, QUARANTINE)
    for facts in built:
        yield facts.day, {**_quarantine_day(space, facts), **run, ROW_COUNT: facts.quarantine_rows, **table}


def _features_day(space: Workspace, facts: "FeatureDay") -> Metadata:
    aside = (
        f"; {facts.quarantine_rows:,} of {facts.feature_rows + facts.quarantine_rows:,} raw rows were set aside"
        if facts.quarantine_rows
        else ""
    )
    return {
        SUMMARY: f"{space.table.periods.key(facts.day)}: features of {facts.feature_rows:,} {_records(space)}{aside}.",
        "Devices": facts.feature_rows,
        "Rows set aside": facts.quarantine_rows,
    }


def _quarantine_day(space: Workspace, facts: "FeatureDay") -> Metadata:
    return {
        SUMMARY: f"{space.table.periods.key(facts.day)}: {_set_aside(facts.quarantined)}.",
        **_rules(facts.quarantined),
        "Rows set aside": facts.quarantine_rows,
    }


def _set_aside(rules: Mapping[str, int]) -> str:
    """How many rows were set aside, and by which rules."""
    named = ", ".join(f"{rows:,} by {rule}" for rule, rows in Counter(rules).most_common())
    return f"{sum(rules.values()):,} rows were set aside: {named}" if named else "nothing was set aside"


def _rules(rules: Mapping[str, int]) -> Metadata:
    if not rules:
        return {}
    lines = "\n".join(f"| {rule} | {rows:,} |" for rule, rows in Counter(rules).most_common())
    return {"Rules broken": dg.MetadataValue.md(f"| rule | rows |\n| --- | ---: |\n{lines}")}


def _this_run(space: Workspace, days: Sequence[date], said: str) -> Metadata:
    """A run over several periods in a sentence; of one there is nothing more to say than of itself."""
    if len(days) < 2:
        return {}
    periods = space.table.periods
    first, last = periods.key(min(days)), periods.key(max(days))
    return {THIS_RUN: f"{len(days):,} {periods.plural} from {first} to {last}: {said}."}


def _records(space: Workspace) -> str:
    """What rows of features stand for."""
    return "records" if space.table.layout.has_several_records else "devices"


def model_run(table: WatchedTable, trained: "TrainedModel") -> Metadata:
    """A training."""
    from ae_assets.reports.figures import training_curve
    from ae_assets.reports.tables import markdown_image

    history = trained.detector.history
    card, facts = trained.card, trained.card["data"]
    drawn = (
        {"Training curve": _image(markdown_image(training_curve(history), "training and validation loss by epoch"))}
        if history.train_loss
        else {}
    )
    start, end = (named(table.periods.parse(card["training"][key])) for key in ("start", "end"))
    return {
        SUMMARY: f"{trained.version}: {card['detector']['type']}, fitted on {history.windows_seen:,} windows "
        f"from {start} to {end}. It is not in use before its threshold is chosen.",
        **drawn,
        "Validation loss": _short(history.kept_loss),
        "Epochs": len(history.train_loss),
        "Windows for training": history.windows_seen,
        "Windows available": history.windows_available,
        **abnormal_rows(table, facts),
        "Seconds of training": round(history.seconds, 1),
        **_left_out([table.periods.parse(day) for day in card["days_left_out"]], table.periods),
        "Model card": dg.MetadataValue.json(card),
    }


def _left_out(days: Sequence[date], periods: Periods) -> Metadata:
    """The periods of a range that do not count, where there are any."""
    if not days:
        return {}
    return {"Days left out": f"{in_words(days, periods)}: an implausible number of rows, or too many of them set aside"}


def threshold_run(calibrated: "Calibrated", periods: Periods) -> Metadata:
    """A calibration."""
    from ae_assets.reports.figures import score_histogram
    from ae_assets.reports.tables import markdown_image, number

    threshold, promotion = calibrated.threshold, calibrated.promotion
    scores = calibrated.scores["score"]
    share = int((scores > threshold.cuts(calibrated.scores, scores)).sum()) / len(scores)
    png = score_histogram(threshold.calibration, threshold.cut)
    return {
        SUMMARY: f"{promotion.words}. A score over {number(threshold.cut)} is an alarm. Promised: "
        f"{threshold.promise.words}.",
        "Scores": _image(markdown_image(png, "calibration scores with the threshold")),
        "Threshold": threshold.cut,
        "Share of calibration rows over it": _short(share),
        "Calibration rows": threshold.calibration.rows,
        "Calibration rows not judged": calibrated.not_judged.rows,
        "Devices never judged in calibration": calibrated.not_judged.entities,
        "Calibrated on": f"{named(threshold.calibration.first_day)} to {named(threshold.calibration.last_day)}",
        **_left_out(calibrated.calibration.left_out, periods),
        "Champion": calibrated.version if promotion.promoted else promotion.champion_before or "none",
        "Champion before": promotion.champion_before or "none",
        "Verdict": promotion.reason.value,
        "Policy": dg.MetadataValue.json(threshold.policy.model_dump(mode="json")),
        "Promotion": dg.MetadataValue.json(promotion.record),
    }


def anomalies_day(
    space: Workspace,
    facts: "AnomalyDay",
    champion: "Champion",
    *,
    drawn: bool,
    simulated: bool,
    newest_day: date | None = None,
) -> Metadata:
    """What a partition of anomalies begins with: the day in a sentence, the list, its scores.

    Args:
        space: the table.
        facts: the day.
        champion: the model that scored it.
        drawn: whether to draw its scores.
        simulated: whether the devices are invented.
        newest_day: the newest day that has anomalies, said where it is a later one: the overview of an asset shows the
            day that was written last.
    """
    seen, noun = facts.day <= champion.seen_until, space.table.periods.noun
    said = [
        facts.in_words(simulated=simulated),
        f"The model or its threshold has seen this {noun}." if seen else f"The model has not seen this {noun}.",
    ]
    if newest_day is not None and newest_day > facts.day:
        said.append(f"The newest {noun} is {space.table.periods.key(newest_day)}.")
    return {
        SUMMARY: " ".join(said),
        **_device_lists(space, facts),
        **(_scores_of_day(space, facts, champion) if drawn and facts.rows else {}),
    }


def anomalies_days(space: Workspace, champion: "Champion", found: Sequence["AnomalyDay"]) -> Days:
    """What the partitions of anomalies that a run made go on with: a figure of the last one's worst alarm, counts."""
    rows, alarms, new, muted = (
        sum(getattr(facts, name) for facts in found) for name in ("rows", "alarms", "new_alarms", "muted_alarms")
    )
    said = f"{alarms:,} alarms, {new:,} of them new, among {rows:,} rows" + (f"; {muted:,} muted" if muted else "")
    run = {**_mute_list(found), **_this_run(space, [facts.day for facts in found], said)}
    features = dg.AssetKey([space.table.table, FEATURES])
    inputs = [dg.TableColumnDep(features, name) for name in champion.detector.feature_names]
    deps = {
        **{name: [dg.TableColumnDep(features, name)] for name in ("day", "entity", "cohort", "label")},
        **dict.fromkeys(("score", "day_score", "top_features", "reasons"), inputs),
    }
    table = {COLUMN_LINEAGE: dg.TableColumnLineage(deps_by_column=deps), **_columns(space, ANOMALIES)}
    for place, facts in enumerate(found, 1):
        figure = _worst_alarm(space, champion, facts.day) if place == len(found) else {}
        yield facts.day, {**figure, **_counts(facts, champion), **run, ROW_COUNT: facts.rows, **table}


def _counts(facts: "AnomalyDay", champion: "Champion") -> Metadata:
    return {
        "Alarms": facts.alarms,
        "New alarms": facts.new_alarms,
        "Open episodes": facts.listed,
        "Closed episodes": facts.closed,
        "Muted alarms": facts.muted_alarms,
        "Devices judged": facts.rows - facts.muted_rows - facts.devices_not_judged,
        "Devices not judged": facts.devices_not_judged,
        "Devices muted": facts.muted_rows,
        "Threshold": round(_cut(facts, champion), 6),
        "Model version": champion.version,
    }


def _cut(facts: "AnomalyDay", champion: "Champion") -> float:
    """The cut of a day; a policy may let it follow the day."""
    return champion.threshold.cut if facts.threshold is None else facts.threshold


def _device_lists(space: Workspace, facts: "AnomalyDay") -> Metadata:
    """The devices to look at, in place; then all of what is known of them, those that are muted and not judged."""
    from ae_assets.features.wording import wording_of
    from ae_assets.reports.tables import alarms_table, listed_alarms, markdown_table, muted_table

    wording = wording_of(space.table.features)
    listed = listed_alarms(facts.devices, LISTED, wording=wording)
    in_full = alarms_table(facts.devices, ALARMS_SHOWN, wording=wording)
    lists: Metadata = (
        {DEVICES: _table(listed), "Why, in full": dg.MetadataValue.md(in_full)} if listed.height else {DEVICES: in_full}
    )
    if facts.muted_rows:
        lists["Muted devices"] = dg.MetadataValue.md(muted_table(facts.devices))
    if facts.not_judged:
        groups = pl.DataFrame(
            [(group.cohort, group.devices, group.because) for group in facts.not_judged],
            schema=["kind", "devices", "because"],
            orient="row",
        )
        lists["Not judged, by kind"] = dg.MetadataValue.md(markdown_table(groups, limit=20))
    return lists


def _table(frame: pl.DataFrame) -> dg.TableMetadataValue:
    """A frame as the UI shows it in place, however long it is."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord(row) for row in frame.iter_rows(named=True)],
        schema=dg.TableSchema([dg.TableColumn(name, _type(dtype)) for name, dtype in frame.schema.items()]),
    )


def _scores_of_day(space: Workspace, facts: "AnomalyDay", champion: "Champion") -> Metadata:
    from ae_assets.reports.figures import score_histogram
    from ae_assets.reports.tables import markdown_image

    rows = facts.frame if champion.threshold.policy.by_record else facts.devices
    scores, key = rows["score"].drop_nulls().to_numpy(), space.table.periods.key(facts.day)
    png = score_histogram(champion.threshold.calibration, _cut(facts, champion), scores, label=key)
    return {"Scores": _image(markdown_image(png, f"scores of {key} with the threshold"))}


def _mute_list(days: Sequence["AnomalyDay"]) -> Metadata:
    """What can be tidied up in the mute list: entries that are over, and those that named no device of the run."""
    from ae_assets.decisions.mutes import expired_mutes

    if not days or not days[0].mutes:
        return {}
    unknown = {mute for facts in days for mute in facts.unknown_mutes}
    named = {mute for facts in days for mute in set(facts.mutes) - set(facts.unknown_mutes) if mute.holds_on(facts.day)}
    over = expired_mutes(days[0].mutes, max(facts.day for facts in days))
    reported = {
        MUTES_OVER: over,
        MUTES_OF_NOBODY: sorted(unknown - named, key=lambda mute: mute.line),
    }
    return {
        name: "\n".join(mute.in_words() for mute in mutes[:MOST_NAMED]) for name, mutes in reported.items() if mutes
    }


def _worst_alarm(space: Workspace, champion: "Champion", day: date) -> Metadata:
    """The last 60 days of the device that a person would look at first; nothing where there is none."""
    from ae_assets.chain.stories import story_of_top_alarm
    from ae_assets.reports.figures import entity_story
    from ae_assets.reports.tables import markdown_image

    story = story_of_top_alarm(space, champion, day)
    if story is None:
        return {}
    key = space.table.periods.key(day)
    png = entity_story(story.history, story.entity, attributes=story.attributes, remark=f"until {key}")
    return {"Worst alarm": _image(markdown_image(png, f"{story.entity}: score and attributes until {key}"))}


def not_evaluated(words: str) -> Metadata:
    """An evaluation for which there are too few days yet, or nothing that could be judged by."""
    return {SUMMARY: words}


def evaluation_run(evaluation: "Evaluation") -> Metadata:
    """An evaluation: the answer in words, a figure, rates by detector, then everything else."""
    from ae_assets.reports.tables import markdown_image

    figures = {
        name.replace("_", " ").capitalize(): _image(markdown_image(png, name.replace("_", " ")))
        for name, png in evaluation.draw().items()
    }
    first = dict(list(figures.items())[:1])
    return {
        SUMMARY: evaluation.answer,
        **first,
        "Found at a false alarm rate (FAR)": _table(evaluation.rates),
        **{
            name: _short(value) if isinstance(value, float) else value
            for name, value in evaluation.headline.items()
            if value is not None
        },
        "All tables": dg.MetadataValue.md(evaluation.markdown),
        **{name: figure for name, figure in figures.items() if name not in first},
        "Judged days": f"{named(evaluation.start)} to {named(evaluation.end)}",
        "Model version": evaluation.version,
        IN_WORDS: dg.MetadataValue.md(f"{FENCE}{evaluation.text}{FENCE}"),
        "Result": dg.MetadataValue.json(evaluation.record),
    }


def _short(value: float) -> float:
    """A number as a person reads it, with four significant digits."""
    return float(f"{value:.4g}")


def _image(markdown: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(markdown)


def _columns(space: Workspace, asset: str) -> Metadata:
    """The column schema of a stored table, with what each column means."""
    from ae_assets.features.schema import feature_schema
    from ae_assets.schemas.anomalies import anomaly_schema
    from ae_assets.schemas.describe import columns
    from ae_assets.schemas.quarantine import quarantine_schema

    features = space.table.features
    described = {name: attribute.meaning for name, attribute in features.attributes.items()}
    schema = {
        FEATURES: feature_schema(features, space.table.rhythm),
        QUARANTINE: quarantine_schema(space.table.periods),
        ANOMALIES: anomaly_schema(space.table.rhythm),
    }.get(asset)
    if schema is not None:
        described = {column.name: column.description for column in columns(schema)}
    if not space.exists(asset):
        return {}
    stored = space.schema(asset)
    return {
        COLUMN_SCHEMA: dg.TableSchema(
            columns=[
                dg.TableColumn(name, _type(dtype), description=described.get(name)) for name, dtype in stored.items()
            ]
        )
    }


def _type(dtype: pl.DataType) -> str:
    return str(dtype).lower()
