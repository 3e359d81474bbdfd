"""The constructions behind published headlines beside honest figures, as text for the terminal."""

import polars as pl

from ae_assets.evaluation.reproduction import PERCENTILE, Construction, Reproduction
from ae_assets.evaluation.results import Comparison, far_name
from ae_assets.reports.parts import Part, page_text, percent, with_interval

RATES = (0.001, 0.01)


def reproduction_text(told: Reproduction) -> str:
    """What each construction finds, what it finds among healthy devices, and what the same networks are worth."""
    split = told.split
    fitted = (
        f"Fitted on {told.training_rows:,} rows without a failure from {split.training[0]} to {split.training[-1]}; "
        f"{split.day} has {told.rows:,} rows, {told.failures} of them of devices that fail on it."
    )
    judged = (
        f"Judged: of the failures from {split.judged[0]} to {split.judged[1]}, how many are found before they happen, "
        "by false alarms per healthy device and 30 days"
    )
    parts: list[Part] = [
        fitted,
        ("As published: failures of the day above the cut", _constructions(told.constructions)),
        _control(min(told.constructions, key=lambda one: (-one.found, one.flagged))),
        (f"As published: accuracy at the {PERCENTILE}th percentile of the training errors", _accuracies(told)),
        "The first share is the percentile for any detector; the second is highest for whoever finds nothing.",
        (judged, _judged(told.honest)),
        told.honest.of_reference.sample.in_words(),
        "`ae-assets evaluate` says what the table's own detector and its baselines find.",
    ]
    return page_text(parts)


def _control(one: Construction) -> str:
    drawn = ", ".join(map(str, one.controls))
    return (
        f"The {one.detector} with {one.prepared} finds {one.found} of {one.failures} failures. Of as many healthy "
        f"devices that are prepared alike, drawn {len(one.controls)} times, it finds {drawn}: whatever it finds of "
        "these too it tells by how they were prepared, not by how they are."
    )


def _constructions(constructions: tuple[Construction, ...]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "network": [one.detector for one in constructions],
            "failures are": [one.prepared for one in constructions],
            "found": [f"{one.found} of {one.failures}" for one in constructions],
            "healthy": [_range(one.controls) for one in constructions],
            "false": [percent(one.flagged / one.healthy) for one in constructions],
        }
    )


def _range(counts: tuple[int, ...]) -> str:
    return f"{min(counts)} to {max(counts)}" if len(set(counts)) > 1 else str(counts[0])


def _accuracies(told: Reproduction) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "detector": [one.detector for one in told.accuracies],
            "errors below it": [percent(one.below) for one in told.accuracies],
            "verdicts right": [percent(one.right) for one in told.accuracies],
        }
    )


def _judged(comparison: Comparison) -> pl.DataFrame:
    detection = comparison.detection
    rates = {far_name(rate): [with_interval(found[rate]) for found in detection.values()] for rate in RATES}
    return pl.DataFrame({"detector": list(detection), **rates})
