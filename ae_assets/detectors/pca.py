"""PCA: how far the scaled features lie from the plane that holds most of the healthy variance, and within it."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.base import Scores
from ae_assets.detectors.baseline import Arrays, ScaledBaseline, baselines_library
from ae_assets.detectors.config import PcaConfig

LIMIT = 0.95
"""Share of the healthy records below the unit of each of two statistics that are added up."""

Matrix: TypeAlias = NDArray[np.float32]


class FittedPca(ScaledBaseline):
    """The healthy ``mean`` (used,) and the ``components`` (kept, used), float32.

    Shyu et al. 2003, A novel anomaly detection scheme based on principal component classifier, section 3, with the
    minor components unweighted: the squared prediction error Q of process monitoring (Jackson and Mudholkar 1979). T2
    is that of Hotelling over the kept components; the sum of both in units of their limits is that of Yue and Qin 2001.
    For it there are the ``variance`` (kept,) along each component and the ``limits`` (2,) of T2 and Q.
    """

    config: PcaConfig

    @classmethod
    def learn_scaled(cls, config: PcaConfig, scaled: Matrix) -> Arrays:
        decomposition = baselines_library("sklearn.decomposition")
        mean, components, variance = scaled.mean(axis=0), np.zeros((0, scaled.shape[1])), np.zeros(0)
        if (scaled != mean).any():
            fitted = decomposition.PCA(config.explained_variance, random_state=config.seed).fit(scaled)
            components, variance = fitted.components_, fitted.explained_variance_
        arrays = {"mean": mean.astype(np.float32), "components": components.astype(np.float32)}
        if config.statistic == "q":
            return arrays
        arrays["variance"] = variance.astype(np.float32)
        coordinates, on_plane = _projected(arrays, scaled)
        t2 = (np.square(coordinates) / arrays["variance"][:, None]).sum(axis=0)
        limits = [np.quantile(one, LIMIT) for one in (t2, np.square(scaled - on_plane).sum(axis=1))]
        return {**arrays, "limits": np.array([limit if limit > 0 else 1 for limit in limits], np.float32)}

    def judge_scaled(self, scaled: Matrix, known: NDArray[np.bool_]) -> Scores:
        """The statistic over the known features; expected are the values on the plane."""
        both = self.config.statistic == "t2_and_q"
        if both:
            scaled = np.where(known, scaled, self.arrays["mean"])
        coordinates, on_plane = _projected(self.arrays, scaled)
        contributions = np.where(known, np.square(scaled - on_plane), np.float32(0))
        if both:
            of_t2, of_q = self.arrays["limits"]
            within = _shares_of_t2(self.arrays, scaled - self.arrays["mean"], coordinates)
            contributions = contributions / of_q + within / of_t2
        return Scores(contributions.sum(axis=1), contributions, on_plane * self.scaler.scale + self.scaler.centre)


def _projected(arrays: Arrays, scaled: Matrix) -> tuple[Matrix, Matrix]:
    """Where rows (rows, used) lie in the plane (kept, rows), and the points there (rows, used)."""
    mean, components = arrays["mean"][:, None], arrays["components"]
    coordinates = np.zeros((len(components), len(scaled)), np.float32)
    for feature, weights in zip(np.ascontiguousarray(scaled.T) - mean, components.T, strict=True):
        coordinates += weights[:, None] * feature
    return coordinates, _combined(coordinates, components, np.broadcast_to(mean, scaled.T.shape))


def _combined(weights: Matrix, components: Matrix, start: Matrix) -> Matrix:
    """The sum of components by weights (kept, rows), added to a start (used, rows); transposed."""
    total = start.copy()
    for weight, component in zip(weights, components, strict=True):
        total += component[:, None] * weight
    return np.ascontiguousarray(total.T)


def _shares_of_t2(arrays: Arrays, centred: Matrix, coordinates: Matrix) -> Matrix:
    """The squared distance within the plane, shared out by what each feature adds to it; none where it takes away."""
    weights = np.divide(coordinates, arrays["variance"][:, None], dtype=np.float32)
    gradient = _combined(weights, arrays["components"], np.zeros_like(centred.T))
    added = np.maximum(centred * gradient, 0)
    total = added.sum(axis=1)
    t2 = np.zeros(len(centred), np.float32)
    for weight, coordinate in zip(weights, coordinates, strict=True):
        t2 += weight * coordinate
    shares: Matrix = added * (t2 / np.where(total > 0, total, 1))[:, None]
    return shares
