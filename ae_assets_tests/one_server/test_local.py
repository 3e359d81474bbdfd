"""The drives of this machine, by a program in the place of smartctl that answers what real ones did."""

import json
import time
from pathlib import Path

import pytest

from ae_assets.errors import ConfigError, SourceError
from ae_assets.one_server import local
from ae_assets.one_server.local import local_reports
from ae_assets.one_server.outputs import Problem
from ae_assets_tests.one_server.fake_smartctl import FakeSmartctl
from ae_assets_tests.one_server.outputs import NOW


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSmartctl:
    return FakeSmartctl(tmp_path / "bin", monkeypatch)


def test_each_drive_of_the_scan_is_asked_by_its_type_and_none_is_woken(fake: FakeSmartctl) -> None:
    fake.drives({"/dev/sda": "wd_red", "/dev/nvme0": "intel_nvme_p4510", "/dev/sdb": "standby"})
    reports = local_reports(NOW)
    assert [(one.serial, one.problem) for one in reports] == [
        ("EXAMPLE0003", None), ("EXAMPLE0011", None), (None, Problem.STANDBY),
    ]  # fmt: skip
    assert sorted(fake.calls()) == [
        "--scan-open --json",
        "-a --json -n standby -d nvme /dev/nvme0",
        "-a --json -n standby -d sat /dev/sda",
        "-a --json -n standby -d sat /dev/sdb",
    ]


def test_a_drive_that_does_not_answer_is_said_and_holds_up_no_other(fake: FakeSmartctl) -> None:
    fake.drives({"/dev/sda": "wd_red", **{f"/dev/sd{letter}": "HANG" for letter in "bcd"}})
    began = time.monotonic()
    reports = local_reports(NOW, seconds=2.0)
    assert time.monotonic() - began < 20
    assert [one.problem for one in reports] == [None, *[Problem.TIMED_OUT] * 3]


def test_a_drive_that_answers_nonsense_is_said(fake: FakeSmartctl) -> None:
    fake.drives({"/dev/sda": "NONSENSE"})
    [one] = local_reports(NOW)
    assert (one.device, one.problem) == ("/dev/sda", Problem.NO_OUTPUT)


@pytest.mark.parametrize("drive", [["-d", "sat"], ["/dev/sda;reboot", "sat"], ["/dev/sda", "sat --set"], [3, None]])
def test_names_and_types_that_no_device_has_are_not_passed_on(fake: FakeSmartctl, drive: list[object]) -> None:
    fake.scan(json.dumps({"devices": [dict(zip(("name", "type"), drive, strict=True))]}))
    [one] = local_reports(NOW)
    assert one.problem == Problem.NOT_OPENED
    assert fake.calls() == ["--scan-open --json"]


@pytest.mark.parametrize("text", ["", "smartctl 6.6: invalid option", "[]", '{"devices": 3}', '{"devices": [{}]}'])
def test_a_scan_that_cannot_be_read_is_refused_with_what_is_needed(fake: FakeSmartctl, text: str) -> None:
    fake.scan(text)
    with pytest.raises(SourceError, match=r"7\.0"):
        local_reports(NOW)


def test_no_drives_is_no_health(fake: FakeSmartctl) -> None:
    fake.scan('{"devices": []}')
    with pytest.raises(SourceError, match="finds no drives"):
        local_reports(NOW)


def test_without_smartctl_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(local, "OUTSIDE_OF_PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="smartmontools"):
        local_reports(NOW)
