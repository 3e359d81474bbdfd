"""A rolling-origin evaluation as people read it: Markdown for the UI and the docs, plain text for the terminal."""

from collections.abc import Collection, Mapping

import polars as pl

from ae_assets.evaluation.pooling import Pooled
from ae_assets.evaluation.results import far_name
from ae_assets.reports.evaluation import HEADLINES, chosen, differences_table, rates_table
from ae_assets.reports.parts import Part, page_markdown, page_text, percent


def pooled_markdown(pooled: Pooled) -> str:
    """Sample, pooled rates and differences at every false alarm rate, then every split."""
    return page_markdown(_parts(pooled))


def pooled_text(pooled: Pooled) -> str:
    """The same for the terminal, at the two false alarm rates that count most."""
    return page_text(_parts(pooled, HEADLINES))


def _parts(pooled: Pooled, rates: Collection[float] = ()) -> list[Part]:
    headlines = " / ".join(map(far_name, chosen(pooled.detection[pooled.reference], HEADLINES)))
    differences = f"Difference of the pooled detection rate to {pooled.reference}, in points, with paired 95% intervals"
    return [
        pooled.in_words(),
        (
            "Detection rate at a false alarm rate (FAR), all splits pooled, with 95% intervals",
            rates_table(pooled.detection, rates),
        ),
        (differences, differences_table(pooled.differences, rates)),
        (f"Detection rate of each split at {headlines}", split_rates(pooled)),
        ("The splits", split_ranges(pooled)),
    ]


def not_fitted_words(reasons: Mapping[str, str]) -> list[str]:
    """A paragraph for each baseline that is not in the tables, with its reason."""
    return [f"{name} is left out: {reason}" for name, reason in reasons.items()]


def split_rates(pooled: Pooled) -> pl.DataFrame:
    """One row per detector and one column per split: its rates at the two headline false alarm rates, as text."""
    rows: dict[str, dict[str, str]] = {}
    for split in pooled.splits:
        for name, rates in split.comparison.detection.items():
            cell = " / ".join(percent(rates[target].value) for target in chosen(rates, HEADLINES))
            rows.setdefault(name, {"detector": name})[split.name] = cell
    columns = ["detector", *(split.name for split in pooled.splits)]
    return pl.DataFrame(list(rows.values()), schema=dict.fromkeys(columns, pl.String))


def split_ranges(pooled: Pooled) -> pl.DataFrame:
    """One row per split: its ranges, its failed entities and its healthy windows."""
    return pl.DataFrame(
        [
            {
                "split": split.name,
                "fitted on": f"{split.training[0]} to {split.training[1]}",
                "judged on": f"{split.protocol.start} to {split.protocol.end}",
                "failed": len(split.judged.failed),
                "windows": len(split.judged.pair_entities),
            }
            for split in pooled.splits
        ]
    )
