"""What reports read of other rooms' results, as structural types: this room imports none of those rooms."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import polars as pl
from numpy.typing import ArrayLike, NDArray


class History(Protocol):
    """A training history."""

    @property
    def train_loss(self) -> Sequence[float]:
        """Loss of each epoch on the training windows."""

    @property
    def validation_loss(self) -> Sequence[float]:
        """Loss after each epoch on the validation windows."""

    @property
    def best_epoch(self) -> int:
        """Epoch whose weights were kept, counted from 0; -1 where those before the first were."""

    @property
    def median_loss(self) -> float:
        """Validation loss of a constant answer."""


class TailCurve(Protocol):
    """Tail probabilities of calibration scores."""

    @property
    def scores(self) -> Sequence[float]:
        """Scores that occurred, strictly rising."""

    @property
    def tail_probabilities(self) -> Sequence[float]:
        """Share of rows at or above each score, falling from 1."""

    @property
    def rows(self) -> int:
        """Calibration rows."""

    def tail_probability(self, score: ArrayLike) -> NDArray[Any]:
        """Probability of a score at least this high."""


class RateCurve(Protocol):
    """Detection over false alarms."""

    @property
    def false_alarm_rate(self) -> Sequence[float]:
        """Shares of healthy windows, rising."""

    @property
    def detection_rate(self) -> Sequence[float]:
        """Share of failed entities detected at each."""

    @property
    def low(self) -> Sequence[float]:
        """Lower end of the interval of the detection rate."""

    @property
    def high(self) -> Sequence[float]:
        """Upper end of it."""


class Point(Protocol):
    """An operating point, as far as lead times need it."""

    @property
    def name(self) -> str:
        """What chose the threshold."""

    @property
    def lead_days(self) -> Sequence[int]:
        """Days from first alarm to failure of each detected entity."""

    @property
    def missed(self) -> Sequence[str]:
        """Failed entities without an alarm."""


class Sample(Protocol):
    """What an evaluation stands on."""

    @property
    def failed(self) -> int:
        """Failed entities that detection is counted of."""

    @property
    def horizon_days(self) -> int:
        """Days before a failure in which an alarm is a detection."""

    @property
    def window_days(self) -> int:
        """Length of a healthy window."""

    def in_words(self) -> str:
        """Counts, and what was left out of them."""


class Evaluated(Protocol):
    """One detector's evaluation."""

    @property
    def detector(self) -> str:
        """Its name."""

    @property
    def sample(self) -> Sample:
        """What it stands on."""

    @property
    def points(self) -> Sequence[Point]:
        """Operating points, at least one."""

    @property
    def curve(self) -> RateCurve:
        """Detection over false alarms."""

    @property
    def cohorts_at(self) -> str:
        """Name of the operating point whose threshold the cohort table uses."""

    def to_table(self) -> pl.DataFrame:
        """One row per operating point."""

    def cohort_table(self) -> pl.DataFrame:
        """One row per cohort."""


class Compared(Protocol):
    """Several detectors' evaluations on one split."""

    @property
    def evaluations(self) -> Sequence[Evaluated]:
        """One per detector."""

    @property
    def reference(self) -> str:
        """The detector that the others are compared with."""

    def difference_table(self) -> pl.DataFrame:
        """Difference of detection rates to the reference, by detector and rate."""


class Share(Protocol):
    """A measured share."""

    @property
    def value(self) -> float | None:
        """The share; None where there was nothing to count."""


class PromiseResult(Protocol):
    """A policy's promise beside what was observed."""

    @property
    def policy(self) -> str:
        """Its name."""

    @property
    def quantity(self) -> str:
        """What is promised."""

    @property
    def at_most(self) -> float | None:
        """The limit; None where nothing is promised."""

    @property
    def observed(self) -> float | None:
        """The quantity on the judged days; None without anything to count."""

    @property
    def low(self) -> float | None:
        """Lower end of its interval; None where it was counted."""

    @property
    def high(self) -> float | None:
        """Upper end of it."""

    @property
    def kept(self) -> str:
        """The verdict."""

    @property
    def explanation(self) -> str:
        """The reason for it."""

    @property
    def detection(self) -> Share:
        """Share of failed entities with an alarm."""

    @property
    def false_alarm(self) -> Share:
        """Share of healthy pairs with an alarm."""

    @property
    def alarms_per_day(self) -> float:
        """Rows with an alarm per day."""


class Promises(Protocol):
    """Several policies on the same scores."""

    @property
    def results(self) -> Sequence[PromiseResult]:
        """One per policy that could be fitted."""

    @property
    def not_fitted(self) -> Mapping[str, str]:
        """Why each other policy could not."""

    @property
    def window_days(self) -> int:
        """Length of the windows of the false alarm rates."""
