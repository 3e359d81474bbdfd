"""The work behind each asset of a watched table, one file per asset; nothing in here knows Dagster."""

from ae_assets.pipeline.chain.storage import Storage

__all__ = ["Storage"]
