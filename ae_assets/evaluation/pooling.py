"""Pooling: the figures of several splits of one protocol as one figure per detector, with intervals by entity."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl

from ae_assets.errors import EvaluationError
from ae_assets.evaluation.bootstrap import RESAMPLES, resampled_detection, spread
from ae_assets.evaluation.intervals import clustered_rate
from ae_assets.evaluation.results import Detection, Difference, detection_table, differences_of
from ae_assets.evaluation.rolling import Split

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Pooled:
    """Several detectors over several splits.

    Attributes:
        reference: the detector that the others are compared with.
        detection: share of the failed entities of all splits that each detector finds, by its name and the false alarm
            rate that chose the threshold of each split.
        differences: of each other detector at each rate, on the same failed entities.
        splits: what is pooled.
        failed: failed entities, summed over the splits.
        failed_in_several: those of them that are among the failed ones of more than one split, each counted once.
        healthy_windows: healthy pairs, summed over the splits.
        left_out: detectors that were not judged on every split, and so are in the splits' figures only.
        resamples: bootstrap resamples behind the intervals.
        seed: of the bootstrap.
    """

    reference: str
    detection: Detection
    differences: tuple[Difference, ...]
    splits: tuple[Split, ...]
    failed: int
    failed_in_several: int
    healthy_windows: int
    left_out: tuple[str, ...]
    resamples: int
    seed: int

    def in_words(self) -> str:
        """The sample that the figures stand on."""
        protocol, count = self.splits[0].protocol, len(self.splits)
        text = (
            f"{count} split{'s' if count > 1 else ''}, each at its own thresholds: {self.failed:,} failed entities "
            f"with a score in the {protocol.horizon_days} days before failure, {self.healthy_windows:,} healthy "
            f"{protocol.window_days}-day windows."
        )
        if self.failed_in_several:
            text += f" {self.failed_in_several:,} entities count in more than one split; the intervals allow for it."
        if self.left_out:
            text += f" Not judged on every split, so not pooled: {', '.join(self.left_out)}."
        return text

    def to_table(self) -> pl.DataFrame:
        """One row per detector: its pooled detection rate at each target rate with interval, and the sample sizes."""
        return detection_table(self.detection, self.failed, self.healthy_windows)

    def split_table(self) -> pl.DataFrame:
        """One row per split and detector: the ranges, and what `Comparison.to_table` says."""
        frames = []
        for split in self.splits:
            ranges = {
                "split": split.name,
                "train_start": split.training[0],
                "train_end": split.training[1],
                "test_start": split.protocol.start,
                "test_end": split.protocol.end,
            }
            table = split.comparison.to_table()
            frames.append(table.select(*(pl.lit(value).alias(name) for name, value in ranges.items()), pl.all()))
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
            "differences": [asdict(one) for one in self.differences],
            "splits": self.split_table().to_dicts(),
        }
        return json.dumps(content, default=str, allow_nan=False)


def pooled(splits: Sequence[Split], *, resamples: int = RESAMPLES, seed: int = 0) -> Pooled:
    """Pools the failed entities of several splits, each found or missed at the thresholds of its own split.

    The intervals are of a bootstrap of entities within splits. As in one split, the interval is not narrower than the
    exact one of the counts.

    Args:
        splits: from `judge_split`, at least one, with one reference and one set of rates.
        resamples: bootstrap resamples.
        seed: of the bootstrap.

    Raises:
        EvaluationError: there is no split, no entity failed in any of them, or two differ in reference or rules.
    """
    if not splits:
        raise EvaluationError("no split was given to pool; judge at least one")
    _require_alike(splits)
    ranges = [split.judged for split in splits]
    entities = pl.Series([entity for one in ranges for entity in one.failed], dtype=pl.String)
    if entities.is_empty():
        raise EvaluationError(
            f"no scored entity failed in any of the {len(splits)} splits, from {splits[0].protocol.start} to "
            f"{splits[-1].protocol.end}, so there is no detection rate to pool; judge longer ranges or more of them, "
            "or one range alone, of which false alarms are judged"
        )
    reference, targets = splits[0].comparison.reference, splits[0].protocol.false_alarm_rates
    rates = np.asarray(targets)
    names = list(dict.fromkeys(name for one in ranges for name in one.highest))
    everywhere = [name for name in names if all(name in one.highest for one in ranges)]
    detected, drawn = resampled_detection(ranges, everywhere, rates, resamples=resamples, seed=seed)
    resampled = detected / drawn
    codes = entities.rank("dense").to_numpy().astype(np.int64) - 1
    trials = np.bincount(codes)
    detection = {}
    for name, of_detector in zip(everywhere, resampled, strict=True):
        found = np.concatenate([one.highest[name].detected(rates) for one in ranges])
        exact = [clustered_rate(np.bincount(codes, weights=of_rate), trials) for of_rate in found.T]
        detection[name] = {
            target: rate.widened(float(low), float(high))
            for target, rate, low, high in zip(targets, exact, *spread(of_detector), strict=True)
        }
    return Pooled(
        reference=reference,
        detection=detection,
        differences=differences_of(detection, reference, resampled),
        splits=tuple(splits),
        failed=len(entities),
        failed_in_several=int((trials > 1).sum()),
        healthy_windows=sum(len(one.pair_entities) for one in ranges),
        left_out=tuple(name for name in names if name not in everywhere),
        resamples=resamples,
        seed=seed,
    )


def _require_alike(splits: Sequence[Split]) -> None:
    rules = [
        {name: value for name, value in vars(split.protocol).items() if name not in {"start", "end"}}
        | {"reference": split.comparison.reference}
        for split in splits
    ]
    for split, own in zip(splits, rules, strict=True):
        if own != rules[0]:
            raise EvaluationError(
                f"split {split.name} is judged by {own}, {splits[0].name} by {rules[0]}; pool splits that were judged "
                "alike"
            )
