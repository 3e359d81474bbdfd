"""A detector of somebody's own: what a package that adds one has to write."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PositiveFloat

from ae_assets.detectors import DayDetectorConfig, FittedDetector, Scores, TrainingData, TrainingHistory, Windows
from ae_assets.detectors.base import write_preprocessing
from ae_assets.progress import ProgressSink

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class HighestValueConfig(DayDetectorConfig):
    """How far a day's features lie beyond the highest values of the training range."""

    factor: PositiveFloat = 1.0

    def fit(self, data: TrainingData, progress: ProgressSink) -> FittedDetector:
        import numpy as np

        values = data.train.values[data.train.last_row]
        return FittedHighestValue(self, data.windows.feature_names, np.fmax.reduce(values, axis=0))

    def load(self, directory: Path, record: dict[str, Any]) -> FittedDetector:
        import numpy as np

        return FittedHighestValue(self, tuple(record["feature_names"]), np.array(record["highest"], np.float32))


class FittedHighestValue(FittedDetector):
    def __init__(
        self, config: HighestValueConfig, feature_names: tuple[str, ...], highest: "NDArray[np.float32]"
    ) -> None:
        self.config, self.feature_names, self.highest = config, feature_names, highest
        self.history = TrainingHistory.untrained()

    def explain(self, windows: Windows) -> Scores:
        import numpy as np

        self.require_fitting(windows)
        values = windows.values[windows.last_row]
        above = np.where(np.isfinite(values), np.maximum(values - self.highest + 2, 0), 0)
        contributions = np.nan_to_num(above).astype(np.float32)
        return Scores(contributions.sum(axis=1), contributions, np.full_like(contributions, np.nan))

    def save(self, directory: Path) -> None:
        write_preprocessing(directory, self, highest=self.highest.tolist())
