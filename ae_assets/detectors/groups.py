"""Which group each window is of: its device, its kind, or where it belongs."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.detectors.windows import TrainingData, Windows
from ae_assets.errors import ModelError

BLOCKS, EVERY = 200, 10
"""A group's windows are cut into so many blocks in their order, and each tenth of them is kept for validation."""


def groups_of(windows: Windows, per: str) -> pl.Series:
    """The name of each window's group (n,); null where its record names none.

    Raises:
        ModelError: the features do not say it.
    """
    if per not in windows.rows.columns:
        raise ModelError(
            f"detector.per: {per} asks for a detector for each {per}, and the features do not say it; they name "
            f"{[name for name in windows.rows.columns if windows.rows[name].dtype == pl.String]}"
        )
    return windows.rows[per].gather(windows.last_row)


def by_group(windows: Windows, per: str) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Groups in the order of their names, each with the ascending positions of its windows."""
    positions = pl.DataFrame({"group": groups_of(windows, per), "place": np.arange(len(windows))}).drop_nulls()
    for (group,), own in positions.sort("group", "place").group_by("group", maintain_order=True):
        yield str(group), own["place"].to_numpy()


def split(data: TrainingData) -> TrainingData:
    """A group's windows with some held out.

    As the table's are where both parts have some, else in blocks in all parts of their time: a single device lies on
    one side of the table's split.
    """
    normal = data.held_out[~data.target]
    if normal.any() and not normal.all() and data.windows.keys()["entity"].n_unique() > 1:
        return data
    count = len(data.windows)
    blocks = np.arange(count) // max(count // BLOCKS, 1)
    return replace(data, held_out=blocks % EVERY == EVERY - 1)
