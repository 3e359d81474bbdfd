"""What constructions behind published headlines find, and what the same networks are worth."""

from dataclasses import dataclass
from datetime import date

from ae_assets.evaluation.results import Comparison

PERCENTILE = 85
"""Of the training errors; the share of errors below it is called accuracy."""


@dataclass(frozen=True)
class Split:
    """Three days to fit on, a horizon of embargo, the days to judge, and of these the one with most failures."""

    training: tuple[date, ...]
    judged: tuple[date, date]
    day: date


@dataclass(frozen=True)
class Construction:
    """What a headline's construction finds.

    Attributes:
        detector: which one.
        prepared: how failures were prepared.
        cut: in words.
        found: failures of the day above the cut.
        failures: of the day.
        flagged: healthy windows above it, prepared as the headline's were.
        healthy: such windows.
        controls: of as many healthy devices prepared as the failures were, how many are above the cut, a draw each.
    """

    detector: str
    prepared: str
    cut: str
    found: int
    failures: int
    flagged: int
    healthy: int
    controls: tuple[int, ...]


@dataclass(frozen=True)
class Accuracy:
    """Shares of a day's rows that are called accuracy.

    Attributes:
        detector: which one.
        below: of errors up to the 85th percentile of the training errors.
        right: of verdicts by this cut that agree with the label.
    """

    detector: str
    below: float
    right: float


@dataclass(frozen=True)
class Reproduction:
    """The constructions, and the same networks judged by the protocol of `ae-assets evaluate`."""

    split: Split
    training_rows: int
    rows: int
    failures: int
    constructions: tuple[Construction, ...]
    accuracies: tuple[Accuracy, ...]
    honest: Comparison
