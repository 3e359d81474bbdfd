"""What the evaluation of a table with labelled intervals says, as people read it and as plain values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import polars as pl

from ae_assets.evaluation.series import SeriesComparison
from ae_assets.reports.rolling import not_fitted_words
from ae_assets.reports.series import series_answer, series_figures, series_markdown, series_rates, series_text


@dataclass(frozen=True)
class SeriesEvaluation:
    """What came out, and on what."""

    start: date
    end: date
    version: str
    comparison: SeriesComparison
    not_fitted: Mapping[str, str]
    """Why a baseline with default settings could not be fitted or calibrated, by its name."""
    simulated: bool
    figures: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def answer(self) -> str:
        """Whether the champion is any good, in a few sentences."""
        return series_answer(self.comparison, simulated=self.simulated)

    @property
    def headline(self) -> dict[str, float | int | None]:
        """The figures of the answer by name; None where there is nothing to count."""
        return series_figures(self.comparison)

    @property
    def rates(self) -> pl.DataFrame:
        """The share of intervals found by detector and false alarm rate, as text."""
        return series_rates(self.comparison)

    @property
    def markdown(self) -> str:
        """The tables for the UI."""
        return "\n\n".join([series_markdown(self.comparison), *not_fitted_words(self.not_fitted)])

    @property
    def text(self) -> str:
        """The tables for the terminal."""
        return "\n\n".join([series_text(self.comparison), *not_fitted_words(self.not_fitted)])

    @property
    def record(self) -> dict[str, Any]:
        """Everything, as plain values."""
        sample = asdict(self.comparison.sample)
        days = {"start": self.start.isoformat(), "end": self.end.isoformat()}
        points = {
            name: [asdict(point) for point in of_detector] for name, of_detector in self.comparison.points.items()
        }
        return {
            "protocol": "series",
            "reference": self.comparison.reference,
            "sample": {**sample, **days},
            "points": points,
            "differences": [asdict(one) for one in self.comparison.differences],
            "not_fitted": dict(self.not_fitted),
        }
