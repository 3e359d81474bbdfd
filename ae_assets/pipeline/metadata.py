"""What the UI shows of what was materialised: a sentence, figures, tables and counts, column schemas and lineage.

Heavy modules (figures, schemas) are imported inside the functions that run with a materialisation.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from ae_assets.chain.raw_columns import never_delivered
from ae_assets.chain.volume import in_words
from ae_assets.chain.workspace import ANOMALIES, FEATURES, QUARANTINE, RAW, Workspace
from ae_assets.features.catalogue import catalogue
from ae_assets.model.definition import WatchedTable
from ae_assets.schemas.periods import Periods, named

if TYPE_CHECKING:
    from ae_assets.chain.anomaly_day import AnomalyDay
    from ae_assets.chain.champion import Champion
    from ae_assets.chain.features import FeatureDay
    from ae_assets.chain.maintenance import TablesMaintained
    from ae_assets.chain.model import TrainedModel
    from ae_assets.chain.raw import RawDay
    from ae_assets.chain.results import Evaluation
    from ae_assets.chain.stream import Landed
    from ae_assets.chain.threshold import Calibrated
    from ae_assets.lakehouse.run_log import Logged

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

NOT_LOGGED = "Not logged in MLflow"
STRAYS, UNREPORTED = "Left out of the source", "Attributes without values"
MUTES_OVER, MUTES_OF_NOBODY = "Mutes that are over", "Mutes of nobody"
TO_TIDY = (UNREPORTED, MUTES_OVER, MUTES_OF_NOBODY, NOT_LOGGED)
"""What of a run somebody should look after; the command line prints these as well."""

ROW_COUNT, COLUMN_LINEAGE, COLUMN_SCHEMA = (
    "dagster/partition_row_count",
    "dagster/column_lineage",
    "dagster/column_schema",
)
"""What Dagster itself looks for; it comes last."""

FINGERPRINT = "fingerprint"
"""Of the file that a day of raw was loaded from; tells whether other rows came."""


Days = Iterator[tuple[date, Metadata]]
"""What each partition of an asset shows."""


def _days(
    space: Workspace,
    asset: str,
    days: Iterable[tuple[date, int, Metadata]],
    run: Metadata,
    said: str,
    lineage: Mapping[str, Sequence[dg.TableColumnDep]] | None = None,
) -> Days:
    """The partitions that a run made: of each the rows and values, what is said of the run, what Dagster looks for.

    Values that Dagster takes for all partitions of a run would come before those of the partition, so they stand in
    each. A run over several periods is told in a sentence; of one there is nothing more to say than of itself.
    Lineage and schema of the columns, which are most of what an event would hold, stand in the newest, where Dagster
    reads them.
    """
    days, periods = list(days), space.table.periods
    if len(days) > 1:
        first, last = (periods.key(pick(day for day, *_ in days)) for pick in (min, max))
        run = {**run, THIS_RUN: f"{len(days):,} {periods.plural} from {first} to {last}: {said}."}
    deps = {} if lineage is None else {COLUMN_LINEAGE: dg.TableColumnLineage(deps_by_column=lineage)}
    newest = max((day for day, *_ in days), default=None)
    for day, rows, values in days:
        columns = {**deps, **_columns(space, asset)} if day == newest else {}
        yield day, {**values, **run, ROW_COUNT: rows, **columns}


def raw_days(space: Workspace, loaded: Sequence["RawDay"], strays: Sequence[str]) -> Days:
    from ae_assets.reports.figures import volume_by_day

    periods, stored = space.table.periods, space.days_of(RAW)
    recent = {day: stored[day] for day in sorted(stored)[-180:]}
    run = (
        _figure(f"Rows by {periods.noun}", volume_by_day(recent, periods=periods), f"rows per {periods.noun}")
        if recent
        else {}
    )
    if strays:
        run[STRAYS] = "\n".join(strays[:MOST_NAMED])
    missing = [facts.day for facts in loaded if facts.status != "loaded"]
    absent = f"; not in the source: {in_words(missing, periods)}" if missing else ""
    said = f"{sum(facts.rows for facts in loaded):,} rows{absent}"
    return _days(space, RAW, ((facts.day, facts.rows, _raw_day(space, facts)) for facts in loaded), run, said)


def _raw_day(space: Workspace, facts: "RawDay") -> Metadata:
    key, cells = space.table.periods.key(facts.day), "cells that cannot be read; their text is kept"
    if facts.status != "loaded":
        return {SUMMARY: f"{key}: {NOT_LOADED[facts.status]}.", "Rows": facts.rows}
    unreadable = f" {facts.rescued_rows:,} of them have {cells}." if facts.rescued_rows else ""
    again = f" {facts.repeated:,} more records repeat one of them word for word." if facts.repeated else ""
    return {
        SUMMARY: f"{key}: {facts.rows:,} rows of {facts.origin}.{again}{unreadable}",
        "Rows": facts.rows,
        **({"Repeated records": facts.repeated} if facts.repeated else {}),
        "Rows with unreadable cells": facts.rescued_rows,
        "File size in bytes": facts.size_bytes,
        "Source file": facts.origin,
        FINGERPRINT: facts.fingerprint,
    }


def features_days(space: Workspace, built: Sequence["FeatureDay"]) -> Days:
    aside = sum(facts.quarantine_rows for facts in built)
    said = f"{sum(facts.feature_rows for facts in built):,} rows"
    said += f"; {aside:,} raw rows were set aside" if aside else ""
    raw = dg.AssetKey([space.table.table, RAW])
    lineage = {
        feature.name: [dg.TableColumnDep(raw, feature.column)]
        for feature in catalogue(space.table.features)
        if feature.column is not None
    }
    days = ((facts.day, facts.feature_rows, _features_day(space, facts)) for facts in built)
    return _days(space, FEATURES, days, _unreported(space, built), said, lineage)


def _features_day(space: Workspace, facts: "FeatureDay") -> Metadata:
    records = "records" if space.table.layout.has_several_records else "devices"
    aside = f"; {facts.quarantine_rows:,} of {facts.rows:,} raw rows were set aside" if facts.quarantine_rows else ""
    return {
        SUMMARY: f"{space.table.periods.key(facts.day)}: features of {facts.feature_rows:,} {records}{aside}.",
        "Devices": facts.feature_rows,
        "Rows set aside": facts.quarantine_rows,
    }


def _unreported(space: Workspace, built: Sequence["FeatureDay"]) -> Metadata:
    """The attributes that no row of a run has a value of: those that raw never had a column of with the nearest."""
    rows = [facts.unreported for facts in built if facts.feature_rows]
    names = sorted(frozenset.intersection(*rows)) if rows else []
    never = never_delivered(space)
    empty, absent = [name for name in names if name not in never], [never[name] for name in names if name in never]
    said = [", ".join(empty)] * bool(empty) + [f"in no file: {', '.join(absent)}"] * bool(absent)
    return {UNREPORTED: "; ".join(said)} if said else {}


def quarantine_days(space: Workspace, built: Sequence["FeatureDay"]) -> Days:
    rules: Counter[str] = Counter()
    for facts in built:
        rules.update(facts.quarantined)
    days = ((facts.day, facts.quarantine_rows, _quarantine_day(space, facts)) for facts in built)
    return _days(space, QUARANTINE, days, {}, _set_aside(rules))


def _quarantine_day(space: Workspace, facts: "FeatureDay") -> Metadata:
    from ae_assets.reports.tables import markdown_table

    rules = Counter(facts.quarantined)
    table = pl.DataFrame(rules.most_common(), schema=["rule", "rows"], orient="row")
    return {
        SUMMARY: f"{space.table.periods.key(facts.day)}: {_set_aside(rules)}.",
        **({"Rules broken": dg.MetadataValue.md(markdown_table(table))} if rules else {}),
        "Rows set aside": facts.quarantine_rows,
    }


def _set_aside(rules: Counter[str]) -> str:
    """How many rows were set aside, and by which rules."""
    by_rule = ", ".join(f"{rows:,} by {rule}" for rule, rows in rules.most_common())
    return f"{rules.total():,} rows were set aside: {by_rule}" if by_rule else "nothing was set aside"


def model_run(table: WatchedTable, trained: "TrainedModel") -> Metadata:
    from ae_assets.chain.model import TrainingRange
    from ae_assets.reports.figures import training_curve

    history, card = trained.detector.history, trained.card
    epochs = len(history.train_loss)
    curve = "training and validation loss by epoch"
    start, end = (named(table.periods.parse(card["training"][key])) for key in ("start", "end"))
    learned = TrainingRange.from_record(card["training"], table.periods).learned
    first = "" if learned is None else f", of each device its first {learned.last} {learned.unit}"
    return {
        SUMMARY: f"{trained.version}: {card['detector']['type']}, fitted on {history.windows_seen:,} windows "
        f"from {start} to {end}{first}.{_groups_words(trained)} It is not in use before its threshold is chosen.",
        **_groups(trained),
        **(_figure("Training curve", training_curve(history), curve) if epochs else {}),
        **_channel_figures(trained),
        **({"Validation loss": _short(history.kept_loss), "Epochs": epochs} if epochs else {}),
        "Windows for training": history.windows_seen,
        "Windows available": history.windows_available,
        **_abnormal_rows(table, card["data"]),
        "Seconds of training": round(history.seconds, 1),
        **_left_out([table.periods.parse(day) for day in card["days_left_out"]], table.periods),
        "Model card": dg.MetadataValue.json(card),
        **logged_run(trained.logged),
    }


def _groups_words(trained: "TrainedModel") -> str:
    from ae_assets.detectors.per_group import FittedPerGroup
    from ae_assets.reports.groups import groups_words

    detector = trained.detector
    return f" {groups_words(detector.groups, detector.config.per)}." if isinstance(detector, FittedPerGroup) else ""


def _groups(trained: "TrainedModel") -> Metadata:
    """Which groups have a detector of their own, and how much each learned."""
    from ae_assets.detectors.per_group import FittedPerGroup
    from ae_assets.reports.groups import groups_parts
    from ae_assets.reports.parts import page_markdown

    detector = trained.detector
    if not isinstance(detector, FittedPerGroup):
        return {}
    return {"Groups": dg.MetadataValue.md(page_markdown(groups_parts(detector.groups, detector.config.per)))}


def _channel_figures(trained: "TrainedModel") -> Metadata:
    """What helps to choose windows, spans and features of series."""
    from ae_assets.reports.channel_figures import autocorrelation_figure, spectrogram_figure

    channels = trained.channels
    if channels is None:
        return {}
    lags = _figure("Autocorrelation", autocorrelation_figure(channels, trained.detector.window), "readings by lag")
    if channels.spectrogram is None:
        return lags
    return {**lags, **_figure("Spectrogram", spectrogram_figure(channels.spectrogram), "rhythms of a channel")}


def _abnormal_rows(table: WatchedTable, facts: Mapping[str, int]) -> dict[str, int]:
    """How many rows of a training were abnormal, and how many of the sample were left out; nothing without a target."""
    learned, left_out = facts["rows_before_failure"], facts["rows_left_out_near_failure"]
    if table.target_kind == "failures":
        return {"Rows before a failure": learned, "Rows near a failure left out": left_out}
    return {"Abnormal rows": learned, "Rows left out": left_out} if table.target_kind == "intervals" else {}


def _left_out(days: Sequence[date], periods: Periods) -> Metadata:
    """The periods of a range that do not count, where there are any."""
    why = "an implausible number of rows, or too many of them set aside"
    return {"Days left out": f"{in_words(days, periods)}: {why}"} if days else {}


def threshold_run(calibrated: "Calibrated", periods: Periods) -> Metadata:
    from ae_assets.reports.figures import score_histogram
    from ae_assets.reports.tables import number

    threshold, promotion = calibrated.threshold, calibrated.promotion
    scores, reference = calibrated.scores["score"], threshold.calibration
    share = int((scores > threshold.cuts(calibrated.scores, scores)).sum()) / len(scores)
    return {
        SUMMARY: f"{promotion.words}. A score over {number(threshold.cut)} is an alarm. Promised: "
        f"{threshold.promise.words}.",
        **_figure("Scores", score_histogram(reference, threshold.cut), "calibration scores with the threshold"),
        "Threshold": threshold.cut,
        "Share of calibration rows over it": _short(share),
        "Calibration rows": reference.rows,
        "Calibration rows not judged": calibrated.not_judged.rows,
        "Devices never judged in calibration": calibrated.not_judged.entities,
        "Calibrated on": f"{named(reference.first_day)} to {named(reference.last_day)}",
        **_left_out(calibrated.calibration.left_out, periods),
        "Champion": calibrated.version if promotion.promoted else promotion.champion_before or "none",
        "Champion before": promotion.champion_before or "none",
        "Verdict": promotion.reason.value,
        "Policy": dg.MetadataValue.json(threshold.policy.model_dump(mode="json")),
        "Promotion": dg.MetadataValue.json(promotion.record),
        **logged_run(calibrated.logged),
    }


def logged_run(logged: "Logged | None") -> Metadata:
    """The run of MLflow that a step is logged in, and what could not be."""
    if logged is None:
        return {}
    run = {} if logged.run is None else {"MLflow run": dg.MetadataValue.url(logged.url) if logged.url else logged.run}
    return {**run, **({} if logged.problem is None else {NOT_LOGGED: logged.problem})}


def anomalies_day(
    space: Workspace,
    facts: "AnomalyDay",
    champion: "Champion",
    *,
    drawn: bool,
    simulated: bool,
    newest_day: date | None = None,
) -> Metadata:
    """What a partition of anomalies begins with: the day in a sentence, the list, its scores where they are ``drawn``.

    The newest day that has anomalies is said where it is a later one: the overview of an asset shows the day that was
    written last.
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


def anomalies_days(space: Workspace, champion: "Champion", made: Sequence["AnomalyDay"]) -> Days:
    """What the partitions of anomalies that a run made go on with: a figure of the last one's worst alarm, counts."""
    rows, alarms, new, muted = (
        sum(getattr(facts, name) for facts in made) for name in ("rows", "alarms", "new_alarms", "muted_alarms")
    )
    said = f"{alarms:,} alarms, {new:,} of them new, among {rows:,} rows" + (f"; {muted:,} muted" if muted else "")
    features = dg.AssetKey([space.table.table, FEATURES])
    inputs = [dg.TableColumnDep(features, name) for name in champion.detector.feature_names]
    lineage = {
        **{name: [dg.TableColumnDep(features, name)] for name in ("day", "entity", "cohort", "label")},
        **dict.fromkeys(("score", "day_score", "top_features", "reasons"), inputs),
    }
    days = [(facts.day, facts.rows, _counts(facts, champion)) for facts in made]
    if days:
        last, rows, counts = days.pop()
        days.append((last, rows, {**_worst_alarm(space, champion, last), **counts}))
    return _days(space, ANOMALIES, days, _mute_list(made), said, lineage)


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
        groups = pl.DataFrame(facts.not_judged).select(pl.col("cohort").alias("kind"), "devices", "because")
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

    rows = facts.frame if champion.threshold.policy.by_record else facts.devices
    scores, key = rows["score"].drop_nulls().to_numpy(), space.table.periods.key(facts.day)
    png = score_histogram(champion.threshold.calibration, _cut(facts, champion), scores, label=key)
    return _figure("Scores", png, f"scores of {key} with the threshold")


def _mute_list(days: Sequence["AnomalyDay"]) -> Metadata:
    """What can be tidied up in the mute list: entries that are over, and those that named no device of the run."""
    from ae_assets.decisions.mutes import expired_mutes

    if not days or not days[0].mutes:
        return {}
    unknown = {mute for facts in days for mute in facts.unknown_mutes}
    named = {mute for facts in days for mute in set(facts.mutes) - set(facts.unknown_mutes) if mute.holds_on(facts.day)}
    reported = {
        MUTES_OVER: expired_mutes(days[0].mutes, max(facts.day for facts in days)),
        MUTES_OF_NOBODY: sorted(unknown - named, key=lambda mute: mute.line),
    }
    return {
        name: "\n".join(mute.in_words() for mute in mutes[:MOST_NAMED]) for name, mutes in reported.items() if mutes
    }


def _worst_alarm(space: Workspace, champion: "Champion", day: date) -> Metadata:
    """The last 60 days of the device that a person would look at first; nothing where there is none."""
    from ae_assets.chain.stories import story_of_top_alarm
    from ae_assets.reports.figures import entity_story, feature_heat_map

    story = story_of_top_alarm(space, champion, day)
    if story is None:
        return {}
    key = space.table.periods.key(day)
    png = entity_story(story.history, story.entity, attributes=story.attributes, remark=f"until {key}")
    return {
        **_figure("Worst alarm", png, f"{story.entity}: score and attributes until {key}"),
        **_figure("Worst alarm, by feature", feature_heat_map(story.parts, story.entity), "parts of its last scores"),
    }


def evaluation_run(evaluation: "Evaluation") -> Metadata:
    """An evaluation: the answer in words, a figure, rates by detector, then everything else."""
    figures = [
        _figure(words.capitalize(), png, words)
        for words, png in ((name.replace("_", " "), png) for name, png in evaluation.draw().items())
    ]
    values: Metadata = {SUMMARY: evaluation.answer}
    for figure in figures[:1]:
        values |= figure
    values["Found at a false alarm rate (FAR)"] = _table(evaluation.rates)
    for name, value in evaluation.headline.items():
        if value is not None:
            values[name] = _short(value) if isinstance(value, float) else value
    values["All tables"] = dg.MetadataValue.md(evaluation.markdown)
    for figure in figures[1:]:
        values |= figure
    return values | {
        "Judged days": f"{named(evaluation.start)} to {named(evaluation.end)}",
        "Model version": evaluation.version,
        IN_WORDS: dg.MetadataValue.md(f"{FENCE}{evaluation.text}{FENCE}"),
        "Result": dg.MetadataValue.json(evaluation.record),
    }


def stream_run(table: WatchedTable, landed: "Landed") -> Metadata:
    letters = f" {landed.letters:,} are none, see {table.table}.dead_letters." if landed.letters else ""
    if landed.expired:
        letters += f" **{landed.expired:,} offsets had expired at the broker before they were read.**"
    newest, oldest = (max((delay[place] for delay in landed.delays), default=0.0) for place in (0, 1))
    return {
        SUMMARY: f"{landed.rows:,} records landed in {len(landed.periods):,} {table.periods.plural}.{letters}",
        "Rows": landed.rows,
        "Dead letters": landed.letters,
        "Expired before they were read": landed.expired,
        "Periods": ", ".join(map(table.periods.key, sorted(landed.periods)[:20])),
        "Lag": landed.lag,
        "Longest delay of the newest record, seconds": round(newest, 1),
        "Longest delay of the oldest record, seconds": round(oldest, 1),
    }


def maintenance_run(maintained: "TablesMaintained") -> Metadata:
    from ae_assets.reports.tables import markdown_table

    tables = maintained.tables.values()
    figures = pl.DataFrame(
        {
            "table": asset,
            "states forgotten": table.snapshots_expired,
            "data files before": table.compacted.files_before,
            "after": table.compacted.files_after,
            "files removed": table.files_removed,
            "bytes freed": table.bytes_freed,
            "days past retention": table.days_past_retention,
            "their rows": table.rows_past_retention,
        }
        for asset, table in maintained.tables.items()
    )
    freed = f"{maintained.bytes_freed / 1e6:,.1f} MB"
    removed, past = (sum(getattr(table, name) for table in tables) for name in ("files_removed", "rows_past_retention"))
    retained = f"{past:,} rows past their retention are gone." if past else "All rows stay."
    return {
        SUMMARY: f"{removed:,} files that nothing names were removed and {freed} freed. {retained}",
        "Tables": dg.MetadataValue.md(markdown_table(figures)),
        "States forgotten": sum(table.snapshots_expired for table in tables),
        "Days compacted": sum(table.compacted.days for table in tables),
        "Files removed": removed,
        "Model files removed": maintained.model_files_removed,
        "Bytes freed": maintained.bytes_freed,
        "Days past retention": sum(table.days_past_retention for table in tables),
        "Rows past retention": past,
        "Seconds": round(maintained.seconds, 1),
    }


def text_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> dg.MarkdownMetadataValue:
    """Rows of text as a table."""
    from ae_assets.reports.tables import markdown_table

    return dg.MetadataValue.md(markdown_table(pl.DataFrame(rows, schema=list(heading), orient="row")))


def _short(value: float) -> float:
    """A number as a person reads it, with four significant digits."""
    return float(f"{value:.4g}")


def _figure(name: str, png: bytes, shows: str) -> Metadata:
    from ae_assets.reports.tables import markdown_image

    return {name: dg.MetadataValue.md(markdown_image(png, shows))}


def _columns(space: Workspace, asset: str) -> Metadata:
    """The column schema of a stored table, with what each column means."""
    from ae_assets.features.schema import feature_schema
    from ae_assets.schemas.anomalies import anomaly_schema
    from ae_assets.schemas.quarantine import quarantine_schema

    if not space.exists(asset):
        return {}
    features = space.table.features
    described = {name: attribute.meaning for name, attribute in features.attributes.items()}
    schema = {
        FEATURES: feature_schema(features, space.table.rhythm),
        QUARANTINE: quarantine_schema(space.table.periods),
        ANOMALIES: anomaly_schema(space.table.rhythm),
    }.get(asset)
    if schema is not None:
        described = {name: column.description or "" for name, column in schema.columns.items()}
    columns_stored = [
        dg.TableColumn(name, _type(dtype), description=described.get(name))
        for name, dtype in space.schema(asset).items()
    ]
    return {COLUMN_SCHEMA: dg.TableSchema(columns=columns_stored)}


def _type(dtype: pl.DataType) -> str:
    return str(dtype).lower()
