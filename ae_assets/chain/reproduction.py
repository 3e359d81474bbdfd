"""Constructions behind published headlines on a table's own days, with a control, beside honest figures.

Three flaws make an autoencoder look perfect. Failures are scaled by themselves, or filled up with zeros to a window,
and are then told from healthy devices by how they were prepared: as many healthy ones that are prepared alike are
"found" as well. The share of errors below a percentile of the training errors is called accuracy: it is that percentile
for any detector. And where one device in ten thousand fails, who never gives an alarm is right 99.99% of the time.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.chain.lives import lives_in
from ae_assets.chain.model import hash_share
from ae_assets.chain.settings import DaySettings
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.detectors import TrainingData, Windows, fit, windows_of
from ae_assets.detectors.networks.dense import DenseAutoencoderConfig
from ae_assets.detectors.networks.lstm import LstmAutoencoderConfig
from ae_assets.detectors.networks.network import NetworkConfig
from ae_assets.errors import EvaluationError
from ae_assets.evaluation.compare import compare
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.reproduction import PERCENTILE, Accuracy, Construction, Reproduction, Split
from ae_assets.evaluation.results import Comparison
from ae_assets.features.catalogue import catalogue
from ae_assets.schemas.durations import DAY
from ae_assets.schemas.periods import named

TRAINING_DAYS = 3
STEPS = 20
CONTROLS = 5
MOST_WINDOWS = 20_000
MOST_DEVICES = 10_000
JUDGED_DAYS = 30
SEED = 7
DENSE, LSTM, RANDOM, NEVER = "dense autoencoder", "LSTM autoencoder", "random numbers", "never an alarm"
NETWORKS: dict[str, NetworkConfig] = {
    DENSE: DenseAutoencoderConfig(units=(512, 256, 128, 64, 128, 256, 512), epochs=20, max_windows=MOST_WINDOWS),
    LSTM: LstmAutoencoderConfig(window=STEPS * DAY, epochs=10, max_windows=MOST_WINDOWS),
}

_FIRST = date(2000, 1, 1)

Errors = NDArray[np.float32]


def reproduce(space: Workspace, start: date | None = None) -> Reproduction:
    """Rebuilds the headlines' constructions on stored features.

    Args:
        space: the table.
        start: first of the three days to fit on; the first with features where None.

    Raises:
        EvaluationError: the table has no failures, or too few days with features, or nothing failed on them.
    """
    split = split_of(space, start)
    rows = _Rows(space)
    training = rows.of(split.training).filter(pl.col("label") == 0)
    day = rows.of([split.day])
    failing = (day["label"] == 1).to_numpy()
    if not failing.any():
        raise EvaluationError(
            f"no device that fails on {named(split.day)} has a validated record on that day; name another --start"
        )
    drawn = np.random.default_rng(SEED).random(day.height) * 100 > PERCENTILE
    benches = [_Bench(name, space, rows.names, training, day) for name in NETWORKS]
    return Reproduction(
        split,
        training.height,
        day.height,
        int(failing.sum()),
        tuple(construction for bench in benches for construction in bench.constructions()),
        (
            *(bench.accuracy() for bench in benches),
            Accuracy(RANDOM, float((~drawn).mean()), float((drawn == failing).mean())),
            Accuracy(NEVER, 1.0, float((~failing).mean())),
        ),
        _judged(space, rows, split, training),
    )


def split_of(space: Workspace, start: date | None) -> Split:
    """Which days are fitted on and judged.

    Raises:
        EvaluationError: as `reproduce`.
    """
    if space.table.target_kind != "failures" or space.table.rhythm.step != DAY:
        raise EvaluationError(
            f"{space.table.table} has no failures by day, and the headlines are of failed drives; name a table with "
            "a record a day and a column of failures, such as drive_stats"
        )
    days = [day for day in space.days_with_rows(FEATURES) if start is None or day >= start]
    training = tuple(days[:TRAINING_DAYS])
    embargo = space.table.horizon_days * DAY
    judged = [day for day in days if day > training[-1] + embargo][:JUDGED_DAYS]
    if len(judged) < JUDGED_DAYS:
        since = f" from {named(start)} on" if start else ""
        raise EvaluationError(
            f"{space.name(FEATURES)} has {len(days)} days{since}, and {TRAINING_DAYS} to fit on, {embargo.days} of "
            f"embargo and {JUDGED_DAYS} to judge are needed; materialise more days, or name an earlier --start"
        )
    failed = lives_in(space).frame.filter(pl.col("failed_on").is_in(judged))["failed_on"].value_counts()
    if failed.is_empty():
        raise EvaluationError(
            f"nothing failed from {named(judged[0])} to {named(judged[-1])}; name another --start, so that failures "
            "lie in the days that are judged"
        )
    return Split(training, (judged[0], judged[-1]), failed.sort("count", "failed_on").row(-1)[0])


class _Rows:
    """Rows of stored features."""

    def __init__(self, space: Workspace) -> None:
        readings = [one.name for one in catalogue(space.table.features) if one.transform == "level"]
        self.names = tuple(readings)  # as the documents: no history, no growth
        self._space, self._made_by = space, DaySettings(space, self.names)

    def of(self, days: Sequence[date], keep: pl.Expr | None = None) -> pl.DataFrame:
        """``day, entity, cohort, label`` and the features as float32 of the given days."""
        found = self._space.iter_days(FEATURES, min(days), max(days), self._made_by.columns)
        frames = [self._made_by.require(day, frame) for day, frame in found if day in set(days)]
        kept = pl.concat(frames if keep is None else [frame.filter(keep) for frame in frames])
        return kept.select("day", "entity", "cohort", "label", pl.col(self.names).cast(pl.Float32))


class _Bench:
    """A network that is fitted on rows as the headlines' were: a window is of rows of a day, whosever they are."""

    def __init__(
        self, name: str, space: Workspace, names: Sequence[str], training: pl.DataFrame, day: pl.DataFrame
    ) -> None:
        self.name, self._names, self._training, self._day = name, names, training, day
        config = NETWORKS[name]
        self._window = config.window
        scaled = scaled_by(training, training, names)
        self._detector = fit(config, _to_fit_on(windows_of(one_series(scaled), names, config.window)), space.progress)
        self._errors = self._of(scaled)

    def constructions(self) -> Iterator[Construction]:
        """The construction of the headline, and the same failures prepared as the training rows were."""
        failed, normal = (self._day.filter(pl.col("label") == label) for label in (1, 0))
        draw, most = np.random.default_rng(SEED), min(failed.height, normal.height)
        controls = [normal[draw.choice(normal.height, most, replace=False)] for _ in range(CONTROLS)]
        healthy = self._of(scaled_by(normal, self._training, self._names))
        if self._window is None:
            cut, words = float(np.percentile(self._errors, 99)), "99th percentile"
            ways = ("scaled by themselves", self._by_themselves), ("scaled as in training", self._in_their_day)
        else:
            cut, words = float(self._errors.max()), "highest error"
            ways = ("zeros before each", self._behind_zeros), ("rows of the day before each", self._in_their_day)
        for prepared, errors_of in ways:
            yield Construction(
                self.name,
                prepared,
                words,
                int((errors_of(failed) > cut).sum()),
                failed.height,
                int((healthy > cut).sum()),
                len(healthy),
                tuple(int((errors_of(control) > cut).sum()) for control in controls),
            )

    def accuracy(self) -> Accuracy:
        """Of all rows of the day."""
        high = self._errors_of_day > np.percentile(self._errors, PERCENTILE)
        return Accuracy(self.name, float((~high).mean()), float((high == (self._day["label"] == 1).to_numpy()).mean()))

    def _by_themselves(self, rows: pl.DataFrame) -> Errors:
        return self._of(scaled_by(rows, rows, self._names))

    def _behind_zeros(self, rows: pl.DataFrame) -> Errors:
        """Each row as the last one of a window of zeros, which stand for values, not for missing rows."""
        zeros = rows.select("entity", *(pl.lit(0, pl.Float32).alias(name) for name in self._names))
        padded = pl.concat([*[zeros] * (STEPS - 1), rows.select(zeros.columns)])
        series = scaled_by(padded, self._training, self._names).with_columns(
            day=_FIRST + DAY * pl.int_range(pl.len()).over("entity"), cohort=pl.lit("one")
        )
        last = pl.Series([False] * (padded.height - rows.height) + [True] * rows.height)
        return self._detector.score(windows_of(series, self._names, self._window, where=last))

    def _in_their_day(self, rows: pl.DataFrame) -> Errors:
        """Each row where it stands in its day."""
        errors: Errors = self._errors_of_day[self._day["entity"].is_in(rows["entity"].implode()).to_numpy()]
        return errors

    @cached_property
    def _errors_of_day(self) -> Errors:
        return self._of(scaled_by(self._day, self._training, self._names))

    def _of(self, scaled: pl.DataFrame) -> Errors:
        return self._detector.score(windows_of(one_series(scaled), self._names, self._window))


def scaled_by(rows: pl.DataFrame, by: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The features less the mean of ``by`` over its standard deviation; one that is constant there keeps its size.

    What is missing becomes 0, as in the documents.
    """
    spread = {name: by[name].std() or 1.0 for name in names}
    return rows.with_columns(((pl.col(name) - by[name].mean()) / spread[name]).fill_null(0.0) for name in names)


def one_series(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of many devices as if they were the records of one, a day apart, in the order in which they stand."""
    return rows.with_columns(day=_FIRST + DAY * pl.int_range(pl.len()), entity=pl.lit("rows"), cohort=pl.lit("one"))


def _to_fit_on(windows: Windows) -> TrainingData:
    """Every tenth window is kept for early stopping."""
    count = len(windows)
    return TrainingData(windows, np.zeros(count, np.bool_), np.arange(count) % 10 == 0)


def _judged(space: Workspace, rows: _Rows, split: Split, training: pl.DataFrame) -> Comparison:
    """The networks, fitted on the same three days in windows of one device, by the protocol of the evaluation.

    Devices that fail in the days to judge are scored and so many others, drawn by chance.
    """
    lives, names = lives_in(space), rows.names
    failing = lives.frame.filter(pl.col("failed_on").is_between(*split.judged))["entity"]
    drawn = hash_share(SEED) < MOST_DEVICES / training["entity"].n_unique()
    kept = drawn | pl.col("entity").is_in(failing.implode())
    scored = scaled_by(rows.of(_with_look_back(space, *split.judged), kept), training, names)
    judged = space.table.periods.range(*split.judged)
    scaled = scaled_by(rows.of(_with_look_back(space, split.training[0], split.training[-1])), training, names)
    healthy = (scaled["label"] == 0) & scaled["day"].is_in(split.training)
    scores = {}
    for name, config in NETWORKS.items():
        detector = fit(config, _to_fit_on(windows_of(scaled, names, config.window, where=healthy)), space.progress)
        windows = windows_of(scored, names, config.window, judged)
        scores[name] = windows.keys().with_columns(score=pl.Series(detector.score(windows)))
    keys = scores[DENSE].drop("score")
    scores[RANDOM] = keys.with_columns(score=pl.Series(np.random.default_rng(SEED).random(keys.height)))
    return compare(scores, lives, Protocol(*split.judged, space.table.horizon_days, JUDGED_DAYS))


def _with_look_back(space: Workspace, first: date, last: date) -> list[date]:
    """The days with features that windows of records from the first to the last day reach to."""
    return [day for day in space.days_with_rows(FEATURES) if first - STEPS * DAY < day <= last]
