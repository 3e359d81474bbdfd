"""Locations of Cassandra, without a server; what a server does is in integration/test_cassandra_source.py."""

import sys
from itertools import pairwise
from typing import Any

import pytest

from ae_assets.errors import AeAssetsError, ConfigError, SourceError
from ae_assets.model.definition import SourceSection
from ae_assets.sources import open_source
from ae_assets.sources.cassandra import CassandraSource, _ranges

LOCATION = "cassandra://10.0.0.1:9043,db.example.org,[::1]:9044/telemetry.levels"
COLUMNS: dict[str, Any] = {"time": {"column": "at", "format": "%Y-%m-%d %H:%M"}, "entity": "site", "values": ["level"]}


def opened(location: str = LOCATION, **columns: Any) -> CassandraSource:
    values = {name: {} for name in COLUMNS["values"]}
    section = SourceSection.model_validate({"location": location, "columns": {**COLUMNS, "values": values, **columns}})
    source = open_source(location, section.reading)
    assert isinstance(source, CassandraSource)
    return source


def test_a_location_names_hosts_table_and_settings() -> None:
    source = opened(f"{LOCATION}?consistency=ONE&timeout=5s&settled=30d&datacenter=dc2")
    assert source._hosts == [("10.0.0.1", 9043), ("db.example.org", 9042), ("::1", 9044)]
    assert (source._keyspace, source._name) == ("telemetry", "levels")
    settings = source._settings
    assert (settings.consistency, settings.timeout.seconds, settings.datacenter) == ("ONE", 5, "dc2")
    assert settings.settled is not None
    assert settings.settled.days == 30
    assert source.location == LOCATION


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("cassandra://h", "expected cassandra://HOST"),
        ("cassandra://h/levels", "expected cassandra://HOST"),
        ("cassandra:///telemetry.levels", "expected cassandra://HOST"),
        ('cassandra://h/telemetry.levels"; DROP TABLE x', "expected cassandra://HOST"),
        ("cassandra://h/a.b.c", "expected cassandra://HOST"),
        ("cassandra://me:hunter2@h/telemetry.levels", "AE_ASSETS_CASSANDRA_PASSWORD"),
        ("cassandra://h/telemetry.levels?consistency=SOME", "consistency='SOME'"),
        ("cassandra://h/telemetry.levels?password=hunter2", "Settings are consistency"),
        ("cassandra://h/telemetry.levels?ranges=0", "ranges='0'"),
        ("cassandra://h/telemetry.levels?ranges=1&ranges=2", "twice"),
    ],
)
def test_a_location_that_says_no_table_is_refused_without_telling_a_secret(location: str, said: str) -> None:
    with pytest.raises(SourceError, match=r"^cassandra://") as refused:
        opened(location)
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "columns",
    [
        {"entity": {"file_name": r"(\w+)\.csv"}},
        {"time": {"column": ["day", "clock"], "format": "%Y-%m-%d %H:%M"}},
    ],
)
def test_a_contract_of_files_is_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(AeAssetsError):
        opened(**columns)


def test_the_driver_is_asked_for_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cassandra", None)
    with pytest.raises(ConfigError, match=r"pip install 'ae-assets\[cassandra\]'"):
        opened()


@pytest.mark.parametrize("count", [1, 3, 32])
def test_ranges_are_the_whole_ring(count: int) -> None:
    ranges = list(_ranges(count))
    assert ranges[0][0] == -(2**63)
    assert ranges[-1][1] == 2**63 - 1
    assert all(one[1] + 1 == following[0] for one, following in pairwise(ranges))
