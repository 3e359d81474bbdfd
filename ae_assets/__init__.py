"""Watches tables of periodic device records and says each day which devices behave abnormally.

``AnomalyPipeline`` is the Dagster component, loaded when it is asked for, so that the library can be used without
Dagster.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ae_assets.pipeline.component import AnomalyPipeline

__all__ = ["AnomalyPipeline"]


def __getattr__(name: str) -> object:
    if name == "AnomalyPipeline":
        from ae_assets.pipeline.component import AnomalyPipeline

        return AnomalyPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "AnomalyPipeline"])
