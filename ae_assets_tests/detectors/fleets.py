"""Small feature tables and configs that the tests of the detectors share."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from ae_assets.detectors import FittedDetector, TrainingData, Windows, fit, windows_of
from ae_assets.detectors.config import (
    CounterRuleConfig,
    DetectorConfig,
    EcodConfig,
    EnsembleConfig,
    EstimatorConfig,
    ExcessRuleConfig,
    GradientBoostingConfig,
    GrowthRuleConfig,
    IsolationForestConfig,
    KMeansConfig,
    LastValueConfig,
    MatrixProfileConfig,
    OrdinalConfig,
    PcaConfig,
)
from ae_assets.detectors.networks.classifiers import (
    BidirectionalLstmClassifierConfig,
    ConvolutionalClassifierConfig,
    LstmClassifierConfig,
    SpectrogramClassifierConfig,
)
from ae_assets.detectors.networks.convolutional import ConvolutionalAutoencoderConfig
from ae_assets.detectors.networks.dense import DenseAutoencoderConfig
from ae_assets.detectors.networks.lstm import LstmAutoencoderConfig
from ae_assets.detectors.networks.variational import (
    ConditionalVariationalAutoencoderConfig,
    LstmVariationalAutoencoderConfig,
    VariationalAutoencoderConfig,
)
from ae_assets.schemas.durations import DAY
from ae_assets_tests.detectors.own import HighestValueConfig

FEATURES = 9
OWN = "ae_assets_tests.detectors.own:HighestValueConfig"
COUNTERS = ("wear_level", "wear_growth_1d", "wear_growth_7d", "errors_level")
NAMES = (*COUNTERS, "age", *(f"feature_{number}" for number in range(len(COUNTERS) + 1, FEATURES)))
START = date(2024, 1, 1)

DENSE = DenseAutoencoderConfig(units=(32, 8, 32), epochs=6, batch_size=64, learning_rate=0.003)
LSTM = LstmAutoencoderConfig(
    window=6 * DAY, encoder_units=(8, 4), decoder_units=(4, 8), epochs=8, batch_size=64, learning_rate=0.02
)
CONVOLUTIONAL = ConvolutionalAutoencoderConfig(
    window=6 * DAY, filters=(16, 8), kernel=3, epochs=6, batch_size=64, learning_rate=0.01
)
ORDINAL = OrdinalConfig(
    counters=("wear", "errors"), judged=("wear",), age="age", epochs=6, batch_size=256, heads=2, least_failures=5
)
WINDOWED: dict[str, Any] = {"window": 4 * DAY, "epochs": 2, "batch_size": 64, "learning_rate": 0.02}
NETWORKS_OF_OTHER_KINDS = (
    VariationalAutoencoderConfig(units=(16,), code=3, **WINDOWED),
    ConditionalVariationalAutoencoderConfig(units=(16,), code=3, **WINDOWED),
    LstmVariationalAutoencoderConfig(units=(8,), code=3, **WINDOWED),
    LstmClassifierConfig(units=(8,), **WINDOWED),
    BidirectionalLstmClassifierConfig(units=(4,), **WINDOWED),
    ConvolutionalClassifierConfig(filters=(8, 8), kernels=(3, 3), **WINDOWED),
    SpectrogramClassifierConfig(frame=4, filters=(8,), **WINDOWED),
)
BASELINES: dict[str, DetectorConfig] = {
    "pca": PcaConfig(),
    "kmeans": KMeansConfig(clusters=4),
    "isolation_forest": IsolationForestConfig(trees=20, windows_per_tree=64),
    "ecod": EcodConfig(),
    "gradient_boosting": GradientBoostingConfig(trees=20, min_windows_per_leaf=5),
}
"""The baselines that are fitted."""

DETECTORS: dict[str, DetectorConfig] = {
    "dense_autoencoder": DENSE,
    "lstm_autoencoder": LSTM,
    "convolutional_autoencoder": CONVOLUTIONAL,
    **{config.type: config for config in NETWORKS_OF_OTHER_KINDS},
    "ordinal": ORDINAL,
    "counter_rule": CounterRuleConfig(features=(NAMES[2], NAMES[5])),
    "growth_rule": GrowthRuleConfig(features=NAMES[:4]),
    "excess_rule": ExcessRuleConfig(features=NAMES[:2]),
    "last_value": LastValueConfig(features=NAMES[:3]),
    "estimator": EstimatorConfig.model_validate({"class": "pyod.models.iforest.IForest"}),
    OWN: HighestValueConfig(type=OWN),
    "matrix_profile": MatrixProfileConfig(window=12 * DAY, records=3, features=NAMES[:4]),
    "pca of t2_and_q": PcaConfig(statistic="t2_and_q"),
    "pca per entity": PcaConfig(per="entity"),
    "ensemble": EnsembleConfig(members=(PcaConfig(), EcodConfig(features=NAMES[1:]), HighestValueConfig(type=OWN))),
    **BASELINES,
}
"""One config of every type, one's own included."""


def fleet(entities: int = 40, days: int = 15, seed: int = 0, missing: float = 0.2, gaps: float = 0.1) -> pl.DataFrame:
    """A feature table in random row order: features follow two hidden causes, some values and some days are missing."""
    random = np.random.default_rng(seed)
    causes = random.normal(size=(entities, 1, 2)) + 0.3 * random.normal(size=(entities, days, 2)).cumsum(axis=1)
    values = causes @ np.random.default_rng(99).normal(size=(2, FEATURES)) + 0.05 * random.normal(
        size=(entities, days, FEATURES)
    )
    values[random.random(values.shape) < missing] = np.nan
    entity, day = np.nonzero(random.random((entities, days)) >= gaps)
    keys = pl.DataFrame(
        {
            "day": [START + timedelta(days=int(number)) for number in day],
            "entity": [f"E{number:03d}" for number in entity],
            "cohort": ["even" if number % 2 == 0 else "odd" for number in entity],
            "label": pl.repeat(0, len(day), dtype=pl.Int8, eager=True),
        }
    )
    features = pl.DataFrame(values[entity, day].astype(np.float32), schema=list(NAMES)).fill_nan(None)
    return keys.hstack(features).sample(fraction=1, shuffle=True, seed=seed)


def split(config: DetectorConfig, table: pl.DataFrame) -> TrainingData:
    """Training and validation windows, by entity."""
    windows = windows_of(table, NAMES, config.window)
    held_out = windows.keys()["entity"] >= table["entity"].sort()[int(0.75 * table.height)]
    return TrainingData(windows, np.zeros(len(windows), np.bool_), held_out.to_numpy())


def training_data(train: Windows, validation: Windows, failing: Windows | None = None) -> TrainingData:
    """Windows of tables with one list of features as one table; the last quarter of failing ones is held out."""
    parts = [train, validation, *([] if failing is None else [failing])]
    starts = np.cumsum([0, *(len(part.values) for part in parts)])
    windows = Windows(
        np.concatenate([part.values for part in parts]),
        train.feature_names,
        np.concatenate([part.last_row + start for part, start in zip(parts, starts, strict=False)]),
        np.concatenate([part.length for part in parts]),
        pl.concat([part.rows for part in parts]),
        train.window,
    )
    role = np.repeat(range(len(parts)), [len(part) for part in parts])
    last = np.arange(len(role)) >= len(role) - (role == 2).sum() // 4
    return TrainingData(windows, role == 2, (role == 1) | last)


def fit_on(
    config: DetectorConfig, train: Windows, validation: Windows, failing: Windows | None = None
) -> FittedDetector:
    """The detector fitted on windows of several tables."""
    return fit(config, training_data(train, validation, failing))


def fitted(config: DetectorConfig, table: pl.DataFrame | None = None) -> FittedDetector:
    """The detector on a small fleet, with failing windows whose first features are all raised."""
    table = fleet() if table is None else table
    worn = fleet(entities=10, days=8, seed=1).with_columns(pl.col(NAMES[:3]) + 6)
    data = split(config, table)
    return fit_on(config, data.train, data.validation, windows_of(worn, NAMES, config.window))


def with_values(windows: Windows, values: np.ndarray) -> Windows:
    """The same windows over other values."""
    return replace(windows, values=values.astype(np.float32))
