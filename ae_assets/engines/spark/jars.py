"""The jars that Spark reads tables with."""

import os
import sys
from pathlib import Path

from ae_assets.jars import JarSet

_PINNED = Path(__file__).parent / "jars"


def jar_set() -> JarSet:
    """They lie where AE_ASSETS_SPARK_JARS says, else in the Python environment whose PySpark they fit."""
    variable = "AE_ASSETS_SPARK_JARS"
    folder = Path(os.environ.get(variable) or Path(sys.prefix) / "share" / "ae_assets" / "spark-jars")
    return JarSet("Spark", _PINNED, folder, "ae-assets spark-jars", variable)
