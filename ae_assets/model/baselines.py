"""Which detectors are judged beside a table's own: those that its YAML names, and every baseline with default settings.

Nothing here imports a library that fits.
"""

from collections.abc import Collection
from dataclasses import dataclass

from ae_assets.detectors.config import (
    CounterRuleConfig,
    DetectorConfig,
    EcodConfig,
    ExcessRuleConfig,
    GradientBoostingConfig,
    GrowthRuleConfig,
    IsolationForestConfig,
    KMeansConfig,
    LastValueConfig,
    OrdinalConfig,
    PcaConfig,
)
from ae_assets.detectors.settings import TABLE
from ae_assets.features.catalogue import Feature, catalogue
from ae_assets.features.config import FeatureConfig, feature_prefix
from ae_assets.model.definition import WatchedTable

WEAR = "(wear)"
"""Marks a baseline that looks at what counters of wear read and how they grow, and at nothing else."""

OF_SERIES = {"pca", "isolation_forest", "last_value"}
"""Baselines that stand beside every detector that is judged by intervals, whether or not the YAML names them."""

DEFAULTS = "(defaults)"
"""Marks a baseline of a type that the table's YAML names with other settings."""


@dataclass(frozen=True)
class Compared:
    """A detector to fit and judge.

    Attributes:
        name: what the tables call it.
        config: its settings.
        required: whether the table names it itself, so that a fit that fails is an error.
    """

    name: str
    config: DetectorConfig
    required: bool


def compared_detectors(table: WatchedTable, *, comparisons: bool, baselines: bool) -> list[Compared]:
    """The table's detector, then what it is compared with; no two with one name or with equal settings.

    Args:
        table: the table.
        comparisons: whether to take the comparisons of its YAML, and `OF_SERIES` where intervals are known.
        baselines: whether to take every baseline with default settings as well.
    """
    compared = [Compared(table.detector.name, table.detector, required=True)]
    for config in table.comparisons if comparisons else ():
        compared.append(Compared(_unused(config, compared), config, required=True))
    if comparisons and table.target_kind == "intervals":
        missing = OF_SERIES - {one.config.type for one in compared}
        of_series = (config for config in all_baselines(table.features).values() if config.type in missing)
        compared += [Compared(_unused(config, compared), config, required=False) for config in of_series]
    judged = table.detector.judged if isinstance(table.detector, OrdinalConfig) else ()
    for name, config in all_baselines(table.features, judged).items() if baselines else ():
        if all(config != other.config for other in compared):
            taken = any(name == other.name for other in compared)
            compared.append(Compared(f"{name} {DEFAULTS}" if taken else name, config, required=False))
    return compared


def all_baselines(features: FeatureConfig, judged: Collection[str] = ()) -> dict[str, DetectorConfig]:
    """Every baseline that makes sense on a table's features, by name, with default settings.

    The rules add up what counters of wear read, or by how much they have grown over their longest span; how far
    readings lie outside of their past; and by how much they changed over their shortest span. The fitted ones look at
    all features, and once more at the readings and growths of the counters of wear alone, which are few enough for the
    harmless features not to drown them.

    Args:
        features: the table's features.
        judged: prefixes of the counters that tell wear, e.g. smart_5; all attributes of kind counter where empty.
    """
    counters = [
        feature
        for feature in catalogue(features)
        if feature.column is not None
        and features.attributes[feature.column].kind == "counter"
        and (not judged or feature_prefix(feature.column) in judged)
    ]
    levels = tuple(feature.name for feature in counters if feature.transform == "level")
    growths = tuple(feature.name for feature in counters if feature.transform == "growth")
    longest = tuple(
        feature.name
        for feature in counters
        if feature.column is not None and feature.span == max(features.spans_of(feature.column))
    )
    wear = levels + growths
    baselines: dict[str, DetectorConfig] = {}
    if levels:
        baselines["counter_rule"] = CounterRuleConfig(features=levels)
    if longest:
        baselines["growth_rule"] = GrowthRuleConfig(features=longest)
    made = catalogue(features)
    if excesses := tuple(feature.name for feature in made if feature.transform == "excess"):
        baselines["excess_rule"] = ExcessRuleConfig(features=excesses)
    if changes := tuple(feature.name for feature in made if _is_last_change(feature, features)):
        baselines["last_value"] = LastValueConfig(features=changes)
    for kind in (PcaConfig, IsolationForestConfig, KMeansConfig, EcodConfig, GradientBoostingConfig):
        config = kind()
        baselines[config.type] = config
        if wear:
            baselines[f"{config.type} {WEAR}"] = kind(features=wear)
    return baselines


def _is_last_change(feature: Feature, features: FeatureConfig) -> bool:
    """Whether a feature is the change of a reading over the shortest span."""
    column = feature.column
    return (
        feature.transform == "growth"
        and column is not None
        and features.attributes[column].kind != "counter"
        and feature.span == min(features.spans_of(column))
    )


def _unused(config: DetectorConfig, taken: Collection[Compared]) -> str:
    """The name of a detector, with what it is fitted for where another has it already, then with a number."""
    names, name = {one.name for one in taken}, config.name
    if name in names and config.per != TABLE:
        name = f"{name} per {config.per}"
    return name if name not in names else next(f"{name} {i}" for i in range(2, 100) if f"{name} {i}" not in names)
