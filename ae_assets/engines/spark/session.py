"""The settings of a Spark session, and the session itself. Starts a Java process, so nothing here runs at import."""

import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ae_assets.engines.spark.jars import jar_set
from ae_assets.errors import ConfigError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SETTINGS_FILE = "AE_ASSETS_SPARK_CONF"
"""Environment variable: a file of settings in the format of spark-defaults.conf."""


def session_settings() -> dict[str, str]:
    """All settings of a session but those of its catalog: ours, and over them those of AE_ASSETS_SPARK_CONF.

    Raises:
        ConfigError: PySpark, Java, a jar or the file of settings is missing.
    """
    _require_spark()
    own = cluster_settings()
    ours = {
        # All cores; a block whose worker was killed is made once more.
        "spark.master": "local[*,2]",
        "spark.app.name": "ae_assets",
        "spark.jars": ",".join(map(str, jar_set().require())),
        "spark.pyspark.python": sys.executable,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if own.get("spark.master", "local").startswith("local"):
        # Without a cluster nobody else is to reach the driver.
        ours |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return {**ours, **own}


def cluster_settings() -> dict[str, str]:
    """Those of the settings that hold wherever the driver runs."""
    ours = {
        # Days and hours are in UTC, and so are the times that Spark hands to Python.
        "spark.sql.session.timeZone": "UTC",
        # Blocks are counted by us: few rows may be much work.
        "spark.sql.adaptive.coalescePartitions.enabled": "false",
        # What is shuffled beside blocks is small: counts by day, and the raw rows of quarantine.
        "spark.sql.shuffle.partitions": "8",
        # A task has one core.
        "spark.executorEnv.POLARS_MAX_THREADS": "1",
    }
    return {**ours, **_settings_in_file()}


@contextmanager
def quiet_start() -> Iterator[None]:
    """Within it a session may be started by a process that has used JAX.

    JAX warns of forks, since a forked process that goes on with its threads would hang; Java's is replaced at once.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        yield


@contextmanager
def spark_session(settings: Mapping[str, str]) -> "Iterator[SparkSession]":
    """A session with these settings, stopped at the end with its Java process."""
    from pyspark.sql import SparkSession

    with quiet_start():
        session = SparkSession.builder.config(map=dict(settings)).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        stop(session)


def stop(session: Any) -> None:
    """Stops a session and the Java process behind it, whose settings a later session could not change."""
    from pyspark import SparkContext

    session.stop()
    gateway = SparkContext._gateway  # noqa: SLF001 - pyspark leaves the process to the end of Python
    if gateway is not None:
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait()
        SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001


def _require_spark() -> None:
    if find_spec("pyspark") is None:
        raise ConfigError("engine: spark needs the extra spark: pip install 'ae-assets[spark]'")
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java", path=None if home is None else str(Path(home) / "bin")) is None:
        where = "on PATH" if home is None else f"in JAVA_HOME ({home})"
        raise ConfigError(
            f"Spark needs Java 17 or 21, and there is no java {where}; on Debian: apt install openjdk-17-jre-headless"
        )


def _settings_in_file() -> dict[str, str]:
    name = os.environ.get(SETTINGS_FILE)
    if not name:
        return {}
    try:
        lines = [line.strip() for line in Path(name).read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise ConfigError(f"{SETTINGS_FILE} names {name}, which cannot be read: {error.strerror}") from error
    pairs = [re.split(r"\s*[=:\s]\s*", line, maxsplit=1) for line in lines if line and not line.startswith("#")]
    if wrong := [pair[0] for pair in pairs if len(pair) < 2]:
        raise ConfigError(
            f"{name}, which {SETTINGS_FILE} names, has no value for {wrong[0]}; expected `key value` lines"
        )
    return dict(pairs)
