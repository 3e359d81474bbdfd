"""The contract of Backblaze drive stats: one row per drive and day, as published from 2013 on.

Quarantine is for rows that cannot be true, not for unusual ones: those are what the detector is for. Each bound was
held against 23.8 million rows (all of 2013, the fleet of 2014/2015, drives of 2016 and 2024) and sets none aside.
"""

from collections.abc import Callable, Mapping
from datetime import date

import polars as pl

from ae_assets.schemas.rules import Rule, cells_are_readable, times_are_readable

LARGEST_RAW_VALUE = 2**48 - 1
"""A raw value is six bytes of the drive's SMART data (ATA8-ACS, SMART READ DATA)."""

SMALLEST_CAPACITY, LARGEST_CAPACITY = 10**9, 10**15
"""1 GB to 1 PB: below every disk of the fleet and above every disk made."""

UNKNOWN_CAPACITY = -1
"""Published where a drive did not answer the question; such rows are often a drive's last, so they are kept."""

SMALLEST_SECTOR = 512

MOST_POWER_ON_HOURS = 1_000_000
"""114 years, more than hard disks have existed. A bound of a drive's service life would be wrong: in 2013 the
drive WD-WCAU45409452 stands at 254,189 to 258,991 hours and advances by 24 a day: an offset on a healthy drive."""

HOTTEST = 125
"""Degrees Celsius beyond which a disk's electronics do not report any more."""

SECTOR_COUNTERS = ("smart_5_raw", "smart_197_raw", "smart_198_raw")
TEMPERATURE, POWER_ON_HOURS = "smart_194_raw", "smart_9_raw"

LOW_BITS = {TEMPERATURE: 8}
"""Where the value of an attribute is for certain: the low byte is the temperature, some vendors pack the lowest and
highest ones above it. That hours are the low 32 bits is for a table's YAML to say, since features must read it so."""

NOT_PLAIN = r"[\p{C}\s\x{FFFD}]"
"""Control and format characters, white space, and U+FFFD, which stands where a byte was not text."""
NOT_PLAIN_WORDS = r"[\p{C}\x{FFFD}]|^\s*$"


ONE_RECORD_A_DAY = Rule(
    "entity_is_unique",
    "serial_number",
    "a drive reports once a day; a second row would count it twice, so the first row of the file stays",
    pl.col("serial_number").is_first_distinct(),
)


def rules_of_row(is_read: Callable[[str], bool], day: date) -> list[Rule]:
    """The rules of a day about columns that are no attributes.

    Args:
        is_read: whether a column is: a cell of another one that could not be typed spoils no row.
        day: the day.
    """
    serial, model, capacity = pl.col("serial_number"), pl.col("model"), pl.col("capacity_bytes")
    return [
        times_are_readable(
            "date_is_certain",
            ("date",),
            "which number of a date is the day and which the month is not guessed: write all dates of the file as "
            "YYYY-MM-DD and load the day again",
        ),
        cells_are_readable(is_read),
        Rule(
            "serial_number_is_plain_text",
            "serial_number",
            "without its serial number a row belongs to no drive; white space, control characters or undecodable bytes "
            "in it would make one drive two",
            serial.is_not_null() & (serial.str.len_bytes() > 0) & ~serial.str.contains(NOT_PLAIN),
        ),
        Rule(
            "model_is_plain_text",
            "model",
            "every drive has a model, which is its cohort; control characters or undecodable bytes in it would make "
            "a cohort of their own",
            model.is_not_null() & ~model.str.contains(NOT_PLAIN_WORDS),
        ),
        Rule(
            "date_is_the_partition_day",
            "date",
            f"a row of the file of {day} says what a drive was like on {day}; another date means the wrong "
            f"file or a shifted row",
            (pl.col("date") == day).fill_null(value=False),
        ),
        Rule(
            "failure_is_zero_or_one",
            "failure",
            "failure says whether the drive failed on this day; an empty cell is an unknown label and is kept",
            pl.col("failure").is_between(0, 1),
        ),
        Rule(
            "capacity_is_plausible",
            "capacity_bytes",
            "no disk holds less than 1 GB or more than 1 PB, so the drive's answer was garbled; empty and -1 say "
            "that it did not answer, which happens to failing drives, and are kept",
            capacity.is_between(SMALLEST_CAPACITY, LARGEST_CAPACITY) | (capacity == UNKNOWN_CAPACITY),
        ),
    ]


def rules_of_attribute(low_bits: Mapping[str, int], column: str) -> list[Rule]:
    """The rules of a raw attribute.

    Args:
        low_bits: how many low bits carry the value, for columns into which vendors pack more.
        column: of the attribute.
    """
    low_bits = {**LOW_BITS, **low_bits}
    whole = pl.col(column)
    value = whole & ((1 << low_bits[column]) - 1) if column in low_bits else whole
    rules = [
        Rule(
            "raw_value_fits_six_bytes",
            column,
            "a SMART raw value is an unsigned number of six bytes: it is never negative and always below 2^48",
            whole.is_between(0, LARGEST_RAW_VALUE),
        )
    ]
    if column in SECTOR_COUNTERS:
        capacity = pl.when(pl.col("capacity_bytes") > 0).then(pl.col("capacity_bytes"))
        reason = "a drive cannot have more bad sectors than sectors of 512 bytes"
        rules.append(Rule("sectors_fit_the_drive", column, reason, value <= capacity // SMALLEST_SECTOR))
    if column == TEMPERATURE:
        reason = (
            f"no disk works above {HOTTEST} degrees Celsius; the low byte counts, since some vendors pack the lowest "
            "and highest temperatures above it"
        )
        rules.append(Rule("temperature_is_plausible", column, reason, value <= HOTTEST))
    if column == POWER_ON_HOURS:
        reason = (
            f"{MOST_POWER_ON_HOURS:,} hours are 114 years, longer than hard disks have existed; where vendors pack "
            "something else above them, low_bits of the attribute in the YAML says so"
        )
        rules.append(Rule("power_on_hours_are_plausible", column, reason, value <= MOST_POWER_ON_HOURS))
    return rules
