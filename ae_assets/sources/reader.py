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
    name = origin.rsplit("!", 1)[-1].rsplit("/", 1)[-1]
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
    if reading.layout.entity_of_file is None:
        return frame
    device = reading.layout.entity_in(origin.replace("!", "/"))
    if device is None:
        key = "file_path" if reading.layout.entity_in_path else "file_name"
        raise SourceError(
            f"{origin}: the file's name {name!r} tells no device: source.columns.entity.{key}"
            f" {reading.layout.entity_of_file.pattern!r} does not match it. Correct one of them."
        )
    entity = pl.repeat(device, frame.height, dtype=pl.String, eager=True).alias(reading.layout.entity)
    return frame.insert_column(frame.get_column_index(ROW_COLUMN), entity)
