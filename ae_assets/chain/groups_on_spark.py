"""Detectors of groups on Spark: some groups to a task, each fitted by what fits all of them on one machine.

The driver holds the training rows, as without Spark (`training.max_rows`), and hands each task those of its groups;
what comes back is put together to the same model.
"""

import io
import json
import tempfile
import zipfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.detectors import load_detector
from ae_assets.detectors.groups import by_group
from ae_assets.detectors.per_group import OwnDetectors
from ae_assets.detectors.settings import DetectorSettings
from ae_assets.detectors.windows import TrainingData, windows_of
from ae_assets.engines.spark.engine import BLOCK, SparkEngine, collect
from ae_assets.progress import ProgressSink, silent
from ae_assets.schemas.durations import written
from ae_assets.schemas.records import key_of

ENDS, TARGET, HELD_OUT = "__ends", "__target", "__held_out"
"""Of a row: whether a window ends on it, whether something was known to go wrong, whether it is for early stopping."""

_RECORD = "record.json"


@dataclass(frozen=True)
class GroupsOfTask:
    """Fits the detectors of the groups whose rows it is given; it is sent to where they are."""

    config: DetectorSettings
    names: tuple[str, ...]
    window: timedelta | None
    step: timedelta

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One row with the name of the first group and all ``files`` of the detectors."""
        windows = windows_of(
            rows.drop(ENDS, TARGET, HELD_OUT), self.names, self.window, where=rows[ENDS], step=self.step
        )
        key = key_of(rows.columns)
        known = windows.keys().join(rows.select(*key, TARGET, HELD_OUT), on=key, how="left", maintain_order="left")
        data = TrainingData(windows, known[TARGET].to_numpy(), known[HELD_OUT].to_numpy())
        own = OwnDetectors.fit(self.config, data, silent)
        return pl.DataFrame({"first": own.groups["group"][:1], "files": [_packed(own)]}, schema=self.schema)

    @property
    def schema(self) -> dict[str, pl.DataType]:
        return {"first": pl.String(), "files": pl.Binary()}


def fit_on_spark(
    engine: SparkEngine, config: DetectorSettings, data: TrainingData, progress: ProgressSink
) -> OwnDetectors:
    """Fits the detectors of groups on Spark; a `FitOwn` once it has an engine.

    Raises:
        EngineError: Spark failed.
    """
    windows = data.windows
    groups = list(by_group(windows, config.per))
    ends = np.cumsum([len(own) for _, own in groups])
    if not len(ends):
        return OwnDetectors.fit(config, data, progress)
    count = min(engine.count_of(len(windows)), len(groups))
    tasks = (ends - 1) * count // ends[-1]
    parts = [
        _rows(data, np.concatenate([groups[place][1] for place in np.flatnonzero(tasks == task)]), task)
        for task in np.unique(tasks)
    ]
    step = GroupsOfTask(config, windows.feature_names, windows.window, windows.step)
    with engine.doing(f"fitting {config.type} per {config.per}"):
        blocks = engine.frame(pl.concat(parts)).repartitionById(count, BLOCK)
        made = collect(engine.map_blocks(blocks, step, step.schema)).sort("first")
    return OwnDetectors.joined([_unpacked(step, files) for files in made["files"]])


def _rows(data: TrainingData, places: NDArray[np.int64], task: int) -> pl.DataFrame:
    """The rows that some windows hold, with what is known of those that end a window."""
    from ae_assets.detectors.scoring import rows_in_use

    part = data.take(places)
    rows, _ = rows_in_use(part.windows.last_row, part.windows.length)
    ending = np.searchsorted(rows, part.windows.last_row)
    marks = {name: np.zeros(len(rows), np.bool_) for name in (ENDS, TARGET, HELD_OUT)}
    marks[ENDS][ending] = True
    marks[TARGET][ending], marks[HELD_OUT][ending] = part.target, part.held_out
    features = pl.DataFrame(part.windows.values[rows], schema=list(part.windows.feature_names))
    keys = part.windows.rows[rows].with_columns(pl.lit(task, pl.Int32).alias(BLOCK))
    return keys.hstack(features).with_columns(pl.Series(name, values) for name, values in marks.items())


def _packed(own: OwnDetectors) -> bytes:
    """The files of detectors as one archive."""
    with tempfile.TemporaryDirectory() as name:
        folder, content = Path(name), io.BytesIO()
        (folder / _RECORD).write_text(json.dumps(own.save(folder)), encoding="utf-8")
        with zipfile.ZipFile(content, "w") as archive:
            for file in sorted(folder.iterdir()):
                archive.write(file, file.name)
        return content.getvalue()


def _unpacked(step: GroupsOfTask, files: bytes) -> OwnDetectors:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zipfile.ZipFile(io.BytesIO(files)) as archive:
            archive.extractall(folder)
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        about = {"feature_names": list(step.names), "step": written(step.step)}
        return OwnDetectors.joined([OwnDetectors.load(step.config, folder, {**about, **record}, load_detector)])
