"""Rules as an operator would write them: a sum of log counters, of growths or of excesses of a record. No fit."""

from pathlib import Path
from typing import Any

import numpy as np

from ae_assets.detectors.base import FittedDetector, Scores, TrainingHistory, write_preprocessing
from ae_assets.detectors.config import CounterRuleConfig, ExcessRuleConfig, GrowthRuleConfig, LastValueConfig
from ae_assets.detectors.windows import TrainingData, Windows
from ae_assets.errors import ModelError
from ae_assets.progress import ProgressSink

RuleConfig = CounterRuleConfig | GrowthRuleConfig | ExcessRuleConfig | LastValueConfig


class FittedRule(FittedDetector):
    """Adds up features; one that is missing, or below 0 where only rises count, adds nothing. Expected is 0."""

    config: RuleConfig

    def __init__(self, config: RuleConfig, feature_names: tuple[str, ...]) -> None:
        """Checks that the table has the rule's features.

        Raises:
            ModelError: a feature of the rule is not among ``feature_names``.
        """
        absent = [name for name in config.features if name not in feature_names]
        if absent:
            raise ModelError(
                f"The {config.type} adds up {absent}, which the features lack; available: {list(feature_names)}."
            )
        self.config = config
        self.feature_names = feature_names
        self.history = TrainingHistory.untrained()

    @classmethod
    def fit(cls, config: RuleConfig, data: TrainingData, _progress: ProgressSink) -> "FittedRule":
        """The rule over the training windows' features; their values do not matter. See ``detectors.fit``."""
        return cls(config, data.windows.feature_names)

    @classmethod
    def load(cls, config: RuleConfig, _directory: Path, record: dict[str, Any]) -> "FittedRule":
        """Rebuilds the rule from what ``save`` wrote."""
        return cls(config, tuple(record["feature_names"]))

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.config.features

    def explain(self, windows: Windows) -> Scores:
        """Sums the features of the scored record that count; contributions are these features themselves."""
        self.require_fitting(windows)
        columns = [self.feature_names.index(name) for name in self.config.features]
        values = windows.values[:, columns][windows.last_row]
        contributions = np.zeros((len(windows), len(self.feature_names)), np.float32)
        counted = np.abs(values) if self.config.either_way else np.maximum(values, 0)
        contributions[:, columns] = np.where(np.isfinite(values), counted, 0)
        expected = np.full_like(contributions, np.nan)
        expected[:, columns] = 0
        return Scores(contributions.sum(axis=1), contributions, expected)

    def save(self, directory: Path) -> None:
        """Writes ``preprocessing.json``, all there is to a rule."""
        write_preprocessing(directory, self)
