"""What Spark runs on blocks of features, run here on blocks that Polars makes: the same as the whole, bit for bit."""

from dataclasses import fields, replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.chain import Workspace
from ae_assets.chain.anomalies import find_anomalies, mutes_of
from ae_assets.chain.anomalies_on_spark import JudgedBlock
from ae_assets.chain.anomaly_day import AnomalyDay
from ae_assets.chain.champion import Champion, load_champion
from ae_assets.chain.scoring import Reach
from ae_assets.chain.volume import gaps_until
from ae_assets.chain.workspace import ANOMALIES, FEATURES
from ae_assets.features.schema import SETTINGS
from ae_assets.model import model
from ae_assets.model.model import Model
from ae_assets.model.reasons import flags_of
from ae_assets.schemas.anomalies import anomaly_types
from ae_assets_tests.chain.faulty_fleet import DAYS, DETECTORS, JUDGED, JUDGED_BEFORE, REPEATED, judged_fleet

RESTING_ON_OTHER_SETTINGS = {"a network and a budget of alarms": [DAYS[7]]}
"""By default those that reach back to the day as well."""


def block_of(space: Workspace, champion: Champion, how: str) -> JudgedBlock:
    stored = space.schema(FEATURES)
    hold, rhythm = champion.episodes.hold, space.table.rhythm
    reach = Reach.of(JUDGED, champion.detector, champion.aggregation, hold, rhythm)
    return JudgedBlock(
        space.models,
        space.table.table,
        {field.name: getattr(champion, field.name) for field in fields(Model) if field.name != "detector"},
        rhythm,
        {name: dtype for name, dtype in stored.items() if name != SETTINGS},
        reach.scored,
        frozenset(JUDGED) - set(RESTING_ON_OTHER_SETTINGS.get(how, DAYS[7:11])),
        frozenset([DAYS[7]]),
        gaps_until(space, JUDGED[-1]),
        mutes_of(space),
        {},
        shares_of(space, champion),
    )


def shares_of(space: Workspace, champion: Champion) -> pl.DataFrame:
    flags = flags_of(champion.detector.feature_names, champion.features)
    return space.read(FEATURES, DAYS[0], DAYS[-1]).group_by("day", "cohort").agg(pl.col(flags).mean())


@pytest.mark.parametrize("how", DETECTORS)
def test_blocks_give_what_the_whole_gives(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "MOST_SHOWN", 5)
    space = judged_fleet(tmp_path, how)
    champion = load_champion(space)
    features, past = space.read(FEATURES, DAYS[0], DAYS[-1]), space.read(ANOMALIES, *JUDGED_BEFORE)
    days = list(find_anomalies(space, champion, JUDGED))
    block = block_of(space, champion, how)
    parts = [part for _, part in features.group_by(pl.col("entity").hash(seed=1) % 3)]
    failures = [block.scores(part).drop_nulls("failure") for part in parts]
    assert [part.height > 0 for part in failures].count(True) == 1, "the others know nothing of the repeated record"
    assert REPEATED in pl.concat(failures)["day"]
    block = block.without(pl.concat(failures)["day"].to_list())
    cuts = champion.threshold.cuts_of_days(pl.concat(block.scores(part) for part in parts))
    if champion.threshold.policy.follows_the_day:
        block = replace(block, cuts=dict(cuts.iter_rows()))
    judged = pl.concat(
        block.judged(part.sample(fraction=1, shuffle=True, seed=2), past.join(part, "entity", "semi")) for part in parts
    )
    assert judged["failure"].is_null().all()
    rows = judged.select(pl.col(ANOMALIES).struct.unnest())
    whole = space.read(ANOMALIES, JUDGED[0], JUDGED[-1]).select(*anomaly_types(space.table.rhythm))
    assert whole.height > 50
    assert whole["is_anomaly"].sum() > 2
    assert whole["muted_until"].is_not_null().any()
    rows, whole = rows.sort("day", "entity"), whole.sort("day", "entity")
    more = rows["top_features"].is_not_null() & whole["top_features"].is_null()
    assert more.any(), "each block shows its highest scores"
    rows = rows.with_columns(top_features=pl.when(~more).then("top_features"))
    assert_frame_equal(rows, whole, check_exact=True)
    judged_days = {day.day for day in days if isinstance(day, AnomalyDay) and day.rows}
    assert set(rows["day"]) == judged_days
