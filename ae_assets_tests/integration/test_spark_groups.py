"""Detectors of groups that are fitted on Spark are those that one machine fits."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ae_assets.chain.groups_on_spark import fit_on_spark
from ae_assets.chain.model import TrainingRange, train
from ae_assets.detectors import TrainingData, windows_of
from ae_assets.detectors.config import DetectorConfig, PcaConfig
from ae_assets.detectors.networks.variational import VariationalAutoencoderConfig
from ae_assets.detectors.per_group import FittedPerGroup, OwnDetectors
from ae_assets.engines.spark.engine import SparkEngine
from ae_assets.pipeline.engines import fitting_of_groups
from ae_assets.progress import silent
from ae_assets.schemas.durations import DAY
from ae_assets_tests.chain.test_groups import DAYS, space_of_places
from ae_assets_tests.detectors.fleets import NAMES, fleet
from ae_assets_tests.integration.test_spark import session, spark  # noqa: F401 - fixtures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # py4j leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NETWORK = {"epochs": 2, "batch_size": 64, "per": "site", "least_group_windows": 60}
CONFIGS: dict[str, DetectorConfig] = {
    "networks over windows": VariationalAutoencoderConfig.model_validate(
        {"units": [8], "code": 2, "window": 3 * DAY, **NETWORK}
    ),
    "pca": PcaConfig(per="site", least_group_windows=60),
}


def test_a_model_of_a_table_with_engine_spark_has_its_groups_fitted_there(spark: None, tmp_path: Path) -> None:  # noqa: F811
    space = space_of_places(tmp_path, engine="spark")
    with fitting_of_groups(space) as fit_own:
        assert fit_own is not None
        trained = train(space, TrainingRange.of(DAYS[0], DAYS[5], 1), fit_own)
    local = train(space, TrainingRange.of(DAYS[0], DAYS[5], 1))
    assert isinstance(trained.detector, FittedPerGroup)
    assert isinstance(local.detector, FittedPerGroup)
    assert trained.detector.own == local.detector.own == ("ams", "sac")
    assert trained.detector.groups.drop("seconds").equals(local.detector.groups.drop("seconds"))


@pytest.mark.parametrize("name", CONFIGS)
def test_groups_learn_on_spark_what_they_learn_on_one_machine(name: str, session: object) -> None:  # noqa: F811
    config = CONFIGS[name]
    number = pl.col("entity").str.slice(1).cast(pl.Int32)
    table = fleet(60, 12).with_columns(
        site=pl.when(number >= 5).then(pl.format("site {}", number % 4)).when(number > 0).then(pl.lit("a small one"))
    )
    windows = windows_of(table, NAMES, config.window)
    random = np.random.default_rng(3)
    held_out = (windows.keys()["entity"].str.slice(3) == "7").to_numpy()
    data = TrainingData(windows, random.random(len(windows)) < 0.02, held_out)
    local = OwnDetectors.fit(config, data, silent)
    engine = SparkEngine(session, "unused", rows_in_block=200)  # type: ignore[arg-type]  # a session
    on_spark = fit_on_spark(engine, config, data, silent)
    assert local.groups["group"].to_list() == ["a small one", *(f"site {one}" for one in range(4))]
    assert on_spark.groups.drop("seconds", "unit").equals(local.groups.drop("seconds", "unit"))
    np.testing.assert_allclose(on_spark.groups["unit"].drop_nulls(), local.groups["unit"].drop_nulls(), rtol=1e-5)
    numbers = windows.keys()["site"].str.slice(5).cast(pl.Int64, strict=False).fill_null(-1).to_numpy()
    own = np.flatnonzero(numbers >= 0)
    expected, scores = (one.members.explain(windows.take(own), numbers[own]) for one in (local, on_spark))
    np.testing.assert_allclose(scores.score, expected.score, rtol=1e-5)
    np.testing.assert_allclose(scores.contributions, expected.contributions, rtol=1e-4, atol=1e-6)
