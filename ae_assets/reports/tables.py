"""Tables as Markdown for the UI: number formats, limits, escaping, and the sentences that explain an alarm."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any

import polars as pl

from ae_assets.features.wording import Wording
from ae_assets.schemas.records import TIME

MISSING = "n/a"
TOP_FEATURES_SHOWN = 3
LONGEST_CELL = 160
AT = "%a %H:%M"
"""How the time of a record is written within its period."""


def markdown_table(frame: pl.DataFrame, *, limit: int | None = None) -> str:
    """A frame as a Markdown table; of more rows than the limit a line below says how many are left out."""
    if frame.is_empty():
        return "No rows."
    shown = frame if limit is None else frame.head(limit)
    heads = [_escaped(name.replace("_", " ")) for name in frame.columns]
    rules = ["---:" if dtype.is_numeric() else "---" for dtype in frame.dtypes]
    rows = ([_escaped(_cell(value)) for value in row] for row in shown.iter_rows())
    table = "\n".join("| " + " | ".join(line) + " |" for line in [heads, rules, *rows])
    left = frame.height - shown.height
    return table if left == 0 else f"{table}\n\n{left:,} more rows are not shown."


def alarms_table(anomalies: pl.DataFrame, limit: int = 20, *, wording: Wording | None = None) -> str:
    """The open episodes of devices that are not muted, the most severe first, each with what drove it.

    Where a row of the anomalies holds no reasons in words its features are put into words, or into plain numbers.
    """
    alarms = _alarms(anomalies)
    if alarms.is_empty():
        return _nothing_open(anomalies)
    shown = alarms.head(limit)
    reasons = [_because(alarm, wording) for alarm in shown.iter_rows(named=True)]
    several_days = anomalies["day"].n_unique() > 1
    table = shown.select(
        *(["day"] if several_days else []),
        *([pl.col(TIME).dt.strftime(AT).alias("at")] if TIME in shown.columns else []),
        pl.col("entity").alias("device"),
        pl.col("cohort").alias("kind"),
        "score",
        pl.col("severity").map_elements(severity_words, return_dtype=pl.String),
        pl.when(pl.col("is_new")).then(pl.lit("new")).otherwise(pl.format("{} days", _age())).alias("episode"),
        pl.Series("because of", reasons, dtype=pl.String),
    )
    text = markdown_table(table)
    left = alarms.height - shown.height
    return text if left == 0 else f"{text}\n\n{left:,} more are not shown."


def listed_alarms(anomalies: pl.DataFrame, limit: int, *, wording: Wording | None = None) -> pl.DataFrame:
    """The same episodes of a day in short, each with the one attribute that moved its score most.

    Returns:
        Frame with `device, kind, since` (a new episode is marked), `score` and `why`.
    """
    shown = _alarms(anomalies).head(limit)
    is_time = shown.schema["episode_start"] != pl.Date
    since = pl.col("episode_start").dt.strftime("%Y-%m-%d %H:%M" if is_time else "%Y-%m-%d")
    return shown.select(
        pl.col("entity").alias("device"),
        pl.col("cohort").alias("kind"),
        pl.when(pl.col("is_new")).then(pl.format("{}, new", since)).otherwise(since).alias("since"),
        pl.col("score").map_elements(number, return_dtype=pl.String).fill_null(MISSING),
        pl.Series(
            "why",
            [_in_short(alarm, wording) for alarm in shown.iter_rows(named=True)],
            dtype=pl.String,
        ),
    )


def muted_table(anomalies: pl.DataFrame, limit: int = 20) -> str:
    """The devices that would be on a day's list of open episodes if they were not muted, the most severe first."""
    muted = anomalies.filter(_is_open(), pl.col("muted_until").is_not_null())
    shown = muted.sort(["score", "entity"], descending=[True, False], nulls_last=True).select(
        pl.col("entity").alias("device"), pl.col("cohort").alias("kind"), "score", "muted_until", "mute_reason"
    )
    return markdown_table(shown, limit=limit) if shown.height else "No device with an open episode is muted."


def _alarms(anomalies: pl.DataFrame) -> pl.DataFrame:
    listed = anomalies.filter(_is_open(), pl.col("muted_until").is_null())
    return listed.sort(["score", "entity"], descending=[True, False], nulls_last=True)


def _nothing_open(anomalies: pl.DataFrame) -> str:
    """Said where no row is listed: rows may have an alarm without an episode, or an open episode that is muted."""
    muted = anomalies.filter(_is_open()).height
    return f"No open episode among {anomalies.height:,} rows{f', {muted:,} muted' if muted else ''}."


def _is_open() -> pl.Expr:
    return pl.col("episode").is_in(["opened", "open"])


def _age() -> pl.Expr:
    """Days since the episode opened, its first day included."""
    return (pl.col("day").cast(pl.Date) - pl.col("episode_start").cast(pl.Date)).dt.total_days().clip(0) + 1


def _because(alarm: Mapping[str, Any], wording: Wording | None, limit: int = TOP_FEATURES_SHOWN) -> str:
    """The attributes that raised a score, as the row says it in words, else its features; or why there is no score."""
    if (unknown := alarm.get("not_judged_because")) is not None:
        return f"not judged: {unknown}"
    if (reasons := alarm["reasons"]) is None:
        return feature_words(alarm["top_features"], wording, limit)
    context = alarm.get("context")
    return "; ".join(reasons[:limit]) + (f" (at {context})" if context and limit > 1 else "")


def _in_short(alarm: Mapping[str, Any], wording: Wording | None) -> str:
    """The first reason without what was expected and without the growth over shorter spans than the longest."""
    because = _because(alarm, wording, limit=1)
    if alarm.get("not_judged_because") is not None:
        return because
    reading, *clauses = because.split(", ")
    return ", ".join([reading, *[clause for clause in clauses if clause.startswith(("+", "-"))][-1:]])


def severity_words(severity: float) -> str:
    """A tail probability as people say it: `0.0004` is `1 in 2,500`."""
    if severity <= 0:
        return MISSING
    odds = 1 / severity
    if odds < 10:
        return f"1 in {odds:.1f}"
    if odds >= 1e9:
        return "under 1 in a billion"
    digits = len(str(round(odds))) - 2
    return f"1 in {round(odds, -digits):,.0f}"


def feature_words(
    features: Sequence[Mapping[str, Any]] | None, wording: Wording | None = None, limit: int = TOP_FEATURES_SHOWN
) -> str:
    """The features that drove a score, in words: `log counter 197: 3.2 (expected 0.1)`.

    Of each `name, contribution, value, expected` are given, the strongest first.
    """
    put = wording or _plain_wording
    named = [put(f["name"], f["value"], f["expected"]) for f in list(features or [])[:limit]]
    return "; ".join(named) or MISSING


def _plain_wording(name: str, value: float | None, expected: float | None) -> str:
    return f"{name}: {'missing' if value is None else _cell(value)} (expected {_cell(expected)})"


def markdown_image(png: bytes, alt: str) -> str:
    """A figure inside Markdown, as a data URI; `alt` says what it shows to readers who do not see it."""
    words = " ".join(alt.replace("[", "(").replace("]", ")").split())
    return f"![{words}](data:image/png;base64,{b64encode(png).decode('ascii')})"


def number(value: float) -> str:
    """A number with four significant digits, thousands separated, without an exponent unless it needs one."""
    if not isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.3g}"
    return f"{value:.4g}" if abs(value) >= 1e-4 else f"{value:.2e}"


def _cell(value: object) -> str:
    match value:
        case None:
            return MISSING
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return number(value)
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
        case _:
            return str(value)


def _escaped(text: str) -> str:
    """Text that cannot end a cell, a row or the table, nor be read as markup."""
    one_line = " ".join(text.split()) if text.strip() else ""
    shortened = one_line if len(one_line) <= LONGEST_CELL else one_line[: LONGEST_CELL - 1] + "…"
    escaped = shortened.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")
    return escaped.replace("*", "\\*").replace("](", "]\\(")
