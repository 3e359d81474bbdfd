"""K-means: the squared distance of the scaled features to the nearest centre of healthy drives."""

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.base import Scores
from ae_assets.detectors.baseline import Arrays, ScaledBaseline, baselines_library
from ae_assets.detectors.config import KMeansConfig

BATCH = 4096


class FittedKMeans(ScaledBaseline):
    """``centres`` float32 (clusters, used) by mini batches (Sculley 2010, Web-scale k-means clustering)."""

    config: KMeansConfig

    @classmethod
    def learn_scaled(cls, config: KMeansConfig, scaled: NDArray[np.float32]) -> Arrays:
        cluster = baselines_library("sklearn.cluster")
        clusters = min(config.clusters, len(scaled))
        centres = cluster.MiniBatchKMeans(clusters, batch_size=BATCH, n_init=3, random_state=config.seed).fit(scaled)
        return {"centres": centres.cluster_centers_.astype(np.float32)}

    def judge_scaled(self, scaled: NDArray[np.float32], known: NDArray[np.bool_]) -> Scores:
        """Squared distances over the known features to the centre that is nearest in these; expected is the centre."""
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


def _squared(
    scaled: NDArray[np.float32], answer: NDArray[np.float32], known_weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    errors = scaled - answer
    errors *= errors
    errors *= known_weight
    return errors
