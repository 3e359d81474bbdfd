"""PCA: the squared distance of the scaled features from the plane that holds most of the healthy variance."""

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
from ae_assets.detectors.config import PcaConfig
from ae_assets.detectors.preprocessing import RobustScaler
from ae_assets.detectors.windows import TrainingData
from ae_assets.progress import ProgressSink


class FittedPca(FittedBaseline):
    """A scaler, the healthy mean and the kept components.

    Shyu et al. 2003, A novel anomaly detection scheme based on principal component classifier, section 3, with the
    minor components unweighted: the squared prediction error of process monitoring (Jackson and Mudholkar 1979).
    """

    config: PcaConfig

    def __init__(self, basis: Basis, arrays: Arrays) -> None:
        """Takes ``centre`` and ``scale`` of the scaler, ``mean`` (used,) and ``components`` (kept, used), float32."""
        super().__init__(basis, arrays)
        self.scaler = RobustScaler(arrays["centre"], arrays["scale"], self.config.clip)

    def judge(self, values: NDArray[np.float32]) -> Scores:
        """Squared errors over the known features; expected are the values on the plane."""
        scaled, known = scaled_rows(values, self.scaler)
        mean, components = self.arrays["mean"][:, None], self.arrays["components"]
        centred = np.ascontiguousarray(scaled.T) - mean
        coordinates = np.zeros((len(components), centred.shape[1]), np.float32)
        for feature, weights in zip(centred, components.T, strict=True):
            coordinates += weights[:, None] * feature
        on_plane = np.broadcast_to(mean, centred.shape).copy()
        for coordinate, weights in zip(coordinates, components, strict=True):
            on_plane += weights[:, None] * coordinate
        answer = np.ascontiguousarray(on_plane.T)
        contributions = np.where(known, np.square(scaled - answer), np.float32(0))
        return Scores(contributions.sum(axis=1), contributions, answer * self.scaler.scale + self.scaler.centre)


def fit(config: PcaConfig, data: TrainingData, _progress: ProgressSink) -> FittedPca:
    """Fits the components on a sample of the scored records; see ``detectors.fit``."""
    decomposition = baselines_library("sklearn.decomposition")
    taken = training_sample(config, data)
    scaled, scaler = taken.scaled(config.clip)
    mean, components = scaled.mean(axis=0), np.zeros((0, scaled.shape[1]), np.float32)
    if (scaled != mean).any():
        components = decomposition.PCA(config.explained_variance, random_state=config.seed).fit(scaled).components_
    arrays = {"centre": scaler.centre, "scale": scaler.scale, "mean": mean, "components": components}
    return FittedPca(taken.basis(), {name: array.astype(np.float32) for name, array in arrays.items()})


load = FittedPca.load
