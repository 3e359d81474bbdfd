"""What loading the code location costs beside ``import dagster``, each in fresh interpreters, turn by turn."""

import json
import subprocess
import sys
from typing import Any

from benchmarks.row import Row

TURNS = 7
TARGET_RATIO = 1.6
HEAVY = ("keras", "jax", "pyspark", "matplotlib", "scipy", "boto3", "dagster_aws", "pyiceberg")

MEASURED = """
import json, sys, time
wall, cpu = time.perf_counter(), time.process_time()
{statement}
taken = {{"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}}
print(json.dumps({{**taken, "modules": sorted(sys.modules)}}))
"""
DAGSTER = "import dagster"
CODE_LOCATION = "import ae_assets.definitions; ae_assets.definitions.defs().get_repository_def()"


def run() -> list[Row]:
    """The ratio of the shortest times; fewer disturbances from the machine reach a minimum than a mean."""
    turns = [(_measure(DAGSTER), _measure(CODE_LOCATION)) for _ in range(TURNS)]
    dagster, location = ({key: min(turn[side][key] for turn in turns) for key in ("wall", "cpu")} for side in (0, 1))
    ratio = location["wall"] / dagster["wall"]
    modules = turns[0][1]["modules"]
    heavy = [name for name in HEAVY if name in modules]
    return [
        Row(
            "import dagster",
            dagster["wall"],
            "s",
            note=f"shortest of {TURNS}; {dagster['cpu']:.2f} s of processor time",
        ),
        Row("load the code location", location["wall"], "s", note=f"{location['cpu']:.2f} s of processor time"),
        Row(
            "code location against dagster",
            ratio,
            "x",
            f"at most {TARGET_RATIO}",
            ratio <= TARGET_RATIO,
            f"wall; {location['cpu'] / dagster['cpu']:.2f} in processor time",
        ),
        Row(
            "heavy modules loaded", len(heavy), "", "none", not heavy, ", ".join(heavy) or f"none of {', '.join(HEAVY)}"
        ),
    ]


def _measure(statement: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURED.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    from benchmarks.row import table

    print(table(run()))
