"""The columns of the official drive-stats files and the type of each."""

import re
from collections.abc import Sequence

import polars as pl

IDENTITY_COLUMNS = ("date", "serial_number", "model", "capacity_bytes", "failure")
"""Present in every generation of the files; without them a row cannot be told from another."""

PLACE_COLUMNS = ("datacenter", "cluster_id", "vault_id", "pod_id", "pod_slot_num", "is_legacy_format")
"""Where the drive sits, published since 2023; text, because they name places and are never counted with."""

RESERVED_COLUMNS = frozenset({"day", "source_file", "source_fingerprint", "source_row", "loaded_at", "rescued"})
"""Written beside the file's own columns, so a file may not bring them."""

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

ROW_COLUMN = "source_row"
RESCUED_COLUMN = "rescued"

ATTRIBUTE = r"smart_\d+_(normalized|raw)"
"""What the names of attributes look like."""

_NUMBER_NAME = re.compile(f"capacity_bytes|{ATTRIBUTE}", re.ASCII)


def column_type(name: str) -> type[pl.DataType]:
    """The type of a column, by its name alone: the same in every file, so that days of different years stack."""
    if name == "date":
        return pl.Date
    if name == "failure":
        return pl.Int8
    if _NUMBER_NAME.fullmatch(name):
        return pl.Int64
    return pl.String


def day_schema(columns: Sequence[str]) -> dict[str, type[pl.DataType]]:
    """Names and types of a day as readers return it: the file's columns, then `source_row` and `rescued`."""
    return {**{name: column_type(name) for name in columns}, ROW_COLUMN: pl.Int32, RESCUED_COLUMN: pl.String}
