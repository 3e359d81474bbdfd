"""What `smartctl --json` prints, as readings: one report for each drive it was asked about.

Firmware, files and pipes write this text, so nothing of it is trusted: what has another type than smartctl gives it
counts as not there, texts are made printable, and a text that is no output of smartctl is a report that says so.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from ae_assets.sources.printable import quoted

MOST_CHARACTERS = 64 * 2**20
"""Of one text. `smartctl -x` of one drive prints some 100,000."""
MOST_DRIVES = 10_000
LONGEST_NAME = 100
LARGEST_COUNT = 2**128 - 1
"""NVMe counts in 16 bytes."""

NOT_PARSED, NOT_OPENED, SOME_FAILED, FAILED, ERRORS_LOGGED = 1, 2, 4, 8, 64
"""Bits of smartctl's exit status (smartctl(8)): wrong use, the drive could not be opened or sleeps, some of the
commands failed, the drive says that it is failing, its log holds errors. What others say stands in the readings."""


class Kind(StrEnum):
    """What a drive is, which decides how it is judged."""

    HARD_DISK = "hard disk"
    ATA_SSD = "ATA SSD"
    NVME = "NVMe"
    SCSI = "SCSI"
    UNKNOWN = "unknown"


class Problem(StrEnum):
    """Why nothing can be said of a drive."""

    PERMISSION = "permission_denied"
    STANDBY = "standby"
    ABSENT = "no_such_device"
    UNKNOWN_TYPE = "unknown_device_type"
    NO_SMART = "no_smart"
    NOT_OPENED = "not_opened"
    WRONG_USE = "smartctl_wrong_use"
    TIMED_OUT = "timed_out"
    NO_OUTPUT = "no_smartctl_output"


ADVICE = {
    Problem.PERMISSION: "permission denied; smartctl must run as root (sudo), in a container with the device and "
    "CAP_SYS_RAWIO",
    Problem.STANDBY: "asleep (standby), and not woken",
    Problem.ABSENT: "there is no such device",
    Problem.UNKNOWN_TYPE: "smartctl does not know how to talk to it; run `smartctl -d TYPE --json -a DEVICE` "
    "(of a USB case often -d sat), and give the output",
    Problem.NO_SMART: "SMART is not available, or switched off (`smartctl -s on DEVICE`)",
    Problem.NOT_OPENED: "smartctl could not open it, or it did not say who it is",
    Problem.WRONG_USE: "smartctl did not understand how it was called",
    Problem.TIMED_OUT: "no answer in time",
    Problem.NO_OUTPUT: "this is no output of `smartctl --json -a`, version 7.0 or later",
}

_READINGS = ("ata_smart_attributes", "nvme_smart_health_information_log", "scsi_grown_defect_list")
"""Keys under which the readings stand that a judgement rests on."""

_SIGNS: tuple[tuple[Problem, str], ...] = (
    (Problem.PERMISSION, r"permission denied|operation not permitted|access is denied|error=5\b"),
    (Problem.STANDBY, r"\b(standby|sleep|low-power)\b"),
    (Problem.UNKNOWN_TYPE, r"unknown usb bridge|unable to detect device type|specify device type|-d option"),
    (Problem.ABSENT, r"no such (device|file)|unable to detect device$"),
    (Problem.NO_SMART, r"smart support is: *(unavailable|disabled)|smart disabled|lacks smart"),
)
"""By what smartctl says in its messages, the first that fits."""


@dataclass(frozen=True)
class Attribute:
    """A row of the table of ATA attributes; None where the output lacks it.

    Attributes:
        value: normalized, falling towards the threshold.
        threshold: the drive calls the attribute failed at or below it; 0 never.
        raw: six bytes of the vendor's own making.
        prefailure: whether the vendor says that its failing announces the drive's.
        failed: ``now``, ``past`` or nothing.
    """

    number: int
    name: str
    value: int | None
    threshold: int | None
    raw: int | None
    prefailure: bool
    failed: str


@dataclass(frozen=True)
class Report:
    """What smartctl says of one drive at one time.

    Attributes:
        device: as smartctl calls it, else where the text came from.
        at: by the server's clock, in UTC.
        passed: the drive's own verdict on itself (SMART overall health); None where it gave none.
        attributes: of an ATA drive, by number.
        counts: what NVMe and SCSI drives count, and power-on hours of any, by the names of `rules`.
        self_test: what the newest entry in the log of self-tests says went wrong; None where nothing did.
        problem: why nothing can be said; None where something can.
        words: what stands behind the problem, as smartctl says it.
        incomplete: whether some commands to the drive failed, so that readings may be absent.
        errors_logged: whether its log of errors, of any age, holds some.
    """

    device: str
    at: datetime
    kind: Kind = Kind.UNKNOWN
    model: str | None = None
    serial: str | None = None
    capacity_bytes: int | None = None
    passed: bool | None = None
    attributes: Mapping[int, Attribute] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    self_test: str | None = None
    problem: Problem | None = None
    words: str = ""
    incomplete: bool = False
    errors_logged: bool = False

    @property
    def day(self) -> date:
        return self.at.date()

    @property
    def drive(self) -> str | None:
        """Serial number and model without white space, which is how the drive is known from day to day.

        Cases of several drives are known to give all of them one serial number.
        """
        return None if self.serial is None else "_".join(f"{self.serial} {self.model or ''}".split())


def reports_of(text: str, where: str, now: datetime) -> list[Report]:
    """Reads one object, a JSON list of them, or several one after the other; at least one report comes of it.

    Args:
        text: what smartctl printed.
        where: a file, or a device that it was asked about, for what names no device.
        now: the time of reports that name none.
    """
    if len(text) > MOST_CHARACTERS:
        return [unread(where, now, Problem.NO_OUTPUT, f"more than {MOST_CHARACTERS:,} characters")]
    reports: list[Report] = []
    try:
        for value in _values(text):
            reports.append(_report(value, where, now))
            if len(reports) > MOST_DRIVES:
                return [unread(where, now, Problem.NO_OUTPUT, f"more than {MOST_DRIVES:,} drives")]
    except RecursionError:
        reports.append(unread(where, now, Problem.NO_OUTPUT, "JSON that is nested too deeply"))
    except ValueError as error:
        reports.append(unread(where, now, Problem.NO_OUTPUT, f"no JSON: {_plain(str(error))}, {quoted(text)}"))
    return reports or [unread(where, now, Problem.NO_OUTPUT, "nothing in it")]


def unread(device: str, at: datetime, problem: Problem, words: str = "") -> Report:
    """A report that says only why there is none."""
    return Report(_plain(device), at, problem=problem, words=words)


def _values(text: str) -> Iterator[Any]:
    """The objects of a text, those of a list one by one."""
    decoder, place = json.JSONDecoder(parse_constant=_no_number), 0
    while place < len(text):
        if text[place].isspace() or text[place] == "\ufeff":
            place += 1
            continue
        value, place = decoder.raw_decode(text, place)
        yield from value if isinstance(value, list) else [value]


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _report(value: Any, where: str, now: datetime) -> Report:
    if not isinstance(value, dict) or not any(key in value for key in ("smartctl", "device", *_READINGS)):
        return unread(where, now, Problem.NO_OUTPUT)
    if "devices" in value and "device" not in value:
        return unread(where, now, Problem.NO_OUTPUT, "it is that of `smartctl --scan`")
    kind, exit_status = _kind(value), _count(_at(value, "smartctl", "exit_status")) or 0
    problem, words = _problem(value, exit_status, kind)
    return Report(
        device=_text(_at(value, "device", "name")) or _asked_for(value) or _plain(where),
        at=_time(_at(value, "local_time", "time_t"), now),
        kind=kind,
        model=_text(value.get("model_name")) or _text(value.get("scsi_model_name")),
        serial=_text(value.get("serial_number")),
        capacity_bytes=_count(_at(value, "user_capacity", "bytes")) or _count(value.get("nvme_total_capacity")),
        passed=False if exit_status & FAILED else _flag(_at(value, "smart_status", "passed")),
        attributes={one.number: one for one in _attributes(_at(value, "ata_smart_attributes", "table"))},
        counts=_counts(value),
        self_test=_self_test(value),
        problem=problem,
        words=words,
        incomplete=bool(exit_status & SOME_FAILED),
        errors_logged=bool(exit_status & ERRORS_LOGGED),
    )


def _asked_for(value: Mapping[str, Any]) -> str | None:
    """The device that smartctl was called with, for one that it could not open."""
    words = _at(value, "smartctl", "argv")
    last = _text(words[-1]) if isinstance(words, list) and words else None
    return last if last is not None and last.startswith("/dev/") else None


def _kind(value: Mapping[str, Any]) -> Kind:
    protocol = _at(value, "device", "protocol")
    if protocol == "NVMe" or "nvme_smart_health_information_log" in value:
        return Kind.NVME
    if protocol == "ATA" or "ata_smart_attributes" in value:
        turns = value.get("rotation_rate")
        solid = turns == 0 or (_count(turns) is None and _flag(_at(value, "trim", "supported")) is True)
        return Kind.ATA_SSD if solid else Kind.HARD_DISK
    return Kind.SCSI if protocol == "SCSI" or "scsi_grown_defect_list" in value else Kind.UNKNOWN


def _problem(value: Mapping[str, Any], exit_status: int, kind: Kind) -> tuple[Problem | None, str]:
    messages = _at(value, "smartctl", "messages")
    texts = [_text(_at(one, "string")) for one in messages] if isinstance(messages, list) else []
    said = "; ".join(text for text in texts[:5] if text)
    found = next((problem for problem, sign in _SIGNS if re.search(sign, said, re.IGNORECASE)), None)
    if exit_status & NOT_PARSED:
        return found or Problem.WRONG_USE, said
    if exit_status & NOT_OPENED:
        return (found or (Problem.STANDBY if "power_mode" in value else Problem.NOT_OPENED)), said
    support, reads = value.get("smart_support"), any(key in value for key in _READINGS)
    if not reads and (_flag(_at(support, "available")) is False or _flag(_at(support, "enabled")) is False):
        return Problem.NO_SMART, said
    return (Problem.UNKNOWN_TYPE, said) if kind == Kind.UNKNOWN else (None, said)


def _attributes(table: Any) -> Iterator[Attribute]:
    for row in table if isinstance(table, list) else []:
        number = _count(_at(row, "id"), 255)
        if number:
            yield Attribute(
                number,
                _text(_at(row, "name")) or f"attribute {number}",
                _count(_at(row, "value"), 255),
                _count(_at(row, "thresh"), 255),
                _count(_at(row, "raw", "value")),
                _flag(_at(row, "flags", "prefailure")) is True,
                next((word for word in ("now", "past") if _at(row, "when_failed") == word), ""),
            )


_NVME = (
    "critical_warning",
    "media_errors",
    "available_spare",
    "available_spare_threshold",
    "percentage_used",
    "unsafe_shutdowns",
    "data_units_written",
)
_SCSI: Mapping[str, tuple[str, ...]] = {
    "grown_defects": ("scsi_grown_defect_list",),
    "pending_defects": ("scsi_pending_defects", "count"),
    "uncorrected_reads": ("scsi_error_counter_log", "read", "total_uncorrected_errors"),
    "uncorrected_writes": ("scsi_error_counter_log", "write", "total_uncorrected_errors"),
    "uncorrected_verifies": ("scsi_error_counter_log", "verify", "total_uncorrected_errors"),
    "percentage_used": ("scsi_percentage_used_endurance_indicator",),
}
_ANY: Mapping[str, tuple[str, ...]] = {
    "power_on_hours": ("power_on_time", "hours"),
    "temperature": ("temperature", "current"),
    "endurance_used": ("endurance_used", "current_percent"),
}


def _counts(value: Mapping[str, Any]) -> dict[str, int]:
    paths = {**{name: ("nvme_smart_health_information_log", name) for name in _NVME}, **_ANY}
    found = {name: _count(_at(value, *path)) for name, path in paths.items()}
    found |= {name: count for name, path in _SCSI.items() if (count := _count(_at(value, *path))) is not None}
    return {name: count for name, count in found.items() if count is not None}


def _self_test(value: Mapping[str, Any]) -> str | None:
    """Of the newest entry, which is the first, what smartctl says of a test that the drive did not pass."""
    for log in ("standard", "extended"):
        table = _at(value, "ata_smart_self_test_log", log, "table")
        if isinstance(table, list) and table:
            status = _at(table[0], "status")
            # High half of the byte: 3 to 8 are failures (ATA8-ACS, self-test execution status).
            failed = _flag(_at(status, "passed")) is False and 3 <= (_count(_at(status, "value"), 255) or 0) >> 4 <= 8
            return (_text(_at(status, "string")) or "not passed") if failed else None
    return None


def _at(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _count(value: Any, most: int = LARGEST_COUNT) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return _plain(value.strip()) or None if isinstance(value, str) else None


def _plain(text: str) -> str:
    """On one line, and nothing in it that a terminal would obey."""
    shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text[:LONGEST_NAME])
    return shown if len(text) <= LONGEST_NAME else f"{shown}…"


def _time(seconds: Any, now: datetime) -> datetime:
    earliest, latest = 946_684_800, 4_102_444_800  # 2000 and 2100
    given = _count(seconds)
    return datetime.fromtimestamp(given, UTC) if given is not None and earliest <= given <= latest else now
