"""The timed part of ``benchmarks.chain``: ``python -m benchmarks.chain_run FIRST LAST`` prints one line of JSON."""

import importlib
import json
import resource
import sys
import time
from datetime import date

from ae_assets.chain.workspace import ANOMALIES, DAILY_INPUT, RAW
from ae_assets.cli.instance import open_chain


def main() -> int:
    """Runs the days in one Dagster run; start-up (loading the code location, keras and jax) is not counted."""
    first, last = (date.fromisoformat(text) for text in sys.argv[1:])
    with open_chain("drive_stats") as chain:
        importlib.import_module("ae_assets.detectors.backend")
        began = time.monotonic()
        outcome = chain.run((*DAILY_INPUT, ANOMALIES), (first, last))
        seconds = time.monotonic() - began
        rows = sum(rows for day, rows in chain.space.days_of(RAW).items() if first <= day <= last)
    if not outcome.success:
        print(outcome.failure, file=sys.stderr)
        return 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_bytes": peak}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
