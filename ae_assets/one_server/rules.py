"""What readings mean by their documents, for drives that no model judges, and for signs that need no model.

Sources: ATA8-ACS and smartctl(8) (SMART status, attributes at their thresholds, self-tests); NVM Express base
specification 2.0, figure 207 (SMART / health information log); SPC and SBC (grown defects, error counter log).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from ae_assets.one_server.outputs import Attribute, Kind, Report

SPENT = 100
"""Percent of the endurance that the vendor promises."""


class Level(StrEnum):
    """How bad a sign is."""

    FAILING = "failing"
    WATCH = "watch"
    NOTE = "note"


@dataclass(frozen=True)
class Sign:
    """A reading that means something.

    Attributes:
        level: how bad it is.
        words: what it means, with its value.
        reading: name of the count behind it, of which a history may tell more; None: there is none.
    """

    level: Level
    words: str
    reading: str | None = None


NVME_WARNINGS = (
    (Level.FAILING, "the spare blocks are below their threshold"),
    (Level.WATCH, "the temperature is outside of its limits"),
    (Level.FAILING, "its reliability is degraded by errors of media or electronics"),
    (Level.FAILING, "it has made its media read-only"),
    (Level.FAILING, "the backup of its volatile memory has failed"),
    (Level.WATCH, "its persistent memory region is read-only or unreliable"),
)
"""Bits of critical_warning, from the lowest."""
DEGRADED = 2

COUNTERS = {
    5: "reallocated sectors",
    187: "reported uncorrectable errors",
    197: "current pending sectors",
    198: "offline uncorrectable sectors",
}
"""ATA attributes that are 0 on almost every sound hard disk."""
UNCORRECTED_OF_SSDS = {187: COUNTERS[187], 198: COUNTERS[198]}
"""Of an SSD: a few blocks out of use from the factory on, and pending ones that come and go, are usual there."""


def signs(report: Report) -> list[Sign]:
    """What the readings of a drive say whatever its counters do, the worst first."""
    found = [*_of_any(report), *(_of_nvme(report) if report.kind == Kind.NVME else ())]
    found += _of_scsi(report) if report.kind == Kind.SCSI else ()
    found += counters(report) if report.kind == Kind.ATA_SSD else ()
    return sorted(found, key=lambda sign: list(Level).index(sign.level))


def counters(report: Report) -> list[Sign]:
    """The counters of an ATA drive that are not 0; of a hard disk a model knows better, where one judges it."""
    names = COUNTERS if report.kind == Kind.HARD_DISK else UNCORRECTED_OF_SSDS
    raws = {number: report.attributes[number].raw for number in names if number in report.attributes}
    return [Sign(Level.WATCH, f"{names[number]} {raw:,}", f"smart_{number}_raw") for number, raw in raws.items() if raw]


def evidence(report: Report) -> bool:
    """Whether the readings suffice to call a drive without a sign healthy by rule."""
    match report.kind:
        case Kind.NVME:
            return {"critical_warning", "media_errors"} <= report.counts.keys()
        case Kind.SCSI:
            return report.passed is not None and bool(
                {"grown_defects", "uncorrected_reads", "percentage_used"} & report.counts.keys()
            )
        case Kind.HARD_DISK:
            return any(one.raw is not None for number, one in report.attributes.items() if number in COUNTERS)
        case Kind.ATA_SSD:
            return report.passed is not None and bool(report.attributes)
        case _:
            return False


def _of_any(report: Report) -> Iterator[Sign]:
    if report.passed is False and not report.counts.get("critical_warning"):  # which is what an NVMe verdict is made of
        yield Sign(Level.FAILING, "the drive says itself that it is failing (SMART overall health: FAILED)")
    for attribute in report.attributes.values():
        if attribute.failed:
            yield _at_threshold(attribute)
    if report.self_test is not None:
        yield Sign(Level.WATCH, f"its newest self-test failed: {report.self_test}")
    if report.counts.get("endurance_used", 0) >= SPENT:
        yield Sign(Level.WATCH, f"{report.counts['endurance_used']}% of its endurance is used", "endurance_used")
    if report.passed is None and report.problem is None:
        yield Sign(Level.NOTE, "it gave no verdict on itself")
    if report.errors_logged:
        yield Sign(Level.NOTE, "its log holds errors, new or old: smartctl -l error")
    if report.incomplete:
        yield Sign(Level.NOTE, "some commands to it failed, so readings may be absent")


def _at_threshold(attribute: Attribute) -> Sign:
    name = f"attribute {attribute.number} ({attribute.name})"
    if attribute.failed == "now":
        level = Level.FAILING if attribute.prefailure else Level.WATCH
        return Sign(level, f"{name} is at {attribute.value}, its threshold is {attribute.threshold}")
    return Sign(Level.WATCH if attribute.prefailure else Level.NOTE, f"{name} was below its threshold in the past")


def _of_nvme(report: Report) -> Iterator[Sign]:
    counts = report.counts
    warning = counts.get("critical_warning", 0)
    spare, least = counts.get("available_spare"), counts.get("available_spare_threshold")
    for bit, (level, words) in enumerate(NVME_WARNINGS):
        if warning >> bit & 1:
            # Some vendors set it for nothing but endurance that is used up, which ends a warranty and no drive.
            worn = bit == DEGRADED and counts.get("percentage_used", 0) >= SPENT and (spare or 0) > (least or 0)
            worn = worn and not counts.get("media_errors")
            yield Sign(Level.WATCH if worn else level, f"critical warning: {words}")
    if warning >> len(NVME_WARNINGS):
        yield Sign(Level.WATCH, f"critical warning {warning:#x}, of which this release knows no meaning")
    if spare is not None and least is not None and spare < least and not warning & 1:
        yield Sign(Level.FAILING, f"spare blocks {spare}%, below the threshold of {least}%", "available_spare")
    if counts.get("media_errors"):
        yield Sign(Level.WATCH, f"media and data integrity errors {counts['media_errors']:,}", "media_errors")
    yield from _endurance(report)


def _of_scsi(report: Report) -> Iterator[Sign]:
    names = {
        "grown_defects": "grown defects (sectors replaced since the factory)",
        "pending_defects": "pending defects",
        "uncorrected_reads": "uncorrected read errors",
        "uncorrected_writes": "uncorrected write errors",
        "uncorrected_verifies": "uncorrected verify errors",
    }
    for name, words in names.items():
        if report.counts.get(name):
            yield Sign(Level.WATCH, f"{words} {report.counts[name]:,}", name)
    yield from _endurance(report)


def _endurance(report: Report) -> Iterator[Sign]:
    used = report.counts.get("percentage_used", 0)
    if used >= SPENT:
        yield Sign(Level.WATCH, f"{used}% of its endurance is used", "percentage_used")
