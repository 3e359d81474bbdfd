"""From a score to what a person does about it: aggregation over time, episodes, mutes, reasons. Cuts are in thresholds.

What computes is loaded when it is asked for: the configs are read with every table's YAML, in every Dagster process.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ae_assets.decisions.config import AggregationConfig, DecisionConfig, EpisodeConfig

if TYPE_CHECKING:
    from ae_assets.decisions.aggregation import RollingScores, aggregate
    from ae_assets.decisions.devices import one_per_device
    from ae_assets.decisions.episodes import Episodes, first_continued, is_clear, is_listed
    from ae_assets.decisions.explanation import Reason, reasons_of
    from ae_assets.decisions.mutes import Mute, expired_mutes, read_mutes, unknown_mutes, with_mutes

__all__ = [
    "AggregationConfig",
    "DecisionConfig",
    "EpisodeConfig",
    "Episodes",
    "Mute",
    "Reason",
    "RollingScores",
    "aggregate",
    "expired_mutes",
    "first_continued",
    "is_clear",
    "is_listed",
    "one_per_device",
    "read_mutes",
    "reasons_of",
    "unknown_mutes",
    "with_mutes",
]

_LOADED_LATER = {
    "Episodes": "episodes",
    "Mute": "mutes",
    "Reason": "explanation",
    "RollingScores": "aggregation",
    "aggregate": "aggregation",
    "expired_mutes": "mutes",
    "first_continued": "episodes",
    "is_clear": "episodes",
    "is_listed": "episodes",
    "one_per_device": "devices",
    "read_mutes": "mutes",
    "reasons_of": "explanation",
    "unknown_mutes": "mutes",
    "with_mutes": "mutes",
}


def __getattr__(name: str) -> object:
    if name in _LOADED_LATER:
        return getattr(import_module(f"{__name__}.{_LOADED_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
