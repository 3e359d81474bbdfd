"""What a rule of raw rows is, and those that any layout can have. Those of one layout alone stand in its module.

A rule is stated once, as a Polars expression; Pandera's check is made from it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial

import polars as pl

from ae_assets.schemas.columns import VALUE_RULES, ValueSection
from ae_assets.schemas.periods import Periods

BROKEN_LINE = "line"
"""What ``rescued`` names instead of a column where the line has a wrong number of fields."""

NOT_PLAIN = r"[\p{C}\x{FFFD}]|^\s|\s$|^$"
"""Control and format characters, U+FFFD, which stands where a byte was not text, and white space at the ends."""


@dataclass(frozen=True)
class Rule:
    """A proposition that every row that can be true holds.

    Attributes:
        name: the proposition, e.g. ``date_is_the_partition_day``.
        column: the column that is named where it is broken.
        reason: why a row that breaks it cannot be true.
        check: Boolean per row; True = holds, and so does null: an unknown value breaks no rule but one about presence.
        locate: from the text in ``column`` to the ``column`` and ``value`` to name instead; None = as they are.
    """

    name: str
    column: str
    reason: str
    check: pl.Expr
    locate: Callable[[str], dict[str, str]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "check", self.check.fill_null(value=True))


def cells_are_readable(is_read: Callable[[str], bool]) -> Rule:
    """The rule that all cells that are read could be typed."""

    def spoils(column: str) -> bool:
        return column == BROKEN_LINE or is_read(column)

    return Rule(
        "cells_are_readable",
        "rescued",
        "a cell that is read is not of its column's type or the line has another number of fields, so its "
        "neighbours may be shifted too; a word for an empty cell belongs into source.missing_markers",
        _nothing_spoils(spoils),
        locate=partial(_first_spoilt_cell, spoils),
    )


def times_are_readable(name: str, columns: Sequence[str], reason: str) -> Rule:
    """The rule that the time of a row could be read."""
    return Rule(
        name,
        "rescued",
        reason,
        _nothing_spoils(columns.__contains__),
        partial(_first_spoilt_cell, columns.__contains__),
    )


def name_is_plain_text(name: str, column: str, reason: str) -> Rule:
    """The rule that a name is there and is the same text for every program that reads it."""
    text = pl.col(column)
    return Rule(name, column, reason, text.is_not_null() & ~text.str.contains(NOT_PLAIN))


def time_is_of_the_partition(column: str, period: date, periods: Periods) -> Rule:
    """The rule that a row is of the hour, day or week whose file it came with."""
    noun, key = periods.noun, periods.key(period)
    return Rule(
        f"time_is_of_the_partition_{noun}",
        column,
        f"a row of the {noun} {key} says what a device was like in it; another {noun}, or none, means the wrong file "
        "or a shifted row",
        (periods.of_times(pl.col(column)) == period).fill_null(value=False),
    )


def label_is_zero_or_one(column: str) -> Rule:
    """The rule that a label is known to be one of two, or unknown."""
    return Rule(
        "label_is_zero_or_one",
        column,
        "the label says whether the device failed then; an empty cell is an unknown label and is kept",
        pl.col(column).is_between(0, 1),
    )


def value_rules(values: Mapping[str, ValueSection], column: str) -> list[Rule]:
    """The rules of a column of values: its bounds and those that the YAML names."""
    section = values[column]
    value, unit = pl.col(column), f" {section.unit}" if section.unit else ""
    rules = []
    if section.at_least is not None:
        reason = f"source.columns.values.{column}.at_least is {section.at_least:g}{unit}: less cannot be true"
        rules.append(Rule("value_is_not_too_low", column, reason, value >= section.at_least))
    if section.at_most is not None:
        reason = f"source.columns.values.{column}.at_most is {section.at_most:g}{unit}: more cannot be true"
        rules.append(Rule("value_is_not_too_high", column, reason, value <= section.at_most))
    for name in section.rules:
        reason, check = VALUE_RULES[name]
        rules.append(Rule(f"value_is_{name}", column, reason, check(value)))
    return rules


def _nothing_spoils(spoils: Callable[[str], bool]) -> pl.Expr:
    """Per row: whether no cell that could not be typed spoils it; what else could not be is in ``rescued`` only."""
    return pl.col("rescued").map_batches(partial(_spoils_none, spoils), return_dtype=pl.Boolean())


def _spoils_none(spoils: Callable[[str], bool], rescued: pl.Series) -> pl.Series:
    texts = rescued.drop_nulls().unique()
    harmless = [text for text in texts if not any(map(spoils, json.loads(text)))]
    return rescued.is_null() | rescued.is_in(harmless)


def _first_spoilt_cell(spoils: Callable[[str], bool], rescued: str) -> dict[str, str]:
    column, text = next(cell for cell in json.loads(rescued).items() if spoils(cell[0]))
    return {"column": str(column), "value": str(text)}
