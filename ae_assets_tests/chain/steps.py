"""The steps of a table's chain as tests take them: without Dagster, over whole ranges."""

from collections.abc import Sequence
from datetime import date

from ae_assets.chain import Workspace
from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.anomaly_day import AnomalyDay
from ae_assets.chain.champion import load_champion
from ae_assets.chain.features import build_features
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.raw import load_raw
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.sources import open_source


def load(space: Workspace, periods: Sequence[date]) -> None:
    """Raw."""
    list(load_raw(space, open_source(space.table.source.location, space.table.reading), periods))


def fill(space: Workspace, periods: Sequence[date]) -> None:
    """Raw, features and quarantine."""
    load(space, periods)
    build_features(space, periods)


def fit(space: Workspace, first: date, last: date) -> str:
    """A model of a range and its threshold; gives its version, which is the champion if it is the first."""
    table = space.table
    version = train(space, TrainingRange.of(first, last, table.horizon_days, table.periods, table.learned)).version
    calibrate_latest(space)
    return version


def judge(space: Workspace, periods: Sequence[date]) -> list[AnomalyDay]:
    """Anomalies by the champion; none of the periods may fail."""
    judged = list(find_anomalies(space, load_champion(space), periods))
    assert all(isinstance(period, AnomalyDay) for period in judged), judged
    return judged  # type: ignore[return-value]
