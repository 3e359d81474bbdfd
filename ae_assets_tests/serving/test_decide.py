"""A server decides on rows as the daily assets do, whatever else it is asked at the same time."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from ae_assets_tests.serving.server import DAYS, Running

pytestmark = pytest.mark.slow
ARROW = "application/vnd.apache.arrow.stream"
TOLD = ["entity", "score", "threshold", "is_anomaly", "severity", "episode", "is_new", "streak_days", "reasons"]
NEWEST = DAYS[-1]


def names_of(stored: pl.DataFrame, count: int) -> list[str]:
    """Devices, those with an alarm on the newest days first."""
    late = stored.filter(pl.col("day") >= DAYS[-10])
    order = late.group_by("entity").agg(pl.col("is_anomaly").sum(), pl.col("score").max())
    return order.sort("is_anomaly", "score", "entity", descending=[True, True, False])["entity"].head(count).to_list()


def as_frame(decisions: list[dict[str, Any]], like: pl.DataFrame) -> pl.DataFrame:
    schema = {name: pl.String if name == "day" else like.schema[name] for name in ("day", *TOLD)}
    rows = pl.DataFrame([{name: row[name] for name in schema} for row in decisions], schema)
    return rows.with_columns(pl.col("day").str.to_date()).sort("day", "entity")


def of(stored: pl.DataFrame, names: list[str], first: Any = NEWEST) -> pl.DataFrame:
    rows = stored.filter(pl.col("entity").is_in(names), pl.col("day") >= first)
    return rows.select("day", *TOLD).sort("day", "entity")


def test_devices_with_their_history_are_decided_on_as_the_table_decides(
    running: Running, raw: pl.DataFrame, stored: pl.DataFrame
) -> None:
    names = names_of(stored, 12)
    rows = raw.filter(pl.col("serial_number").is_in(names)).sample(fraction=1.0, shuffle=True, seed=1)
    newest, all_of_them = running.decide(rows), running.decide(rows, f"?from={DAYS[0]}")
    assert_frame_equal(as_frame(newest.json["decisions"], stored), of(stored, names), check_exact=True)
    decided = as_frame(all_of_them.json["decisions"], stored)
    assert_frame_equal(decided, of(stored, names, DAYS[0]), check_exact=True)
    assert decided["reasons"].count() > 0
    counts = newest.json["rows"]
    assert counts["received"] == rows.height == counts["decided"] + counts["history"] + counts["set_aside"]


def test_requests_at_the_same_time_get_what_each_would_get_alone(
    running: Running, raw: pl.DataFrame, stored: pl.DataFrame
) -> None:
    names = names_of(stored, 24)
    groups = [names[at : at + 1 + at % 3] for at in range(0, 24, 2)]
    requests = [raw.filter(pl.col("serial_number").is_in(group)) for group in groups]
    with ThreadPoolExecutor(12) as pool:
        answers = [*pool.map(running.decide, requests)]
    for group, answer in zip(groups, answers, strict=True):
        assert_frame_equal(as_frame(answer.json["decisions"], stored), of(stored, group), check_exact=True)
    text = running.ask("GET", "/metrics").body.decode()
    batches = float(text.partition('batch_requests_count{table="fleet"} ')[2].split("\n")[0])
    scored = float(text.partition('batch_requests_sum{table="fleet"} ')[2].split("\n")[0])
    assert scored > batches


def test_new_rows_go_on_from_what_the_lakehouse_holds(
    running: Running, raw: pl.DataFrame, stored: pl.DataFrame
) -> None:
    names = names_of(stored, 8)
    rows = raw.filter(pl.col("serial_number").is_in(names), pl.col("date") >= DAYS[-2])
    late = (pl.col("serial_number") == names[0]) & (pl.col("date") == DAYS[-2])
    answer = running.decide(rows.filter(~late), "?history=lakehouse")
    expected = of(stored, names, DAYS[-2]).filter(~((pl.col("entity") == names[0]) & (pl.col("day") == DAYS[-2])))
    assert_frame_equal(as_frame(answer.json["decisions"], stored), expected, check_exact=True)


def test_arrow_says_what_json_says(running: Running, raw: pl.DataFrame, stored: pl.DataFrame) -> None:
    names = names_of(stored, 5)
    rows = raw.filter(pl.col("serial_number").is_in(names)).with_columns(pl.col("model").cast(pl.Categorical))
    sink = io.BytesIO()
    rows.write_ipc_stream(sink, compat_level=pl.CompatLevel.oldest())
    answer = running.ask("POST", "/v1/tables/fleet/decide", sink.getvalue(), Content_Type=ARROW, Accept=ARROW)
    assert answer.status == 200, answer.body
    table = pa.ipc.open_stream(answer.body).read_all()
    decided = pl.DataFrame(table)
    assert_frame_equal(decided.select("day", *TOLD).sort("day", "entity"), of(stored, names), check_exact=True)
    told = json.loads(table.schema.metadata[b"ae_assets"])
    assert told["rows"]["received"] == rows.height
    by_json = running.decide(rows).json["decisions"]
    assert_frame_equal(as_frame(by_json, stored), of(stored, names), check_exact=True)


def test_each_row_that_cannot_be_true_is_answered_with_its_reason(running: Running, raw: pl.DataFrame) -> None:
    rows = json.loads(raw.filter(serial_number=raw["serial_number"][0]).write_json())
    rows[3]["failure"] = 7
    rows[5]["smart_5_raw"] = "a few"
    rows[7]["date"] = "yesterday"
    del rows[9]["serial_number"]
    rows += ["no row", {**rows[0]}, {"date": None}]
    answer = running.decide(rows)
    aside = {row["index"]: (row["column"], row["rule"]) for row in answer.json["set_aside"]}
    assert aside.keys() == {3, 5, 7, 9, 45, 46, 47}
    assert aside[3] == ("failure", "failure_is_zero_or_one")
    assert aside[5] == ("smart_5_raw", "cells_are_readable")
    assert aside[46][1] == "entity_is_unique"
    assert all(row["reason"] for row in answer.json["set_aside"])
    assert "1970" not in str(answer.json)
    assert answer.json["rows"] == {"received": 48, "decided": 1, "history": 40, "set_aside": 7}


def test_the_newest_stored_decision_on_a_device_is_told(running: Running, stored: pl.DataFrame) -> None:
    name = names_of(stored, 1)[0]
    row = stored.filter(entity=name).sort("day").row(-1, named=True)
    told = running.ask("GET", f"/v1/tables/fleet/entities/{name}").json
    assert (told["period"], told["score"], told["episode"]) == (str(row["day"]), row["score"], row["episode"])
    assert running.ask("GET", "/v1/tables/fleet/entities/nobody").status == 404


def test_the_model_in_use_says_what_it_was_trained_on_and_what_rows_hold(
    running: Running, stored: pl.DataFrame
) -> None:
    card = running.ask("GET", "/v1/tables/fleet/model").json
    assert card["version"] == stored["model_version"][0]
    assert card["training"]["start"] == str(DAYS[0])
    assert card["row"]["required"] == ["date", "serial_number", "model"]
    assert card["threshold"]["cut"] == stored["threshold"][0]
