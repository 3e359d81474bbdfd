"""The champion: the model version in use, with its threshold and the ranges it has seen."""

from dataclasses import dataclass
from datetime import date

from ae_assets.detectors import FittedDetector, load_detector
from ae_assets.errors import ModelError
from ae_assets.pipeline.chain.model import TrainingRange
from ae_assets.pipeline.chain.storage import Storage
from ae_assets.thresholds import Threshold


@dataclass(frozen=True)
class Champion:
    """A detector and its cut."""

    version: str
    detector: FittedDetector
    threshold: Threshold
    training: TrainingRange

    @property
    def seen_until(self) -> date:
        """Last day that the fit or the threshold has seen, labels included."""
        return max(self.training.known_until, self.threshold.calibration.last_day)


def load_champion(storage: Storage) -> Champion:
    """Loads the champion from the model store.

    Raises:
        ModelError: when the table has none yet, or when it was trained on other features than the YAML names now.
    """
    name = storage.table.table
    version = storage.models.champion(name)
    if version is None:
        raise ModelError(
            f"{name} has no champion yet; train one: `ae-assets run {name} --start DAY --end DAY --train-start DAY "
            f"--train-end DAY`, or materialise {name}/model and {name}/threshold in the UI"
        )
    return load_version(storage, version)


def load_version(storage: Storage, version: str) -> Champion:
    """Loads a model version that has a threshold."""
    name = storage.table.table
    detector = load_detector(storage.models.path(name, version))
    threshold = Threshold.from_json(storage.models.read_threshold(name, version))
    return Champion(version, detector, threshold, training_of(storage, version))


def training_of(storage: Storage, version: str) -> TrainingRange:
    """The training range on a version's card."""
    card = storage.models.card(storage.table.table, version)["training"]
    return TrainingRange(**{key: date.fromisoformat(value) for key, value in card.items()})
