"""The timed part of ``benchmarks.chain``: ``python -m benchmarks.chain_run FIRST LAST`` prints one line of JSON.

With ``--stages`` it is the rows of `benchmarks.stages`, else seconds, rows and peak memory.
"""

import importlib
import json
import resource
import sys
import time
from dataclasses import asdict
from datetime import date

from ae_assets.chain.workspace import ANOMALIES, DAILY_INPUT, RAW
from ae_assets.cli.instance import open_chain
from benchmarks import stages


def main() -> int:
    """Runs the days in one Dagster run; start-up (loading the code location, keras and jax) is not counted."""
    first, last = (date.fromisoformat(text) for text in sys.argv[1:3])
    clock = stages.Clock()
    with open_chain("drive_stats") as chain:
        importlib.import_module("ae_assets.detectors.backend")
        if "--stages" in sys.argv:
            stages.watch(clock)
        began = time.monotonic()
        with clock.stage(stages.REST):
            outcome = chain.run((*DAILY_INPUT, ANOMALIES), (first, last))
        seconds = time.monotonic() - began
        rows = sum(rows for day, rows in chain.space.days_of(RAW).items() if first <= day <= last)
    if not outcome.success:
        print(outcome.failure, file=sys.stderr)
        return 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if "--stages" in sys.argv:
        print(json.dumps([asdict(row) for row in stages.rows_of(clock, rows)]))
        return 0
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_bytes": peak}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
