"""Rolling origin on the small fleet: several fits, none of which is kept."""

from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest

from ae_assets.chain.results import Evaluation
from ae_assets.chain.rolling import evaluate_origins, plan
from ae_assets.chain.workspace import Workspace
from ae_assets.decisions.aggregation import aggregate
from ae_assets.decisions.config import AggregationConfig
from ae_assets.detectors.config import CounterRuleConfig, GrowthRuleConfig
from ae_assets.errors import EvaluationError, ModelError
from ae_assets.evaluation.rolling import judge_split
from ae_assets.progress import Progress
from ae_assets_tests.chain.worn_fleet import LAST, START, fleet, storage_of

TO_JUDGE = LAST - timedelta(days=14)
ORIGINS = 2
RULES = {
    "detector": CounterRuleConfig(features=("smart_5_level",)),
    "comparisons": (GrowthRuleConfig(features=("smart_5_growth_7d",)),),
}


@pytest.fixture(scope="module")
def told() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def space(told: list[Progress]) -> Workspace:
    made = storage_of(*fleet())
    return replace(made, table=made.table.model_copy(update=RULES), progress=told.append)


@pytest.fixture(scope="module")
def evaluation(space: Workspace) -> Evaluation:
    return evaluate_origins(space, TO_JUDGE, LAST, ORIGINS, with_comparisons=True, with_baselines=False)


def test_the_splits_go_back_from_the_last_day_with_an_embargo_of_the_horizon(space: Workspace) -> None:
    splits = plan(space, TO_JUDGE, LAST, ORIGINS)
    assert [split.test for split in splits] == [
        (TO_JUDGE - timedelta(days=15), LAST - timedelta(days=15)),
        (TO_JUDGE, LAST),
    ]
    for split in splits:
        assert (split.test[0] - split.training[1]).days == space.table.horizon_days + 1
        assert (split.training[1] - split.training[0]).days == space.table.training.days - 1
        assert split.training[0] >= START


def test_more_splits_than_fit_are_refused_with_the_number_that_does(space: Workspace) -> None:
    with pytest.raises(EvaluationError, match=r"2 of 3 splits fit between 2024-01-01 and .* ask for 2"):
        plan(space, TO_JUDGE, LAST, 3)


def test_every_detector_is_judged_on_every_split(evaluation: Evaluation) -> None:
    table = evaluation.result.split_table()
    assert table.select("split", "detector").rows() == [
        (f"split {number}", name) for number in (1, 2) for name in ("counter_rule", "growth_rule")
    ]
    assert evaluation.result.failed == table.unique("split")["failed"].sum() > 60
    assert evaluation.result.failed_in_several == 0


def test_a_split_has_the_figures_of_a_fit_and_an_evaluation_of_their_own(
    evaluation: Evaluation, space: Workspace
) -> None:
    alone = evaluate_origins(space, TO_JUDGE, LAST, 1, with_comparisons=False, with_baselines=False).result
    both = evaluation.result.split_table().filter(pl.col("split") == "split 2")
    for row in alone.split_table().drop("split").iter_rows(named=True):
        assert both.filter(pl.col("detector") == row["detector"]).drop("split").row(0, named=True) == row


def test_progress_says_at_which_split_it_is(evaluation: Evaluation, told: list[Progress]) -> None:
    stages = {progress.stage for progress in told}
    assert {"split 1 of 2: scoring counter_rule", "split 2 of 2: scoring growth_rule"} <= stages


def test_a_baseline_that_cannot_be_fitted_is_left_out_with_the_reason(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ae_assets.chain import rolling

    fit = rolling.fit

    def without_trees(config: object, *rest: object) -> object:
        if config.type == "gradient_boosting":
            raise ModelError("no failure is known")
        return fit(config, *rest)

    monkeypatch.setattr(rolling, "fit", without_trees)
    result = evaluate_origins(space, TO_JUDGE, LAST, 1, with_comparisons=False, with_baselines=True)
    assert result.record["not_fitted"]["gradient_boosting"] == "split 1: no failure is known"
    assert "gradient_boosting is left out: split 1: no failure is known" in result.text
    judged = result.result.to_table()["detector"].to_list()
    assert judged[0] == "counter_rule"
    assert {"pca", "pca (wear)", "ecod", "isolation_forest", "kmeans", "growth_rule"} <= set(judged)
    assert "gradient_boosting" not in judged


def test_the_tables_own_detector_must_be_fitted(space: Workspace) -> None:
    broken = CounterRuleConfig(features=("smart_187_level",))
    other = replace(space, table=space.table.model_copy(update={"detector": broken}))
    with pytest.raises(ModelError, match="smart_187_level"):
        evaluate_origins(other, TO_JUDGE, LAST, 1, with_comparisons=False, with_baselines=False)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"end": LAST + timedelta(days=5)}, "labels are known until"),
        ({"start": LAST - timedelta(days=3)}, "no complete"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_anything_is_fitted(
    space: Workspace, monkeypatch: pytest.MonkeyPatch, changes: dict[str, date], says: str
) -> None:
    from ae_assets.chain import rolling

    monkeypatch.setattr(rolling, "fitted_detectors", lambda *_: pytest.fail("something was fitted"))
    days = {"start": TO_JUDGE, "end": LAST, **changes}
    with pytest.raises(EvaluationError, match=says):
        evaluate_origins(space, **days, count=1, with_comparisons=False, with_baselines=False)


def test_scores_are_aggregated_as_the_table_says(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from ae_assets.chain import rolling

    judged: list[pl.DataFrame] = []

    def judge(_name: str, _training: object, scores: dict[str, pl.DataFrame], *rest: object, **more: object) -> object:
        judged.append(scores["counter_rule"])
        return judge_split(_name, _training, scores, *rest, **more)

    monkeypatch.setattr(rolling, "judge_split", judge)
    for aggregation in (AggregationConfig(), AggregationConfig(method="mean", days=3)):
        decision = space.table.decision.model_copy(update={"aggregation": aggregation})
        table = space.table.model_copy(update={"decision": decision})
        aggregating = replace(space, table=table)
        evaluate_origins(aggregating, TO_JUDGE, LAST, 1, with_comparisons=False, with_baselines=False)
    of_days, aggregated = judged
    expected = aggregate(of_days, aggregation).filter(pl.col("day") >= TO_JUDGE + timedelta(days=2))
    both = aggregated.join(expected, on=["day", "entity"], suffix="_expected")
    assert both.height == expected.height > 1000
    assert both["score"].to_numpy() == pytest.approx(both["score_expected"].to_numpy())
    assert not both["score"].equals(both.join(of_days, on=["day", "entity"], suffix="_of_day")["score_of_day"])
