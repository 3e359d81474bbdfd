"""Bytes of a file -> its rows, by its format."""

import polars as pl

from ae_assets.errors import SourceError
from ae_assets.schemas.layouts.layout import ROW_COLUMN
from ae_assets.schemas.reading import Reading


def read_file(data: bytes, origin: str, reading: Reading) -> pl.DataFrame:
    """Every row of a file as `csv_day.parse_day` describes, with the device of its name where the contract says so.

    Args:
        data: the whole file.
        origin: printable place of the file, which ends with its name; named in errors.
        reading: how the file is written.

    Raises:
        SourceError: the file cannot be read, or its name tells no device.
    """
    name, table, reading = origin.rsplit("!", 1)[-1].rsplit("/", 1)[-1], reading, reading.of_rows
    match reading.format_of(name):
        case "parquet":
            from ae_assets.sources.parquet_day import parse_parquet

            frame = parse_parquet(data, origin, reading)
        case "jsonl":
            from ae_assets.sources.json_day import parse_json_lines

            frame = parse_json_lines(data, origin, reading)
        case _:
            from ae_assets.sources.csv_day import parse_day
            from ae_assets.sources.lines import completed

            if reading.lines is not None and data:
                data = completed(data, reading.lines, reading.separator)
            frame = parse_day(data, origin, reading)
    layout, path = table.layout, origin.replace("!", "/")
    if layout.entity_of_file is not None or layout.entity_name is not None:
        device = reading.layout.entity_in(path)
        if device is None:
            key = "file_path" if layout.entity_in_path else "file_name"
            raise SourceError(
                f"{origin}: the file's name {name!r} tells no device: source.columns.entity.{key}"
                f" {layout.entity_of_file and layout.entity_of_file.pattern!r} does not match it. Correct one of them."
            )
        if frame.height:  # one without rows has the column already
            entity = pl.repeat(device, frame.height, dtype=pl.String, eager=True).alias(layout.entity)
            frame.insert_column(frame.get_column_index(ROW_COLUMN), entity)
    if layout.metric is None:
        return frame
    from ae_assets.sources.metrics import by_metric

    return by_metric(frame, path, origin, layout)
