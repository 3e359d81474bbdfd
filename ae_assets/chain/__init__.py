"""The work behind each asset of a watched table, one file per asset; nothing in here knows Dagster."""

from ae_assets.chain.workspace import Workspace

__all__ = ["Workspace"]
