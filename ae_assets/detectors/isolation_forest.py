"""Isolation forest: a drive-day that few random splits set apart is anomalous."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.base import Scores
from ae_assets.detectors.baseline import Arrays, ScaledBaseline, baselines_library
from ae_assets.detectors.config import IsolationForestConfig
from ae_assets.detectors.paths import Trees, shared_out, sums


class FittedIsolationForest(ScaledBaseline):
    """The trees that scikit-learn grew (Liu et al. 2008, Isolation forest), walked here.

    The score is 2^(-mean path length / expected path length), in (0, 1). It is shared out among the features in
    proportion to how much their splits shortened the expected path; see ``paths``. There is no expected value.

    The arrays are ``children``, ``feature`` and ``roots`` of ``paths.Trees``; ``threshold`` float64 (nodes,), a scaled
    value up to it goes left, infinite for a leaf; ``samples`` int32 (nodes,), the training windows that reached a node.
    """

    config: IsolationForestConfig
    block = 512

    def __init__(self, config: Any, feature_names: tuple[str, ...], used: tuple[str, ...], arrays: Arrays) -> None:
        super().__init__(config, feature_names, used, arrays)
        self.trees = Trees(arrays["children"], arrays["feature"], arrays["roots"])
        self.depth = sum(1 for _ in self.trees.splits())
        self.nearness = _nearness(self.trees, arrays["samples"])
        self.credit = self.trees.credits(self.nearness, len(used))
        windows_per_tree = int(arrays["samples"][arrays["roots"][0]])
        self.usual = len(arrays["roots"]) * max(float(_unsplit_path(np.array([windows_per_tree]))[0]), 1.0)

    @classmethod
    def learn_scaled(cls, config: IsolationForestConfig, scaled: NDArray[np.float32]) -> Arrays:
        ensemble = baselines_library("sklearn.ensemble")
        per_tree = min(config.windows_per_tree, len(scaled))
        forest = ensemble.IsolationForest(n_estimators=config.trees, max_samples=per_tree, random_state=config.seed)
        return _numbered_through([estimator.tree_ for estimator in forest.fit(scaled).estimators_])

    def judge_scaled(self, scaled: NDArray[np.float32], known: NDArray[np.bool_]) -> Scores:  # noqa: ARG002
        """Walks all trees at once, one level at a time."""
        rows = np.arange(len(scaled))[:, None] * scaled.shape[1]
        node = np.broadcast_to(self.trees.roots, (len(scaled), len(self.trees.roots)))
        for _ in range(self.depth):
            right = scaled.take(rows + self.trees.feature.take(node)) > self.arrays["threshold"].take(node)
            node = self.trees.children.take(2 * node + right)
        nearness, credit = sums(node, self.nearness, self.credit)
        score = np.exp2(nearness / self.usual)
        return Scores(score.astype(np.float32), shared_out(score, credit), np.full_like(scaled, np.nan))


def _numbered_through(grown: list[Any]) -> Arrays:
    """scikit-learn's trees, which number their nodes each from 0 and mark leaves by a child of -1, as one."""
    roots = np.cumsum([0, *(tree.node_count for tree in grown[:-1])]).astype(np.int32)
    children = np.concatenate(
        [
            np.stack([tree.children_left, tree.children_right], axis=1)
            + np.where(tree.children_left < 0, 0, root)[:, None]
            for tree, root in zip(grown, roots, strict=True)
        ]
    ).astype(np.int32)
    leaf = children[:, 0] < 0
    children[leaf] = np.flatnonzero(leaf)[:, None]
    feature, threshold, samples = (
        np.concatenate([getattr(tree, name) for tree in grown]) for name in ("feature", "threshold", "n_node_samples")
    )
    return {
        "children": children,
        "feature": np.where(leaf, 0, feature).astype(np.int32),
        "threshold": np.where(leaf, np.inf, threshold),
        "samples": samples.astype(np.int32),
        "roots": roots,
    }


def _nearness(trees: Trees, samples: NDArray[np.int32]) -> NDArray[np.float64]:
    """Minus the expected path length of the rows that reach each node."""
    depth = np.zeros(len(samples))
    levels = list(trees.splits())
    for inner in levels:
        depth[trees.children[inner]] = depth[inner][:, None] + 1
    nearness = -(depth + _unsplit_path(samples))
    for inner in reversed(levels):
        below = trees.children[inner]
        nearness[inner] = (nearness[below] * samples[below]).sum(axis=1) / samples[inner]
    return nearness


def _unsplit_path(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Expected length of the path that was not grown below a node of so many samples (Liu et al. 2008, equation 1)."""
    count = np.maximum(samples, 2).astype(np.float64)
    length = 2 * (np.log(count - 1) + np.euler_gamma) - 2 * (count - 1) / count
    return np.where(samples > 2, length, np.where(samples == 2, 1.0, 0.0))
