"""Watches tables of periodic device records and says each day which devices behave abnormally.

``AnomalyPipeline`` is the Dagster component and ``load_model`` loads a model from its folder; each is imported when it
is asked for, so that the library can be used without Dagster.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ae_assets.model.model import load_model
    from ae_assets.pipeline.component import AnomalyPipeline

__all__ = ["AnomalyPipeline", "load_model"]

_ROOMS = {"AnomalyPipeline": "ae_assets.pipeline.component", "load_model": "ae_assets.model.model"}


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
