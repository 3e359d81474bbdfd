"""Which features moved a row down each tree of an ensemble, and how much: sums over the nodes where rows end.

Every node has a value, what the tree answers on average for the rows that reach it. The step from a node to its child
is credited to the feature that the node splits on, so that the credits of a path add up to the difference between its
end and the root (Palczewska et al. 2014, Interpreting random forest classification models using a feature contribution
method, section 4). The credits of a node are fixed when the tree is grown; explaining a row is adding up one stored row
per tree. TreeSHAP (Lundberg et al. 2020) averages over all orders of the features instead and takes some fifty times as
long.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class Trees:
    """The nodes of all trees, numbered through.

    Attributes:
        children: int32 (nodes, 2), left and right child; a leaf is its own child.
        feature: int32 (nodes,), the column that a node splits on; 0 for a leaf.
        roots: int32 (trees,).
    """

    children: NDArray[np.int32]
    feature: NDArray[np.int32]
    roots: NDArray[np.int32]

    def splits(self) -> Iterator[NDArray[np.int32]]:
        """The nodes that split, those of one depth at a time, roots first."""
        level = self.roots
        while len(level):
            inner = level[self.children[level, 0] != level]
            if len(inner):
                yield inner
            level = self.children[inner].ravel()

    def credits(self, value: NDArray[np.float64], features: int) -> NDArray[np.float32]:
        """What each feature has added to the value on the way to each node (nodes, features)."""
        credit = np.zeros((len(value), features))
        for inner in self.splits():
            for child in self.children[inner].T:
                credit[child] = credit[inner]
                credit[child, self.feature[inner]] += value[child] - value[inner]
        return credit.astype(np.float32)


def sums(
    nodes: NDArray[np.integer], value: NDArray[np.float64], credit: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Values (rows,) and credits (rows, features) of the nodes where rows end (rows, trees), summed over the trees."""
    rows, trees = nodes.shape
    starts = np.arange(0, rows * trees + 1, trees)
    ends = csr_array((np.ones(nodes.size, np.float32), nodes.ravel(), starts), shape=(rows, len(value)))
    return ends @ value, ends @ credit


def shared_out(score: NDArray[np.float64], credit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Contributions (rows, features) that add up to the scores (rows,): shares in proportion to the positive credits.

    Where nothing has raised a score, all features share it alike; such a score is among the lowest there are.
    """
    raised = np.maximum(credit.astype(np.float64), 0)
    raised[~raised.any(axis=1)] = 1
    contributions: NDArray[np.float32] = (raised * (score / raised.sum(axis=1))[:, None]).astype(np.float32)
    return contributions
