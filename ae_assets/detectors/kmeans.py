"""K-means: the squared distance of the scaled features to the nearest centre of healthy drives."""

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.base import Scores
from ae_assets.detectors.baseline import (
    Arrays,
    Basis,
    FittedBaseline,
    baselines_library,
    scaled_rows,
    training_sample,
)
from ae_assets.detectors.config import KMeansConfig
from ae_assets.detectors.preprocessing import RobustScaler
from ae_assets.detectors.windows import TrainingData
from ae_assets.progress import ProgressSink

BATCH = 4096


class FittedKMeans(FittedBaseline):
    """A scaler and centres, found by mini batches (Sculley 2010, Web-scale k-means clustering)."""

    config: KMeansConfig

    def __init__(self, basis: Basis, arrays: Arrays) -> None:
        """Takes ``centre`` and ``scale`` of the scaler and ``centres`` (clusters, used) in scaled units, float32."""
        super().__init__(basis, arrays)
        self.scaler = RobustScaler(arrays["centre"], arrays["scale"], self.config.clip)

    def judge(self, values: NDArray[np.float32]) -> Scores:
        """Squared distances over the known features to the centre that is nearest in these; expected is the centre."""
        scaled, known = scaled_rows(values, self.scaler)
        known_weight = known.astype(np.float32)
        centres = self.arrays["centres"]
        nearest, smallest = np.zeros(len(scaled), np.int64), np.full(len(scaled), np.inf, np.float32)
        for cluster, centre in enumerate(centres):
            distance = _squared(scaled, centre, known_weight).sum(axis=1)
            nearest[distance < smallest] = cluster
            np.minimum(smallest, distance, out=smallest)
        answer = centres[nearest]
        contributions = _squared(scaled, answer, known_weight)
        return Scores(smallest, contributions, answer * self.scaler.scale + self.scaler.centre)


def fit(config: KMeansConfig, data: TrainingData, _progress: ProgressSink) -> FittedKMeans:
    """Finds the centres of a sample of the scored records; see ``detectors.fit``."""
    cluster = baselines_library("sklearn.cluster")
    taken = training_sample(config, data)
    scaled, scaler = taken.scaled(config.clip)
    clusters = min(config.clusters, len(scaled))
    found = cluster.MiniBatchKMeans(clusters, batch_size=BATCH, n_init=3, random_state=config.seed).fit(scaled)
    centres = found.cluster_centers_.astype(np.float32)
    return FittedKMeans(taken.basis(), {"centre": scaler.centre, "scale": scaler.scale, "centres": centres})


load = FittedKMeans.load


def _squared(
    scaled: NDArray[np.float32], answer: NDArray[np.float32], known_weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    errors = scaled - answer
    errors *= errors
    errors *= known_weight
    return errors
