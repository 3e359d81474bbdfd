"""The protocols of series: cases with known answers, and an independent evaluator on random series."""

import importlib.util
from datetime import UTC, datetime, timedelta
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_assets.errors import ContractError
from ae_assets.evaluation.protocols.alarms import alarm_figures
from ae_assets.evaluation.protocols.curves import average_precision, best_f1, period_of, point_adjusted_f1, vus_pr
from ae_assets.evaluation.protocols.labelled_series import LabelledSeries, labelled_series, runs
from ae_assets.evaluation.protocols.nab import PROFILES, Profile, nab_gain, nab_score
from ae_assets.schemas.intervals import INTERVAL_SCHEMA
from ae_assets_tests.conftest import real_data

Corpus = dict[str, LabelledSeries]


@pytest.fixture(scope="module")
def evaluator() -> ModuleType:
    """An evaluator that somebody else wrote, where it lies beside the published data."""
    path = real_data("nab").parent.parent / "tools" / "series_eval.py"
    spec = importlib.util.spec_from_file_location("series_eval", path)
    if not path.exists() or spec is None or spec.loader is None:
        pytest.skip(f"{path} is not here")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    """Series with repeated times, gaps, equal and missing scores, events at the edges and without a record."""
    series = {}
    for name in draw(st.sampled_from([["a"], ["a", "b"], ["a", "b", "c"]])):
        random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        count = draw(st.integers(30, 400))
        steps = random.choice([0, 60, 60, 60, 60, 3600], count)
        time = np.cumsum(steps).astype(float)
        score = np.round(random.random(count), draw(st.sampled_from([1, 2, 8])))
        score[random.random(count) < draw(st.sampled_from([0, 0.1]))] = -np.inf
        bounds = np.sort(random.choice(count, 2 * draw(st.integers(0, 4)), replace=False))
        start, end = time[bounds[::2]], time[bounds[1::2]]
        apart = np.append(start[1:] > end[:-1], True) if len(start) else np.zeros(0, bool)
        series[name] = LabelledSeries(time, score, start[apart], end[apart])
    return series


def as_the_evaluator_takes_it(series: Corpus) -> dict[str, dict[str, object]]:
    return {
        name: {
            "t": one.time,
            "s": one.score,
            "y": one.abnormal,
            "event": one.event,
            "windows": list(zip(one.start, one.end, strict=True)),
        }
        for name, one in series.items()
    }


@given(corpora(), st.integers(0, 40))
def test_curves_agree_with_an_independent_evaluator(evaluator: ModuleType, series: Corpus, buffer: int) -> None:
    for one in series.values():
        abnormal, score = one.abnormal, one.score
        assert average_precision(abnormal, score) == pytest.approx(evaluator.auc_pr(abnormal, score), nan_ok=True)
        assert best_f1(abnormal, score) == pytest.approx(evaluator.best_f1(abnormal, score)[0])
        assert vus_pr(abnormal, score, buffer) == pytest.approx(evaluator.vus_pr(abnormal, score, buffer), nan_ok=True)


@given(corpora(), st.sampled_from([("standard", "standard"), ("few false alarms", "low_fp"), ("few misses", "low_fn")]))
def test_the_score_of_nab_agrees_with_an_independent_evaluator(
    evaluator: ModuleType, series: Corpus, profile: tuple[str, str]
) -> None:
    if not any(len(one.start) for one in series.values()):
        assert np.isnan(nab_score(series).score)
        return
    theirs = as_the_evaluator_takes_it(series)
    for threshold in (None, 0.5, 0.9):
        ours = nab_score(series, PROFILES[profile[0]], threshold)
        assert ours.score == pytest.approx(evaluator.nab(theirs, profile[1], threshold=threshold)["nab"])


@given(corpora(), st.sampled_from(list(PROFILES.values())), st.sampled_from([0.2, 0.5, 0.9]))
def test_the_score_of_a_corpus_is_the_ratio_of_what_its_series_earn_and_could(
    series: Corpus, profile: Profile, cut: float
) -> None:
    earned, perfect = np.sum([nab_gain(one, profile, cut) for one in series.values()], axis=0)
    expected = 100 * earned / perfect if any(len(one.start) for one in series.values()) else np.nan
    assert nab_score(series, profile, cut).score == pytest.approx(expected, nan_ok=True)


@given(corpora(), st.integers(0, 5), st.sampled_from([0.0, 0.5, 0.95, 2.0]))
def test_figures_at_a_cut_agree_with_an_independent_evaluator(
    evaluator: ModuleType, series: Corpus, gap: int, cut: float
) -> None:
    ours = alarm_figures(series, cut, gap)
    theirs = evaluator.at_threshold(as_the_evaluator_takes_it(series), cut, gap)
    assert (ours.events, ours.alarms) == (theirs["events"], theirs["alarms"])
    for one, other in (
        (ours.event_recall, "event_recall"),
        (ours.event_precision, "event_precision"),
        (ours.false_alarms_per_entity_day, "false_per_day"),
        (ours.time_precision, "time_precision"),
        (ours.time_recall, "time_recall"),
        (ours.median_delay, "delay_median"),
        (ours.f1, "F1"),
        (ours.false_alarm_rate, "FAR"),
        (ours.missed_alarm_rate, "MAR"),
        (ours.entity_days, "entity_days"),
    ):
        assert (np.nan if one is None else one) == pytest.approx(theirs[other], nan_ok=True), other


def one_alarm(at: int) -> Corpus:
    score = (np.arange(1000) == at).astype(float)
    return {"a": LabelledSeries(np.arange(1000.0), score, np.array([500.0]), np.array([599.0]))}


def test_an_alarm_at_the_start_of_a_window_is_worth_100_and_later_ones_less() -> None:
    assert nab_score(one_alarm(500)).score == pytest.approx(100)
    scores = [nab_score(one_alarm(at), threshold=1).score for at in (500, 550, 590, 599)]
    assert scores == sorted(scores, reverse=True)
    assert nab_score(one_alarm(900), threshold=1).score < 0 == nab_score(one_alarm(900), threshold=2).score
    assert nab_score(one_alarm(100), threshold=1).score == 0, "the first 15% are on probation"


def test_scores_that_are_the_labels_are_perfect_and_constant_ones_are_worth_the_prevalence() -> None:
    abnormal = np.zeros(500, bool)
    abnormal[100:120] = True
    assert average_precision(abnormal, abnormal.astype(float)) == 1
    assert average_precision(abnormal, np.zeros(500)) == pytest.approx(0.04)
    assert vus_pr(abnormal, abnormal.astype(float), 0, cuts=500) == pytest.approx(1)
    assert best_f1(abnormal, np.full(500, -np.inf)) == 0


def test_adjusted_points_make_random_scores_look_good() -> None:
    abnormal = np.zeros(5000, bool)
    abnormal[1000:1500] = abnormal[3000:3500] = True
    random = np.random.default_rng(0).random(5000)
    assert best_f1(abnormal, random) < 0.4
    assert point_adjusted_f1(abnormal, random) > 0.9


def test_the_period_of_a_wave_is_its_length_and_noise_has_the_usual_one() -> None:
    assert period_of(np.sin(np.arange(5000) * 2 * np.pi / 96)) == 96
    assert period_of(np.arange(500.0)) == 125


def test_frames_become_series_in_order_of_time_with_unjudged_records_below_every_cut() -> None:
    begin = datetime(2024, 3, 1, tzinfo=UTC)
    scores = pl.DataFrame({
        "day": [begin.date()] * 4,
        "time": [begin + timedelta(minutes=15 * step) for step in (2, 0, 1, 0)],
        "entity": ["a", "a", "a", "b"],
        "score": [3.0, 1.0, None, 2.0],
    })  # fmt: skip
    intervals = pl.DataFrame(
        [("a", None, begin + timedelta(minutes=10), begin + timedelta(minutes=15)), ("c", None, begin, begin)],
        INTERVAL_SCHEMA,
        orient="row",
    )
    series = labelled_series(scores, intervals)
    assert list(series) == ["a", "b"] or list(series) == ["b", "a"]
    assert series["a"].score.tolist() == [1.0, -np.inf, 3.0]
    assert series["a"].event.tolist() == [-1, 0, -1]
    assert not series["b"].abnormal.any()


def test_intervals_that_overlap_are_one_event() -> None:
    begin = datetime(2024, 3, 1, tzinfo=UTC)
    minutes = [begin + timedelta(minutes=minute) for minute in range(8)]
    scores = pl.DataFrame({"day": [begin.date()] * 8, "time": minutes, "entity": ["a"] * 8, "score": [0.0] * 8})
    given = [(5, 6, "third"), (1, 4, "first"), (2, 3, "second")]
    rows = [("a", kind, minutes[start], minutes[end]) for start, end, kind in given]
    series = labelled_series(scores, pl.DataFrame(rows, INTERVAL_SCHEMA, orient="row"))["a"]
    assert series.event.tolist() == [-1, 0, 0, 0, 0, 1, 1, -1]


@pytest.mark.parametrize(
    ("time", "score", "start", "end"),
    [
        ([0, 1], [0, np.nan], [], []),
        ([1, 0], [0, 0], [], []),
        ([0, 1], [0, 0], [1], [0]),
        ([0, 1], [0, 0], [0, 1], [1, 2]),
        ([0, 9], [0, 0], [5, 1], [6, 2]),
    ],
)
def test_a_series_that_no_protocol_could_judge_is_refused(
    time: list[float], score: list[float], start: list[float], end: list[float]
) -> None:
    with pytest.raises(ContractError):
        LabelledSeries(*(np.array(part, float) for part in (time, score, start, end)))


@pytest.mark.parametrize("entities", [(), ("a",)])
def test_without_a_record_there_is_nothing_to_count(entities: tuple[str, ...]) -> None:
    nothing = np.zeros(0)
    corpus = {entity: LabelledSeries(nothing, nothing, nothing, nothing) for entity in entities}
    figures = alarm_figures(corpus, 0.5)
    assert (figures.events, figures.alarms, figures.entity_days) == (0, 0, 0)
    assert figures.f1 is figures.event_recall is figures.time_precision is figures.median_delay is None
    assert np.isnan(nab_score(corpus).score)
    assert period_of(nothing) == 125


def test_an_event_without_a_record_is_missed() -> None:
    late = LabelledSeries(np.arange(9.0), np.ones(9), np.array([-5.0, 20.0]), np.array([-4.0, 30.0]))
    figures = alarm_figures({"a": late}, 0.5)
    assert (figures.events, figures.events_detected, figures.alarms, figures.true_alarms) == (2, 0, 1, 0)
    assert figures.missed_alarm_rate is None


def test_runs_are_given_by_their_first_and_last_position() -> None:
    first, last = runs(np.array([True, False, True, True]))
    assert (first.tolist(), last.tolist()) == ([0, 2], [0, 3])
