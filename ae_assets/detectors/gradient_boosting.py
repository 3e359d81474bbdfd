"""Gradient-boosted trees that learn from labelled failures: the supervised baseline."""

import time
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.base import Scores, TrainingHistory
from ae_assets.detectors.baseline import FittedBaseline, baselines_library, picked, training_sample
from ae_assets.detectors.config import GradientBoostingConfig
from ae_assets.detectors.paths import Trees, shared_out, sums
from ae_assets.detectors.windows import TrainingData
from ae_assets.errors import ModelError
from ae_assets.progress import Progress, ProgressSink

REPORT_EVERY = 10


class FittedGradientBoosting(FittedBaseline):
    """LightGBM's trees (Ke et al. 2017), which tell windows before a failure from healthy ones.

    The score is softplus(log-odds) = -log(1 - probability of failure): not negative, and in the order of the log-odds.
    The probability is that of the weighted training windows, far above the fleet's. The score is shared out among the
    features in proportion to how much their splits raised the log-odds; see ``paths``. There is no expected value.
    """

    config: GradientBoostingConfig
    file_name = "model.txt"
    learns_from_failures = True

    def __init__(self, config: Any, feature_names: tuple[str, ...], used: tuple[str, ...], booster: Any) -> None:
        super().__init__(config, feature_names, used, {})
        self.booster = booster
        trees, self.log_odds, self.leaves = _trees_of(booster.dump_model()["tree_info"])
        self.credit = trees.credits(self.log_odds, len(used))

    @classmethod
    def fit(cls, config: GradientBoostingConfig, data: TrainingData, progress: ProgressSink) -> Self:
        """Grows the trees on a sample of the healthy windows and on all failing ones; see ``detectors.fit``.

        Failed entities weigh alike, however many windows each has, and together as much as the healthy windows.

        Raises:
            ModelError: there is no failing window, or the windows are so few that no tree splits them.
        """
        failing, began = data.failing, time.perf_counter()
        if not len(failing):
            raise ModelError(
                "gradient_boosting learns from labelled failures, and received no window inside the horizon before a "
                "known failure; train on a range with failures that its labels know of, or leave gradient_boosting out "
                "of detector and comparisons."
            )
        lightgbm = baselines_library("lightgbm")
        used, healthy = training_sample(config, data)
        names = failing.feature_names
        worn = picked(failing.values, failing.last_row, np.array([names.index(name) for name in used], np.int64))
        weight = failing.weight_per_entity()
        labelled = lightgbm.Dataset(
            np.concatenate([healthy, worn]),
            np.repeat([0, 1], [len(healthy), len(worn)]),
            weight=np.concatenate([np.ones(len(healthy)), weight * len(healthy) / weight.sum()]),
            feature_name=[f"feature_{column}" for column in range(len(used))],
        )

        def report(environment: Any) -> None:
            done = environment.iteration + 1
            if done % REPORT_EVERY == 0 or done == config.trees:
                seconds = time.perf_counter() - began
                progress(Progress(f"training {config.type}", done, config.trees, "trees", labelled.num_data(), seconds))

        fitted = cls(
            config, names, used, lightgbm.train(_parameters(config), labelled, config.trees, callbacks=[report])
        )
        if fitted.leaves.shape[1] == 1:
            raise ModelError(
                f"No tree of gradient_boosting split its {len(healthy)} healthy and {len(worn)} failing windows, so "
                f"every score would be the same: min_windows_per_leaf is {config.min_windows_per_leaf}, or no feature "
                "tells them apart; lower min_windows_per_leaf or train on more windows."
            )
        fitted.history = TrainingHistory(
            windows_seen=len(healthy) + len(worn),
            windows_available=len(data.train) + len(worn),
            seconds=time.perf_counter() - began,
        )
        return fitted

    def judge(self, values: NDArray[np.float32]) -> Scores:
        """Lets LightGBM find the leaves, and adds up what they say."""
        leaf = self.booster.predict(values, pred_leaf=True, num_threads=1)
        nodes = self.leaves[np.arange(len(self.leaves)), leaf.astype(np.int32)]
        log_odds, credit = sums(nodes, self.log_odds, self.credit)
        score = np.logaddexp(0, log_odds)
        return Scores(score.astype(np.float32), shared_out(score, credit), np.full_like(values, np.nan))

    def packed(self) -> bytes:
        """LightGBM's own text, which holds every bit of the trees."""
        text: str = self.booster.model_to_string()
        return text.encode()

    @staticmethod
    def unpacked(content: bytes) -> Any:
        return baselines_library("lightgbm").Booster(model_str=content.decode())


def _parameters(config: GradientBoostingConfig) -> dict[str, Any]:
    return {
        "objective": "binary",
        "num_leaves": config.leaves,
        "learning_rate": config.learning_rate,
        "min_data_in_leaf": config.min_windows_per_leaf,
        "lambda_l2": config.l2,
        "num_threads": 1,  # waiting threads spin: where others compute as well, more of them take many times as long
        "seed": config.seed,
        "deterministic": True,
        "force_row_wise": True,  # one of the two must be named, or timings of the machine choose
        "verbosity": -1,
    }


def _trees_of(tree_info: list[Mapping[str, Any]]) -> tuple[Trees, NDArray[np.float64], NDArray[np.int32]]:
    """LightGBM's nested trees, numbered through.

    Returns:
        the trees, the log-odds of their nodes, and the node of each tree's leaves (trees, most leaves).
    """
    children: list[tuple[int, int]] = []
    feature: list[int] = []
    log_odds: list[float] = []
    leaves = np.zeros((len(tree_info), max(tree["num_leaves"] for tree in tree_info)), np.int32)

    def add(number: int, node: Mapping[str, Any]) -> int:
        here = len(children)
        splits = "split_feature" in node
        children.append((here, here))
        feature.append(node["split_feature"] if splits else 0)
        log_odds.append(node["internal_value"] if splits else node["leaf_value"])
        if splits:
            children[here] = add(number, node["left_child"]), add(number, node["right_child"])
        else:
            leaves[number, node.get("leaf_index", 0)] = here
        return here

    roots = [add(number, tree["tree_structure"]) for number, tree in enumerate(tree_info)]
    trees = Trees(np.array(children, np.int32), np.array(feature, np.int32), np.array(roots, np.int32))
    return trees, np.array(log_odds), leaves
