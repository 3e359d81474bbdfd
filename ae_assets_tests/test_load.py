"""Loading the code location, as a Dagster process does on start, leaves the heavy libraries out."""

import json
import subprocess
import sys

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
