"""What readings mean by their documents."""

from typing import Any

import pytest

from ae_assets.one_server.outputs import Kind
from ae_assets.one_server.rules import Level, counters, evidence, signs
from ae_assets_tests.one_server.outputs import content, nvme, raws, report, report_of


def levels(value: Any) -> list[Level]:
    return [sign.level for sign in signs(report_of(value))]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, []),
        ({"critical_warning": 1}, [Level.FAILING]),
        ({"critical_warning": 2}, [Level.WATCH]),
        ({"critical_warning": 4}, [Level.FAILING]),
        ({"critical_warning": 8}, [Level.FAILING]),
        ({"critical_warning": 16}, [Level.FAILING]),
        ({"critical_warning": 32}, [Level.WATCH]),
        ({"critical_warning": 64}, [Level.WATCH]),
        ({"critical_warning": 1, "available_spare": 5}, [Level.FAILING]),
        ({"available_spare": 9}, [Level.FAILING]),
        ({"available_spare": 10}, []),
        ({"percentage_used": 99}, []),
        ({"percentage_used": 100}, [Level.WATCH]),
        ({"media_errors": 1}, [Level.WATCH]),
        ({"unsafe_shutdowns": 10**6}, []),
    ],
)
def test_the_health_log_of_nvme(counts: dict[str, int], expected: list[Level]) -> None:
    assert levels(nvme(**counts)) == expected


def test_a_warning_for_endurance_alone_is_to_be_watched_and_one_with_media_errors_is_a_failure() -> None:
    assert levels(nvme(critical_warning=4, percentage_used=100)) == [Level.WATCH, Level.WATCH]
    assert levels(nvme(critical_warning=4, percentage_used=100, media_errors=3))[0] == Level.FAILING
    assert levels(nvme(critical_warning=4, percentage_used=100, available_spare=10))[0] == Level.FAILING


def test_a_drive_that_says_itself_that_it_fails_fails() -> None:
    for name in ("wd_red", "samsung_ssd_840", "hitachi_sas", "intel_nvme_p4510"):
        assert signs(report(name, smart_status={"passed": False}))[0].level == Level.FAILING


def test_the_exit_status_of_smartctl_tells_what_the_output_leaves_out() -> None:
    found = {}
    for exit_status in (0, 4, 8, 16, 32, 64, 128):
        value = {**content("wd_red"), "smart_status": {}}
        value["smartctl"]["exit_status"] = exit_status
        found[exit_status] = levels(value)
    unsaid = [Level.NOTE]
    assert found == {0: unsaid, 4: unsaid * 2, 8: [Level.FAILING], 16: unsaid, 32: unsaid, 64: unsaid * 2, 128: unsaid}


def test_an_attribute_at_its_threshold_is_worse_where_the_vendor_says_that_it_announces_a_failure() -> None:
    found = {}
    for prefailure in (True, False):
        for failed in ("now", "past", "", "nonsense"):
            value = content("wd_red")
            row = value["ata_smart_attributes"]["table"][0]
            row |= {"when_failed": failed, "flags": {"prefailure": prefailure}}
            found[prefailure, failed] = levels(value)
    assert found == {
        (True, "now"): [Level.FAILING], (True, "past"): [Level.WATCH], (True, ""): [], (True, "nonsense"): [],
        (False, "now"): [Level.WATCH], (False, "past"): [Level.NOTE], (False, ""): [], (False, "nonsense"): [],
    }  # fmt: skip


@pytest.mark.parametrize(("status", "bad"), [(0x00, False), (0x10, False), (0x70, True), (0x79, True), (0xF0, False)])
def test_the_newest_self_test_counts(status: int, bad: bool) -> None:
    newest = {"status": {"value": status, "string": "Completed: read failure", "passed": status < 0x10}}
    older = {"status": {"value": 0x70, "string": "Completed: read failure", "passed": False}}
    log = {"standard": {"table": [newest, older]}}
    assert bool(levels({**content("wd_red"), "ata_smart_self_test_log": log})) == bad


def test_sas_drives_are_told_by_grown_defects_and_errors_that_were_not_corrected() -> None:
    assert [sign.reading for sign in signs(report("seagate_scsi_uncorrected"))] == [
        "grown_defects", "uncorrected_reads", "uncorrected_writes",
    ]  # fmt: skip
    assert signs(report("hitachi_sas")) == []


def test_counters_of_ssds_that_come_and_go_are_no_sign() -> None:
    assert report("intel_ssd_s4500").attributes[5].raw == 4
    assert signs(report("intel_ssd_s4500")) == []
    worn = raws("samsung_ssd_840", smart_187=2)
    assert levels(worn) == [Level.WATCH]


def test_raised_counters_of_hard_disks_are_named() -> None:
    found = counters(report_of(raws("wd_red", smart_5=3, smart_197=8, smart_198=0)))
    assert [sign.words for sign in found] == ["reallocated sectors 3", "current pending sectors 8"]


def test_without_the_readings_that_a_rule_rests_on_there_is_no_evidence_of_health() -> None:
    for name in ("wd_red", "samsung_ssd_840", "hitachi_sas", "intel_nvme_p4510"):
        assert evidence(report(name))
    for name, key in (
        ("wd_red", "ata_smart_attributes"), ("samsung_ssd_840", "smart_status"), ("hitachi_sas", "smart_status"),
        ("intel_nvme_p4510", "nvme_smart_health_information_log"),
    ):  # fmt: skip
        without = report(name, **{key: {}})
        assert without.kind != Kind.UNKNOWN
        assert not evidence(without)
