"""The home: the folder of tables, models and the Dagster instance."""

import hashlib
import os
import platform
from pathlib import Path

DEFAULT_HOME = ".ae_assets"


MOST_COMPILED = 2**28
"""Bytes of compiled functions that are kept; those that were not used for longest go first."""


def keep_compiled(home: Path) -> None:
    """Makes JAX, if it is not loaded yet, keep what it compiles in the home, for each kind of processor.

    A run of a day would compile what the run of the day before did. Where ``JAX_COMPILATION_CACHE_DIR`` names another
    place, that stands.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        facts = [platform.processor()]
    kind = sorted({line for line in facts if line.startswith(("model name", "flags", "Features"))})
    digest = hashlib.sha256("\n".join([platform.machine(), *kind]).encode()).hexdigest()[:12]
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(home / "compiled" / digest)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(MOST_COMPILED))


def home_folder() -> Path:
    """The folder named by ``AE_ASSETS_HOME``, or ``.ae_assets`` in the working directory."""
    return Path(os.environ.get("AE_ASSETS_HOME") or DEFAULT_HOME).expanduser().resolve()
