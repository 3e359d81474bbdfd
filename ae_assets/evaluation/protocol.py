"""The rules of the drive-level protocol: which days, horizons and windows count. `population.py` applies them."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from ae_assets.errors import ConfigError, EvaluationError

FALSE_ALARM_RATES = (0.001, 0.005, 0.01, 0.02, 0.05)


@dataclass(frozen=True)
class Protocol:
    """How detection and false alarms are counted over a range of days.

    Failed entities: their first failure f lies in (start, end], and at least one row is scored in
    [f - horizon, f - 1] within the range. Detected: a score over the threshold on one of those days. The day of failure
    itself is left out and reported apart.

    Healthy pairs: (healthy entity, window) with at least one scored row in the window. Windows tile the range from
    `start` in steps of `window_days`; days after the last complete window count for failures and row rates, not for
    windows, because a shorter window has fewer chances of an alarm. A healthy entity has no failure up to
    `end + horizon`, as far as is known. With `follow_up="through_horizon"` it must also have been seen at the end of
    the window's horizon or, where knowledge ends earlier, at the end of knowledge: a drive that vanishes without a
    label may have been pulled because it was sick, and is censored instead of counted as healthy. `follow_up="none"`
    counts it as healthy.

    The score of an entity over several days is the highest one. The false alarm rate is the share of healthy pairs with
    an alarm, so it is a rate per entity and `window_days`.

    Attributes:
        start: first day of the range. Training and calibration must end a horizon before it.
        end: last day of the range.
        horizon_days: days before a failure in which an alarm is a detection.
        window_days: length of a healthy window.
        follow_up: whether a healthy entity must be followed through the horizon after its window.
        false_alarm_rates: rates at which detection is reported, each in (0, 1).
    """

    start: date
    end: date
    horizon_days: int = 30
    window_days: int = 30
    follow_up: Literal["through_horizon", "none"] = "through_horizon"
    false_alarm_rates: tuple[float, ...] = FALSE_ALARM_RATES

    def __post_init__(self) -> None:
        if self.horizon_days < 1 or self.window_days < 1:
            raise ConfigError(
                f"horizon_days is {self.horizon_days} and window_days {self.window_days}; both must be at least 1"
            )
        if not all(0 < rate < 1 for rate in self.false_alarm_rates):
            raise ConfigError(f"false_alarm_rates are {self.false_alarm_rates}; each must lie between 0 and 1")
        if not self.windows:
            raise EvaluationError(
                f"{self.start} to {self.end} holds no complete window of {self.window_days} days, so there is no false "
                f"alarm rate; evaluate at least {self.window_days} days"
            )

    @property
    def windows(self) -> tuple[tuple[date, date], ...]:
        """First and last day of each complete window."""
        complete = ((self.end - self.start).days + 1) // self.window_days
        firsts = [self.start + timedelta(days=index * self.window_days) for index in range(complete)]
        return tuple((first, first + timedelta(days=self.window_days - 1)) for first in firsts)

    @property
    def healthy_until(self) -> date:
        """An entity that fails on or before this day is not healthy anywhere in the range."""
        return self.end + timedelta(days=self.horizon_days)
