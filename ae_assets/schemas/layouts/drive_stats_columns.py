"""The columns of the official drive-stats files and the type of each."""

import re

import polars as pl

from ae_assets.schemas.columns import TimeSection
from ae_assets.schemas.layouts.layout import Layout

IDENTITY_COLUMNS = ("date", "serial_number", "model", "capacity_bytes", "failure")
"""Present in every generation of the files; without them a row cannot be told from another."""

PLACE_COLUMNS = ("datacenter", "cluster_id", "vault_id", "pod_id", "pod_slot_num", "is_legacy_format")
"""Where the drive sits, published since 2023; text, because they name places and are never counted with."""

MODERN_ATTRIBUTES = (
    1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 22, 23, 24, 27, 71, 82, 90, 160, 161, 163, 164, 165,
    166, 167, 168, 169, 170, 171, 172, 173, 174, 175, 176, 177, 178, 179, 180, 181, 182, 183, 184, 187, 188, 189,
    190, 191, 192, 193, 194, 195, 196, 197, 198, 199, 200, 201, 202, 206, 210, 211, 212, 218, 220, 222, 223, 224,
    225, 226, 230, 231, 232, 233, 234, 235, 240, 241, 242, 244, 245, 246, 247, 248, 250, 251, 252, 254, 255,
)  # fmt: skip
"""SMART attribute numbers in the 2024 files."""

MODERN_COLUMNS = (
    *IDENTITY_COLUMNS,
    *PLACE_COLUMNS,
    *(f"smart_{number}_{form}" for number in MODERN_ATTRIBUTES for form in ("normalized", "raw")),
)
"""The 197 columns of the 2024 files, in their order. Files of other years have some of them: 85 in 2013."""

ATTRIBUTE = r"smart_\d+_(normalized|raw)"
"""What the names of attributes look like."""

LARGEST_ATTRIBUTE = 255

_NUMBER_NAME = re.compile(f"capacity_bytes|{ATTRIBUTE}", re.ASCII)
_PUBLISHED_NAME = re.compile("|".join([*IDENTITY_COLUMNS, *PLACE_COLUMNS, ATTRIBUTE]), re.ASCII)
_MEASURED = re.compile(r"smart_([1-9]\d*)_(raw|normalized)")


def column_type(name: str) -> type[pl.DataType]:
    """The type of a column, by its name alone: the same in every file, so that days of different years stack."""
    if name == "date":
        return pl.Date
    if name == "failure":
        return pl.Int8
    if _NUMBER_NAME.fullmatch(name):
        return pl.Int64
    return pl.String


def is_attribute(column: str) -> bool:
    """Whether the layout can have a column of this name that features are made of."""
    named = _MEASURED.fullmatch(column)
    return named is not None and int(named[1]) <= LARGEST_ATTRIBUTE


NEVER_FEATURES: dict[str, str] = {
    "serial_number": "names one drive: a detector would learn drives by heart",
    "model": "names the cohort: compare cohorts in the evaluation, do not learn their names",
    "capacity_bytes": "never changes on a drive and only tells its model; it also holds the artefact -1",
    "date": "is a date: it separates training days from later ones, not sick drives",
    **dict.fromkeys(
        ("datacenter", "cluster_id", "vault_id", "pod_id", "pod_slot_num"),
        "is a place: drives move, and a bad rack would be remembered long after its repair",
    ),
    "is_legacy_format": "tells how the row was collected, not how the drive is",
    "failure": "is the answer itself",
}
"""Columns that are never features, each with the reason that the error message gives."""

DRIVE_STATS = Layout(
    name="drive_stats",
    file="a drive-stats file",
    time=TimeSection(column=("date",)),
    entity="serial_number",
    cohort="model",
    label="failure",
    required=IDENTITY_COLUMNS,
    type_of=column_type,
    knows=lambda name: _PUBLISHED_NAME.fullmatch(name) is not None,
    attributes=f"the layout drive_stats has attributes smart_N_raw and smart_N_normalized, N up to {LARGEST_ATTRIBUTE}",
    is_attribute=is_attribute,
    attribute_names=MODERN_COLUMNS,
    never_features=NEVER_FEATURES,
)
"""The layout of the official files."""
