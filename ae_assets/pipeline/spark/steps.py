"""What a driver elsewhere is told and tells: the steps that it can run, and what became of periods as JSON."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from datetime import date
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from ae_assets.chain import Workspace
from ae_assets.chain.anomalies_on_spark import JudgedDay, judge_on_spark
from ae_assets.chain.champion import load_champion
from ae_assets.chain.features import FeatureDay
from ae_assets.chain.features_on_spark import build_features_on_spark
from ae_assets.chain.raw import RawDay
from ae_assets.chain.raw_on_spark import load_raw_on_spark
from ae_assets.chain.workspace import ANOMALIES, FEATURES, RAW, FailedPeriod
from ae_assets.engines.spark.engine import SparkEngine
from ae_assets.pipeline.s3 import ClientMaker, s3_of_environment
from ae_assets.schemas.periods import Periods
from ae_assets.sources import open_source

Step = Callable[[Workspace, Sequence[date], SparkEngine], Iterable[Any]]


def _raw(space: Workspace, days: Sequence[date], engine: SparkEngine) -> Iterable[Any]:
    s3, table = s3_of_environment(), space.table
    client = None if s3 is None else ClientMaker(s3)
    return load_raw_on_spark(space, open_source(table.source.location, table.reading, None, client), days, engine)


def _anomalies(space: Workspace, days: Sequence[date], engine: SparkEngine) -> Iterable[Any]:
    return judge_on_spark(space, load_champion(space), days, engine)


STEPS: dict[str, Step] = {RAW: _raw, FEATURES: build_features_on_spark, ANOMALIES: _anomalies}
"""By asset; each gives an object for every period."""

_KINDS = {kind.__name__: kind for kind in (RawDay, FeatureDay, JudgedDay, FailedPeriod)}


def as_json(facts: Any, periods: Periods) -> dict[str, Any]:
    """What became of a period, for `of_json`; hours are written as keys of periods, which JSON schemas of days lack."""
    values = {field.name: getattr(facts, field.name) for field in fields(facts) if field.name != "day"}
    return {"kind": type(facts).__name__, "day": periods.key(facts.day), "values": to_jsonable_python(values)}


def of_json(said: dict[str, Any], periods: Periods) -> Any:
    """The object that `as_json` was given."""
    day = periods.parse(said["day"])
    adapter: TypeAdapter[Any] = TypeAdapter(_KINDS[said["kind"]])
    return replace(adapter.validate_python({**said["values"], "day": day.isoformat()[:10]}), day=day)
