"""Loading the code location, as a Dagster process does on start, leaves the heavy libraries out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ae_assets.pipeline.home import keep_compiled
from ae_assets_tests.conftest import REPOSITORY

HEAVY = (
    "numpy",
    "keras",
    "jax",
    "jaxlib",
    "pyspark",
    "matplotlib",
    "scipy",
    "boto3",
    "botocore",
    "dagster_aws",
    "pyiceberg",
    "sklearn",
    "lightgbm",
    "mlflow",
    "pandas",
)

LOAD = """
import json, sys
import ae_assets.definitions
repository = ae_assets.definitions.defs().get_repository_def()
print(json.dumps({"assets": len(repository.asset_graph.get_all_asset_keys()), "modules": sorted(sys.modules)}))
"""


def test_loading_the_code_location_imports_no_heavy_library() -> None:
    loaded = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    location = json.loads(loaded.stdout.splitlines()[-1])

    assert location["assets"] > 0
    assert [name for name in HEAVY if name in location["modules"]] == []


DETECTORS = """
import json, sys
from pathlib import Path
from ae_assets.pipeline.home import keep_compiled
keep_compiled(Path(sys.argv[1]))
from ae_assets.detectors.backend import keras
before = [name for name in ("sklearn", "matplotlib") if name in sys.modules]
import jax, matplotlib
jax.jit(lambda number: number + 1)(0.0)
print(json.dumps(before))
"""


def test_a_process_that_scores_loads_what_keras_needs_and_keeps_what_it_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        monkeypatch.delenv(name, raising=False)
    command = [sys.executable, "-W", "ignore", "-c", DETECTORS, str(tmp_path)]
    loaded = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert json.loads(loaded.stdout) == []
    assert list(tmp_path.glob("compiled/*/*-cache"))


def test_where_jax_is_told_to_keep_what_it_compiles_the_home_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    keep_compiled(tmp_path)
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "elsewhere"
