"""A rolling-origin evaluation as people read it: Markdown for the UI and the docs, plain text for the terminal."""

from collections.abc import Mapping

import polars as pl

from ae_assets.evaluation.pooling import Pooled
from ae_assets.reports.evaluation import HEADLINES, percent, plain_table
from ae_assets.reports.tables import markdown_table


def pooled_markdown(pooled: Pooled) -> str:
    """Sample, pooled rates and differences at every false alarm rate, then every split."""
    parts = [
        pooled.in_words(),
        "Detection rate at a false alarm rate (FAR), all splits pooled, with 95% intervals",
        markdown_table(pooled_rates(pooled)),
    ]
    if not pooled.difference_table().is_empty():
        parts += [
            f"Difference of the pooled detection rate to {pooled.reference}, in points, with paired 95% intervals",
            markdown_table(pooled_differences(pooled)),
        ]
    parts += [
        f"Detection rate of each split at {_headlines(pooled)}",
        markdown_table(split_rates(pooled)),
        "The splits",
        markdown_table(split_ranges(pooled)),
    ]
    return "\n\n".join(parts)


def pooled_text(pooled: Pooled) -> str:
    """The same for the terminal, at the two false alarm rates that count most."""
    parts = [
        pooled.in_words(),
        "Detection rate at a false alarm rate (FAR), all splits, with 95% intervals:",
        plain_table(pooled_rates(pooled, HEADLINES)),
    ]
    if not pooled.difference_table().is_empty():
        parts += [
            f"Difference to {pooled.reference}, in points, with paired 95% intervals:",
            plain_table(pooled_differences(pooled, HEADLINES)),
        ]
    parts += [
        f"Detection rate of each split at {_headlines(pooled)}:",
        plain_table(split_rates(pooled)),
        "The splits:",
        plain_table(split_ranges(pooled)),
    ]
    return "\n\n".join(parts)


def not_fitted_words(reasons: Mapping[str, str]) -> list[str]:
    """A paragraph for each baseline that is not in the tables, with its reason."""
    return [f"{name} is left out: {reason}" for name, reason in reasons.items()]


def pooled_rates(pooled: Pooled, rates: tuple[float, ...] = ()) -> pl.DataFrame:
    """One row per detector: pooled rate and interval at the given false alarm rates, at all where empty, as text."""
    rows = []
    for row in pooled.to_table().iter_rows(named=True):
        heads = [name.removesuffix(" low") for name in row if name.endswith(" low")]
        cells = {}
        for head in _chosen(heads, rates):
            low, high = percent(row[f"{head} low"]), percent(row[f"{head} high"])
            cells[head] = f"{percent(row[f'detection at {head}'])} [{low}, {high}]"
        rows.append({"detector": row["detector"], **cells})
    return pl.DataFrame(rows)


def pooled_differences(pooled: Pooled, rates: tuple[float, ...] = ()) -> pl.DataFrame:
    """One row per detector other than the reference: difference of pooled rates in points, as text."""
    rows: dict[str, dict[str, str]] = {}
    for row in pooled.difference_table().iter_rows(named=True):
        cell = f"{100 * row['value']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
        rows.setdefault(row["detector"], {})[_head(row["target_false_alarm_rate"])] = cell
    return pl.DataFrame(
        [
            {"detector": name, **{head: cells[head] for head in _chosen(list(cells), rates)}}
            for name, cells in rows.items()
        ]
    )


def split_rates(pooled: Pooled) -> pl.DataFrame:
    """One row per detector and one column per split: its rates at the two headline false alarm rates, as text."""
    rows: dict[str, dict[str, str]] = {}
    for row in pooled.split_table().iter_rows(named=True):
        heads = _chosen([name.removesuffix(" low") for name in row if name.endswith(" low")], HEADLINES)
        cell = " / ".join(percent(row[f"detection at {head}"]) for head in heads)
        rows.setdefault(row["detector"], {"detector": row["detector"]})[row["split"]] = cell
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return pl.DataFrame(list(rows.values()), schema=dict.fromkeys(names, pl.String))


def split_ranges(pooled: Pooled) -> pl.DataFrame:
    """One row per split: its ranges, its failed entities and its healthy windows."""
    table = pooled.split_table().unique("split", keep="first", maintain_order=True)
    return table.select(
        "split",
        pl.format("{} to {}", "train_start", "train_end").alias("fitted on"),
        pl.format("{} to {}", "test_start", "test_end").alias("judged on"),
        "failed",
        pl.col("healthy_windows").alias("windows"),
    )


def _headlines(pooled: Pooled) -> str:
    heads = [name.removesuffix(" low") for name in pooled.to_table().columns if name.endswith(" low")]
    return " / ".join(_chosen(heads, HEADLINES))


def _chosen(heads: list[str], rates: tuple[float, ...]) -> list[str]:
    """The columns of the given rates; all of them where none is given, or none of the given is there."""
    return [head for head in heads if head in {_head(rate) for rate in rates}] or heads


def _head(rate: float) -> str:
    return f"FAR {100 * rate:g}%"
