"""What smartctl prints becomes readings, and what is no such output is said to be none."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_assets.one_server.outputs import MOST_DRIVES, Kind, Problem, reports_of
from ae_assets.one_server.rules import counters, evidence, signs
from ae_assets.one_server.states import State, kept_readings, standings
from ae_assets_tests.one_server.outputs import FOLDER, NOW, content, report, report_of

KINDS = {
    "seagate_exos_packed_timeouts": Kind.HARD_DISK,
    "seagate_barracuda_reallocated": Kind.HARD_DISK,
    "wd_red": Kind.HARD_DISK,
    "wd_re_megaraid_reallocated": Kind.HARD_DISK,
    "hgst_ultrastar": Kind.HARD_DISK,
    "toshiba_mg08": Kind.HARD_DISK,
    "hitachi_failed": Kind.HARD_DISK,
    "samsung_ssd_840": Kind.ATA_SSD,
    "crucial_micron_5300": Kind.ATA_SSD,
    "intel_ssd_s4500": Kind.ATA_SSD,
    "intel_nvme_p4510": Kind.NVME,
    "samsung_nvme_media_errors": Kind.NVME,
    "samsung_nvme_backup_failed": Kind.NVME,
    "hitachi_sas": Kind.SCSI,
    "seagate_sas_grown_defects": Kind.SCSI,
    "seagate_scsi_uncorrected": Kind.SCSI,
}
PROBLEMS = {
    "permission_denied": Problem.PERMISSION,
    "standby": Problem.STANDBY,
    "unknown_usb_bridge": Problem.UNKNOWN_TYPE,
    "no_such_device": Problem.ABSENT,
}
ESCAPES = "\x1b[31mred\x1b]0;title\x07\r\n\u202eevil\x00"


def test_there_is_a_test_for_each_output() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {*KINDS, *PROBLEMS}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_a_drive_that_was_read_is_known_by_kind_model_serial_and_day(name: str, kind: Kind) -> None:
    one = report(name)
    assert (one.kind, one.problem, one.day) == (kind, None, date(2025, 11, 24))
    assert one.model
    assert one.serial is not None
    assert one.serial.startswith("EXAMPLE")
    assert one.counts["power_on_hours"] > 0


@pytest.mark.parametrize(("name", "problem"), PROBLEMS.items())
def test_a_drive_that_was_not_read_says_why_and_is_never_healthy(name: str, problem: Problem) -> None:
    one = report(name)
    assert one.problem == problem
    [stand], _ = standings([one], [])
    assert stand.state == State.NOT_JUDGED


def test_a_drive_that_could_not_be_opened_is_named_by_what_smartctl_was_called_with() -> None:
    assert [report(name).device for name in PROBLEMS] == ["/dev/sda", "/dev/sdm", "/dev/sdn", "/dev/sdz"]
    nameless = content("permission_denied")
    del nameless["smartctl"]["argv"]
    assert report_of(nameless).device == "here"


def test_raw_values_are_those_of_the_drive_also_where_a_vendor_packs_three_into_one() -> None:
    attributes = report("seagate_exos_packed_timeouts").attributes
    assert attributes[188].raw == (12 << 32) + (12 << 16) + 12
    assert report("hitachi_failed").attributes[5].failed == "now"


def test_smartctl_that_was_called_wrong_or_could_not_open_a_drive_says_so_by_its_exit_status() -> None:
    problems = {}
    for exit_status in (1, 2, 3, 4, 8, 64, 128):
        value = content("wd_red")
        value["smartctl"]["exit_status"] = exit_status
        problems[exit_status] = report_of(value).problem
    assert problems == {1: "smartctl_wrong_use", 2: "not_opened", 3: "smartctl_wrong_use",
                        4: None, 8: None, 64: None, 128: None}  # fmt: skip


def test_smart_that_is_switched_off_is_not_judged_unless_there_are_readings_all_the_same() -> None:
    off = {"smart_support": {"available": True, "enabled": False}}
    assert report("wd_red", **off, ata_smart_attributes=None).problem is None
    without = {key: value for key, value in content("wd_red").items() if key != "ata_smart_attributes"}
    assert report_of({**without, **off}).problem == Problem.NO_SMART


def test_a_file_may_hold_one_object_a_list_or_one_after_the_other() -> None:
    both = [content("wd_red"), content("hitachi_sas")]
    one_by_one = "\ufeff" + "\n".join(map(json.dumps, both))
    for text in (json.dumps(both), one_by_one, json.dumps(both[:1]) + json.dumps(both[1:])):
        assert [one.device for one in reports_of(text, "here", NOW)] == ["/dev/sdc", "/dev/sdj"]


@pytest.mark.parametrize(
    "text",
    ["", "  ", "smartctl 7.3 2022-02-28", "{", "[]", "[1, null]", '"text"', "NaN", '{"a": NaN}', "[" * 100_000,
     '{"devices": [], "smartctl": {}}', '{"x": 1}', "9" * 10_000, "\x00", '{"smartctl": {"exit_status": 0}} rest'],
    ids=lambda text: text[:12] or "empty",
)  # fmt: skip
def test_a_text_that_is_no_output_of_smartctl_gives_a_report_that_says_so(text: str) -> None:
    reports = reports_of(text, "file.json", NOW)
    assert any(one.problem is not None for one in reports)
    assert {one.state for one in standings(reports, [])[0]} == {State.NOT_JUDGED}


def test_what_comes_before_a_damaged_rest_is_kept() -> None:
    text = json.dumps(content("wd_red")) + '{"smartctl": '
    assert [one.problem for one in reports_of(text, "file.json", NOW)] == [None, Problem.NO_OUTPUT]


def test_too_many_drives_are_refused() -> None:
    text = json.dumps([{"smartctl": {}}] * (MOST_DRIVES + 1))
    assert [one.problem for one in reports_of(text, "file.json", NOW)] == [Problem.NO_OUTPUT]


def test_nothing_that_a_terminal_would_obey_comes_out_of_a_report() -> None:
    value = content("wd_red")
    value |= {"model_name": ESCAPES, "serial_number": ESCAPES, "device": {"name": ESCAPES, "protocol": "ATA"}}
    value["smartctl"]["messages"] = [{"string": ESCAPES}]
    value["ata_smart_attributes"]["table"][0] |= {"name": ESCAPES, "when_failed": "now"}
    value["ata_smart_self_test_log"] = {"standard": {"table": [{"status": {"value": 115, "passed": False,
                                                                          "string": ESCAPES}}]}}  # fmt: skip
    [stand], _ = standings([report_of(value)], [])
    shown = [stand.report.device, stand.report.model, stand.report.serial, *stand.why]
    assert all(text is not None and text.isprintable() for text in shown)
    [unread], _ = standings(reports_of(ESCAPES, ESCAPES, NOW), [])
    assert all(text.isprintable() for text in (unread.report.device, *unread.why))


def test_a_time_that_no_clock_shows_counts_as_now() -> None:
    for time in (-1, 0, 10**12, "now", None, True, 1.5):
        assert report("wd_red", local_time={"time_t": time}).at == NOW
    assert report("wd_red", local_time={"time_t": 1_700_000_000}).at == datetime.fromtimestamp(1_700_000_000, UTC)


WILD = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**130), 2**130) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
PLACES = [
    ("smartctl",), ("smartctl", "exit_status"), ("smartctl", "messages"), ("smartctl", "argv"), ("device",),
    ("device", "name"),
    ("model_name",), ("serial_number",), ("user_capacity",), ("user_capacity", "bytes"), ("rotation_rate",),
    ("smart_status",), ("smart_status", "passed"), ("smart_support",), ("ata_smart_attributes",),
    ("ata_smart_attributes", "table"), ("ata_smart_attributes", "table", 3), ("ata_smart_attributes", "table", 3, "id"),
    ("ata_smart_attributes", "table", 3, "raw"), ("ata_smart_attributes", "table", 3, "raw", "value"),
    ("ata_smart_attributes", "table", 3, "flags"), ("ata_smart_attributes", "table", 3, "when_failed"),
    ("power_on_time",), ("power_on_time", "hours"), ("temperature", "current"), ("local_time", "time_t"),
]  # fmt: skip


@given(st.sampled_from(PLACES), WILD)
def test_whatever_stands_in_the_place_of_a_value_the_drive_is_judged_or_not_and_nothing_breaks(
    place: tuple[Any, ...], wild: Any
) -> None:
    value: Any = content("wd_red")
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = wild
    [one] = reports_of(json.dumps(value), "here", NOW)
    assert all(sign.words.isprintable() for sign in [*signs(one), *counters(one)])
    assert one.problem is not None or evidence(one) in {True, False}
    assert json.dumps(kept_readings(one))


@pytest.mark.parametrize("wild", [-1, 2**53, 2**64, 2**127, 2**200, "8", 1.5, True, None, [], {}])
def test_a_counter_of_another_kind_than_smartctl_gives_does_not_make_a_disk_healthy_by_it(wild: object) -> None:
    value = content("wd_red")
    for row in value["ata_smart_attributes"]["table"]:
        row["raw"] = {"value": wild}
    [stand], _ = standings([report_of(value)], [])
    assert stand.state != State.HEALTHY
    assert json.dumps(stand.record)
