"""Evaluation: the champion and the table's comparisons on days that neither a fit nor a threshold has seen."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import polars as pl

from ae_assets.detectors.config import DetectorConfig
from ae_assets.errors import EvaluationError
from ae_assets.evaluation import Comparison, Protocol, compare
from ae_assets.pipeline.chain.champion import Champion, load_champion
from ae_assets.pipeline.chain.lives import lives_in
from ae_assets.pipeline.chain.model import fit_detector
from ae_assets.pipeline.chain.scoring import score_days
from ae_assets.pipeline.chain.storage import ANOMALIES, FEATURES, Storage, day_range
from ae_assets.pipeline.chain.threshold import CalibrationRange, calibration_scores
from ae_assets.reports.evaluation import comparison_figures, comparison_markdown, comparison_text
from ae_assets.thresholds import fit_threshold


@dataclass(frozen=True)
class Evaluation:
    """What came out, and on what."""

    start: date
    end: date
    version: str
    comparison: Comparison
    champion: str

    @property
    def markdown(self) -> str:
        """The tables for the UI."""
        return comparison_markdown(self.comparison)

    @property
    def text(self) -> str:
        """The tables for the terminal."""
        return comparison_text(self.comparison)

    @property
    def record(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return dict(json.loads(self.comparison.to_json()))

    @cached_property
    def figures(self) -> Mapping[str, bytes]:
        """PNG figures by name."""
        return comparison_figures(self.comparison)


def evaluate(storage: Storage, start: date, end: date, *, with_comparisons: bool) -> Evaluation:
    """Judges the champion's stored scores, and beside it every comparison, fitted on the champion's training range.

    Raises:
        EvaluationError: when the range touches what the champion has seen, or its anomalies are not complete.
    """
    champion = load_champion(storage)
    if start <= champion.seen_until:
        raise EvaluationError(
            f"the champion {champion.version} has seen days and labels until {champion.seen_until}; "
            f"evaluate from {champion.seen_until + timedelta(days=1)} on, received {start}"
        )
    name: str = storage.table.detector.type
    scores = {name: _champion_scores(storage, champion, start, end)}
    thresholds = {name: {"in use": champion.threshold.cut}}
    days = scores[name]["day"].unique().sort().to_list()
    for config in storage.table.comparisons if with_comparisons else ():
        label = _unused(config.type, scores)
        scores[label], cut = _comparison_scores(storage, config, champion, days)
        thresholds[label] = {"in use": cut}
    protocol = Protocol(start, end, storage.table.horizon_days, storage.table.checks.window_days)
    comparison = compare(scores, lives_in(storage), protocol, reference=name, thresholds=thresholds)
    return Evaluation(start, end, champion.version, comparison, name)


def _champion_scores(storage: Storage, champion: Champion, start: date, end: date) -> pl.DataFrame:
    held, wanted = storage.days_of(ANOMALIES), storage.days_of(FEATURES)
    missing = [day for day in day_range(start, end) if wanted.get(day) and not held.get(day)]
    if missing:
        raise EvaluationError(
            f"{len(missing)} days between {start} and {end} have features and no anomalies, the first is {missing[0]}; "
            f"materialise {storage.name(ANOMALIES)} for them first"
        )
    rows = storage.tables.read(
        storage.name(ANOMALIES), start, end, ["day", "entity", "cohort", "score", "model_version"]
    )
    others = rows.filter(pl.col("model_version") != champion.version)["day"].unique().sort()
    if len(others):
        raise EvaluationError(
            f"{len(others)} days were scored by another model than the champion {champion.version}, the first is "
            f"{others[0]}; materialise {storage.name(ANOMALIES)} for them again"
        )
    return rows.drop("model_version")


def _comparison_scores(
    storage: Storage, config: DetectorConfig, champion: Champion, days: list[date]
) -> tuple[pl.DataFrame, float]:
    detector, _ = fit_detector(storage, config, champion.training)
    section = storage.table.calibration
    calibration = CalibrationRange.after(champion.training, section.embargo_days, section.days)
    cut = fit_threshold(storage.table.threshold, calibration_scores(storage, detector, calibration)).cut
    frames = [
        scored.keys.select("day", "entity", "cohort").with_columns(
            score=pl.Series(scored.scores.score).cast(pl.Float64)
        )
        for scored in score_days(storage, detector, days, stage=f"scoring {config.type}")
    ]
    return pl.concat(frames), cut


def _unused(name: str, taken: Mapping[str, object]) -> str:
    return name if name not in taken else next(f"{name} {i}" for i in range(2, 100) if f"{name} {i}" not in taken)
