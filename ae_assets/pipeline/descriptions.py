"""What the UI shows of each asset before anything is materialised."""

from typing import Any

from ae_assets.chain.workspace import (
    ANOMALIES,
    DAILY,
    EVALUATION,
    FEATURES,
    MAINTENANCE,
    MODEL,
    QUARANTINE,
    RAW,
    STREAM,
    THRESHOLD,
)
from ae_assets.model.definition import MaintenanceSection, WatchedTable
from ae_assets.schemas.durations import written as in_short
from ae_assets.sources import open_source
from ae_assets.sources.printable import without_secrets


def metadata_of(table: WatchedTable, asset: str) -> dict[str, Any]:
    return {"dagster/table_name": f"{table.table}.{asset}", "source": _source(table)} if asset in DAILY else {}


def _source(table: WatchedTable) -> str:
    """The location as it may be shown: the one in the YAML may hold a password."""
    return open_source(table.source.location, table.reading).location


def describe(table: WatchedTable, asset: str) -> str:
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
        MODEL: f"`{table.detector.type}` fitted on {_learned_from(table)}. The job {retrain} makes a version and its "
        "threshold, which makes it the champion unless it is worse than the one in use. Without `train_start` and "
        f"`train_end` it takes {_training_days(table)}.",
        THRESHOLD: f"The cut of the newest model by the policy `{table.threshold.policy}`, on "
        f"{_calibration_days(table)}. " + _promoted_where(table),
        ANOMALIES: "Which devices to look at, and why: the tab *Partitions* shows the list of each "
        f"{noun}. The job {chain} makes {table.periods.one} with all that it rests on.\n\n"
        f"One row per device and {each}: score, threshold, verdict, "
        "severity (how rare such a score was in calibration), episode and the reasons for it. Sorted by falling score.",
        EVALUATION: "Whether the model is any good: what the champion detects and how often it is wrong, beside the "
        "comparisons, on days that neither fit nor threshold has seen. Without `start` and `end` the latest of them. "
        + _judged_by(table),
        MAINTENANCE: _maintenance(table.maintenance),
        STREAM: f"The records of the topic, each landed once, in the {table.periods.plural} of their times; what is no "
        f"record of this table is in `{table.table}.dead_letters`. The sensor `{table.table}_consume` asks for it when "
        f"the topic has new ones; `ae-assets consume {table.table}` lands them as they come.",
    }[asset]


def _maintenance(settings: MaintenanceSection) -> str:
    retention = settings.retention_days.model_dump(exclude_none=True)
    held = ", ".join(f"{days} days of {asset}" for asset, days in retention.items())
    return (
        "Makes days that consist of several files one file each. Forgets states of the tables that were replaced more "
        f"than {settings.keep_days} days ago, but for the last {settings.keep_snapshots}. Removes files that nothing "
        "names, such as those of killed runs. "
        + (
            f"Removes days past their retention: {held} are held, counted back from the newest. All other rows stay."
            if held
            else "The rows of every day stay as they are."
        )
    )


def _learned_from(table: WatchedTable) -> str:
    if table.target_kind == "failures":
        return f"devices that stay healthy for {table.horizon_days} days"
    if table.target_kind == "intervals":
        return f"the records outside of the intervals that {_labels(table)}"
    return "all records, since nothing is known to have gone wrong with the devices of this table"


def _training_days(table: WatchedTable) -> str:
    if table.learned is None:
        return "the latest days that leave room for the threshold"
    return f"all days with features, and of each device its first {table.learned.last} {table.learned.unit}"


def _calibration_days(table: WatchedTable) -> str:
    if (of_life := table.calibration_of_life(table.learned)) is not None:
        return f"{of_life.words} of each device, after which it is judged"
    after = f"after {table.calibration.embargo_days} days"
    return f"the {table.calibration.days} days that follow the training range {after}"


def _promoted_where(table: WatchedTable) -> str:
    if table.target_kind is None:
        return (
            "The version then becomes the champion: nothing is known to have gone wrong with the devices of this "
            "table, so it is compared with none."
        )
    return (
        "The version then becomes the champion, unless it detects less than the one in use on the latest labelled days "
        "that neither has seen; configure `promote: always` to do without the comparison."
    )


def _judged_by(table: WatchedTable) -> str:
    if table.target_kind == "failures":
        return f"An alarm counts in the {table.horizon_days} days before a failure."
    if table.target_kind == "intervals":
        return f"An alarm finds the interval that it lies in, as {_labels(table)} them; any other is false."
    return (
        "**Nothing is known** to have gone wrong with the devices of this table, so nothing is judged, and no check "
        "looks at rates of detection and false alarms. `source.columns.label` or `target.file` would say it."
    )


def _labels(table: WatchedTable) -> str:
    if table.target.file is not None:
        return f"`{without_secrets(table.target.file)}` names"
    marks = table.layout.abnormal
    columns = () if marks is None else marks.columns
    return f"{', '.join(f'`{name}`' for name in columns)} mark{'s' if len(columns) == 1 else ''}"
