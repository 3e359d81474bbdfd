"""The ordinal model: its coding, its tails, what its score means and what its files hold."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ae_assets.detectors import Windows, fit, load_detector, windows_of
from ae_assets.detectors.cohorts import cohort_numbers
from ae_assets.detectors.config import DetectorConfig, OrdinalConfig
from ae_assets.detectors.ordinal import FittedOrdinal
from ae_assets.detectors.ordinal_coding import CodedFeature, coded_rows, coding_of
from ae_assets.detectors.ordinal_network import Expansion, failure_log_odds, step_log_odds, weights_of
from ae_assets.detectors.tail import KNOTS, Tail
from ae_assets.errors import ModelError
from ae_assets_tests.detectors.fleets import START, fit_on, training_data, with_values

NAMES = ("smart_5_level", "smart_5_growth_7d", "smart_197_level", "smart_9_level", "gap_days", "smart_5_missing")
CONFIG = OrdinalConfig(
    counters=("smart_5", "smart_197"),
    judged=("smart_5", "smart_197"),
    age="smart_9_level",
    epochs=12,
    batch_size=512,
    learning_rate=0.01,
    heads=3,
    least_failures=10,
)


def drives(count: int, seed: int, worn: bool = False, cohort: str = "A") -> pl.DataFrame:
    """One day of drives: few healthy ones have raised counters; drives of cohort B count in steps of 8 and often."""
    random = np.random.default_rng(seed)
    raised = random.random(count) < (0.9 if worn else 0.3 if cohort == "B" else 0.02)
    counts = np.where(raised, random.geometric(0.05 if worn else 0.4, count), 0) * (8 if cohort == "B" else 1)
    level = np.log1p(counts)
    return pl.DataFrame(
        {
            "day": [START] * count,
            "entity": [f"{cohort}{seed}-{number}" for number in range(count)],
            "cohort": [cohort] * count,
            "label": [0] * count,
            "smart_5_level": level,
            "smart_5_growth_7d": np.where(random.random(count) < 0.5, level, 0) if worn else np.zeros(count),
            "smart_197_level": np.where(random.random(count) < (0.5 if worn else 0.01), np.log1p(9.0), 0),
            "smart_9_level": np.log1p(random.uniform(10, 30_000, count)),
            "gap_days": np.ones(count),
            "smart_5_missing": np.zeros(count),
        }
    )


def windows(*tables: pl.DataFrame) -> Windows:
    return windows_of(pl.concat(tables), NAMES)


def cohorts_apart(seed: int) -> Windows:
    """Two cohorts so unlike that there is much to learn."""
    return windows(drives(2000, seed), drives(2000, seed, cohort="B"))


HEALTHY = windows(drives(3000, 1), drives(1500, 2, cohort="B"))
HELD_OUT = windows(drives(600, 3), drives(300, 4, cohort="B"))
FAILING = windows(drives(60, 5, worn=True))


@pytest.fixture(scope="module")
def detector() -> FittedOrdinal:
    fitted = fit_on(CONFIG, HEALTHY, HELD_OUT, failing=FAILING)
    assert isinstance(fitted, FittedOrdinal)
    return fitted


@given(st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=30))
def test_a_code_counts_the_bounds_that_a_value_has_passed(values: list[float]) -> None:
    feature = CodedFeature("growth", "counter", (0.5, 1.5, 4.0), falls=2)
    codes = feature.code(np.array(values, np.float32))
    for value, code in zip(values, codes, strict=True):
        assert code == sum(value > bound for bound in (0.5, 1.5, 4.0)) - sum(value < -bound for bound in (0.5, 1.5))


def test_counters_of_exactly_a_bound_have_not_passed_it() -> None:
    coding = coding_of(CONFIG, HEALTHY, FAILING)
    level = next(feature for feature in coding.features if feature.name == "smart_5_level")
    counts = np.array([0, 1, 2, 3, 4, 5, 8, 9], np.float32)
    assert level.code(np.log1p(counts)).tolist() == [0, 1, 2, 3, 3, 4, 4, 5]


def test_a_missing_counter_has_no_steps_and_is_context() -> None:
    coding = coding_of(CONFIG, HEALTHY, FAILING)
    values = np.full_like(HEALTHY.values, np.nan)
    named = [feature.name + feature.kind for feature in coding.features]
    codes = dict(zip(named, coded_rows(coding, with_values(HEALTHY.take(np.arange(1)), values)).codes[0], strict=True))
    assert codes["smart_5_levelcounter"] == codes["smart_5_growth_7dcounter"] == 0
    assert codes["smart_5_levelmissing"] == codes["smart_197_levelmissing"] == 1
    assert codes["smart_9_levelage"] == codes["gap_daysgap"] == 0


def test_distinct_rows_stand_for_all_windows() -> None:
    coding = coding_of(CONFIG, HEALTHY, FAILING)
    rows = coded_rows(coding, HEALTHY)
    assert len(rows) < len(HEALTHY) / 5
    assert rows.weight.sum() == len(HEALTHY)
    assert np.array_equal(np.bincount(rows.row_of), rows.weight)
    values = HEALTHY.values[HEALTHY.last_row]
    of_each = [feature.code(values[:, NAMES.index(feature.name)]) for feature in coding.features]
    assert np.array_equal(rows.codes[rows.row_of].T, of_each)
    assert np.array_equal(rows.cohort[rows.row_of], cohort_numbers(coding.cohorts, HEALTHY))


def test_steps_are_set_up_to_the_code() -> None:
    coding = coding_of(CONFIG, HEALTHY, FAILING)
    expand = Expansion(coding)
    codes = np.zeros((2, len(coding.features)), np.int8)
    codes[1, 0] = 2
    steps, _ = expand(jnp.asarray(codes))
    assert np.asarray(steps)[0].sum() == 0
    assert np.asarray(steps)[1].tolist() == [1, 1] + [0] * (steps.shape[1] - 2)


@settings(max_examples=20, deadline=None)  # each length is compiled
@example([(-1.0, 1), (0.0, 122), (1.0, 1)])
@given(st.lists(st.tuples(st.floats(-5, 5, width=16), st.integers(1, 100)), min_size=1, max_size=40))
def test_the_surprise_of_a_tail_rises_with_the_value_and_is_its_tail_probability(
    pairs: list[tuple[float, int]],
) -> None:
    values, weight = (np.array(part, np.float64) for part in zip(*pairs, strict=True))
    tail = Tail.of(values, weight)
    asked = np.sort(np.concatenate([values, values + 0.1, [-6.0, 6.0]]))
    surprise = np.asarray(tail(jnp.asarray(asked, jnp.float32)))
    assert (surprise >= 0).all()
    assert (np.diff(surprise) >= -1e-5).all()
    exact = [-np.log((1 + weight[values >= value].sum()) / (1 + weight.sum())) for value in values]
    between_knots = max(exact) / KNOTS + 1e-4
    np.testing.assert_allclose(np.asarray(tail(jnp.asarray(values, jnp.float32))), exact, atol=between_knots)
    assert Tail.from_json(tail.to_json()).to_json() == tail.to_json()


def test_worn_drives_score_above_healthy_ones(detector: FittedOrdinal) -> None:
    healthy = detector.score(HELD_OUT)
    worn = detector.score(windows(drives(100, 6, worn=True)))
    assert np.mean(worn > np.quantile(healthy, 0.99)) > 0.8
    assert detector.history.converged


def test_the_same_counter_surprises_more_in_a_cohort_where_it_is_rare(detector: FittedOrdinal) -> None:
    alike = drives(1, 7).with_columns(smart_5_level=pl.lit(np.log1p(8.0)))
    rare, usual = (detector.score(windows(alike.with_columns(cohort=pl.lit(name))))[0] for name in "AB")
    assert rare > usual + 1


@pytest.mark.parametrize("cohort", ["a drive each", None])
def test_a_fleet_without_large_cohorts_is_fitted_and_scored(cohort: str | None) -> None:
    each = pl.concat_str(pl.lit("model "), pl.col("entity")) if cohort else pl.lit(None, pl.String)
    fleet = windows(drives(1000, 1).with_columns(cohort=each))
    few_epochs = CONFIG.model_copy(update={"epochs": 1, "heads": 1})
    detector = fit_on(few_epochs, fleet, fleet, failing=windows(drives(30, 5, worn=True).with_columns(cohort=each)))
    assert isinstance(detector, FittedOrdinal)
    assert detector.coding.cohorts == ()
    assert np.isfinite(detector.score(fleet)).all()


@pytest.mark.parametrize("changes", [{"epochs": 1}, {"learning_rate": 1e-5}])
def test_training_that_is_cut_off_while_it_still_learns_has_not_converged(changes: dict[str, float]) -> None:
    quick = {"units": 8, "bottleneck": 2, "steps": (0, 1), **changes}
    history = fit_on(CONFIG.model_copy(update=quick), cohorts_apart(1), cohorts_apart(2)).history
    assert not history.converged
    assert history.kept_loss < history.median_loss


def test_only_the_first_epoch_compiles(caplog: pytest.LogCaptureFixture) -> None:
    compiled: list[int] = []
    config = CONFIG.model_copy(update={"heads": 0, "epochs": 3, "units": 4})
    with jax.log_compiles():
        fit(
            config,
            training_data(windows(drives(200, 1)), windows(drives(50, 3))),
            lambda _: compiled.append(sum("Compiling" in record.getMessage() for record in caplog.records)),
        )
    assert compiled[0] > 0
    assert compiled == compiled[:1] * 3


def test_epochs_that_only_harm_leave_the_constant_answer() -> None:
    wild = CONFIG.model_copy(update={"learning_rate": 3.0, "heads": 0, "epochs": 4})
    detector = fit_on(wild, windows(drives(200, 1)), HELD_OUT)
    assert detector.history.best_epoch == -1
    assert detector.history.kept_loss == detector.history.median_loss < min(detector.history.validation_loss)


def test_an_unknown_cohort_is_scored(detector: FittedOrdinal) -> None:
    strange = windows(drives(50, 8, worn=True, cohort="never seen"))
    assert np.isfinite(detector.score(strange)).all()


@pytest.mark.parametrize("name", ["smart_5_level", "smart_197_level"])
def test_a_raised_attribute_contributes_most(detector: FittedOrdinal, name: str) -> None:
    calm = drives(30, 9).with_columns(pl.lit(0.0).alias("smart_5_level"), pl.lit(0.0).alias("smart_197_level"))
    raised = detector.explain(windows(calm.with_columns(pl.lit(np.log1p(40.0)).alias(name))))
    assert (raised.contributions.argmax(axis=1) == NAMES.index(name)).all()
    assert (raised.score > detector.score(windows(calm))).all()
    assert (raised.expected[:, NAMES.index(name)] == 0).all()


def test_without_enough_failures_the_score_is_the_surprise_of_the_steps_alone() -> None:
    few = windows(drives(9, 5, worn=True))
    few_epochs = CONFIG.model_copy(update={"epochs": 2})
    alone, unlabelled = (fit_on(few_epochs, HEALTHY, HELD_OUT, failing=failing) for failing in (few, None))
    assert isinstance(alone, FittedOrdinal)
    assert alone.heads is None
    assert np.array_equal(alone.score(HELD_OUT), unlabelled.score(HELD_OUT))


@pytest.mark.parametrize(("shuffled", "least", "most"), [(False, 0.9, 1.0), (True, 0.4, 0.6)])
def test_shuffled_labels_teach_the_heads_nothing(shuffled: bool, least: float, most: float) -> None:
    everyone = pl.concat([drives(3000, 1), drives(300, 5, worn=True)])
    healthy = everyone.sample(fraction=0.9, seed=1, shuffle=True) if shuffled else drives(3000, 1)
    labelled = everyone.join(healthy, on="entity", how="anti")
    detector = fit_on(CONFIG, windows(healthy), HELD_OUT, failing=windows(labelled))
    assert isinstance(detector, FittedOrdinal)
    new = windows(drives(3000, 11), drives(300, 12, worn=True))
    codes = coded_rows(detector.coding, new)
    assert detector.heads is not None
    expand = Expansion(detector.coding)
    opinion = failure_log_odds(detector.heads, *expand(jnp.asarray(codes.codes)), jnp.asarray(codes.cohort)).mean(
        axis=0
    )
    is_worn = np.array([entity.startswith("A12-") for entity in new.keys()["entity"]])
    of_each = np.asarray(opinion)[codes.row_of]
    worn, well = of_each[is_worn][:, None], of_each[~is_worn][None, :]
    area_under_curve = np.mean(worn > well) + np.mean(worn == well) / 2
    assert least <= area_under_curve <= most


@pytest.mark.bits
def test_equal_seeds_give_equal_bits_and_others_do_not() -> None:
    one, again, other = (
        fit_on(
            CONFIG.model_copy(update={"seed": seed, "epochs": 1, "heads": 1}), HEALTHY, HELD_OUT, failing=FAILING
        ).score(HELD_OUT)
        for seed in (7, 7, 8)
    )
    assert one.tobytes() == again.tobytes()
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("bottleneck", [0, 2])
def test_the_keras_model_gives_what_the_pure_functions_give(bottleneck: int) -> None:
    config = CONFIG.model_copy(update={"bottleneck": bottleneck, "epochs": 2})
    detector = fit_on(config, HEALTHY, HELD_OUT, failing=FAILING)
    assert isinstance(detector, FittedOrdinal)
    rows = coded_rows(detector.coding, HELD_OUT)
    steps, context = Expansion(detector.coding)(jnp.asarray(rows.codes))
    model = detector.model()
    of_steps, of_failure = model([steps, context, jnp.asarray(rows.cohort)])
    expected = step_log_odds(detector.step_model, steps, context, jnp.asarray(rows.cohort))
    np.testing.assert_allclose(of_steps, expected, rtol=1e-4, atol=1e-4)
    assert detector.heads is not None
    opinions = failure_log_odds(detector.heads, steps, context, jnp.asarray(rows.cohort))
    np.testing.assert_allclose(np.asarray(of_failure).T, opinions, rtol=1e-4, atol=1e-4)
    step_model, heads = weights_of(model, config, detector.expand, 3)
    assert heads is not None
    for read, kept in zip([*step_model, *heads], [*detector.step_model, *detector.heads], strict=True):
        if kept.size and (bottleneck or kept.shape != detector.step_model.hidden_kernel.shape):
            assert np.array_equal(read, kept)


def test_a_detector_without_heads_is_saved_and_loaded(tmp_path: Path) -> None:
    detector = fit_on(CONFIG.model_copy(update={"heads": 0, "epochs": 2}), HEALTHY, HELD_OUT, failing=FAILING)
    detector.save(tmp_path)
    loaded = load_detector(tmp_path, NAMES)
    assert loaded.score(FAILING).tobytes() == detector.score(FAILING).tobytes()


def test_a_model_file_of_another_version_is_refused(detector: FittedOrdinal, tmp_path: Path) -> None:
    detector.save(tmp_path / "one")
    fit_on(CONFIG.model_copy(update={"heads": 1, "epochs": 1}), HEALTHY, HELD_OUT, failing=FAILING).save(
        tmp_path / "two"
    )
    (tmp_path / "two" / "model.keras").replace(tmp_path / "one" / "model.keras")
    with pytest.raises(ModelError, match="not of one model version"):
        load_detector(tmp_path / "one", NAMES)


def test_counters_that_the_table_lacks_are_named() -> None:
    with pytest.raises(ModelError, match="no feature smart_6_level"):
        fit_on(CONFIG.model_copy(update={"counters": ("smart_5", "smart_6", "smart_197")}), HEALTHY, HELD_OUT)


def test_where_no_counter_has_risen_yet_the_first_to_rise_scores_highest() -> None:
    few = drives(5, 1).with_columns(smart_5_level=pl.lit(0.0), smart_197_level=pl.lit(0.0))
    flat = windows(few)
    detector = fit_on(CONFIG, flat, flat)
    risen = pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(np.log1p(4))).otherwise(0.0)
    scores = detector.score(windows(few.with_columns(smart_5_level=risen)))
    assert scores.argmax() == 3
    assert scores[3] > detector.score(flat).max()
    assert max(scores[:3].max(), scores[4]) <= detector.score(flat).max()


def test_counters_that_no_drive_reports_cannot_be_judged() -> None:
    none = pl.lit(None, pl.Float64)
    unknown = windows(drives(100, 1).with_columns(smart_5_level=none, smart_5_growth_7d=none, smart_197_level=none))
    with pytest.raises(ModelError, match="nothing to tell drives by"):
        fit_on(CONFIG, unknown, unknown)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"judged": ("smart_1",)}, "judged must name counters"), ({"steps": (3, 1)}, "steps must rise from 0")],
)
def test_wrong_settings_are_explained(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        OrdinalConfig.model_validate({"counters": ("smart_5",), "judged": ("smart_5",), **wrong})


def test_what_was_saved_under_the_former_name_is_loaded(detector: FittedOrdinal, tmp_path: Path) -> None:
    detector.save(tmp_path)
    path = tmp_path / "preprocessing.json"
    record = json.loads(path.read_text())
    record["config"]["type"] = "ordinal_autoencoder"
    path.write_text(json.dumps(record))
    loaded = load_detector(tmp_path, NAMES)
    assert loaded.config == detector.config
    assert loaded.score(FAILING).tobytes() == detector.score(FAILING).tobytes()


def test_the_former_name_in_a_yaml_means_the_ordinal_model() -> None:
    settings = {"counters": ["smart_5"], "judged": ["smart_5"]}
    old, new = (
        TypeAdapter(DetectorConfig).validate_python({"type": name, **settings})
        for name in ("ordinal_autoencoder", "ordinal")
    )
    assert old == new == OrdinalConfig(counters=("smart_5",), judged=("smart_5",))
