"""The column `rescued`: JSON of the texts of a row that could not be typed, by column; null for a row without any."""

import json

import polars as pl

from ae_assets.schemas.layouts.layout import RESCUED_COLUMN


def note_of(texts: dict[str, str]) -> str:
    """The JSON of some texts by column."""
    return json.dumps(texts, ensure_ascii=False)


def with_notes(frame: pl.DataFrame, column: str, places: pl.Series) -> pl.DataFrame:
    """The rows with the texts that a column has at some places in their notes, in front of what is there.

    Args:
        frame: rows with `rescued`.
        column: a column of text.
        places: numbers of rows.
    """
    if places.is_empty():
        return frame
    texts, notes = frame[column].gather(places), frame[RESCUED_COLUMN].gather(places)
    merged = [note_of({column: text, **json.loads(note or "{}")}) for text, note in zip(texts, notes, strict=True)]
    return frame.with_columns(frame[RESCUED_COLUMN].scatter(places, merged))
