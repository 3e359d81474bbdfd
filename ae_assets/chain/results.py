"""What an evaluation says, as people read it and as plain values."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from math import isfinite
from typing import Any

import polars as pl

from ae_assets.evaluation.failure_types import FailureTypes
from ae_assets.evaluation.pooling import Pooled
from ae_assets.evaluation.promises import CalibrationTable
from ae_assets.evaluation.protocols.corpus import CorpusFigures
from ae_assets.evaluation.protocols.curves import BUFFER
from ae_assets.evaluation.protocols.rebuilt import RebuiltFigures
from ae_assets.evaluation.results import Comparison
from ae_assets.evaluation.series import SeriesComparison
from ae_assets.features.wording import Wording
from ae_assets.reports.answer import answer, headline_figures, pooled_answer, pooled_figures
from ae_assets.reports.corpus import corpus_headline, corpus_parts
from ae_assets.reports.evaluation import (
    HEADLINES,
    comparison_figures,
    comparison_markdown,
    comparison_text,
    rates_table,
)
from ae_assets.reports.failure_types import failure_type_parts, latent_map, types_record
from ae_assets.reports.parts import page_markdown, page_text
from ae_assets.reports.promises import promises_figures, promises_markdown, promises_text
from ae_assets.reports.rebuilt import rebuilt_by_feature, rebuilt_headline, rebuilt_parts
from ae_assets.reports.rolling import not_fitted_words, pooled_markdown, pooled_text
from ae_assets.reports.series import series_answer, series_figures, series_markdown, series_rates, series_text

Figures = Mapping[str, bytes]


@dataclass(frozen=True)
class Evaluation:
    """What came out of judging a range of periods.

    Attributes:
        start: first period that was judged.
        end: the last one.
        version: the model version that was judged.
        result: what everything else is told of.
        answer: whether the model is any good, in a few sentences.
        headline: the figures of the answer by name; None where there is nothing to count.
        rates: the share of failures, or of intervals, found by detector and false alarm rate, as text.
        markdown: the tables for the UI.
        text: the tables for the terminal.
        record: everything, as plain values.
        draw: makes the PNG figures, by name.
    """

    start: date
    end: date
    version: str
    result: Comparison | SeriesComparison | Pooled
    answer: str
    headline: Mapping[str, float | int | None]
    rates: pl.DataFrame
    markdown: str
    text: str
    record: dict[str, Any]
    draw: Callable[[], Figures] = dict

    def drawn_with(self, more: Callable[[], Figures]) -> "Evaluation":
        """The same with further figures."""
        return replace(self, draw=lambda: {**self.draw(), **more()})

    def with_types(self, types: FailureTypes, wording: Wording) -> "Evaluation":
        """The same with the types of failure among the alarms."""
        parts = failure_type_parts(types, wording)
        return replace(
            self,
            markdown=f"{self.markdown}\n\n{page_markdown(parts)}",
            text=f"{self.text}\n\n{page_text(parts)}",
            record={**self.record, "failure_types": _finite(types_record(types))},
            draw=lambda: {**self.draw(), **({"map_of_alarms": latent_map(types)} if types.types else {})},
        )


def of_failures(
    days: tuple[date, date],
    version: str,
    comparison: Comparison,
    promises: CalibrationTable,
    not_fitted: Mapping[str, str],
    draw_drives: Callable[[], Figures],
    *,
    simulated: bool,
) -> Evaluation:
    """Of a comparison by failures, and of what the thresholds promised."""
    left_out = not_fitted_words(not_fitted)
    table = {"table": promises.to_table().to_dicts(), "not_fitted": dict(promises.not_fitted)}
    return Evaluation(
        *days,
        version,
        comparison,
        answer(comparison, days, simulated=simulated),
        headline_figures(comparison),
        rates_table(comparison.detection, HEADLINES),
        "\n\n".join([comparison_markdown(comparison), *left_out, promises_markdown(promises)]),
        "\n\n".join([comparison_text(comparison), *left_out, promises_text(promises)]),
        {**json.loads(comparison.to_json()), "promises": table, "not_fitted": dict(not_fitted)},
        lambda: {**comparison_figures(comparison), **promises_figures(promises), **draw_drives()},
    )


def of_intervals(
    days: tuple[date, date],
    version: str,
    comparison: SeriesComparison,
    figures: Mapping[str, CorpusFigures],
    rebuilt: Mapping[str, RebuiltFigures],
    not_fitted: Mapping[str, str],
    draw: Callable[[], Figures],
    *,
    simulated: bool,
) -> Evaluation:
    """Of a comparison by labelled intervals, of the protocols of series, and of what is rebuilt, by detector."""
    left_out, protocols = not_fitted_words(not_fitted), [*corpus_parts(figures, BUFFER), *rebuilt_parts(rebuilt)]
    start, end = (day.isoformat() for day in days)
    record = {
        "protocol": "series",
        "reference": comparison.reference,
        "sample": {**asdict(comparison.sample), "start": start, "end": end},
        "points": {name: [asdict(point) for point in points] for name, points in comparison.points.items()},
        "differences": [asdict(one) for one in comparison.differences],
        "protocols": {name: _finite(asdict(one)) for name, one in figures.items()},
        "rebuilt": {name: asdict(one) for name, one in rebuilt.items()},
        "not_fitted": dict(not_fitted),
    }
    own = comparison.reference
    return Evaluation(
        *days,
        version,
        comparison,
        series_answer(comparison, simulated=simulated),
        {**series_figures(comparison), **corpus_headline(figures.get(own)), **rebuilt_headline(rebuilt.get(own))},
        series_rates(comparison),
        "\n\n".join([series_markdown(comparison), page_markdown(protocols), *left_out]),
        "\n\n".join([series_text(comparison), page_text(protocols), *left_out]),
        record,
        lambda: {**draw(), **({"rebuilt_by_feature": rebuilt_by_feature(rebuilt[own])} if own in rebuilt else {})},
    )


def _finite(value: Any) -> Any:
    """Plain values in which a number that is none, or endless, as the cut of silence, is None."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def of_origins(days: tuple[date, date], pooled: Pooled, not_fitted: Mapping[str, str]) -> Evaluation:
    """Of several splits, for each of which everything was fitted again."""
    left_out = not_fitted_words(not_fitted)
    return Evaluation(
        *days,
        "none: fitted anew for each split",
        pooled,
        pooled_answer(pooled, days),
        pooled_figures(pooled),
        rates_table(pooled.detection, HEADLINES),
        "\n\n".join([pooled_markdown(pooled), *left_out]),
        "\n\n".join([pooled_text(pooled), *left_out]),
        {**json.loads(pooled.to_json()), "not_fitted": dict(not_fitted)},
    )
