"""One run of ``benchmarks.growth``: ``python -m benchmarks.growth_run FIRST LAST [ENGINE]`` prints one line of JSON."""

import importlib
import json
import resource
import sys
import time
from datetime import date
from pathlib import Path

from ae_assets.chain.workspace import ANOMALIES, DAILY_INPUT
from ae_assets.cli.instance import open_chain
from ae_assets.pipeline.home import home_folder


def main() -> int:
    """Raw to anomalies, or with an engine raw to features; start-up is not counted."""
    first, last = (date.fromisoformat(text) for text in sys.argv[1:3])
    engine = sys.argv[3:]
    assets = DAILY_INPUT if engine else (*DAILY_INPUT, ANOMALIES)
    with open_chain("drive_stats") as chain:
        if not engine:
            importlib.import_module("ae_assets.detectors.backend")
        wall, processor = time.monotonic(), time.process_time()
        outcome = chain.run(assets, (first, last), {"features": {"engine": engine[0]}} if engine else {})
        wall, processor = time.monotonic() - wall, time.process_time() - processor
    if not outcome.success:
        print(outcome.failure, file=sys.stderr)
        return 1
    files = [file for file in (home_folder() / "warehouse").rglob("*") if file.is_file()]
    told = {
        "wall": wall,
        "processor": processor,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "written": sum(file.stat().st_size for file in files),
        "commits": sum(_is_state(file) for file in files),
    }
    print(json.dumps(told))
    return 0


def _is_state(file: Path) -> bool:
    return file.name.endswith(".metadata.json")


if __name__ == "__main__":
    sys.exit(main())
