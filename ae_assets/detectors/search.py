"""Which values of a detector's settings are worth trying; they stand beside the settings, as `searched` of a config."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Between(Generic[Number]):
    """Numbers from ``low`` to ``high``, both included; of logarithms where ``log``. Whole ones where both are."""

    low: Number
    high: Number
    log: bool = False

    def holding(self, value: Any) -> "Between[Number]":
        """The same with a value inside; one that no logarithm is of, or none at all, stays outside."""
        if value is None or (self.log and value <= 0):
            return self
        return replace(self, low=min(self.low, value), high=max(self.high, value))

    def holds(self, value: Any) -> bool:
        return value is not None and self.low <= value <= self.high


@dataclass(frozen=True)
class OneOf:
    """Any of some values."""

    values: tuple[Any, ...]

    def holding(self, value: Any) -> "OneOf":
        """The same with a value among them."""
        return self if value in self.values else OneOf((value, *self.values))

    def holds(self, value: Any) -> bool:
        return value in self.values


SearchSpace = Mapping[str, Between[Any] | OneOf]
"""By setting, what is worth trying."""
