"""PCA: the squared distance of the scaled features from the plane that holds most of the healthy variance."""

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.base import Scores
from ae_assets.detectors.baseline import Arrays, ScaledBaseline, baselines_library
from ae_assets.detectors.config import PcaConfig


class FittedPca(ScaledBaseline):
    """The healthy ``mean`` (used,) and the ``components`` (kept, used), float32.

    Shyu et al. 2003, A novel anomaly detection scheme based on principal component classifier, section 3, with the
    minor components unweighted: the squared prediction error of process monitoring (Jackson and Mudholkar 1979).
    """

    config: PcaConfig

    @classmethod
    def learn_scaled(cls, config: PcaConfig, scaled: NDArray[np.float32]) -> Arrays:
        decomposition = baselines_library("sklearn.decomposition")
        mean, components = scaled.mean(axis=0), np.zeros((0, scaled.shape[1]), np.float32)
        if (scaled != mean).any():
            components = decomposition.PCA(config.explained_variance, random_state=config.seed).fit(scaled).components_
        return {"mean": mean.astype(np.float32), "components": components.astype(np.float32)}

    def judge_scaled(self, scaled: NDArray[np.float32], known: NDArray[np.bool_]) -> Scores:
        """Squared errors over the known features; expected are the values on the plane."""
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
