"""Requests into questions, and decisions into bodies of answers: what is done with rows, off the event loop."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl
import pyarrow as pa

from ae_assets.errors import AeAssetsError
from ae_assets.model import devices
from ae_assets.model.devices import Question
from ae_assets.schemas.records import ENTITY, PERIOD
from ae_assets.serving.bodies import ARROW, JSON, rows_of, too_large
from ae_assets.serving.refusals import Refusal
from ae_assets.serving.served import InUse, ServedTable
from ae_assets.serving.settings import Settings

History = Literal["body", "lakehouse"]
_EXAMPLES = {"hour": "2024-04-17T05", "day": "2024-04-17", "week": "2024-04-15"}
LONGEST_VALUE = 200
"""Characters of a value that is shown beside why its row is set aside."""


@dataclass(frozen=True)
class Asked:
    """A request whose rows were read.

    Attributes:
        question: its valid rows; None where there are none.
        set_aside: why each other row is, with its place in the body from 0.
        received: its rows.
        ignored: columns that the model does not read.
    """

    question: Question | None
    set_aside: pl.DataFrame
    received: int
    ignored: tuple[str, ...]


def asked(
    table: ServedTable, in_use: InUse, settings: Settings, body: bytes, kind: str, first: str | None, history: History
) -> Asked:
    """Reads a body, sets aside what cannot be true, and looks up what the decisions rest on.

    Args:
        table: whose rows.
        in_use: by what they are decided on.
        settings: how much a request may hold.
        body: as it was sent.
        kind: of which type.
        first: the first period to decide on, as a person writes it; None: the newest of the rows, or with rows looked
            up all of them.
        history: where the rows before are.

    Raises:
        Refusal: the request as a whole cannot be answered.
    """
    model, periods = in_use.model, table.space.table.periods
    since = None
    if first is not None:
        try:
            since = periods.parse(first)
        except (ValueError, OverflowError):
            raise Refusal(422, f"from is no {periods.noun}, expected one such as {_EXAMPLES[periods.noun]}") from None
    rows = rows_of(body, kind, table.space.table.reading, model.contract, settings)
    validated = devices.validate(model, rows.raw)
    valid, aside = validated.valid, _reasons(validated.quarantine)
    if valid.is_empty():
        return Asked(None, aside, rows.raw.height, rows.ignored)
    if (count := valid[ENTITY].n_unique()) > settings.entities:
        raise too_large("the request", settings.entities, f"devices ({count:,})")
    question = Question(valid, since or valid[PERIOD].max())  # type: ignore[arg-type]  # polars does not know its type
    _refuse_a_long_time(question, table, settings)
    if history == "lakehouse":
        try:
            question = table.history(model, valid)
        except AeAssetsError:
            raise Refusal(
                503, "the rows before cannot be read now; send the history in the body", shed="lakehouse"
            ) from None
        if question.valid.height > settings.rows:
            raise too_large("the request with the rows looked up", settings.rows, "rows")
        if since is not None and question.firsts is not None:
            firsts = question.firsts.with_columns(pl.max_horizontal("first", pl.lit(since)))
            question = replace(question, firsts=firsts)
    return Asked(question, aside, rows.raw.height, rows.ignored)


def answer(
    table: str, in_use: InUse, request: Asked, decided: pl.DataFrame, kind: str
) -> tuple[bytes, Mapping[str, int]]:
    """The body of an answer, and how many rows became what."""
    counts = {
        "received": request.received,
        "decided": decided.height,
        "history": request.received - request.set_aside.height - decided.height,
        "set_aside": request.set_aside.height,
    }
    told = {
        "table": table,
        "model_version": in_use.model.version,
        "threshold": in_use.model.threshold.cut,
        "rows": counts,
        "ignored_columns": list(request.ignored),
        "set_aside": request.set_aside.to_dicts(),
    }
    if kind == ARROW:
        content = decided.to_arrow()
        content = content.replace_schema_metadata({"ae_assets": json.dumps(told)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, content.schema) as stream:
            stream.write_table(content)
        return sink.getvalue().to_pybytes(), counts
    moments = decided.select(
        pl.col(name).dt.to_string("iso:strict") for name, dtype in decided.schema.items() if dtype.is_temporal()
    )
    head = json.dumps(told, ensure_ascii=False)[:-1]
    return f'{head}, "decisions": {decided.with_columns(moments).write_json()}}}'.encode(), counts


def _reasons(quarantine: pl.DataFrame) -> pl.DataFrame:
    """Each row set aside by its place in the body."""
    # A body is no file of one period, of which the rule speaks.
    timeless = pl.col(PERIOD).is_null() & pl.col("rule").str.contains("the_partition_")
    reason = pl.when(timeless).then(pl.lit("without a time a row says nothing of when")).otherwise("reason")
    return quarantine.select(
        pl.col("source_row").cast(pl.Int64).sub(1).alias("index"),
        ENTITY,
        "column",
        pl.col("value").str.head(LONGEST_VALUE),
        "rule",
        reason.alias("reason"),
        "broken_rules",
    ).sort("index")


def _refuse_a_long_time(question: Question, table: ServedTable, settings: Settings) -> None:
    first, last = question.bounds
    periods = table.space.table.periods
    if (last - first) // periods.step >= settings.periods:
        raise too_large("the time from the first row to the last", settings.periods, periods.plural)


__all__ = ["ARROW", "JSON", "Asked", "History", "answer", "asked"]
