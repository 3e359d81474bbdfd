"""What the UI shows of the maintenance of a watched table's tables."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from ae_assets.model.definition import MaintenanceSection

if TYPE_CHECKING:
    from ae_assets.chain.maintenance import TablesMaintained
    from ae_assets.lakehouse.maintenance import Maintained

_COLUMNS = (
    "table",
    "states forgotten",
    "data files before",
    "after",
    "files removed",
    "bytes freed",
    "days past retention",
    "their rows",
)


def describe(settings: MaintenanceSection) -> str:
    """The description of the asset, in Markdown."""
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


def maintenance_run(maintained: "TablesMaintained") -> dict[str, Any]:
    """A maintenance of all tables."""
    tables = maintained.tables.values()
    lines = [
        _COLUMNS,
        ("---", *["---:"] * (len(_COLUMNS) - 1)),
        *(_cells(asset, table) for asset, table in maintained.tables.items()),
    ]
    freed = f"{maintained.bytes_freed / 1e6:,.1f} MB"
    removed = sum(table.files_removed for table in tables)
    past = sum(table.rows_past_retention for table in tables)
    retained = f"{past:,} rows past their retention are gone." if past else "All rows stay."
    return {
        "Summary": f"{removed:,} files that nothing names were removed and {freed} freed. {retained}",
        "Tables": dg.MetadataValue.md("\n".join(f"| {' | '.join(line)} |" for line in lines)),
        "States forgotten": sum(table.snapshots_expired for table in tables),
        "Days compacted": sum(table.compacted.days for table in tables),
        "Files removed": removed,
        "Model files removed": maintained.model_files_removed,
        "Bytes freed": maintained.bytes_freed,
        "Days past retention": sum(table.days_past_retention for table in tables),
        "Rows past retention": past,
        "Seconds": round(maintained.seconds, 1),
    }


def _cells(asset: str, table: "Maintained") -> tuple[str, ...]:
    figures = (
        table.snapshots_expired,
        table.compacted.files_before,
        table.compacted.files_after,
        table.files_removed,
        table.bytes_freed,
        table.days_past_retention,
        table.rows_past_retention,
    )
    return (asset, *(f"{figure:,}" for figure in figures))
