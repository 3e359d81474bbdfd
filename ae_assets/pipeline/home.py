"""The home: the folder of tables, models and the Dagster instance."""

import os
from pathlib import Path

DEFAULT_HOME = ".ae_assets"


def home_folder() -> Path:
    """The folder named by ``AE_ASSETS_HOME``, or ``.ae_assets`` in the working directory."""
    return Path(os.environ.get("AE_ASSETS_HOME") or DEFAULT_HOME).expanduser().resolve()
