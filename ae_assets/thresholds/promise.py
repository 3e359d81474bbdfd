"""What a threshold policy promises of the days after calibration: a quantity, its limit, and the same in words."""

from dataclasses import dataclass
from typing import Literal

Quantity = Literal["row_rate", "false_alarm_rate", "alarms_a_day", "false_discovery_rate", "nothing"]
"""What is promised to stay within a limit.

row_rate: share of the rows of healthy entities with an alarm. false_alarm_rate: share of (healthy entity, window) pairs
with an alarm. alarms_a_day: alarms of any one day. false_discovery_rate: share of the alarms that are false.
"""


@dataclass(frozen=True)
class Promise:
    """A promise that `evaluation/promises.py` holds against later days.

    Attributes:
        quantity: what is promised; `nothing` where a policy promises no rate.
        words: the promise as a sentence, its conditions included.
        at_most: the limit: a share in (0, 1), or a number of alarms; None where nothing is promised.
        window_days: length of the window of a false alarm rate; None for every other quantity.
    """

    quantity: Quantity
    words: str
    at_most: float | None = None
    window_days: int | None = None
