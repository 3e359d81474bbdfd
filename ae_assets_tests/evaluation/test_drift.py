"""Drift against a reference: what is found, and how often it is found where there is none."""

import json
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from ae_assets.errors import ContractError
from ae_assets.evaluation.drift import (
    Bins,
    Mix,
    Reference,
    bound_by_chance,
    feature_drifts,
    score_drift,
    stability_index,
)

FEATURES = ("temperature", "counter", "rate", "constant")
LIMIT, RATE = 0.1, 0.01


def fleet(entities: int, seed: int, *, cohorts: tuple[float, ...] = (0.6, 0.3, 0.1)) -> pl.DataFrame:
    """One row per entity: a normal, a counter that is 0 for most, a skewed number often unknown, and a constant."""
    generator = np.random.default_rng(seed)
    rate = np.where(generator.random(entities) < 0.3, np.nan, generator.exponential(size=entities))
    return pl.DataFrame(
        {
            "day": [date(2024, 1, 1)] * entities,
            "entity": [f"{seed}-{number}" for number in range(entities)],
            "cohort": generator.choice(["A", "B", "C"], entities, p=cohorts).tolist(),
            "temperature": generator.normal(size=entities),
            "counter": np.log1p(generator.poisson(0.03, entities)),
            "rate": rate,
            "constant": np.zeros(entities),
        }
    ).with_columns(pl.col("rate").fill_nan(None))


def reference_of(rows: pl.DataFrame) -> Reference:
    return Reference.of(rows, FEATURES, rows["temperature"].to_numpy())


REFERENCE = reference_of(fleet(5_000, 1))


def drifted(rows: pl.DataFrame, limit: float = LIMIT) -> set[str]:
    return {drift.name for drift in feature_drifts(REFERENCE, rows, limit, RATE) if drift.drifted}


def test_nothing_drifts_where_nothing_changed() -> None:
    assert drifted(fleet(2_000, 2)) == set()


def test_a_shifted_feature_is_found_and_no_other() -> None:
    assert drifted(fleet(2_000, 2).with_columns(pl.col("temperature") + 0.6)) == {"temperature"}
    assert drifted(fleet(2_000, 2).with_columns(pl.col("temperature") - 0.6)) == {"temperature"}


def test_a_counter_that_was_0_for_nearly_all_and_rises_is_found() -> None:
    generator = np.random.default_rng(3)
    rising = fleet(2_000, 2).with_columns(counter=pl.Series(np.log1p(generator.poisson(0.3, 2_000))))
    assert drifted(rising) == {"counter"}


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_a_constant_that_starts_to_vary_is_found(value: float) -> None:
    moved = fleet(2_000, 2).with_columns(constant=pl.when(pl.int_range(pl.len()) % 5 == 0).then(value).otherwise(0.0))
    assert drifted(moved) == {"constant"}


def test_a_feature_that_goes_missing_is_found_with_its_shares_then_and_now() -> None:
    for rows in (fleet(2_000, 2).with_columns(rate=pl.lit(None, pl.Float64)), fleet(2_000, 2).drop("rate")):
        (found,) = (drift for drift in feature_drifts(REFERENCE, rows, LIMIT, RATE) if drift.drifted)
        assert found.name == "rate"
        assert found.unknown_then == pytest.approx(0.3, abs=0.03)
        assert found.unknown_now == 1.0


def test_a_feature_that_was_unknown_and_is_reported_now_is_found() -> None:
    assert drifted(fleet(2_000, 2).with_columns(pl.col("rate").fill_null(pl.lit(1.0)))) == {"rate"}


def test_a_changed_cohort_mix_and_an_unheard_of_cohort_are_found() -> None:
    assert drifted(fleet(2_000, 2, cohorts=(0.3, 0.4, 0.3))) == {"cohort"}
    new = fleet(2_000, 2).with_columns(
        cohort=pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("D")).otherwise("cohort")
    )
    (found,) = (drift for drift in feature_drifts(REFERENCE, new, LIMIT, RATE) if drift.drifted)
    assert (found.name, found.unknown_then, found.unknown_now) == ("cohort", 0.0, 0.2)


def test_a_shift_within_the_limit_is_no_drift_however_many_entities_show_it() -> None:
    slight = fleet(50_000, 2).with_columns(pl.col("temperature") + 0.1)
    assert drifted(slight) == set()
    assert drifted(slight, limit=1e-6) >= {"temperature"}


def test_a_large_index_of_a_handful_of_entities_is_no_drift() -> None:
    few = feature_drifts(REFERENCE, fleet(15, 4), 0.001, RATE)
    assert max(drift.index for drift in few) > LIMIT
    assert not any(drift.drifted for drift in few)


def false_alarms(trials: int, reference_entities: int, now_entities: int, rate: float) -> int:
    """Looks that name any quantity though fleets are drawn anew from one distribution; no limit helps."""
    count = 0
    for trial in range(trials):
        reference = reference_of(fleet(reference_entities, 10 + 2 * trial))
        found = feature_drifts(reference, fleet(now_entities, 11 + 2 * trial), 0.0, rate)
        count += any(drift.drifted for drift in found)
    return count


@pytest.mark.parametrize("sizes", [(400, 150), (150, 400)])
def test_the_false_alarm_rate_of_a_look_is_what_it_states(sizes: tuple[int, int]) -> None:
    trials, rate = 250, 0.2
    count = false_alarms(trials, *sizes, rate)
    assert count <= binom.ppf(0.999, trials, rate)
    # Bonferroni, ties and rare values leave a part of the rate unused, not most of it.
    assert count >= binom.ppf(0.001, trials, rate / 4)


def test_the_same_entities_on_both_sides_lower_the_false_alarm_rate() -> None:
    """The reference and a later day of one fleet: each entity keeps most of what it is."""
    generator = np.random.default_rng(5)
    count = 0
    for trial in range(150):
        own = generator.normal(size=300)
        then, now = (own + 0.3 * generator.normal(size=300) for _ in range(2))
        reference = Reference.of(fleet(300, trial), (), then)
        count += score_drift(reference, now, 0.0, 0.2).drifted
    assert count < binom.ppf(0.001, 150, 0.2)


def test_rows_taken_for_entities_break_the_stated_rate_and_one_row_each_keeps_it() -> None:
    """Why drift is judged on one row per entity: thirty days of a drive are hardly more than one."""
    generator = np.random.default_rng(6)
    by_row = by_entity = 0
    for _ in range(100):
        then, now = (generator.normal(size=200)[:, None] + 0.2 * generator.normal(size=(200, 30)) for _ in range(2))
        rows, entities = Bins.of(then.ravel()), Bins.of(then[:, 0])
        row_index = stability_index(rows.counts, rows.count(now.ravel()))
        by_row += row_index > bound_by_chance(rows.counts, rows.count(now.ravel()), 0.05)
        entity_index = stability_index(entities.counts, entities.count(now[:, 0]))
        by_entity += entity_index > bound_by_chance(entities.counts, entities.count(now[:, 0]), 0.05)
    assert by_entity <= binom.ppf(0.999, 100, 0.05)
    assert by_row > 90


def test_the_bound_is_the_one_of_the_chi_square_law_where_all_bins_are_full() -> None:
    """For large samples the index is distributed as (1/n + 1/m) chi-square (Yurdakul and Naranjo 2020)."""
    from scipy.stats import chi2

    then, now = np.full(10, 1_000), np.full(10, 200)
    expected = (1 / 10_000 + 1 / 2_000) * chi2.ppf(0.99, 9)
    assert bound_by_chance(then, now, 0.01) == pytest.approx(expected, rel=0.1)
    assert bound_by_chance(then, now, 0.01) == bound_by_chance(then, now, 0.01)


def test_a_shift_by_one_standard_deviation_gives_the_index_of_theory() -> None:
    # The index of narrow bins is close to the symmetrised Kullback-Leibler divergence, 1 for a shift by 1.
    bins = Bins.of(np.random.default_rng(7).normal(size=50_000))
    shifted = bins.count(np.random.default_rng(8).normal(1.0, size=20_000))
    assert 0.8 < stability_index(bins.counts, shifted) < 1.05


@given(st.lists(st.integers(0, 500), min_size=2, max_size=8), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_an_index_is_0_for_equal_shares_never_negative_and_the_same_in_both_directions(
    counts: list[int], seed: int
) -> None:
    other = np.random.default_rng(seed).integers(0, 500, len(counts))
    assert stability_index(counts, counts) == pytest.approx(0, abs=1e-12)
    assert stability_index(counts, other) >= 0
    assert stability_index(counts, other) == pytest.approx(stability_index(other, counts))


@given(st.lists(st.one_of(st.floats(width=32), st.none()), max_size=60), st.lists(st.floats(width=32), max_size=60))
@settings(max_examples=100, deadline=None)
def test_every_entity_is_counted_once_whatever_its_value(then: list[float | None], now: list[float]) -> None:
    bins = Bins.of(np.array(then, dtype=np.float64))
    assert sum(bins.counts) == len(then)
    assert bins.count(now).sum() == len(now)
    assert list(bins.edges) == sorted(set(bins.edges))
    assert bins.counts[-1] == sum(value is None or np.isnan(value) for value in then)


def test_a_cohort_of_the_long_tail_is_counted_with_the_others() -> None:
    mix = Mix.of(pl.Series("cohort", [f"C{number:02}" for number in range(30) for _ in range(40 - number)] + [None]))
    assert len(mix.names) == 20
    assert mix.counts[-1] == sum(40 - number for number in range(20, 30)) + 1
    assert mix.count(pl.Series("cohort", [], dtype=pl.String)).sum() == 0


def test_a_reference_is_read_back_from_json_as_it_was() -> None:
    assert Reference.from_dict(json.loads(json.dumps(REFERENCE.as_dict(), allow_nan=False))) == REFERENCE
    assert len(json.dumps(REFERENCE.as_dict())) < 2_500


@pytest.mark.parametrize("rows", [fleet(10, 1).clear(), pl.concat([fleet(10, 1)] * 2)])
def test_other_than_one_row_per_entity_is_refused(rows: pl.DataFrame) -> None:
    with pytest.raises(ContractError, match=r"received \d+ rows of \d+ entities, expected one row per entity"):
        feature_drifts(REFERENCE, rows, LIMIT, RATE)
