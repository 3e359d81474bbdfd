import contextlib
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandera.polars as pa
import polars as pl
import pytest

from ae_assets.chain.raw_columns import RawColumns
from ae_assets.detectors.config import CounterRuleConfig, GrowthRuleConfig
from ae_assets.evaluation.drift import Reference
from ae_assets.pipeline import assets, checks
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain import worn_fleet
from ae_assets_tests.chain.steps import fill
from ae_assets_tests.chain.tables import FIRST, LAST, storage_of, watched_table, write_day
from ae_assets_tests.pipeline.runs import check_of, definitions_of, failure_of, materialise

DAYS = [FIRST + timedelta(days=offset) for offset in range(4)]


def test_the_chain_of_a_table_is_complete() -> None:
    definitions = definitions_of(watched_table(), Path("unused"))
    graph = definitions.resolve_asset_graph()
    key = lambda name: dg.AssetKey(["fleet", name])  # noqa: E731
    parents = {name: {parent.path[-1] for parent in graph.get(key(name)).parent_keys} for name in NAMES}
    assert parents == {
        "raw": set(),
        "features": {"raw"},
        "quarantine": {"raw"},
        "model": {"features"},
        "threshold": {"model"},
        "anomalies": {"features", "threshold"},
        "evaluation": {"anomalies"},
    }
    partitioned = {name for name in NAMES if graph.get(key(name)).is_partitioned}
    assert partitioned == {"raw", "features", "quarantine", "anomalies"}
    assert len({graph.get(key(name)).partitions_def for name in partitioned}) == 1


NAMES = ("raw", "features", "quarantine", "model", "threshold", "anomalies", "evaluation")


def test_all_checks_are_there_and_dagster_blocks_on_none_that_judges_single_days() -> None:
    graph = definitions_of(watched_table(), Path("unused")).resolve_asset_graph()
    checks = {(key.asset_key.path[-1], key.name): graph.get_check_spec(key).blocking for key in graph.asset_check_keys}
    assert checks == {
        ("raw", "day_volume_is_plausible"): False,
        ("features", "rows_are_conserved"): False,
        ("features", "rows_set_aside_are_few"): False,
        ("features", "cohorts_are_there"): False,
        ("features", "entities_are_unique"): False,
        ("features", "schema_holds"): False,
        ("model", "training_converged"): True,
        ("threshold", "challenger_is_not_worse"): False,
        ("anomalies", "entities_are_unique"): False,
        ("anomalies", "schema_holds"): False,
        ("anomalies", "alarm_rate_is_plausible"): False,
        ("anomalies", "open_episodes_have_records"): False,
        ("anomalies", "devices_are_judged"): False,
        ("anomalies", "champion_follows_the_yaml"): False,
        ("anomalies", "detection_rate_is_acceptable"): False,
        ("anomalies", "false_alarm_rate_is_acceptable"): False,
        ("anomalies", "scores_have_not_drifted"): False,
        ("anomalies", "features_have_not_drifted"): False,
    }


def test_a_range_run_reports_each_day_and_a_missing_one_does_not_fail_it(tmp_path: Path) -> None:
    table = watched_table(str(tmp_path / "source"))
    for day in DAYS:
        if day != DAYS[2]:
            write_day(tmp_path / "source", day, [(f"D{n}", 0, 0) for n in range(10)])
    result = materialise(table, tmp_path / "home", ("raw", "features", "quarantine"), (DAYS[0], DAYS[3]))
    assert result.success
    by_day = {
        event.partition: event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(["fleet", "raw"])
    }
    assert list(by_day) == [day.isoformat() for day in DAYS]
    assert [day for day, shown in by_day.items() if "dagster/column_schema" in shown] == [DAYS[-1].isoformat()]
    assert by_day[DAYS[0].isoformat()]["dagster/partition_row_count"].value == 10
    assert by_day[DAYS[2].isoformat()]["Summary"].value == f"{DAYS[2]}: missing in the source."
    assert by_day[DAYS[0].isoformat()]["Rows"].value == 10
    for metadata in by_day.values():
        assert (
            metadata["This run"].value
            == f"4 days from {DAYS[0]} to {DAYS[3]}: 30 rows; not in the source: {DAYS[2]} (1 day)."
        )
    volume = check_of(result, "raw", "day_volume_is_plausible")
    assert not volume.passed
    assert volume.metadata["failed_days"].value == [DAYS[2].isoformat()]
    assert check_of(result, "features", "rows_are_conserved").passed


def test_an_interrupt_stops_its_run_and_not_the_next_one_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in DAYS[:2]:
        write_day(tmp_path / "source", day, [("A1", 0, 0)])
    table, fit = watched_table(str(tmp_path / "source")), RawColumns.fit

    def interrupted(*given: Any) -> pl.DataFrame:
        with contextlib.suppress(dg.DagsterExecutionInterruptedError):
            signal.raise_signal(signal.SIGINT)
        return fit(*given)

    monkeypatch.setattr(RawColumns, "fit", interrupted)
    assert not materialise(table, tmp_path / "home", ("raw",), (DAYS[0], DAYS[1])).success
    monkeypatch.setattr(RawColumns, "fit", fit)
    result = materialise(table, tmp_path / "home", ("raw",), (DAYS[0], DAYS[1]))
    assert result.success, failure_of(result)


def test_a_missing_day_does_not_fail_the_run_of_a_fresh_home(tmp_path: Path) -> None:
    table = watched_table(str(tmp_path / "source"), end="2013-12-31")
    write_day(tmp_path / "source", DAYS[3], [("D1", 0, 0)])
    result = materialise(table, tmp_path / "home", ("raw",), (DAYS[0], DAYS[0]))
    assert result.success


def test_attributes_that_no_row_has_are_named_and_those_that_no_file_had_with_the_nearest(tmp_path: Path) -> None:
    table = watched_table(
        str(tmp_path / "source"),
        features={
            "spans": [1, 7],
            "attributes": {
                name: {"kind": "counter", "meaning": name}
                for name in ("smart_5_raw", "smart_179_raw", "smart_197_raw", "smart_187_raw")
            },
        },
    )
    for day in DAYS[:2]:
        write_day(tmp_path / "source", day, [("D1", 0, 0)], smart_187_raw=[None], smart_171_raw=[0])
    result = materialise(table, tmp_path / "home", ("raw", "features", "quarantine"), (DAYS[0], DAYS[1]))
    assert result.success
    named = next(
        event.materialization.metadata["Attributes without values"].value
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(["fleet", "features"])
    )
    assert named == "smart_187_raw; in no file: smart_179_raw (nearest: smart_194_raw, smart_171_raw, smart_9_raw)"
    verdict = check_of(result, "features", "schema_holds")
    assert verdict.passed
    assert "; in no file: smart_179_raw (nearest: smart_194_raw" in (verdict.description or "")


def test_lost_rows_block_what_comes_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conservation check reads what is stored: a feature row that gets lost on the way is noticed."""
    from ae_assets.model import preparation

    whole = preparation.features_of_block
    monkeypatch.setattr(preparation, "features_of_block", lambda *given, **more: whole(*given, **more).head(3))
    result = materialise(watched_table(), tmp_path, ("raw", "features", "quarantine"), (FIRST, FIRST))
    verdict = check_of(result, "features", "rows_are_conserved")
    assert not verdict.passed
    assert verdict.severity == dg.AssetCheckSeverity.ERROR
    assert FIRST.isoformat() in str(verdict.metadata["verdict"].value)
    assert verdict.metadata["failed_days"].value == [FIRST.isoformat()]


def test_a_repeated_drive_is_noticed_in_what_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ae_assets.model import preparation

    whole = preparation.features_of_block
    monkeypatch.setattr(preparation, "features_of_block", lambda *given, **more: pl.concat([whole(*given, **more)] * 2))
    result = materialise(watched_table(), tmp_path, ("raw", "features", "quarantine"), (FIRST, FIRST))
    repeated = check_of(result, "features", "entities_are_unique")
    assert not repeated.passed
    assert repeated.metadata["failed_days"].value == [FIRST.isoformat()]
    assert check_of(result, "features", "schema_holds").metadata["failed_days"].value == []
    assert not check_of(result, "features", "rows_are_conserved").passed


@pytest.mark.parametrize("rows_at_once", [1, 100])
def test_of_days_that_are_validated_together_the_wrong_ones_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(checks, "ROWS_AT_ONCE", rows_at_once)
    rows = {
        DAYS[0]: [("D1", 1.0), ("D2", 0.0)],
        DAYS[1]: [("D1", 1.0), ("D1", 2.0)],
        DAYS[2]: [("D1", -1.0), ("D2", 1.0)],
    }
    stored = [
        (day, pl.DataFrame(of_day, {"entity": pl.String, "score": pl.Float64}, orient="row").with_columns(day=day))
        for day, of_day in rows.items()
    ]
    schema = pa.DataFrameSchema({"score": pa.Column(pl.Float64, pa.Check.ge(0))})
    verdicts = checks._row_checks(storage_of(watched_table(), tmp_path), "features", stored, schema)
    wrong = {verdict.check_name: verdict.metadata["failed_days"].value for verdict in verdicts}
    assert wrong == {"entities_are_unique": [str(DAYS[1])], "schema_holds": [str(DAYS[2])]}


def test_a_model_that_does_not_converge_does_not_become_champion(tmp_path: Path) -> None:
    table = watched_table(
        detector={
            "type": "dense_autoencoder",
            "units": [16, 4, 16],
            "epochs": 3,
            "batch_size": 64,
            "learning_rate": 3.0,
        }
    )
    space = storage_of(table, tmp_path)
    fill(space, DAILY.range(FIRST, FIRST + timedelta(days=9)))
    training = {"train_start": FIRST.isoformat(), "train_end": (FIRST + timedelta(days=9)).isoformat()}
    result = materialise(table, tmp_path, ("model", "threshold"), None, {"model": training})
    assert not result.success
    assert space.models.champion("fleet") is None
    again = materialise(table, tmp_path, ("threshold",))
    assert "did not converge and does not become the champion" in failure_of(again) or "no model yet" in failure_of(
        again
    )


@pytest.mark.parametrize(("champion", "days_kept"), [(None, 10), ("20130601T000000000Z-00000000", 20)])
def test_the_default_training_range_leaves_room_to_calibrate_and_beside_a_champion_to_judge(
    finished_home: Path, monkeypatch: pytest.MonkeyPatch, champion: str | None, days_kept: int
) -> None:
    from ae_assets.pipeline.run_config import ModelConfig, training_range

    space = storage_of(watched_table(retraining={"window_days": 10}), finished_home)
    monkeypatch.setattr(type(space.models), "champion", lambda *_: champion)
    training = training_range(space, ModelConfig())
    assert training.end == LAST - timedelta(days=days_kept)
    assert training.start == training.end - timedelta(days=19)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"start": "May", "end": "2013-06-08"}, "start: expected a day such as 2024-04-17, received 'May'"),
        ({"start": "2013-05-01"}, "start and end go together"),
        ({"start": "2013-06-08", "end": "2013-05-01"}, "end 2013-05-01 lies before start 2013-06-08"),
        ({"start": "2013-06-01", "end": "2013-06-09"}, "are 9 days, and a false alarm rate needs a window of 10"),
    ],
)
def test_days_that_cannot_be_judged_are_refused_before_a_run_begins(
    tmp_path: Path, config: dict[str, str], says: str
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(dg.DagsterInvalidConfigError) as refused:
            materialise(watched_table(), tmp_path, ("evaluation",), None, {"evaluation": config}, instance)
        assert instance.get_runs_count() == 0
    assert says in str(refused.value)


def test_the_run_of_a_day_shows_what_a_person_needs_to_judge_it(finished_home: Path) -> None:
    result = materialise(watched_table(), finished_home, ("anomalies",), (LAST, LAST))
    assert result.success
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert (
        metadata["dagster/partition_row_count"].value
        == storage_of(watched_table(), finished_home).days_of("anomalies")[LAST]
    )
    labels = list(metadata)
    assert labels[:2] == ["Summary", "Devices to look at"]
    assert labels[-3:] == ["dagster/partition_row_count", "dagster/column_lineage", "dagster/column_schema"]
    assert labels.index("Scores") < labels.index("Alarms") < labels.index("dagster/partition_row_count")
    assert not any("_" in label for label in labels[:-3])
    assert metadata["Summary"].value.startswith(f"{LAST}: ")
    counted = ("Alarms", "New alarms", "Open episodes", "Devices judged", "Devices not judged", "Threshold")
    assert all(isinstance(metadata[label], dg.IntMetadataValue | dg.FloatMetadataValue) for label in counted)
    assert str(metadata["Scores"].value).startswith("![")
    assert metadata["dagster/column_schema"].schema.columns[0].name == "day"
    assert "score" in metadata["dagster/column_lineage"].column_lineage.deps_by_column


def test_a_simulated_fleet_bounds_the_partitions() -> None:
    from ae_assets.pipeline.partitions import partitions_of

    keys = partitions_of(watched_table()).get_partition_keys()
    assert (keys[0], keys[-1], len(keys)) == (FIRST.isoformat(), LAST.isoformat(), 60)


def test_an_asset_of_ones_own_takes_a_day_of_anomalies_as_a_frame(finished_home: Path) -> None:
    from ae_assets.pipeline.partitions import partitions_of
    from ae_assets.pipeline.resources import DayTableIOManager, LakehouseResource

    table = watched_table()

    @dg.asset(
        partitions_def=partitions_of(table),
        ins={"anomalies": dg.AssetIn(key=["fleet", "anomalies"], input_manager_key="day_tables")},
        io_manager_key="day_tables",
        key_prefix="mine",
    )
    def alarms(anomalies: pl.DataFrame) -> pl.DataFrame:
        return anomalies.filter("is_anomaly").select("day", "entity")

    lakehouse = LakehouseResource(home=str(finished_home))
    upstream = dg.AssetSpec(["fleet", "anomalies"], partitions_def=partitions_of(table))
    result = dg.materialize(
        [upstream, alarms],
        partition_key=LAST.isoformat(),
        resources={"day_tables": DayTableIOManager(lakehouse=lakehouse)},
    )
    assert result.success
    stored = lakehouse.tables.read("mine.alarms", LAST, LAST)
    assert stored.height == lakehouse.tables.read("fleet.anomalies", LAST, LAST)["is_anomaly"].sum()


def test_everything_is_materialised_at_once_without_any_config(tmp_path: Path) -> None:
    table = watched_table(detector={"type": "counter_rule", "features": ["smart_5_level"]})
    last = FIRST + timedelta(days=34)
    result = materialise(table, tmp_path, (*NAMES, "maintenance"), (FIRST, last))
    assert result.success, failure_of(result)
    evaluated = {
        event.materialization.asset_key.path[-1]: event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }["evaluation"]
    assert "Judged days" not in evaluated
    words = evaluated["Summary"].value
    assert "too few days to judge yet" in words
    assert f"anomalies of all days until {last + timedelta(days=10)}" in words


def test_an_evaluation_without_days_judges_whole_windows_that_the_champion_has_scored_and_not_seen(
    finished_home: Path,
) -> None:
    last = FIRST + timedelta(days=59)
    result = materialise(watched_table(), finished_home, ("evaluation",), None, {"evaluation": {"compare": False}})
    assert result.success, failure_of(result)
    (event,) = result.get_asset_materialization_events()
    # It has seen labels until the 40th day and a window is 10 days long.
    assert event.materialization.metadata["Judged days"].value == f"{last - timedelta(days=19)} to {last}"
    rates = event.materialization.metadata["Found at a false alarm rate (FAR)"]
    assert [column.name for column in rates.schema.columns] == [
        "detector",
        "FAR 0.1%",
        "FAR 1%",
    ]  # the page holds no more
    share = event.materialization.metadata["False alarm rate"].value
    assert share == float(f"{share:.4g}")


def test_the_asset_evaluates_origins_when_it_is_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = worn_fleet.storage_of(*worn_fleet.fleet())
    rules = {
        "detector": CounterRuleConfig(features=("smart_5_level",)),
        "comparisons": (GrowthRuleConfig(features=("smart_5_growth_7d",)),),
    }
    space = replace(space, table=space.table.model_copy(update=rules))
    monkeypatch.setattr(assets, "workspace_of", lambda *_: space)
    last = worn_fleet.LAST
    config = {"start": str(last - timedelta(days=14)), "end": str(last), "origins": 2}
    result = materialise(watched_table(), tmp_path, ("evaluation",), None, {"evaluation": config})
    assert result.success, failure_of(result)
    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert next(iter(metadata)) == "Summary"
    assert metadata["Summary"].value.startswith("From ")
    assert "2 splits, each at its own thresholds" in metadata["As text"].value
    assert metadata["Result"].value["reference"] == "counter_rule"
    splits = metadata["Result"].value["splits"]
    assert [row["split"] for row in splits] == ["split 1", "split 1", "split 2", "split 2"]


def test_a_drift_warns_in_dagster_with_what_drifted(finished_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, anomalies = "features_have_not_drifted", dg.AssetKey(["fleet", "anomalies"])
    read = Reference.from_dict
    freezing = {"edges": [0.0], "counts": [500, 0, 0]}
    monkeypatch.setattr(
        Reference,
        "from_dict",
        lambda values: read({**values, "features": {**values["features"], "smart_194_level": freezing}}),
    )
    job = dg.define_asset_job("rates", selection=dg.AssetSelection.checks(dg.AssetCheckKey(anomalies, name)))
    definitions = dg.Definitions.merge(definitions_of(watched_table(), finished_home), dg.Definitions(jobs=[job]))
    result = definitions.resolve_job_def("rates").execute_in_process()
    assert result.success
    check = check_of(result, "anomalies", name)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["drifted"].value[0]["name"] == "smart_194_level"
