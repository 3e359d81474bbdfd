"""Decisions on a few devices are those of the whole table, whatever else is asked at the same time."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.chain import Workspace
from ae_assets.chain.anomalies import past_columns
from ae_assets.chain.anomaly_day import anomaly_rows
from ae_assets.chain.champion import load_champion
from ae_assets.chain.table_facts import table_facts
from ae_assets.chain.workspace import ANOMALIES, RAW
from ae_assets.decisions.mutes import Mute
from ae_assets.features.validation import validate_day
from ae_assets.model import devices
from ae_assets.model.devices import Question, TableFacts
from ae_assets.model.model import Model
from ae_assets.model.reasons import flags_of
from ae_assets.serving.served import warm_up
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.tables import storage_of, watched_table
from ae_assets_tests.model.looking_back import DAYS, LOCATION, SECTIONS

AWAY = {DAYS[25], DAYS[26]}
"""Days that the table lacks."""
FROM_WHOLE_DAY = "top_features"
"""A day of the table shows its highest scores, too."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A simulated fleet through the whole chain, with a window, an aggregation, episodes that look back, and gaps."""
    table = watched_table(LOCATION, **SECTIONS)
    space = storage_of(table, tmp_path_factory.mktemp("devices"))
    days = [day for day in DAYS if day not in AWAY]
    steps.fill(space, days)
    steps.fit(space, DAYS[0], DAYS[19])
    steps.judge(space, days)
    return space


@pytest.fixture(scope="module")
def model(fleet: Workspace) -> Model:
    return load_champion(fleet)


@pytest.fixture(scope="module")
def facts(fleet: Workspace, model: Model) -> TableFacts:
    return table_facts(fleet, flags_of(model.detector.feature_names, model.features))


@pytest.fixture(scope="module")
def stored(fleet: Workspace) -> pl.DataFrame:
    return by_row(fleet.read(ANOMALIES, DAYS[0], DAYS[-1]))


@pytest.fixture(scope="module")
def raw(fleet: Workspace) -> pl.DataFrame:
    return fleet.read(RAW, DAYS[0], DAYS[-1]).drop("day")


def by_row(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("day", "entity")


def asked(model: Model, raw: pl.DataFrame, entities: Sequence[str], first: date = DAYS[0], **more: Any) -> Question:
    rows = raw.filter(pl.col("serial_number").is_in(entities))
    return Question(devices.validate(model, rows).valid, first, **more)


def of_devices(stored: pl.DataFrame, entities: Sequence[str], first: date = DAYS[0]) -> pl.DataFrame:
    return stored.filter(pl.col("entity").is_in(entities), pl.col("day") >= first)


def assert_as_stored(decided: pl.DataFrame, stored: pl.DataFrame) -> None:
    assert_frame_equal(by_row(decided).drop(FROM_WHOLE_DAY), stored.drop(FROM_WHOLE_DAY), check_exact=True)
    shown = by_row(decided)["top_features"]
    flagged = shown.is_not_null()
    assert_frame_equal(
        pl.DataFrame([shown.filter(flagged)]), pl.DataFrame([stored["top_features"].filter(flagged)]), check_exact=True
    )
    assert (flagged == stored["reasons"].is_not_null()).all()


@pytest.mark.bits
def test_devices_with_their_whole_history_are_decided_on_as_the_table_decides(
    model: Model, raw: pl.DataFrame, facts: TableFacts, stored: pl.DataFrame
) -> None:
    every = stored["entity"].unique().sort().to_list()
    groups = [every[:1], every[1:4], every[4:60], every[60:]]
    answers = devices.decide(model, [asked(model, raw, group) for group in groups], facts)
    for group, decided in zip(groups, answers, strict=True):
        assert_as_stored(decided, of_devices(stored, group))
    assert {"none", "opened", "open", "closed"} <= set(stored["episode"])


def test_what_is_asked_beside_it_and_the_order_of_rows_change_no_answer(
    model: Model, raw: pl.DataFrame, facts: TableFacts, stored: pl.DataFrame
) -> None:
    names = stored.filter("is_anomaly")["entity"].unique().sort().to_list()[:3]
    other = asked(model, raw.filter(pl.col("date") <= DAYS[30]), stored["entity"].unique().sort().to_list()[5:50])
    shuffled = asked(model, raw.sample(fraction=1.0, shuffle=True, seed=4), names)
    alone = devices.decide(model, [asked(model, raw, names)], facts)[0]
    beside = devices.decide(model, [other, shuffled, asked(model, raw, names[:1])], facts)
    assert_frame_equal(beside[1], alone, check_exact=True)
    assert_frame_equal(beside[2], alone.filter(entity=names[0]), check_exact=True)


def test_new_rows_go_on_from_what_the_table_says_of_the_days_before(
    fleet: Workspace, model: Model, raw: pl.DataFrame, facts: TableFacts, stored: pl.DataFrame
) -> None:
    first = DAYS[-2]
    names = stored.filter("is_anomaly", pl.col("day") >= first)["entity"].unique().sort().to_list()
    earlier = anomaly_rows(fleet, DAYS[0], DAYS[-3], names, past_columns(fleet.table.rhythm))
    rows = raw.filter(pl.col("date") >= first - model.look_back)
    assert rows["date"].min() > DAYS[0]
    (decided,) = devices.decide(model, [asked(model, rows, names, first, past=earlier)], facts)
    assert_as_stored(decided, of_devices(stored, names, first))


def test_a_request_is_not_judged_by_its_own_size(model: Model, raw: pl.DataFrame, stored: pl.DataFrame) -> None:
    """A device alone that was away is away, though a table of this size would have a gap then."""
    name = stored["entity"][0]
    rows = raw.filter(pl.col("date") != DAYS[-3])
    (decided,) = devices.decide(model, [asked(model, rows, [name], DAYS[-1])], TableFacts())
    assert decided.height == 1
    assert decided["threshold"].to_list() == [model.threshold.cut]


def test_a_mute_is_said_of_its_device(model: Model, raw: pl.DataFrame, facts: TableFacts) -> None:
    names = raw["serial_number"].unique().sort().to_list()[:2]
    mutes = [Mute("entity", names[0], DAYS[-1], "being replaced", None, 1)]
    (decided,) = devices.decide(model, [asked(model, raw, names, DAYS[-1])], facts, mutes)
    assert dict(decided.select("entity", "mute_reason").iter_rows()) == {names[0]: "being replaced", names[1]: None}


def test_rows_that_cannot_be_true_are_set_aside_and_the_others_stay(model: Model, raw: pl.DataFrame) -> None:
    name = raw["serial_number"][0]
    own = raw.filter(serial_number=name).with_columns(source_row=pl.int_range(1, pl.len() + 1, dtype=pl.Int32))
    broken = own.with_columns(
        failure=pl.when(pl.col("source_row") == 3).then(7).otherwise("failure").cast(pl.Int8),
        date=pl.when(pl.col("source_row") != 5).then("date"),
    )
    twice = pl.concat([broken, own.filter(source_row=7).with_columns(source_row=pl.lit(99, pl.Int32))])
    validated = devices.validate(model, twice)
    assert validated.valid.height + validated.quarantine.height == twice.height
    assert dict(validated.quarantine.select("source_row", "rule").iter_rows()) == {
        3: "failure_is_zero_or_one",
        5: "date_is_the_partition_day",
        99: "entity_is_unique",
    }


def test_rows_of_several_periods_are_validated_as_those_of_each(model: Model, raw: pl.DataFrame) -> None:
    rows = raw.head(2_000).with_columns(source_row=pl.int_range(1, pl.len() + 1, dtype=pl.Int32))
    number = pl.col("source_row")
    broken = rows.with_columns(
        failure=pl.when(number % 97 == 3).then(7).when(number % 50 == 2).then(1).otherwise("failure").cast(pl.Int8),
        model=pl.when(number % 89 != 5).then("model"),
        smart_5_raw=pl.when(number % 83 == 7).then(-1).otherwise("smart_5_raw"),
        capacity_bytes=pl.when(number % 79 == 7).then(5).otherwise("capacity_bytes"),
    )
    again = broken.filter(number % 50 < 3).with_columns(number + 10_000, failure=pl.lit(1, pl.Int8))
    whole = pl.concat([again, broken])
    at_once = devices.validate(model, whole)
    days = [validate_day(whole.filter(date=day), day, model.contract) for day in whole["date"].unique()]
    valid = pl.concat([day.valid for day in days]).sort("day", "entity")
    aside = pl.concat([day.quarantine for day in days]).sort("source_row")
    assert_frame_equal(at_once.valid.sort("day", "entity"), valid)
    assert_frame_equal(at_once.quarantine.sort("source_row"), aside)
    assert aside["rule"].n_unique() == 5


def test_a_device_may_be_asked_for_before_the_table_began(model: Model, raw: pl.DataFrame, facts: TableFacts) -> None:
    name = raw["serial_number"][0]
    early = raw.filter(serial_number=name).with_columns(pl.col("date") - pl.duration(days=20))
    alone = devices.decide(model, [asked(model, early, [name], date.min)], facts)[0]
    late = asked(model, raw, [name], date.min)
    beside = devices.decide(model, [late, asked(model, early, [name], date.min)], facts)[1]
    assert_frame_equal(alone, beside, check_exact=True)
    assert np.isfinite(alone["score"].drop_nulls().to_numpy()).all()


def test_nothing_is_compiled_after_the_warm_up_whatever_is_asked(
    fleet: Workspace, raw: pl.DataFrame, facts: TableFacts
) -> None:
    import jax.monitoring

    model = load_champion(fleet)
    names = raw["serial_number"].unique().sort().to_list()
    compiled: list[str] = []
    warm_up(model, ["SIM A4000"])
    questions = [asked(model, raw, names[:count], first) for count in (1, 3, 70, 300) for first in (DAYS[0], DAYS[-1])]
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if event.endswith("backend_compile_duration") else None
    )
    try:
        for some in ([questions[0]], questions[:5], questions):
            devices.decide(model, some, facts)
        assert compiled == []
        jax.jit(lambda number: number * 7 + 3)(1.5)
        assert compiled, "what is listened for is told"
    finally:
        jax.monitoring.clear_event_listeners()
