"""Ordinal coding: a drive-day as the steps that its counters have reached, and as the context it is judged in.

Counters span six decades and are 0 on most drives. Coded as steps ("above 0", "above 1", "above 2", "above 4", ...)
each decade weighs alike, no reading is too large for a network, and alike drive-days become equal rows: two million of
them are some ten thousand distinct ones. Training draws those as often as they occur, scoring computes each once.

A row's code holds one small number per coded feature: how many of its bounds the value has passed, negative for those
passed downwards. The network sees the steps that the numbers stand for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.detectors.cohorts import cohort_numbers, large_cohorts
from ae_assets.detectors.config import OrdinalConfig
from ae_assets.detectors.windows import Windows
from ae_assets.errors import ModelError

GAP_FEATURE = "gap_days"
RAREST = 3
"""Drive-days that must reach a step for it to be coded: what fewer have reached cannot be learned."""

HOURS_OF_A_DAY = 24
ROUNDING = 1e-5
"""Log counters are float32: a counter of exactly n must not pass for more than n."""


@dataclass(frozen=True)
class CodedFeature:
    """How one feature becomes a small number.

    Attributes:
        name: the feature.
        kind: what is counted: bounds passed (``counter``), bounds of which the value is short (``age``), whether it is
            missing (``missing``), whether it is above 1 (``gap``). Counters are what the step model expects, the
            other kinds are context.
        bounds: ascending and > 0, in feature units; empty for ``missing`` and ``gap``.
        falls: number of bounds, the first ones, that also count when passed downwards, mirrored at 0.
        judged: whether bounds passed upwards count as error where they surprise.
    """

    name: str
    kind: str
    bounds: tuple[float, ...] = ()
    falls: int = 0
    judged: bool = False

    def code(self, values: NDArray[np.float32]) -> NDArray[np.int8]:
        """Codes values (rows,); a missing or infinite one is 0, or 1 where that is what is asked."""
        is_known = np.isfinite(values)
        if self.kind == "missing":
            return (~is_known).astype(np.int8)
        if self.kind == "gap":
            return (is_known & (values > 1)).astype(np.int8)
        known = np.where(is_known, values, np.inf if self.kind == "age" else 0)
        bounds = np.asarray(self.bounds, np.float32)
        if self.kind == "age":
            return (len(bounds) - np.searchsorted(bounds, known, side="right")).astype(np.int8)
        passed = np.searchsorted(bounds, known, side="left")
        return (passed - np.searchsorted(bounds[: self.falls], -known, side="left")).astype(np.int8)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The steps of the feature: a rank above 0 is set where the code is at least it, one below 0 where at most."""
        highest = len(self.bounds) or 1
        return (*range(1, highest + 1), *range(-1, -self.falls - 1, -1))


@dataclass(frozen=True, eq=False)
class Coding:
    """What of a row a network sees.

    Attributes:
        features: the coded ones; counters, which the step model expects, before context, which is given.
        cohorts: those told apart, by falling size; cohort 0 is any other.
    """

    features: tuple[CodedFeature, ...]
    cohorts: tuple[str, ...]

    @property
    def counters(self) -> tuple[CodedFeature, ...]:
        return tuple(feature for feature in self.features if feature.kind == "counter")

    @property
    def context(self) -> tuple[CodedFeature, ...]:
        return tuple(feature for feature in self.features if feature.kind != "counter")

    def to_json(self) -> dict[str, Any]:
        """A JSON-serialisable dictionary, read back by :meth:`from_json`."""
        return {"features": [vars(feature) for feature in self.features], "cohorts": list(self.cohorts)}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Coding":
        features = (CodedFeature(**{**entry, "bounds": tuple(entry["bounds"])}) for entry in record["features"])
        return cls(tuple(features), tuple(record["cohorts"]))


@dataclass(frozen=True, eq=False)
class CodedRows:
    """Distinct coded rows; ``row_of`` (windows,) is the row that each window became."""

    codes: NDArray[np.int8]  # (rows, coded features)
    cohort: NDArray[np.int32]  # (rows,)
    weight: NDArray[np.float64]  # (rows,), > 0
    row_of: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.cohort)

    def __add__(self, other: "CodedRows") -> "CodedRows":
        """Both one after the other; rows that are in both stay apart."""
        return CodedRows(
            np.concatenate([self.codes, other.codes]),
            np.concatenate([self.cohort, other.cohort]),
            np.concatenate([self.weight, other.weight]),
            np.concatenate([self.row_of, other.row_of + len(self)]),
        )

    def blocks(self, size: int) -> Iterator[tuple[NDArray[np.int8], NDArray[np.int32], NDArray[np.float32]]]:
        """Codes, cohort and weight in blocks of one size; the last is filled up with rows of weight 0."""
        for start in range(0, len(self), size):
            taken = slice(start, start + size)
            fill = size - len(self.cohort[taken])
            yield (
                np.pad(self.codes[taken], ((0, fill), (0, 0))),
                np.pad(self.cohort[taken], (0, fill)),
                np.pad(self.weight[taken].astype(np.float32), (0, fill)),
            )


def coding_of(config: OrdinalConfig, train: Windows, failing: Windows | None) -> Coding:
    """Chooses the coding from healthy windows, and from failing ones for steps that no healthy drive reaches.

    Raises:
        ModelError: a feature that the config names is absent, or no training row knows a judged counter.
    """
    names = train.feature_names
    sides = [windows for windows in (train, failing) if windows is not None]
    counters, unworn = [], []
    for feature in _counters(config, names):
        position = names.index(feature.name)
        values = np.concatenate([windows.values[windows.last_row, position] for windows in sides])
        reached = _reached(feature, values)
        if reached.bounds:
            counters.append(reached)
        elif feature.judged and np.isfinite(values).any():
            # Of a few drives none may have worn yet: then whatever rises first is what surprises.
            unworn.append(replace(feature, bounds=feature.bounds[:1], falls=0))
    if not any(feature.judged for feature in counters):
        counters += unworn
    if not any(feature.judged for feature in counters):
        raise ModelError(
            f"None of the judged counters {list(config.judged)} is known on any of the {len(train)} training rows, so "
            "there is nothing to tell drives by; name counters that these drives report."
        )
    return Coding((*counters, *_context(config, names)), large_cohorts(train))


def coded_rows(coding: Coding, windows: Windows, weight: NDArray[np.float64] | None = None) -> CodedRows:
    """The distinct coded rows of the windows' scored records, with the sum of ``weight`` (n,), or else their number."""
    codes = np.zeros((len(windows), -(-len(coding.features) // 8) * 8), np.int8)
    for position, feature in enumerate(coding.features):
        column = windows.values[:, windows.feature_names.index(feature.name)]
        codes[:, position] = feature.code(column[windows.last_row])
    words = codes.view(np.int64)
    columns = {f"word_{position}": words[:, position] for position in range(words.shape[1])}
    cohort = cohort_numbers(coding.cohorts, windows)
    frame = pl.DataFrame({**columns, "cohort": cohort}).with_columns(
        weight=pl.lit(1.0) if weight is None else pl.Series(weight),
    )
    keys = [*columns, "cohort"]
    distinct = frame.group_by(keys, maintain_order=True).agg(pl.col("weight").sum()).with_row_index("row")
    row_of = frame.select(keys).join(distinct.select(*keys, "row"), on=keys, how="left", maintain_order="left")["row"]
    kept = np.ascontiguousarray(distinct.select(list(columns)).to_numpy()).view(np.int8)
    return CodedRows(
        codes=np.ascontiguousarray(kept[:, : len(coding.features)]),
        cohort=distinct["cohort"].to_numpy(),
        weight=distinct["weight"].to_numpy(),
        row_of=row_of.to_numpy().astype(np.int64),
    )


def _counters(config: OrdinalConfig, names: tuple[str, ...]) -> list[CodedFeature]:
    """All features of the config's counters, with all steps."""
    bounds = tuple((np.log1p(np.array(config.steps, np.float64)) + ROUNDING).tolist())
    features = []
    for counter in config.counters:
        found = [name for name in names if name == f"{counter}_level" or name.startswith(f"{counter}_growth_")]
        if not found:
            raise ModelError(
                f"There is no feature {counter}_level nor {counter}_growth_*; name counters of the table's features "
                f"{list(names)}."
            )
        for name in found:
            falls = 0 if name.endswith("_level") else len(bounds)
            features.append(CodedFeature(name, "counter", bounds, falls, counter in config.judged))
    return features


def _reached(feature: CodedFeature, values: NDArray[np.float32]) -> CodedFeature:
    """The feature with those of its bounds that enough values pass; they are nested, so these are the first ones."""
    codes = feature.code(values)
    up, down = (
        sum(int(np.count_nonzero(side >= rank)) >= RAREST for rank in range(1, len(feature.bounds) + 1))
        for side in (codes, -codes)
    )
    return replace(feature, bounds=feature.bounds[: max(up, down)], falls=down)


def _context(config: OrdinalConfig, names: tuple[str, ...]) -> list[CodedFeature]:
    features = []
    if config.age is not None:
        if config.age not in names:
            raise ModelError(f"The age {config.age!r} is not among the table's features {list(names)}.")
        hours = np.log1p(np.array(config.age_days, np.float32) * HOURS_OF_A_DAY)
        features.append(CodedFeature(config.age, "age", tuple(hours.tolist())))
    levels = [f"{counter}_level" for counter in config.counters]
    features += [CodedFeature(name, "missing") for name in levels if name in names]
    features += [CodedFeature(GAP_FEATURE, "gap")] if GAP_FEATURE in names else []
    return features
