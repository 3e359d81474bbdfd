import json
from datetime import date

import pytest
import yaml

from ae_assets.cli.instance import load_table
from ae_assets.errors import ConfigError
from ae_assets.features.settings import FeatureSettings
from ae_assets.model.definition import SourceSection, WatchedTable
from ae_assets.model.parse import parse_table
from ae_assets.model.unknown_names import WRITTEN_BESIDE
from ae_assets.pipeline.component import scaffolded
from ae_assets.schemas.columns import RESERVED_COLUMNS
from ae_assets.schemas.layouts.drive_stats_columns import IDENTITY_COLUMNS, NEVER_FEATURES, PLACE_COLUMNS
from ae_assets.schemas.layouts.own import layout_of_record, periods_of_record
from ae_assets.schemas.reading import MISSING_MARKERS
from ae_assets.sources import Reading
from ae_assets_tests.chain.tables import attributes


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"detector": {"type": "dense_autoencoder", "unit": [1]}}, ["attributes.detector.unit", "[1]", "units"]),
        ({"detector": {"type": "dens"}}, ["attributes.detector", "dens", "dense_autoencoder"]),
        ({"comparisons": [{"type": "lstm_autoencoder", "window_days": -1}]}, ["comparisons.0.window", "-1"]),
        ({"threshold": {"policy": "percentile", "percentile": "many"}}, ["attributes.threshold.percentile", "'many'"]),
        ({"threshold": {"policy": "target_far", "rate": 2}}, ["attributes.threshold.rate", "2", "less than 1"]),
        (
            {"threshold": {"policy": "iqr", "log": True, "fence": 3}},
            ["attributes.threshold.fence", "allowed here: k, log"],
        ),
        ({"threshold": {"policy": "median"}}, ["attributes.threshold", "median", "peaks_over_threshold"]),
        ({"threshold": {"percentile": 99}}, ["attributes.threshold", "policy"]),
        ({"colour": "red"}, ["attributes.colour", "'red'", "allowed here", "detector"]),
        ({"owners": ["bob"]}, ["attributes.owners", "bob", "team:NAME"]),
        ({"start": "yesterday"}, ["attributes.start", "yesterday", "date"]),
        ({"end": "2013-01-01"}, ["end 2013-01-01", "start 2013-04-10"]),
        ({"table": "Drive Stats"}, ["attributes.table", "Drive Stats"]),
        ({"retraining": {"margin": -0.1}}, ["attributes.retraining.margin", "-0.1", "greater than or equal to 0"]),
        ({"retraining": {"cron": "0 6 * * 1"}}, ["attributes.retraining.cron", "allowed here: cron_schedule"]),
        (
            {"retraining": {"window_days": 9}, "checks": {"window_days": 10}},
            ["retraining.window_days 9", "checks.window_days 10", "as long or longer"],
        ),
        ({"checks": {"max_alarm_share": 1.5}}, ["attributes.checks.max_alarm_share", "1.5", "less than 1"]),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_path_what_was_received_and_what_is_allowed(
    change: dict[str, object], says: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        parse_table({**attributes(), **change}, "defs.yaml")
    for words in ["defs.yaml", *says]:
        assert words in str(error.value)


def test_a_missing_key_is_named() -> None:
    given = attributes()
    del given["source"]
    with pytest.raises(ConfigError, match=r"attributes.source: this key is required"):
        parse_table(given, "defs.yaml")


def test_every_wrong_key_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        parse_table({**attributes(), "colour": "red", "sensor": {"interval_seconds": 0}}, "defs.yaml")
    assert "attributes.colour" in str(error.value)
    assert "attributes.sensor.interval_seconds" in str(error.value)


def test_the_line_of_the_yaml_is_named_where_it_is_known() -> None:
    with pytest.raises(ConfigError, match=r"attributes.sensor.interval_seconds \(line 12\)"):
        parse_table({**attributes(), "sensor": {"interval_seconds": 0}}, "defs.yaml", {("sensor",): 12})


def test_a_column_that_identifies_a_drive_is_refused_as_an_attribute() -> None:
    features = {"attributes": {"serial_number": {"kind": "counter", "meaning": "x"}}}
    with pytest.raises(ConfigError, match="serial_number"):
        parse_table({**attributes(), "features": features}, "defs.yaml")


def source_of(**source: object) -> SourceSection:
    return parse_table({**attributes(), "source": {"location": "in", **source}}, "defs.yaml").source


def test_a_folder_may_be_called_by_a_number() -> None:
    assert source_of(location=2024).location == "2024"


@pytest.mark.parametrize("location", [2024.1, True, date(2024, 1, 1)])
def test_a_location_that_yaml_takes_for_something_else_says_what_to_write(location: object) -> None:
    with pytest.raises(ConfigError, match=r"attributes\.source\.location: received \w+; .*put \./ before"):
        source_of(location=location)


def test_the_words_for_a_missing_cell_have_defaults_and_take_what_yaml_makes_of_them() -> None:
    assert source_of().reading == Reading()
    markers = source_of(missing_markers=[None, -9999, "n.d."], last_line_end="optional").reading
    assert markers == Reading(("null", "-9999", "n.d.", "none"), "optional")
    with pytest.raises(ConfigError, match=r"attributes\.source\.missing_markers"):
        source_of(missing_markers=[True])


@pytest.mark.parametrize("source", ["https://ann:s3cr3t@host/a.zip", {"location": ["https://ann:s3cr3t@host/a.zip"]}])
def test_a_location_of_a_wrong_form_is_not_shown_since_it_may_hold_a_password(source: object) -> None:
    with pytest.raises(ConfigError, match=r"attributes\.source.* received (str|list);") as refused:
        parse_table({"table": "fleet", "source": source}, "defs.yaml")
    assert "s3cr3t" not in str(refused.value)


def test_the_tables_of_the_project_and_a_scaffolded_one_read_the_default_words_for_a_missing_cell() -> None:
    words = load_table("drive_stats")[1].source.reading
    template = yaml.safe_load(scaffolded("fleet", "ae_assets.AnomalyPipeline"))["attributes"]["source"]
    assert template["missing_markers"] == list(MISSING_MARKERS)
    assert all(words.is_missing(marker) for marker in [*MISSING_MARKERS, "null", "nan", "none"])
    assert words.last_line_end == template["last_line_end"] == Reading().last_line_end


def attribute(column: str) -> dict[str, object]:
    return {"features": {"attributes": {column: {"kind": "counter", "meaning": "x"}}}, "detector": {"type": "ecod"}}


@pytest.mark.parametrize("column", ["smart_5_raw", "smart_5_normalized", "smart_255_raw"])
def test_attributes_of_the_layout_are_taken(column: str) -> None:
    assert list(parse_table({**attributes(), **attribute(column)}, "defs.yaml").features.attributes) == [column]


@pytest.mark.parametrize(
    "column", sorted({*WRITTEN_BESIDE, *NEVER_FEATURES, *IDENTITY_COLUMNS, *PLACE_COLUMNS, *RESERVED_COLUMNS, "Model"})
)
def test_a_column_that_identifies_a_drive_a_place_or_a_date_is_never_a_feature(column: str) -> None:
    with pytest.raises(ConfigError, match=rf"features\.attributes\.{column}: .* never features; remove it"):
        parse_table({**attributes(), **attribute(column)}, "defs.yaml")


@pytest.mark.parametrize("column", ["smart_5_rwa", "smrt_5_raw", "smart_05_raw", "Smart_5_raw", "smart_256_raw"])
def test_an_attribute_that_the_layout_cannot_have_is_named_with_the_nearest(column: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_table({**attributes(), **attribute(column)}, "defs.yaml", {("features", "attributes", column): 7})
    assert f"attributes.features.attributes.{column} (line 7): received '{column}'" in str(error.value)
    assert "smart_5" in str(error.value).partition("nearest: ")[2] or column == "smart_256_raw"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"detector": {"type": "counter_rule", "features": ["smart_5_level", "smart_197_levl"]}},
            ["attributes.detector.features", "'smart_197_levl'", "nearest: smart_197_level"],
        ),
        (
            {"comparisons": [{"type": "growth_rule", "features": ["smart_5_growth_28d"]}]},
            ["attributes.comparisons.0.features", "'smart_5_growth_28d'", "nearest: ", "smart_5_growth_7d"],
        ),
        ({"comparisons": [{"type": "pca", "features": ["smart_6_level"]}]}, ["attributes.comparisons.0.features"]),
        (
            {"detector": {"type": "ordinal", "counters": ["smart_5", "smart_179"], "judged": ["smart_5"]}},
            ["attributes.detector.counters", "'smart_179'", "smart_179_level", "nearest: ", "smart_197"],
        ),
        (
            {"detector": {"type": "ordinal", "counters": ["smart_5"], "judged": ["smart_5"],
                          "age": "smart_9"}},
            ["attributes.detector.age", "'smart_9'", "smart_9_level"],
        ),
    ],
)  # fmt: skip
def test_a_feature_that_no_attribute_makes_is_named_with_the_nearest(
    change: dict[str, object], says: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        parse_table({**attributes(), **change}, "defs.yaml")
    for words in ["defs.yaml", *says]:
        assert words in str(error.value)


def of_own_columns(time: object, partitions: str = "daily") -> WatchedTable:
    columns = {"time": time, "entity": "pump", "values": {"pressure": {}}}
    features = {"attributes": {"pressure": {"kind": "gauge", "meaning": "x"}}}
    own = {"source": {"location": "in", "columns": columns}, "partitions": partitions, "features": features}
    return parse_table({**attributes(), **own, "detector": {"type": "ecod"}}, "defs.yaml")


TIMES = {"column": "at", "format": "%Y-%m-%d %H:%M"}


@pytest.mark.parametrize(
    ("time", "partitions"),
    [
        ("at", "weekly"),
        (TIMES, "hourly"),
        ({**TIMES, "cadence": "1h"}, "hourly"),
        ({**TIMES, "cadence": "15m"}, "daily"),
        ({**TIMES, "cadence": "6h"}, "weekly"),
        ({"column": "at", "cadence": "1d"}, "weekly"),
    ],
)
def test_the_periods_of_a_table_reach_whatever_reads_its_rows(time: object, partitions: str) -> None:
    table = of_own_columns(time, partitions)
    assert table.reading.periods is table.periods
    again = FeatureSettings.from_record(json.loads(json.dumps(table.feature_settings.record)))
    assert periods_of_record(again.source) is table.periods
    assert layout_of_record(again.source).time == table.layout.time


@pytest.mark.parametrize(
    ("time", "partitions", "says"),
    [
        ("at", "hourly", "hourly need times with a time of day"),
        ({**TIMES, "cadence": "2h"}, "hourly", "cadence 2h is longer than the hour"),
        ({**TIMES, "cadence": "2d"}, "daily", "cadence 2d is longer than the day"),
        ({"column": "at", "cadence": "1d"}, "daily", "cadence 1d needs times with a time of day"),
        ({"column": "at", "cadence": "15m"}, "weekly", "cadence 15m needs times with a time of day"),
    ],
)
def test_times_that_cannot_tell_the_records_of_a_period_apart_are_refused(
    time: object, partitions: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        of_own_columns(time, partitions)


def test_drive_stats_have_daily_files() -> None:
    with pytest.raises(ConfigError, match="a file for each day, received weekly"):
        parse_table({**attributes(), "partitions": "weekly"}, "defs.yaml")


def test_settings_of_a_daily_table_with_one_record_a_day_are_kept_as_before_there_were_others() -> None:
    assert load_table("drive_stats")[1].feature_settings.digest == "4329478711fb"
    source = of_own_columns("at").feature_settings.source
    assert "partitions" not in source
    assert "cadence" not in source["columns"]["time"]  # type: ignore[index]


def test_periods_of_a_newer_version_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="received 'monthly'"):
        periods_of_record({"partitions": "monthly"})
