"""What each extra of the package adds: packages and their megabytes beside the package's own, and seconds of import."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks.row import Row

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
APART = ("mlflow", "spark")
"""Folders of the Python environment with packages that those of the tests do not go with."""

IMPORTED = {
    "alerts": "apprise",
    "aws": "dagster_aws.s3, boto3",
    "baselines": "lightgbm, sklearn.decomposition",
    "cassandra": "cassandra.cluster",
    "databricks": "dagster_databricks",
    "kafka": "confluent_kafka, fastavro",
    "kubernetes": "dagster_k8s",
    "mlflow": "mlflow, mlflow.pyfunc",
    "postgres": "dagster_postgres, psycopg2",
    "serve": "fastapi, uvicorn",
    "spark": "dagster_pyspark, pyspark.sql",
    "tune": "optuna",
}
"""What is imported of each extra where it is used."""

_TIMES = 3


def run() -> list[Row]:
    """Reads what is installed; extras that are not are said to be so."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    folders = [*sys.path, *(str(Path(sys.prefix) / name) for name in APART)]
    installed: dict[str, Distribution] = {}
    for one in distributions(path=folders):
        installed.setdefault(_normal(one.name), one)
    own, _ = _needed(project["dependencies"], installed)
    rows = [_row("the package alone", own, set(), installed, "")]
    for extra, wanted in sorted(project["optional-dependencies"].items()):
        needed, missing = _needed([*project["dependencies"], *wanted], installed)
        rows.append(_row(f"extra {extra}", needed - own, missing, installed, IMPORTED[extra]))
    return rows


def _row(name: str, added: set[str], missing: set[str], installed: Mapping[str, Distribution], modules: str) -> Row:
    if missing:
        return Row(name, float("nan"), "MB", note=f"not installed here: {', '.join(sorted(missing))}")
    sizes = {one: _bytes_of(installed[one]) / 1e6 for one in added}
    largest = sorted(sizes, key=lambda one: -sizes[one])[:3]
    heavy = ", ".join(f"{one} {sizes[one]:,.0f}" for one in largest)
    seconds = f"; import {_import_seconds(modules):.1f} s" if modules else ""
    return Row(name, sum(sizes.values()), "MB", note=f"{len(added)} packages: {heavy}{seconds}")


def _needed(requirements: Iterable[str], installed: Mapping[str, Distribution]) -> tuple[set[str], set[str]]:
    """The packages that requirements come to, and those of them that are not installed."""
    waiting, seen = [Requirement(one) for one in requirements], set[tuple[str, str]]()
    missing = set[str]()
    while waiting:
        one = waiting.pop()
        name = _normal(one.name)
        for extra in ("", *one.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            if name not in installed:
                missing.add(name)
                continue
            further = [Requirement(text) for text in installed[name].requires or ()]
            waiting += [need for need in further if need.marker is None or need.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}, missing


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _bytes_of(package: Distribution) -> int:
    paths = [Path(str(file.locate())) for file in package.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _import_seconds(modules: str) -> float:
    """The fastest of some imports in new processes that have imported dagster, as all of ours have."""
    folders = [str(Path(sys.prefix) / name) for name in APART]
    code = (
        f"import sys; sys.path += {folders!r}; import dagster, time; began = time.perf_counter(); import {modules};"
        " print(time.perf_counter() - began)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    taken = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(_TIMES)]
    return min(float(one.split()[-1]) for one in taken)
