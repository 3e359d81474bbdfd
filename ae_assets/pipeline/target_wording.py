"""What the UI says of a table's target: what is learned from, when a new model is used, and what is judged by."""

from collections.abc import Mapping

from ae_assets.model.definition import WatchedTable
from ae_assets.sources.printable import without_secrets


def learned_from(table: WatchedTable) -> str:
    """Which records a model is fitted on."""
    if table.target_kind == "failures":
        return f"devices that stay healthy for {table.horizon_days} days"
    if table.target_kind == "intervals":
        return f"the records outside of the intervals that {_labels(table)}"
    return "all records, since nothing is known to have gone wrong with the devices of this table"


def abnormal_rows(table: WatchedTable, facts: Mapping[str, int]) -> dict[str, int]:
    """How many rows of a training were abnormal, and how many of the sample were left out; nothing without a target."""
    learned, left_out = facts["rows_before_failure"], facts["rows_left_out_near_failure"]
    if table.target_kind == "failures":
        return {"Rows before a failure": learned, "Rows near a failure left out": left_out}
    return {"Abnormal rows": learned, "Rows left out": left_out} if table.target_kind == "intervals" else {}


def promoted_where(table: WatchedTable) -> str:
    """When a version becomes the champion."""
    if table.target_kind is None:
        return (
            "The version then becomes the champion: nothing is known to have gone wrong with the devices of this "
            "table, so it is compared with none."
        )
    return (
        "The version then becomes the champion, unless it detects less than the one in use on the latest labelled days "
        "that neither has seen; configure `promote: always` to do without the comparison."
    )


def judged_by(table: WatchedTable) -> str:
    """What counts as found, and as a false alarm."""
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
