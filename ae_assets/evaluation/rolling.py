"""Rolling origin: several splits of the same months, each judged at its own thresholds, and their figures pooled.

A split is a training range, an embargo and a test range. What is fitted and scored in between is the caller's; here are
the ranges, and the arithmetic over the scores that came out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.errors import ConfigError, EvaluationError
from ae_assets.evaluation.bootstrap import ROUNDING, cuts_at
from ae_assets.evaluation.evaluate import CONFIDENCE, RESAMPLES, compare_on
from ae_assets.evaluation.intervals import Rate, clustered_rate
from ae_assets.evaluation.lives import Lives
from ae_assets.evaluation.population import population_of
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import Comparison, Difference

FORMAT_VERSION = 1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Origin:
    """One split of the days.

    Attributes:
        training: first and last day to fit on; labels are known through the horizon after it.
        test: first and last day to judge.
    """

    training: tuple[date, date]
    test: tuple[date, date]


def origins(
    first_day: date,
    last_day: date,
    *,
    train_days: int,
    test_days: int,
    embargo_days: int,
    step_days: int,
    horizon_days: int,
) -> list[Origin]:
    """The splits that fit into a range of days, earliest first; the last one is judged up to the last day.

    The labels that a fit may know reach a horizon beyond its training range, so the embargo between training and test
    is that long at least.

    Args:
        first_day: first day with data.
        last_day: last day to judge.
        train_days: length of each training range.
        test_days: length of each test range.
        embargo_days: days left out between the two.
        step_days: days from one test range to the next; less than `test_days` makes them overlap, and then the same
            failures count several times.
        horizon_days: days before a failure in which an alarm is a detection.

    Returns:
        At least one split.

    Raises:
        ConfigError: a length is below 1, or the embargo is shorter than the horizon.
        EvaluationError: the range holds no split.
    """
    lengths = {"train_days": train_days, "test_days": test_days, "step_days": step_days, "horizon_days": horizon_days}
    short = {name: days for name, days in lengths.items() if days < 1}
    if short:
        raise ConfigError(f"received {short}; each must be 1 day or more")
    if embargo_days < horizon_days:
        raise ConfigError(
            f"embargo_days is {embargo_days} and the horizon {horizon_days} days: a fit knows the labels of the "
            "horizon after its training range, so it would have seen some of the judged ones; make the embargo as long"
        )
    needed = train_days + embargo_days + test_days
    held = (last_day - first_day).days + 1
    if held < needed:
        raise EvaluationError(
            f"{first_day} to {last_day} are {held} days, and a split needs {needed}: {train_days} to fit, "
            f"{embargo_days} of embargo, {test_days} to judge; load more days or shorten the ranges"
        )
    splits = []
    for back in range(0, held - needed + 1, step_days):
        test_end = last_day - timedelta(days=back)
        test_start = test_end - timedelta(days=test_days - 1)
        train_end = test_start - timedelta(days=embargo_days + 1)
        splits.append(Origin((train_end - timedelta(days=train_days - 1), train_end), (test_start, test_end)))
    return splits[::-1]


@dataclass(frozen=True, eq=False)
class Split:
    """What the detectors did on one split, and the scores that pooling draws from again.

    Attributes:
        name: what the tables call it.
        training: first and last day that the detectors were fitted on.
        comparison: the figures of this split alone.
        failed: failed entities.
        failed_scores: for each detector the highest score of each of them in its horizon.
        healthy: entities of the healthy pairs, each once.
        pair_entities: for each healthy pair its position in `healthy`.
        pair_scores: for each detector the highest score of each pair.
        false_alarm_rates: rates at which detection is judged.
    """

    name: str
    training: tuple[date, date]
    comparison: Comparison
    failed: tuple[str, ...]
    failed_scores: Mapping[str, Floats]
    healthy: tuple[str, ...]
    pair_entities: Ints
    pair_scores: Mapping[str, Floats]
    false_alarm_rates: tuple[float, ...]

    def found(self, detector: str) -> NDArray[np.bool_]:
        """Which failed entities (rows) a detector finds at each rate (columns), at this split's own thresholds."""
        cuts = cuts_at(self.pair_scores[detector], np.asarray(self.false_alarm_rates))
        found: NDArray[np.bool_] = self.failed_scores[detector][:, None] > cuts
        return found


def judge_split(
    name: str,
    training: tuple[date, date],
    scores: Mapping[str, pl.DataFrame],
    lives: Lives,
    protocol: Protocol,
    *,
    reference: str,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Split:
    """Judges the detectors of one split.

    Args:
        name: what the tables call the split.
        training: first and last day that the detectors were fitted on.
        scores: for each detector `day, entity, cohort, score`; all for the same rows of the test range.
        lives: lives of all scored entities.
        protocol: the test range and the rules.
        reference: the detector that the others are compared with.
        resamples: bootstrap resamples behind the intervals of this split alone.
        seed: of the bootstrap.

    Raises:
        ContractError: a column is missing.
        EvaluationError: the test range starts within the horizon after the training range, there is nothing to judge,
            or the detectors score different rows.
    """
    if not scores:
        raise EvaluationError("no detector was given to judge; pass the scores of at least one")
    if (protocol.start - training[1]).days <= protocol.horizon_days:
        raise EvaluationError(
            f"split {name} fits until {training[1]} and judges from {protocol.start} on; labels are known to the fit "
            f"for {protocol.horizon_days} days more, so judge from "
            f"{training[1] + timedelta(days=protocol.horizon_days + 1)} on"
        )
    population = population_of(protocol, lives, next(iter(scores.values())))
    comparison = compare_on(population, scores, reference=reference, resamples=resamples, seed=seed)
    failed_scores, pair_scores = {}, {}
    for detector, frame in scores.items():
        rows = population.align(frame, detector)
        failed_scores[detector] = population.failed_rows.highest(rows)
        pair_scores[detector] = population.pair_rows.highest(rows)
    entities = population.pairs["entity"]
    return Split(
        name=name,
        training=training,
        comparison=comparison,
        failed=tuple(population.failed["entity"]),
        failed_scores=failed_scores,
        healthy=tuple(entities.unique(maintain_order=True)),
        pair_entities=entities.rle_id().to_numpy().astype(np.int64),
        pair_scores=pair_scores,
        false_alarm_rates=protocol.false_alarm_rates,
    )


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
        schema = {
            "detector": pl.String,
            "reference": pl.String,
            "target_false_alarm_rate": pl.Float64,
            "value": pl.Float64,
            "low": pl.Float64,
            "high": pl.Float64,
        }
        return pl.DataFrame([vars(difference) for difference in self.differences], schema=schema)

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
        EvaluationError: there is no split, or two splits differ in reference or rates.
    """
    if not splits:
        raise EvaluationError("no split was given to pool; judge at least one")
    reference, rates = splits[0].comparison.reference, splits[0].false_alarm_rates
    for split in splits:
        if (split.comparison.reference, split.false_alarm_rates) != (reference, rates):
            raise EvaluationError(
                f"split {split.name} compares with {split.comparison.reference} at {split.false_alarm_rates}, "
                f"{splits[0].name} with {reference} at {rates}; pool splits that were judged alike"
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
    tops = [[_Top.of(split, name, float(rates.max())) for name in detectors] for split in splits]
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


@dataclass(frozen=True, eq=False)
class _Top:
    """The highest pairs of a detector, falling: only they can hold a cut."""

    scores: Floats
    entities: Ints

    @classmethod
    def of(cls, split: Split, detector: str, highest_rate: float) -> "_Top":
        scores = split.pair_scores[detector]
        # Half as many again leaves room for resamples that draw them rarely.
        kept = min(len(scores), int(1.5 * highest_rate * len(scores)) + 500)
        top = np.argsort(-scores, kind="stable")[:kept]
        return cls(scores[top], split.pair_entities[top])

    def cuts(self, weights: Ints, allowed: Floats) -> Floats:
        """The lowest cut that lets no more than the allowed number of drawn pairs through, for each number."""
        over = np.cumsum(weights[self.entities])
        return self.scores[np.minimum(np.searchsorted(over, allowed, side="right"), len(self.scores) - 1)]


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
