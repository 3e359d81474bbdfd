"""What the drive-stats contract holds for impossible, and what it leaves to the detector."""

import json
import os
import subprocess
import sys
from datetime import date

import pandera.polars as pa
import polars as pl
import pytest

from ae_assets.errors import ContractError
from ae_assets.features.validation import validate_day
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.layouts.drive_stats_columns import DRIVE_STATS
from ae_assets.sources import open_source
from ae_assets_tests.conftest import real_data
from ae_assets_tests.schemas.frames import DAY, raw_rows

IMPOSSIBLE = {
    "no serial number": ({"serial_number": None}, "serial_number_is_plain_text", "serial_number", None),
    "an empty serial number": ({"serial_number": ""}, "serial_number_is_plain_text", "serial_number", ""),
    "white space in it": ({"serial_number": "ZA 1"}, "serial_number_is_plain_text", "serial_number", "ZA 1"),
    "a line end in it": ({"serial_number": "ZA\n1"}, "serial_number_is_plain_text", "serial_number", "ZA\n1"),
    "a NUL in it": ({"serial_number": "ZA\x001"}, "serial_number_is_plain_text", "serial_number", "ZA\x001"),
    "bytes that are not text": (
        {"serial_number": "ZA\ufffd"},
        "serial_number_is_plain_text",
        "serial_number",
        "ZA\ufffd",
    ),
    "no model": ({"model": None}, "model_is_plain_text", "model", None),
    "a blank model": ({"model": "  "}, "model_is_plain_text", "model", "  "),
    "a model that is not text": ({"model": "ST\ufffd"}, "model_is_plain_text", "model", "ST\ufffd"),
    "another date": ({"date": date(2024, 5, 16)}, "date_is_the_partition_day", "date", "2024-05-16"),
    "no date": ({"date": None}, "date_is_the_partition_day", "date", None),
    "failure two": ({"failure": 2}, "failure_is_zero_or_one", "failure", "2"),
    "failure minus one": ({"failure": -1}, "failure_is_zero_or_one", "failure", "-1"),
    "600 petabytes": ({"capacity_bytes": 6 * 10**17}, "capacity_is_plausible", "capacity_bytes", "600000000000000000"),
    "no bytes": ({"capacity_bytes": 0}, "capacity_is_plausible", "capacity_bytes", "0"),
    "minus two bytes": ({"capacity_bytes": -2}, "capacity_is_plausible", "capacity_bytes", "-2"),
    "a negative counter": ({"smart_5_raw": -1}, "raw_value_fits_six_bytes", "smart_5_raw", "-1"),
    "a counter of 2^48": ({"smart_5_raw": 2**48}, "raw_value_fits_six_bytes", "smart_5_raw", str(2**48)),
    "more bad sectors than sectors": ({"smart_5_raw": 10**12}, "sectors_fit_the_drive", "smart_5_raw", str(10**12)),
    "boiling": ({"smart_194_raw": 126}, "temperature_is_plausible", "smart_194_raw", "126"),
    "older than disks": ({"smart_9_raw": 1_000_001}, "power_on_hours_are_plausible", "smart_9_raw", "1000001"),
    "an uncertain date": (
        {"date": None, "rescued": '{"date": "4/17/24", "smart_7_raw": "x"}'},
        "date_is_certain",
        "date",
        "4/17/24",
    ),
    "an unreadable cell": ({"rescued": '{"smart_7_raw": "a\\"b"}'}, "cells_are_readable", "smart_7_raw", 'a"b'),
    "an unreadable cell behind one that nothing reads": (
        {"rescued": '{"pod_id": "\\\\xff", "failure": "x"}'},
        "cells_are_readable",
        "failure",
        "x",
    ),
    "a cut line": ({"rescued": '{"line": "2024-05-17,ZA"}'}, "cells_are_readable", "line", "2024-05-17,ZA"),
}

UNUSUAL = {
    "an unknown label": {"failure": None},
    "a drive that fails": {"failure": 1},
    "a drive that did not tell its capacity": {"capacity_bytes": -1},
    "an empty capacity": {"capacity_bytes": None},
    "a saturated counter": {"smart_5_raw": 65_535},
    "no reading at all": {"smart_5_raw": None, "smart_9_raw": None, "smart_194_raw": None},
    "the firmware's offset of 29 years": {"smart_9_raw": 258_991},
    "a temperature with its extremes packed above it": {"smart_194_raw": (18 << 32) + (45 << 16) + 31},
    "a hot drive": {"smart_194_raw": 74},
    "an unreadable cell of a column that nothing reads": {"rescued": '{"pod_id": "x"}'},
    "a model of two words": {"model": "WDC WD10EADS"},
    "a serial number with a hyphen": {"serial_number": "WD-WCAU45409452"},
    "more bad sectors than it could have, if its capacity were known": {"smart_5_raw": 10**12, "capacity_bytes": -1},
}


@pytest.mark.parametrize(("change", "rule", "column", "value"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_row_that_cannot_be_true_is_set_aside_with_rule_column_and_value(change, rule, column, value):
    validated = validate_day(raw_rows({}, change, {}), DAY)
    assert validated.valid["entity"].to_list() == ["ZA0000", "ZA0002"]
    assert validated.quarantine.select("rule", "column", "value", "source_row").rows() == [(rule, column, value, 2)]
    assert validated.quarantine["reason"][0]


@pytest.mark.parametrize("change", UNUSUAL.values(), ids=UNUSUAL)
def test_an_unusual_row_is_left_to_the_detector(change):
    validated = validate_day(raw_rows({}, change), DAY)
    assert validated.valid.height == 2
    assert validated.quarantine.is_empty()


def test_the_failure_cases_of_pandera_are_the_rows_set_aside():
    changes = [change for change, *_ in IMPOSSIBLE.values()] + list(UNUSUAL.values())
    raw = raw_rows(*({"serial_number": f"S{number}", **change} for number, change in enumerate(changes)), {})
    contract = contract_of(DRIVE_STATS)
    with pytest.raises(pa.errors.SchemaErrors) as caught:
        contract.schema(DAY, raw.columns).validate(contract.widened(raw), lazy=True)
    by_pandera = set(caught.value.failure_cases.select("index", "check").rows())
    aside = validate_day(raw, DAY, contract).quarantine
    set_aside = {
        (row - 1, rule) for row, rules in aside.select("source_row", "broken_rules").rows() for rule in rules.split(",")
    }
    assert set_aside == by_pandera
    assert aside.height == len(IMPOSSIBLE)


@pytest.mark.parametrize("value", ["PANDERA_VALIDATION_ENABLED=False", "PANDERA_VALIDATION_DEPTH=SCHEMA_ONLY"])
def test_no_setting_of_the_environment_switches_the_rules_off(value):
    code = (
        "from ae_assets.features.validation import validate_day\n"
        "from ae_assets_tests.schemas.frames import DAY, raw_rows\n"
        "print(validate_day(raw_rows({'smart_5_raw': -1}), DAY).quarantine['rule'].to_list())"
    )
    name, setting = value.split("=")
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, name: setting}, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "['raw_value_fits_six_bytes']"


def test_pandera_passes_what_the_contract_passes():
    raw = raw_rows(*UNUSUAL.values())
    contract = contract_of(DRIVE_STATS)
    assert contract.schema(DAY, raw.columns).validate(contract.widened(raw), lazy=True).height == len(UNUSUAL)


def test_every_rule_has_a_reason_and_a_name_that_is_a_proposition():
    contract = contract_of(DRIVE_STATS)
    rules = [*contract.rules(DAY, raw_rows({}).columns), contract.unique]
    assert all(len(rule.reason.split()) > 5 for rule in rules)
    assert all({"is", "are", "fits", "fit"} & set(rule.name.split("_")) for rule in rules)


def test_an_attribute_that_no_feature_reads_sets_nothing_aside_and_is_not_kept():
    contract = contract_of(DRIVE_STATS, ["smart_9_raw", "smart_187_raw"])
    validated = validate_day(raw_rows({"smart_5_raw": -1}), DAY, contract)
    assert validated.valid.columns == ["day", "entity", "cohort", "label", "smart_9_raw"]
    assert validated.quarantine.is_empty()


@pytest.mark.parametrize("cell", ['{"smart_240_raw": "18446744073709551615"}', '{"smart_health": "PASSED"}'])
def test_a_cell_that_no_feature_reads_cannot_set_a_row_aside(cell):
    contract = contract_of(DRIVE_STATS, ["smart_9_raw", "smart_5_raw"])
    validated = validate_day(raw_rows({"rescued": cell}), DAY, contract)
    assert (validated.valid.height, validated.quarantine.height) == (1, 0)


@pytest.mark.parametrize(
    "column", ["date", "serial_number", "model", "capacity_bytes", "failure", "smart_5_raw", "line"]
)
def test_an_unreadable_cell_that_is_read_sets_its_row_aside(column):
    contract = contract_of(DRIVE_STATS, ["smart_9_raw", "smart_5_raw"])
    rescued = json.dumps({"smart_99_raw": "garbled", column: "x"})
    rule = "date_is_certain" if column == "date" else "cells_are_readable"
    aside = validate_day(raw_rows({"rescued": rescued}), DAY, contract).quarantine
    assert aside.select("rule", "column", "value").rows() == [(rule, column, "x")]


PACKED_HOURS = (13 << 40) + 32_037
"""Power-on hours as smartctl's JSON has them of some drives: milliseconds and minutes above 32 bits of hours."""


def test_rules_look_at_the_bits_that_carry_the_value():
    rows = raw_rows({"smart_9_raw": PACKED_HOURS, "smart_5_raw": 7 << 16}, {"smart_9_raw": 1_000_001})
    contract = contract_of(DRIVE_STATS, ["smart_9_raw", "smart_5_raw"], {"smart_9_raw": 32, "smart_5_raw": 16})
    validated = validate_day(rows.with_columns(capacity_bytes=pl.lit(10**9)), DAY, contract)
    assert validated.valid.select("smart_9_raw", "smart_5_raw").rows() == [(PACKED_HOURS, 7 << 16)]
    assert validated.quarantine["rule"].to_list() == ["power_on_hours_are_plausible"]
    whole = validate_day(rows, DAY, contract_of(DRIVE_STATS, ["smart_9_raw"]))
    assert whole.quarantine["rule"].to_list() == ["power_on_hours_are_plausible"] * 2


@pytest.mark.parametrize(("bits", "value"), [(32, 2**48), (32, -1), (8, 2**63 - 1)])
def test_the_whole_value_fits_six_bytes_however_few_bits_are_read(bits, value):
    contract = contract_of(DRIVE_STATS, ["smart_9_raw"], {"smart_9_raw": bits})
    aside = validate_day(raw_rows({"smart_9_raw": value}), DAY, contract).quarantine
    assert aside.select("rule", "value").rows() == [("raw_value_fits_six_bytes", str(value))]


def test_a_missing_column_and_a_column_of_another_type_are_named_at_once():
    raw = raw_rows({}).drop("model").with_columns(pl.col("smart_5_raw").cast(pl.String))
    with pytest.raises(ContractError, match=r"'model' is missing; 'smart_5_raw' is String, expected Int64"):
        validate_day(raw, DAY)


def test_integers_that_a_lakehouse_has_widened_pass():
    raw = raw_rows({}).with_columns(pl.col("failure").cast(pl.Int32), pl.col("source_row").cast(pl.Int64))
    assert validate_day(raw, DAY).valid.schema["label"] == pl.Int8


PUBLISHED = {
    "data_2013.zip": 41,
    "data_2016_ST4000DM000_selected_drives.zip": 9,
    "data_2024-12-15_selected_rows.zip": 1,
    "data_Q1_2024_failed_drives_only.zip": 29,
}


@pytest.mark.real_data
@pytest.mark.parametrize(("archive", "every"), PUBLISHED.items())
def test_no_published_row_is_called_impossible(archive, every):
    source = open_source(str(real_data(f"drive_stats/{archive}")))
    days = sorted(source.days().items())[::every]
    for day, listed in days:
        raw = source.read(listed)
        validated = validate_day(raw, day)
        assert (validated.valid.height, validated.quarantine.height) == (raw.height, 0)
        assert raw["smart_9_raw"].max() < 2**32, "the low 32 bits of the hours are the hours"
    assert days
