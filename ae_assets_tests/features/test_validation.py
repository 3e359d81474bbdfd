"""Rows are conserved, repeats are set aside in the file's order, and nothing of a row is lost."""

import json
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ae_assets.errors import ContractError
from ae_assets.features.validation import valid_rows, validate_day, with_whole_records
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.layouts.drive_stats_columns import DRIVE_STATS
from ae_assets.schemas.quarantine import quarantine_schema
from ae_assets_tests.schemas.frames import DAY, raw_rows


def test_valid_rows_have_normalised_names_and_the_attributes_of_features():
    contract = contract_of(DRIVE_STATS, ("smart_5_raw", "smart_9_raw", "smart_194_raw"))
    valid = validate_day(raw_rows({}, {"failure": None}), DAY, contract).valid
    assert valid.columns == ["day", "entity", "cohort", "label", "smart_5_raw", "smart_9_raw", "smart_194_raw"]
    assert valid.select("day", "entity", "cohort", "label").rows() == [
        (DAY, "ZA0000", "ST12000NM0008", 0),
        (DAY, "ZA0001", "ST12000NM0008", None),
    ]


def test_the_first_row_of_a_repeated_drive_stays_and_the_others_are_set_aside():
    raw = raw_rows(*({"serial_number": "ZA1", "smart_9_raw": hours} for hours in (10, 11, 12)))
    validated = validate_day(raw, DAY)
    assert validated.valid["smart_9_raw"].to_list() == [10]
    assert validated.quarantine.select("rule", "value", "source_row").rows() == [
        ("entity_is_unique", "ZA1", 2),
        ("entity_is_unique", "ZA1", 3),
    ]


def test_the_files_order_decides_whatever_the_order_of_the_frame():
    raw = raw_rows(*({"serial_number": "ZA1", "smart_9_raw": hours} for hours in (10, 11, 12)))
    assert validate_day(raw.reverse(), DAY).valid["smart_9_raw"].to_list() == [10]


def test_an_impossible_row_does_not_take_a_good_one_of_the_same_drive_with_it():
    raw = raw_rows({"serial_number": "ZA1", "smart_5_raw": -1}, {"serial_number": "ZA1"}, {"serial_number": "ZA1"})
    validated = validate_day(raw, DAY)
    assert validated.valid.height == 1
    assert validated.quarantine.select("rule", "source_row").rows() == [
        ("raw_value_fits_six_bytes", 1),
        ("entity_is_unique", 3),
    ]


@pytest.mark.parametrize(
    ("first", "second", "label"),
    [
        ({"failure": 0}, {"failure": 1}, 1),
        ({"failure": 1}, {"failure": 0}, 1),
        ({"failure": None}, {"failure": 1}, 1),
        ({"failure": 0}, {"failure": None}, 0),
        ({"failure": None}, {"failure": None}, None),
        ({"failure": 0}, {"failure": 1, "smart_5_raw": -1}, 1),
        ({"failure": 0}, {"failure": 2}, 0),
        ({"failure": 1, "smart_5_raw": -1}, {"failure": 0}, 1),
    ],
)
def test_the_label_is_the_largest_that_a_drive_has_on_the_day(
    first: dict[str, object], second: dict[str, object], label: int | None
):
    raw = raw_rows({"serial_number": "ZA1", **first}, {"serial_number": "ZA1", **second}, {"failure": 0})
    validated = validate_day(raw, DAY)
    assert validated.valid.select("entity", "label").rows() == [("ZA1", label), ("ZA0002", 0)]
    assert validated.valid.schema["label"] == pl.Int8
    assert validated.quarantine.height == 1


def test_a_row_that_breaks_several_rules_names_the_gravest_and_lists_all():
    raw = raw_rows({"serial_number": None, "date": date(2020, 1, 1), "smart_5_raw": -1, "smart_9_raw": -1})
    aside = validate_day(raw, DAY).quarantine.row(0, named=True)
    assert aside["rule"] == "serial_number_is_plain_text"
    assert aside["broken_rules"] == "serial_number_is_plain_text,date_is_the_partition_day,raw_value_fits_six_bytes"
    assert aside["entity"] is None


def test_quarantine_keeps_the_whole_row_as_json_without_empty_cells():
    raw = raw_rows({"serial_number": 'ZA"\\ {1}', "failure": None, "capacity_bytes": 2**53 + 1})
    record = json.loads(validate_day(raw, DAY).quarantine["record"].item())
    known = {name: value for name, value in raw.row(0, named=True).items() if value is not None}
    assert record == known | {"date": DAY.isoformat()}


def test_quarantine_keeps_its_schema_with_and_without_rows():
    for raw in (raw_rows({}), raw_rows({"smart_5_raw": -1}), raw_rows()):
        quarantine_schema().validate(validate_day(raw, DAY).quarantine)


def test_a_file_of_another_day_is_set_aside_as_a_whole():
    validated = validate_day(raw_rows({}, {}, {}), date(2024, 5, 18))
    assert validated.valid.is_empty()
    assert set(validated.quarantine["rule"]) == {"date_is_the_partition_day"}
    assert set(validated.quarantine["day"]) == {date(2024, 5, 18)}


def test_rows_of_which_a_rule_cannot_be_asked_are_an_error_and_not_valid():
    with pytest.raises(ContractError, match=r"rules could not be asked: .*cells_are_readable of 'rescued'"):
        validate_day(raw_rows({"rescued": "no JSON"}, {}), DAY)


def test_an_empty_day_is_valid_and_empty():
    validated = validate_day(raw_rows(), DAY)
    assert (validated.valid.height, validated.quarantine.height) == (0, 0)


def mangled() -> st.SearchStrategy[dict[str, object]]:
    """A row with any cells replaced by arbitrary ones of the column's type."""
    integers = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-2, 200))
    text = st.one_of(st.none(), st.text(max_size=6), st.sampled_from(["ZA1", "ZA2"]))
    rescued = st.one_of(
        st.none(), st.dictionaries(st.text(min_size=1), st.text(), min_size=1, max_size=2).map(json.dumps)
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "date": st.one_of(st.none(), st.dates(), st.just(DAY)),
            "serial_number": text,
            "model": text,
            "capacity_bytes": integers,
            "failure": st.one_of(st.none(), st.integers(-128, 127)),
            "smart_5_raw": integers,
            "smart_9_raw": integers,
            "smart_194_raw": integers,
            "pod_id": text,
            "rescued": rescued,
        },
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(mangled(), max_size=8), st.randoms(use_true_random=False))
def test_every_row_is_either_valid_or_set_aside_once_and_a_drive_is_valid_once(changes, random):
    raw = raw_rows(*changes)
    order = list(range(raw.height))
    random.shuffle(order)
    validated = validate_day(raw[order], DAY)
    assert validated.valid.height + validated.quarantine.height == raw.height
    assert validated.valid["entity"].n_unique() == validated.valid.height
    assert validated.quarantine["source_row"].n_unique() == validated.quarantine.height
    assert set(validated.quarantine["entity"].drop_nulls()) <= set(raw["serial_number"])
    again = validate_day(raw, DAY)
    assert again.valid.sort("entity").equals(validated.valid.sort("entity"))
    for record in validated.quarantine["record"]:
        json.loads(record)


@settings(deadline=None, max_examples=40)
@given(st.lists(mangled(), max_size=6))
def test_what_is_read_of_a_day_says_the_same_as_its_whole_rows(changes):
    contract = contract_of(DRIVE_STATS, ("smart_5_raw", "smart_194_raw"))
    whole = raw_rows(*changes).with_columns(source_file=pl.lit("a.csv"), day=pl.lit(DAY))
    narrow = whole.select(contract.read_in(whole.columns))
    assert narrow.width == whole.width - 4
    expected, validated = (validate_day(rows, DAY, contract) for rows in (whole, narrow))
    assert_frame_equal(validated.valid, expected.valid)
    assert_frame_equal(valid_rows(narrow, DAY, contract), expected.valid)
    if expected.quarantine.height:
        assert_frame_equal(with_whole_records(validated.quarantine, narrow, whole), expected.quarantine)
        for replaced in (whole.clear(), whole.with_columns(pl.col("smart_5_raw").fill_null(0) + 1)):
            assert_frame_equal(with_whole_records(validated.quarantine, narrow, replaced), validated.quarantine)


def test_a_day_that_holds_all_rules_is_looked_back_on_without_pandera(monkeypatch):
    monkeypatch.setattr("ae_assets.features.validation.validate_day", None)
    raw, contract = raw_rows({}, {}), contract_of(DRIVE_STATS)
    assert valid_rows(raw, DAY, contract)["entity"].to_list() == ["ZA0000", "ZA0001"]


@pytest.mark.parametrize(
    "raw", [raw_rows({}).drop("model"), raw_rows({}).with_columns(pl.col("smart_5_raw").cast(str))]
)
def test_a_day_without_the_columns_of_its_layout_is_refused_when_it_is_looked_back_on(raw):
    with pytest.raises(ContractError, match="do not have the columns of the layout"):
        valid_rows(raw, DAY, contract_of(DRIVE_STATS))


def test_valid_rows_stay_valid_when_they_are_validated_with_others():
    good = raw_rows({}, {})
    bad = raw_rows({"serial_number": "X", "smart_5_raw": -1}).with_columns(pl.lit(3, pl.Int32).alias("source_row"))
    assert validate_day(pl.concat([good, bad]), DAY).valid.equals(validate_day(good, DAY).valid)
