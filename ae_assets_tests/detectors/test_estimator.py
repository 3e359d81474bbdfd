"""Estimators of other libraries as detectors."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from ae_assets.detectors import FittedDetector, load_detector, windows_of
from ae_assets.detectors.config import EstimatorConfig
from ae_assets.errors import ModelError
from ae_assets_tests.detectors.fleets import NAMES, fitted, fleet

SKLEARN_FOREST = "sklearn.ensemble.IsolationForest"


def estimator(path: str, **settings: Any) -> EstimatorConfig:
    return EstimatorConfig.model_validate({"class": path, **settings})


def ranked_first(detector: FittedDetector) -> float:
    """Share of the entities whose features are raised that score above 95 of 100 usual days."""
    usual = detector.score(windows_of(fleet(seed=5), NAMES))
    raised = fleet(entities=20, seed=6).with_columns(pl.col(NAMES) + 8)
    return float((detector.score(windows_of(raised, NAMES)) > np.quantile(usual, 0.95)).mean())


@pytest.mark.parametrize(
    ("path", "settings"),
    [
        (SKLEARN_FOREST, {}),
        (SKLEARN_FOREST, {"method": "score_samples", "options": {"n_estimators": 50}}),
        ("sklearn.svm.OneClassSVM", {"max_windows": 300}),
        ("sklearn.neighbors.LocalOutlierFactor", {"options": {"novelty": True}}),
        ("pyod.models.iforest.IForest", {}),
        ("pyod.models.knn.KNN", {"options": {"n_neighbors": 5}}),
    ],
)
def test_an_estimator_of_scikit_learn_or_pyod_scores_what_is_raised_higher(
    path: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    detector = fitted(estimator(path, **settings))
    assert ranked_first(detector) > 0.5
    detector.save(tmp_path)
    windows = windows_of(fleet(seed=5), NAMES)
    np.testing.assert_allclose(load_detector(tmp_path).score(windows), detector.score(windows), rtol=1e-5)


def test_the_score_is_the_estimators_own_above_its_lowest_training_score() -> None:
    from sklearn.ensemble import IsolationForest

    detector = fitted(estimator(SKLEARN_FOREST, options={"n_estimators": 30}))
    theirs = IsolationForest(n_estimators=30, random_state=7).fit(detector.arrays["sample"])
    raw = -theirs.decision_function(detector.arrays["sample"])
    np.testing.assert_allclose(detector.arrays["scores"], raw)
    rows = windows_of(fleet(), NAMES)
    assert detector.score(rows).min() == 0


def test_a_high_score_is_put_down_to_the_features_that_raise_it() -> None:
    detector = fitted(estimator(SKLEARN_FOREST))
    raised = fleet(entities=20, seed=6, missing=0).with_columns(pl.col(NAMES[1]) + 30)
    scores = detector.explain(windows_of(raised, NAMES))
    assert (scores.contributions.argmax(axis=1) == 1).mean() > 0.8


def test_an_estimator_that_ranks_a_row_among_the_others_is_refused() -> None:
    with pytest.raises(ModelError, match="by the rows beside it"):
        fitted(estimator("pyod.models.ecod.ECOD"))


@pytest.mark.parametrize(
    ("path", "settings", "says"),
    [
        ("sklearn.nowhere.Forest", {}, r"sklearn\.nowhere cannot be imported"),
        ("sklearn.ensemble.Forest", {}, "is no class with the methods fit and decision_function"),
        ("sklearn.clone", {}, "is no class with the methods"),
        (SKLEARN_FOREST, {"options": {"trees": 3}}, "cannot be fitted with the options {'trees': 3}: .*trees"),
        (SKLEARN_FOREST, {"options": {"n_estimators": -1}}, "cannot be fitted with the options"),
        ("sklearn.neighbors.LocalOutlierFactor", {}, "cannot be fitted with the options"),
    ],
)
def test_what_cannot_be_used_is_named(path: str, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        fitted(estimator(path, **settings))


def test_a_class_of_another_library_must_be_there_and_say_what_its_numbers_mean() -> None:
    with pytest.raises(ValidationError, match=r"higher must say .* numpy\.random\.Generator"):
        estimator("numpy.random.Generator")
    with pytest.raises(ValidationError, match="cannot be imported: No module named 'not_there'"):
        estimator("not_there.Forest", higher="normal")


def changed(directory: Path, **config: Any) -> Path:
    path = directory / "preprocessing.json"
    record = json.loads(path.read_text())
    record["config"] |= config
    path.write_text(json.dumps(record))
    return directory


def test_a_stored_model_makes_python_import_nothing_and_call_nothing_but_estimators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted.py").write_text("raise SystemExit('a stored model was executed')")
    monkeypatch.syspath_prepend(str(tmp_path))
    fitted(estimator(SKLEARN_FOREST)).save(tmp_path / "model")
    for config in (
        {"class": "planted.Forest", "higher": "normal"},
        {"type": "planted:Forest"},
        {"class": "subprocess.Popen", "higher": "normal", "options": {"args": ["touch", str(tmp_path / "ran")]}},
    ):
        with pytest.raises(ModelError):
            load_detector(changed(tmp_path / "model", **config))
    assert "planted" not in sys.modules
    assert not (tmp_path / "ran").exists()


def test_an_estimator_that_scores_otherwise_after_loading_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.ensemble import IsolationForest

    library = ModuleType("home_made")
    library.Forest = type("Forest", (IsolationForest,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "home_made", library)
    fitted(estimator("home_made.Forest", higher="normal")).save(tmp_path)
    assert load_detector(tmp_path).config.type == "estimator"
    changed(tmp_path, options={"n_estimators": 7})
    with pytest.raises(ModelError, match="train it again"):
        load_detector(tmp_path)
