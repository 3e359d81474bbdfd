"""Locations of topics, and which records are rows, without a broker; with one: integration/test_stream.py."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_assets.errors import ConfigError, SourceError
from ae_assets.model.definition import SourceSection
from ae_assets.schemas.reading import Reading
from ae_assets.sources import open_source
from ae_assets.sources.kafka import OFFSET, JsonObjects, Topic, TopicRecord, decoded

COLUMNS: dict[str, Any] = {
    "time": {"column": "at", "format": "%Y-%m-%d %H:%M"},
    "entity": "site",
    "values": {"level": {}, "n": {"type": "int"}},
}
READING = SourceSection.model_validate({"location": "x", "columns": COLUMNS}).reading


def test_a_location_names_brokers_and_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = Topic.of("kafka://10.0.0.1:9092,[::1]/levels.v1?security=sasl_ssl&mechanism=PLAIN")
    assert (topic.hosts, topic.name) == ("10.0.0.1:9092,[::1]:9092", "levels.v1")
    with pytest.raises(ConfigError, match=r"AE_ASSETS_KAFKA_PASSWORD"):
        topic.client  # noqa: B018
    monkeypatch.setenv("AE_ASSETS_KAFKA_USERNAME", "me")
    monkeypatch.setenv("AE_ASSETS_KAFKA_PASSWORD", "hunter2")
    assert topic.client["sasl.password"] == "hunter2"
    assert "hunter2" not in repr(topic)


@pytest.mark.parametrize(
    "location",
    [
        "kafka://levels",
        "kafka:///levels",
        "kafka://h/a/b",
        "kafka://h/le vels",
        "kafka://h/..",
        "kafka://h/../levels",
        "kafka://h/levels'; DROP TABLE x",
        "kafka://h/" + "x" * 250,
        "kafka://h/levels\n",
        "kafka://me:hunter2@h/levels",
        "kafka://h/levels?security=none",
        "kafka://h/levels?password=hunter2",
        "kafka://h/levels?partitions=2&partitions=3",
    ],
)
def test_a_location_that_says_no_topic_is_refused_without_telling_a_secret(location: str) -> None:
    with pytest.raises(SourceError, match=r"^kafka://") as refused:
        open_source(location, READING)
    assert "hunter2" not in str(refused.value), "a value behind a word that is no setting may be a secret"


def test_a_topic_of_a_preset_is_refused_since_its_attributes_are_named_nowhere() -> None:
    with pytest.raises(SourceError, match=r"source\.columns"):
        open_source("kafka://h/levels", Reading())


def test_the_client_is_asked_for_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ConfigError, match=r"pip install 'ae-assets\[kafka\]'"):
        Topic.of("kafka://h/levels").client  # noqa: B018


def record(value: bytes | None, offset: int = 0) -> TopicRecord:
    return TopicRecord(0, offset, 1_713_139_200_000, value)


@pytest.mark.parametrize(
    ("value", "cells"),
    [
        (
            b'{"site": "a", "at": "2024-04-15 06:00", "level": 1.50, "n": 12345678901234567890}',
            ("1.50", "12345678901234567890"),
        ),
        (b'{"SITE": "a", "At": "2024-04-15 06:00", "level": true, "n": null}', ("true", None)),
        (b'{"site": "a", "at": "2024-04-15 06:00", "level": NaN, "other": [1]}', ("NaN", None)),
    ],
)
def test_fields_are_taken_just_as_they_are_written(value: bytes, cells: tuple[str | None, str | None]) -> None:
    rows, letters = decoded([record(value)], READING, JsonObjects())
    assert rows.select("site", "level", "n").rows() == [("a", *cells)]
    assert letters.is_empty()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"site": "a", "at": "2024-04-15 06:00", "level": 1, "level": 2}', "'level' twice"),
        (b'{"site": "a", "at": "2024-04-15 06:00", "level": 1, "LEVEL": 2}', "'level' twice, in upper and lower case"),
        (rb'{"site": "\ud800", "at": "2024-04-15 06:00"}', "half a character"),
        (b'{"site": {"a": 1}, "at": "2024-04-15 06:00"}', "'site' holds a dict"),
        (b"[" * 500_000, "RecursionError"),
        (b'{"site":' * 100_000, "RecursionError"),
        (b'{"site": "\xc3\x28", "at": "2024-04-15 06:00"}', "UnicodeDecodeError"),
        (b'{"site": "a", "at": 1e400}', "the time is '1e400'"),
    ],
)
def test_a_hostile_record_is_a_dead_letter_with_the_reason(value: bytes, reason: str) -> None:
    rows, letters = decoded([record(value)], READING, JsonObjects())
    assert rows.is_empty()
    assert reason in letters["reason"][0]


def test_of_a_record_that_is_too_large_the_beginning_is_kept() -> None:
    large = TopicRecord.of(0, 0, 1_713_139_200_000, b"x" * (2**20 + 1))
    rows, letters = decoded([large], READING, JsonObjects())
    assert rows.is_empty()
    assert "1,048,577 bytes" in letters["reason"][0]
    assert letters["value"][0] == b"x" * 2**20


@pytest.mark.parametrize(
    "value",
    [
        b'{"site": "a\\u0000b", "at": "2024-04-15 06:00", "level": 1}',
        b'{"site": "a", "at": "2024-04-15 06:00", "level": 1' + b"0" * 900_000 + b"}",
        b'{"site": "a", "at": "2024-04-15 06:00", "level": 1e999999999}',
        b'{"site": "a", "at": "2024-04-15 06:00", "level": -Infinity}',
        b'{"site": "a", "at": "2024-04-15 06:00", "other": [' + b"0," * 400_000 + b"0]}",
        '{"site": "a", "at": "2024-04-15 06:00", "level": 1}'.encode("utf-16"),
    ],
)
def test_odd_values_are_rows_that_the_contract_judges(value: bytes) -> None:
    rows, letters = decoded([record(value)], READING, JsonObjects())
    assert (rows.height, letters.height) == (1, 0)


@given(
    st.lists(st.one_of(st.none(), st.binary(max_size=50), st.sampled_from([b'{"site":"a","at":"2024-04-15 06:00"}'])))
)
def test_each_record_is_a_row_or_a_dead_letter(values: list[bytes | None]) -> None:
    rows, letters = decoded([record(value, offset) for offset, value in enumerate(values)], READING, JsonObjects())
    assert sorted([*rows[OFFSET], *letters[OFFSET]]) == list(range(len(values)))
    assert letters["reason"].null_count() == 0
    assert [values[offset] for offset in letters[OFFSET]] == letters["value"].to_list()
