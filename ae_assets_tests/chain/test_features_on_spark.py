"""What Spark runs on blocks, run here on blocks that Polars makes: the same as the whole, bit for bit."""

from collections.abc import Mapping
from datetime import date

import polars as pl
import pytest

from ae_assets.chain import Workspace
from ae_assets.chain.features import DayCounts, FeatureDay, build_features
from ae_assets.chain.features_on_spark import PreparedBlock, counts_in, raw_contract
from ae_assets.chain.volume import gaps_in
from ae_assets.chain.workspace import FEATURES, QUARANTINE, RAW
from ae_assets.engines.spark.engine import FILE, PLACE
from ae_assets_tests.chain.faulty_fleet import ALL_SET_ASIDE, ASKED, DAYS, MISSING, faulty_fleet


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return faulty_fleet(tmp_path_factory.mktemp("fleet"))


def block_of(space: Workspace) -> PreparedBlock:
    schema = space.schema(RAW)
    columns = {name: schema[name] for name in raw_contract(space.table).read_in(list(schema))}
    gaps = gaps_in(space, RAW, DAYS[0], DAYS[-1])
    return PreparedBlock(space.table, columns, frozenset(ASKED), gaps, frozenset(space.days_with_rows(RAW)))


def made_in_blocks(space: Workspace, block: PreparedBlock, parts: int) -> pl.DataFrame:
    """Of raw rows in no order that a file has."""
    raw = space.read(RAW, DAYS[0], DAYS[-1], ["day", *block.raw])
    raw = raw.with_columns(pl.lit("a file").alias(FILE), pl.int_range(pl.len()).over("day").alias(PLACE))
    part = raw["serial_number"].fill_null("").hash(seed=1) % parts
    return pl.concat(
        block(raw.filter(part == number).sample(fraction=1, shuffle=True, seed=2)) for number in range(parts)
    )


def counted(made: pl.DataFrame) -> tuple[dict[date, DayCounts], dict[date, str]]:
    rows = made.drop_nulls("count").select("day", pl.col("count").struct.unnest())
    return counts_in(rows.group_by("day", "what", "name").agg(pl.col("rows").sum()))


def settled(space: Workspace, parts: int) -> tuple[pl.DataFrame, Mapping[date, DayCounts], int]:
    block: PreparedBlock | None = block_of(space)
    made, counts, tries = pl.DataFrame(), {}, 0
    while block is not None:
        made, tries = made_in_blocks(space, block, parts), tries + 1
        counts, failures = counted(made)
        assert not failures
        block = block.corrected(counts, failures)
    return made, counts, tries


@pytest.mark.parametrize("parts", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(5, marks=pytest.mark.slow)])
def test_blocks_give_what_the_whole_gives(fleet: Workspace, parts: int) -> None:
    built = build_features(fleet, ASKED)
    made, counts, tries = settled(fleet, parts)
    assert tries == 2, "the day without a valid row is a gap, which the first try does not know"
    for asset, order in ((FEATURES, ["day", "entity"]), (QUARANTINE, ["day", "source_row"])):
        whole = fleet.read(asset, ASKED[0], ASKED[-1])
        blocks = made.drop_nulls(asset).select(pl.col(asset).struct.unnest())
        judged = [name for name in blocks.columns if name != "record"]  # which is made whole after
        assert whole.height > 10
        assert blocks.select(judged).sort(order).equals(whole.select(judged).sort(order))
    for facts in built:
        assert isinstance(facts, FeatureDay)
        if facts.day == MISSING:
            assert facts.day not in counts
        else:
            assert counts[facts.day].features == facts.feature_rows
            assert sum(counts[facts.day].delivered.values()) == facts.rows
    assert counts[ALL_SET_ASIDE].watched == {}


def test_without_the_census_a_block_takes_its_own_devices_for_the_table(fleet: Workspace) -> None:
    """What the census is for: the features of single blocks are others without it."""
    made, _, _ = settled(fleet, 5)
    unaware = made_in_blocks(fleet, block_of(fleet), 5)
    features = [frame.drop_nulls(FEATURES).select(pl.col(FEATURES).struct.unnest()) for frame in (made, unaware)]
    assert not features[0].sort("day", "entity").equals(features[1].sort("day", "entity"))


def test_a_day_that_fails_in_one_block_fails_and_is_a_gap_for_the_others(fleet: Workspace) -> None:
    block = block_of(fleet)
    failed = block.corrected({day: DayCounts(1, {}, {}, frozenset()) for day in block.census}, [DAYS[10]])
    assert failed is not None
    assert failed.failed == {DAYS[10]}
    assert DAYS[10] in failed.gaps
    assert DAYS[10] not in failed.census
    counts, failures = counted(made_in_blocks(fleet, failed, 3))
    assert DAYS[10] not in counts
    assert not failures
