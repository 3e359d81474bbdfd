"""From score to decision inside the chain: one aggregation wherever scores count, episodes, mutes, reasons."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.chain.anomaly_day import AnomalyDay
from ae_assets.chain.champion import CalibrationRange, load_champion
from ae_assets.chain.evaluation import evaluate
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.scoring import score_days
from ae_assets.chain.threshold import calibrate_latest, calibration_scores
from ae_assets.chain.workspace import Workspace
from ae_assets.decisions import episodes
from ae_assets.decisions.aggregation import aggregate
from ae_assets.decisions.config import AggregationConfig, DecisionConfig
from ae_assets.errors import ConfigError, EvaluationError
from ae_assets.features.catalogue import catalogue
from ae_assets.model.parse import parse_table
from ae_assets.pipeline.checks import anomalies_checks
from ae_assets.pipeline.component import _with_files_beside
from ae_assets.pipeline.metadata import anomalies_day, anomalies_days
from ae_assets.schemas.anomalies import EPISODE_STATES, anomaly_schema
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.steps import fill, judge
from ae_assets_tests.chain.tables import FIRST, attributes, storage_of, watched_table

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=59))
TRAINED = TrainingRange.of(DAYS[0], DAYS[29], 10)
JUDGED = DAYS[40:]
"""The days after the calibration range, which ends on the 40th."""
IN_WORDS = {
    "smart_5_raw": ("reallocated sectors", "smart_5_level", math.expm1),
    "smart_197_raw": ("pending sectors", "smart_197_level", math.expm1),
    "smart_9_raw": ("power-on hours", "smart_9_level", math.expm1),
    "smart_194_raw": ("temperature", "smart_194_level", float),
    "gap_days": ("days since its last record", "gap_days", float),
    "history_days": ("earlier days with a record", "history_days", float),
}
"""How the sentence on an attribute begins, the feature that says its value, and how it is put into its unit."""
MEAN = {"method": "mean", "days": 3}
BUDGET = {"policy": "alarm_budget", "alarms_a_day": 2, "share_of_days": 0.3}
STICKY = {"clear_below": 0.5, "clear_after_days": 2}
NONE = AggregationConfig()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of 60 days and a model, but no threshold yet; each test calibrates with its own settings."""
    folder = tmp_path_factory.mktemp("home")
    space = storage_of(watched_table(), folder)
    fill(space, DAYS)
    train(space, TRAINED)
    return folder


def decided(home: Path, **decision: Any) -> Workspace:
    """The storage of the small table with these decision settings, calibrated with them."""
    space = storage_of(watched_table(decision=decision), home)
    calibrate_latest(space)
    return space


def found(space: Workspace, days: Sequence[date] = JUDGED) -> list[AnomalyDay]:
    return judge(space, days)


def rows_of(space: Workspace, days: Sequence[date] = JUDGED) -> pl.DataFrame:
    return space.read("anomalies", days[0], days[-1]).sort("day", "entity")


def test_the_threshold_is_calibrated_on_scores_aggregated_as_they_are_held_against_it(home: Path) -> None:
    space = decided(home, aggregation=MEAN)
    detector, aggregation = load_champion(space).detector, space.table.decision.aggregation
    training, range_ = load_champion(space).training, load_champion(space).calibration
    calibrated = calibration_scores(space, detector, aggregation, training, range_, earlier_failures=False)
    # The days of the look-back are those just before the calibration range, in the embargo.
    longer = CalibrationRange.after(training, 0, 10)
    of_days = calibration_scores(space, detector, NONE, training, longer, earlier_failures=False)
    expected = aggregate(of_days, aggregation).filter(pl.col("day") >= range_.start)
    keys = ["day", "entity"]
    assert calibrated.height > 100
    both = calibrated.join(expected, on=keys, suffix="_expected")
    assert both.height == calibrated.height
    assert (both["score"] == both["score_expected"]).all()
    assert (both["score"] != calibrated.join(of_days, on=keys)["score_right"]).any()


@pytest.mark.bits
def test_single_days_in_order_give_what_a_range_gives(home: Path) -> None:
    space = decided(home, aggregation=MEAN, episodes={**STICKY, "alarms": 2, "within_days": 4})
    found(space)
    in_range = rows_of(space)
    assert set(in_range["episode"]) == set(EPISODE_STATES)
    for day in JUDGED:
        found(space, [day])
    assert_frame_equal(rows_of(space), in_range, check_exact=True)


def test_alarms_are_held_back_by_a_higher_score_before_in_single_days_as_in_a_range(home: Path) -> None:
    found(decided(home, aggregation=MEAN))
    free = rows_of(storage_of(watched_table(), home))
    assert (free["alarm_score"].eq_missing(free["score"])).all()
    space = decided(home, aggregation=MEAN, episodes={"hold": 3})
    found(space)
    held = rows_of(space)
    assert (held["score"] == free["score"]).all()
    assert (held["is_anomaly"] == (held["alarm_score"] > held["threshold"])).all()
    assert 0 < held["is_anomaly"].sum() < free["is_anomaly"].sum()
    for day in JUDGED:
        found(space, [day])
    assert_frame_equal(rows_of(space), held, check_exact=True)


def test_scores_are_aggregated_and_the_score_of_the_day_is_kept_beside(home: Path) -> None:
    found(decided(home))
    of_days = rows_of(storage_of(watched_table(), home))
    assert (of_days["score"] == of_days["day_score"]).all()
    space = decided(home, aggregation={"method": "max", "days": 3})
    found(space)
    rows = rows_of(space)
    assert_frame_equal(rows.select("day", "entity", "day_score"), of_days.select("day", "entity", "day_score"))
    assert (rows["score"] >= rows["day_score"]).all()
    assert (rows["score"] > rows["day_score"]).any()
    assert (rows["is_anomaly"] == (rows["score"] > rows["threshold"])).all()
    assert (rows["severity"] == load_champion(space).threshold.severity(rows["score"])).all()


def test_an_aggregation_counts_once_a_threshold_was_chosen_with_it(home: Path) -> None:
    calibrated = decided(home)
    changed = storage_of(watched_table(decision={"aggregation": MEAN}), home)
    found(changed)
    rows = rows_of(changed)
    assert (rows["score"] == rows["day_score"]).all()
    assert load_champion(changed).aggregation == calibrated.table.decision.aggregation
    calibrate_latest(changed)
    assert load_champion(changed).aggregation.method == "mean"
    with pytest.raises(EvaluationError, match=r"not aggregated as those were(.|\n)*materialise fleet.anomalies"):
        evaluate(changed, JUDGED[1], JUDGED[-1], with_comparisons=False)
    found(changed)
    judged = evaluate(changed, JUDGED[1], JUDGED[-1], with_comparisons=False)
    assert judged.result.evaluations[0].sample.failed == 0, "of so small a fleet"
    assert "nothing is known of detection" in judged.text
    figures = judged.draw()
    assert figures.keys() & {"detection_and_false_alarms", "lead_time", "cohorts"} == set()
    assert figures["drive_scores"].startswith(b"\x89PNG")
    assert "| in use |" in judged.markdown


def test_one_ticket_is_asked_for_each_episode(home: Path) -> None:
    space = decided(home)
    before = found(space)
    by_default = rows_of(space)
    space = decided(home, episodes=STICKY)
    after = found(space)
    rows = rows_of(space)
    same = ["day", "entity", "score", "is_anomaly", "severity", "streak_days", "top_features"]
    assert_frame_equal(rows.select(same), by_default.select(same))
    assert 0 < rows["is_new"].sum() <= by_default["is_new"].sum()
    tickets = (
        rows.filter(pl.col("episode_start").is_not_null())
        .group_by("entity", "episode_start")
        .agg(pl.col("is_new").sum())
    )
    assert tickets.height == rows["is_new"].sum()
    assert all(facts.listed >= facts.alarms for facts in after)
    assert all(facts.listed == facts.alarms for facts in before)


def test_an_alarm_says_its_reasons_in_words_and_other_rows_say_none(home: Path) -> None:
    space = decided(home)
    found(space)
    rows = rows_of(space)
    assert (rows["reasons"].is_not_null() == rows["is_anomaly"]).all()
    told = rows.filter("is_anomaly")
    assert (told["reasons"].list.len() >= 1).all()
    words = ("reallocated sectors", "pending sectors", "power-on hours", "temperature", "days since", "earlier days")
    assert all(reason.startswith(words) for reasons in told["reasons"] for reason in reasons)


def test_the_first_reason_is_the_attribute_that_raised_the_score_most_with_the_value_of_its_row(home: Path) -> None:
    space = storage_of(watched_table(threshold={"policy": "percentile", "percentile": 90}), home)
    calibrate_latest(space)
    found(space)
    alarms = {(row["day"], row["entity"]): row for row in rows_of(space).filter("is_anomaly").iter_rows(named=True)}
    champion = load_champion(space)
    names = champion.detector.feature_names
    columns = {feature.name: feature.column or feature.name for feature in catalogue(space.table.features)}
    leading = set()
    for scored in score_days(space, champion.detector, champion.aggregation, JUDGED, stage="anomalies"):
        features = space.read("features", scored.day, scored.day)
        every = pl.int_range(scored.keys.height, eager=True).to_numpy()
        values = {row["entity"]: row for row in features.iter_rows(named=True)}
        flags = [name for name in names if name.endswith("_missing")]
        lacking = {row["cohort"]: row for row in features.group_by("cohort").agg(pl.col(flags).mean()).to_dicts()}
        for entity, contributions in zip(scored.keys["entity"], scored.explain(every).contributions, strict=True):
            if (scored.day, entity) not in alarms:
                continue
            parts: Counter[str] = Counter()
            row = values[entity]
            for name, contribution in zip(names, contributions.tolist(), strict=True):
                usual = name in flags and (row[name] == 0 or lacking[row["cohort"]][name] >= 0.5)
                parts[columns[name]] += 0 if usual or name == "smart_9_level" else contribution
            attribute = max(parts, key=lambda column: parts[column])
            leading.add(attribute)
            words, level, in_units = IN_WORDS[attribute]
            value = row[level]
            told = "not reported" if value is None else f"{round(in_units(value)):,}"
            assert f"{alarms[scored.day, entity]['reasons'][0]},".startswith(f"{words} {told},")
    assert len(alarms) > 50
    assert len(leading) >= 3


MUTES = """entity,cohort,since,until,reason
{drive},,,2013-12-31,"being replaced, ticket 12"
elsewhere,,,2013-12-31,moved to another site
{drive},,,2013-04-30,an old one
"""


def test_a_muted_drive_keeps_its_row_and_leaves_the_list_and_the_rate(home: Path, tmp_path: Path) -> None:
    space = decided(home)
    found(space)
    unmuted = rows_of(space)
    drive = unmuted.filter("is_anomaly")["entity"].mode().sort()[0]
    path = tmp_path / "mutes.csv"
    path.write_text(MUTES.format(drive=drive))
    space = decided(home, mute_list=str(path))
    champion = load_champion(space)
    facts = found(space)
    muted = rows_of(space)
    columns = ["muted_until", "mute_reason"]
    assert_frame_equal(muted.drop(columns), unmuted.drop(columns))
    assert set(muted.filter(pl.col("muted_until").is_not_null())["entity"]) == {drive}
    assert set(muted["mute_reason"].drop_nulls()) == {"being replaced, ticket 12"}
    alarms = muted.filter("is_anomaly")
    assert sum(day.muted_alarms for day in facts) == alarms.filter(entity=drive).height > 0
    assert sum(day.alarms for day in facts) == alarms.filter(pl.col("entity") != drive).height

    day = next(day for day in facts if day.muted_alarms and day.alarms)
    shown = anomalies_day(space, day, champion, drawn=False, simulated=False)
    assert drive not in [record.data["device"] for record in shown["Devices to look at"].records]
    assert drive not in shown["Why, in full"].value
    assert drive in shown["Muted devices"].value
    assert "being replaced, ticket 12" in shown["Muted devices"].value
    assert "1 more alarm is muted" in shown["Summary"]
    counts = dict(anomalies_days(space, champion, facts))
    assert counts[day.day]["Mutes of nobody"] == "entity elsewhere until 2013-12-31 (line 3): moved to another site"
    assert counts[day.day]["Mutes that are over"] == f"entity {drive} until 2013-04-30 (line 4): an old one"
    assert sum(values["Muted alarms"] for values in counts.values()) == alarms.filter(entity=drive).height


def test_a_muted_drive_takes_no_place_in_the_budget_of_alarms(home: Path, tmp_path: Path) -> None:
    space = storage_of(watched_table(threshold=BUDGET), home)
    calibrate_latest(space)
    found(space)
    drive = rows_of(space).filter("is_anomaly")["entity"].mode()[0]
    path = tmp_path / "mutes.csv"
    path.write_text(MUTES.format(drive=drive))
    space = storage_of(watched_table(threshold=BUDGET, decision={"mute_list": str(path)}), home)
    cut = load_champion(space).threshold.cut
    facts = found(space)
    rows = rows_of(space)
    over = rows.filter(pl.col("muted_until").is_null(), pl.col("score") > cut).group_by("day").len().sort("day")
    assert [day.alarms for day in facts] == [min(2, count) for count in over["len"]]
    assert sum(day.muted_alarms for day in facts) > 0


def test_a_day_on_which_many_score_high_does_not_close_the_episode_of_a_drive_that_stays_over_the_fitted_cut(
    home: Path,
) -> None:
    space = storage_of(watched_table(threshold=BUDGET), home)
    calibrate_latest(space)
    found(space)
    rows, cut = rows_of(space), load_champion(space).threshold.cut
    assert (rows.filter(episode="closed")["score"] <= cut).all()
    still_open = rows.filter(pl.col("episode") == "open", ~pl.col("is_anomaly"))
    assert still_open.height > 0
    assert (still_open["score"] > cut).all()


def test_muted_models_are_left_out_of_the_rate_of_alarms(home: Path, tmp_path: Path) -> None:
    strict = {"window_days": 10, "max_alarm_share": 0.0001}
    space = storage_of(watched_table(checks=strict), home)
    calibrate_latest(space)
    champion = load_champion(space)
    path = tmp_path / "mutes.yaml"

    def alarm_rate() -> dg.AssetCheckResult:
        checks = anomalies_checks(space, champion, JUDGED)
        return next(check for check in checks if check.check_name == "alarm_rate_is_plausible")

    found(space)
    assert not alarm_rate().passed
    cohorts = rows_of(space).filter("is_anomaly")["cohort"].unique()
    path.write_text("".join(f"- {{cohort: {name}, until: 2013-12-31, reason: noisy}}\n" for name in cohorts))
    space = storage_of(watched_table(checks=strict, decision={"mute_list": str(path)}), home)
    found(space)
    assert alarm_rate().passed


def test_a_malformed_mute_list_stops_the_run_before_a_day_is_written(home: Path, tmp_path: Path) -> None:
    found(decided(home))
    path = tmp_path / "mutes.csv"
    path.write_text("entity,until,reason\nZA1,tomorrow,x\n")
    space = decided(home, episodes=STICKY, mute_list=str(path))
    before = rows_of(space)
    with pytest.raises(ConfigError, match=r"mutes.csv is malformed(.|\n)*line 2, column until: received 'tomorrow'"):
        found(space)
    assert_frame_equal(rows_of(space), before)


def test_a_mute_list_is_looked_for_beside_the_yaml_that_names_it(tmp_path: Path) -> None:
    beside = _with_files_beside(watched_table(decision={"mute_list": "lists/mutes.csv"}), tmp_path)
    assert beside.decision.mute_list == str(tmp_path / "lists" / "mutes.csv")
    absolute = watched_table(decision={"mute_list": str(tmp_path / "mutes.csv")})
    assert _with_files_beside(absolute, Path("elsewhere")) == absolute
    assert _with_files_beside(watched_table(), tmp_path) == watched_table()


def test_a_table_from_before_there_were_episodes_is_continued(tmp_path: Path, home: Path) -> None:
    space = decided(home)
    found(space, JUDGED[:3])
    old = rows_of(space, JUDGED[:2]).select(list(anomaly_schema().columns)[:12])
    assert old.columns[-1] == "label"
    expected = rows_of(space, JUDGED[2:3])
    later = Workspace(space.table, storage_of(space.table, tmp_path).tables, space.models)
    with later.tables.writer(later.name("anomalies")) as writer:
        for (day,), rows in old.group_by("day", maintain_order=True):
            writer.write(day, rows)
    with later.tables.writer(later.name("features")) as writer:
        for day, rows in space.iter_days("features", JUDGED[2], JUDGED[2]):
            writer.write(day, rows)
    found(later, JUDGED[2:3])
    assert_frame_equal(rows_of(later, JUDGED[2:3]).select(expected.columns), expected)
    assert all(check.passed for check in anomalies_checks(later, load_champion(later), JUDGED[2:3]))


def test_the_states_in_the_contract_of_the_table_are_those_that_are_decided() -> None:
    assert EPISODE_STATES == [episodes.NONE, episodes.OPENED, episodes.OPEN, episodes.CLOSED]


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        (
            {"aggregation": {"method": "max", "days": 4}},
            ["aggregation.span 4d", "embargo_days is 2", "3 days or longer"],
        ),
        ({"aggregation": {"methods": "max"}}, ["attributes.decision.aggregation.methods", "half_life, method"]),
        ({"episodes": {"alarms": 3}}, ["attributes", "3 alarms cannot lie within 1d"]),
        ({"mute_list": 3}, ["attributes.decision.mute_list", "3"]),
    ],
)
def test_a_wrong_decision_setting_is_named(decision: dict[str, object], says: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        parse_table(attributes(decision=decision), "defs.yaml")
    assert all(words in str(error.value) for words in says), str(error.value)


def test_a_table_without_a_decision_section_decides_by_the_defaults() -> None:
    assert watched_table().decision == DecisionConfig()
