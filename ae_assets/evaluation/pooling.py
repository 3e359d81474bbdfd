"""Pooling: the figures of several splits of one protocol as one figure per detector, with intervals by entity."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.errors import EvaluationError
from ae_assets.evaluation.bootstrap import ROUNDING, Top
from ae_assets.evaluation.evaluate import CONFIDENCE, RESAMPLES
from ae_assets.evaluation.intervals import Rate, clustered_rate
from ae_assets.evaluation.results import Comparison, Difference, differences_frame
from ae_assets.evaluation.rolling import Split

FORMAT_VERSION = 1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PooledPoint:
    """What a detector finds over all splits at one false alarm rate.

    Attributes:
        detector: its name.
        target_false_alarm_rate: the rate that chose the threshold of each split.
        detection: share of the failed entities of all splits that it finds.
    """

    detector: str
    target_false_alarm_rate: float
    detection: Rate


@dataclass(frozen=True)
class Pooled:
    """Several detectors over several splits.

    Attributes:
        reference: the detector that the others are compared with.
        points: of each detector at each rate, in the order of the splits' detectors.
        differences: of each other detector at each rate, on the same failed entities.
        splits: name, training range and comparison of each split.
        failed: failed entities, summed over the splits.
        failed_in_several: those of them that are among the failed ones of more than one split, each counted once.
        healthy_windows: healthy pairs, summed over the splits.
        left_out: detectors that were not judged on every split, and so are in the splits' figures only.
        resamples: bootstrap resamples behind the intervals.
        seed: of the bootstrap.
    """

    reference: str
    points: tuple[PooledPoint, ...]
    differences: tuple[Difference, ...]
    splits: tuple[tuple[str, tuple[date, date], Comparison], ...]
    failed: int
    failed_in_several: int
    healthy_windows: int
    left_out: tuple[str, ...]
    resamples: int
    seed: int

    def in_words(self) -> str:
        """The sample that the figures stand on."""
        first = self.splits[0][2].evaluations[0].sample
        count = len(self.splits)
        text = (
            f"{count} split{'s' if count > 1 else ''}, each at its own thresholds: {self.failed:,} failed entities "
            f"with a score in the {first.horizon_days} days before failure, {self.healthy_windows:,} healthy "
            f"{first.window_days}-day windows."
        )
        if self.failed_in_several:
            text += f" {self.failed_in_several:,} entities count in more than one split; the intervals allow for it."
        if self.left_out:
            text += f" Not judged on every split, so not pooled: {', '.join(self.left_out)}."
        return text

    def to_table(self) -> pl.DataFrame:
        """One row per detector: its pooled detection rate at each target rate with interval, and the sample sizes."""
        rows: dict[str, dict[str, object]] = {}
        for point in self.points:
            head = f"FAR {100 * point.target_false_alarm_rate:g}%"
            rows.setdefault(point.detector, {"detector": point.detector}).update(
                {
                    f"detection at {head}": point.detection.value,
                    f"{head} low": point.detection.low,
                    f"{head} high": point.detection.high,
                }
            )
        sizes = {"failed": self.failed, "healthy_windows": self.healthy_windows}
        return pl.DataFrame([row | sizes for row in rows.values()])

    def difference_table(self) -> pl.DataFrame:
        """One row per detector other than the reference and target rate."""
        return differences_frame(self.differences)

    def split_table(self) -> pl.DataFrame:
        """One row per split and detector: the ranges, and what `Comparison.to_table` says."""
        frames = []
        for name, training, comparison in self.splits:
            sample = comparison.evaluations[0].sample
            ranges = {
                "split": name,
                "train_start": training[0],
                "train_end": training[1],
                "test_start": sample.start,
                "test_end": sample.end,
            }
            frames.append(comparison.to_table().select(*(pl.lit(v).alias(k) for k, v in ranges.items()), pl.all()))
        return pl.concat(frames, how="diagonal_relaxed")

    def to_json(self) -> str:
        """Pooled and split figures as JSON text with a format version; dates as YYYY-MM-DD. Curves are left out."""
        content = {
            "format_version": FORMAT_VERSION,
            "in_words": self.in_words(),
            "reference": self.reference,
            "resamples": self.resamples,
            "seed": self.seed,
            "pooled": self.to_table().to_dicts(),
            "differences": self.difference_table().to_dicts(),
            "splits": self.split_table().with_columns(pl.col(pl.Date).dt.to_string()).to_dicts(),
        }
        return json.dumps(content, allow_nan=False)


def pooled(splits: Sequence[Split], *, resamples: int = RESAMPLES, seed: int = 0) -> Pooled:
    """Pools the failed entities of several splits, each found or missed at the thresholds of its own split.

    The intervals are of a bootstrap of entities within splits: a resample draws the failed and the healthy entities of
    each split with replacement, a healthy one with all its windows, and chooses every threshold anew. An entity that
    occurs in several splits, because ranges overlap or simply lives on, is drawn once, with the split where it
    comes first, and counts as often in the others: drawn apart, its copies would feign further evidence. As in one
    split, the interval is not narrower than the exact one of the counts.

    Args:
        splits: from `judge_split`, at least one, with one reference and one set of rates.
        resamples: bootstrap resamples.
        seed: of the bootstrap.

    Raises:
        EvaluationError: there is no split, no entity failed in any of them, or two differ in reference or rules.
    """
    if not splits:
        raise EvaluationError("no split was given to pool; judge at least one")
    reference, rates = splits[0].comparison.reference, splits[0].protocol.false_alarm_rates
    for split in splits:
        if split.judged_by != splits[0].judged_by:
            raise EvaluationError(
                f"split {split.name} is judged by {split.judged_by}, {splits[0].name} by {splits[0].judged_by}; pool "
                "splits that were judged alike"
            )
    if not any(split.failed for split in splits):
        raise EvaluationError(
            f"no scored entity failed in any of the {len(splits)} splits, from {splits[0].protocol.start} to "
            f"{splits[-1].protocol.end}, so there is no detection rate to pool; judge longer ranges or more of them, "
            "or one range alone, of which false alarms are judged"
        )
    everywhere = [name for name in splits[0].failed_scores if all(name in split.failed_scores for split in splits)]
    seen = list(dict.fromkeys(name for split in splits for name in split.failed_scores))
    entities = pl.Series([entity for split in splits for entity in split.failed], dtype=pl.String)
    codes = entities.rank("dense").to_numpy().astype(np.int64) - 1
    found = {name: np.concatenate([split.found(name) for split in splits]) for name in everywhere}
    spread = _resampled_detection(splits, everywhere, np.asarray(rates), resamples, seed)
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    trials = np.bincount(codes)
    points, differences = [], []
    base = everywhere.index(reference)
    for index, name in enumerate(everywhere):
        low, high = np.quantile(spread[index], tails, axis=0)
        apart_low, apart_high = np.quantile(spread[index] - spread[base], tails, axis=0)
        for place, target in enumerate(rates):
            exact = clustered_rate(np.bincount(codes, weights=found[name][:, place]), trials, CONFIDENCE)
            points.append(PooledPoint(name, target, exact.widened(float(low[place]), float(high[place]))))
            if index != base:
                apart = float(found[name][:, place].mean() - found[reference][:, place].mean())
                differences.append(
                    Difference(name, reference, target, apart, float(apart_low[place]), float(apart_high[place]))
                )
    return Pooled(
        reference=reference,
        points=tuple(points),
        differences=tuple(differences),
        splits=tuple((split.name, split.training, split.comparison) for split in splits),
        failed=len(entities),
        failed_in_several=int((trials > 1).sum()),
        healthy_windows=sum(len(split.pair_entities) for split in splits),
        left_out=tuple(name for name in seen if name not in everywhere),
        resamples=resamples,
        seed=seed,
    )


def _resampled_detection(
    splits: Sequence[Split], detectors: Sequence[str], rates: Floats, resamples: int, seed: int
) -> Floats:
    """Pooled detection rates (detectors, resamples, rates) over the same resamples of entities."""
    generator = np.random.default_rng(seed)
    failed = _draws([split.failed for split in splits], resamples, generator)
    healthy = _draws([split.healthy for split in splits], resamples, generator)
    tops = [
        [Top.of(split.pair_scores[name], split.pair_entities, float(rates.max())) for name in detectors]
        for split in splits
    ]
    detected = np.zeros((len(detectors), resamples, len(rates)))
    for resample, (failed_weights, healthy_weights) in enumerate(zip(failed, healthy, strict=True)):
        total = sum(int(weights.sum()) for weights in failed_weights)
        for place, split in enumerate(splits):
            pairs = int(healthy_weights[place][split.pair_entities].sum())
            allowed = np.floor(rates * pairs + ROUNDING)
            for index, name in enumerate(detectors):
                cuts = tops[place][index].cuts(healthy_weights[place], allowed)
                over = split.failed_scores[name][:, None] > cuts
                detected[index, resample] += failed_weights[place] @ over
        detected[:, resample] /= total
    return detected


def _draws(groups: Sequence[Sequence[str]], resamples: int, generator: np.random.Generator) -> Iterator[list[Ints]]:
    """How often each entity of each group is drawn, resample by resample; an entity of several groups alike in all."""
    joined = pl.Series([entity for group in groups for entity in group], dtype=pl.String)
    distinct = joined.unique(maintain_order=True)
    position = dict(zip(distinct, range(len(distinct)), strict=True))
    places = [np.array([position[entity] for entity in group], np.int64) for group in groups]
    # Numbered as they first come, the entities that a group adds are neighbours.
    ends = np.maximum.accumulate([int(place.max(initial=-1)) + 1 for place in places])
    added = np.diff(ends, prepend=0)
    for _ in range(resamples):
        weights = np.concatenate(
            [np.bincount(generator.integers(0, count, count), minlength=count) if count else () for count in added]
        ).astype(np.int64)
        yield [weights[place] for place in places]
