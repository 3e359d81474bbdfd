"""The counter rule: the sum of log counters of the scored day, as an operator would write it. No fit, no network."""

from pathlib import Path
from typing import Any

import numpy as np

from ae_assets.detectors.base import FittedDetector, Scores, TrainingHistory, write_preprocessing
from ae_assets.detectors.config import CounterRuleConfig
from ae_assets.detectors.windows import Windows
from ae_assets.errors import ModelError


class FittedCounterRule(FittedDetector):
    """Adds up log-counter features; a missing counter adds nothing, and a healthy drive is expected at 0."""

    config: CounterRuleConfig

    def __init__(self, config: CounterRuleConfig, feature_names: tuple[str, ...]) -> None:
        """Checks that the table has the rule's features.

        Raises:
            ModelError: a feature of the rule is not among ``feature_names``.
        """
        absent = [name for name in config.features if name not in feature_names]
        if absent:
            raise ModelError(
                f"The counter rule adds up {absent}, which the features lack; available: {list(feature_names)}."
            )
        self.config = config
        self.feature_names = feature_names
        self.window_days = config.window_days
        self.history = TrainingHistory.untrained()

    def score(self, windows: Windows) -> Scores:
        """Sums the counters of the scored day; contributions are the counters themselves."""
        self.require_fitting(windows)
        columns = [self.feature_names.index(name) for name in self.config.features]
        counters = windows.values[:, columns][windows.last_row]
        contributions = np.zeros((len(windows), len(self.feature_names)), np.float32)
        contributions[:, columns] = np.where(np.isfinite(counters), np.maximum(counters, 0), 0)
        expected = np.full_like(contributions, np.nan)
        expected[:, columns] = 0
        return Scores(contributions.sum(axis=1), contributions, expected)

    def save(self, directory: Path) -> None:
        """Writes ``preprocessing.json``, all there is to a rule."""
        write_preprocessing(directory, self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "FittedCounterRule":
        """Rebuilds the rule from what :meth:`save` wrote."""
        return cls(CounterRuleConfig.model_validate(record["config"]), tuple(record["feature_names"]))
