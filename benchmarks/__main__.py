"""Runs benchmarks and prints one table, the machine's own limits first; exit code 1 where a target is missed."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.process import accelerator, measure
from benchmarks.row import Row, table

BENCHMARKS = {
    "load": "loading the code location beside `import dagster`",
    "read": "reading a day however it is written, looking at a folder",
    "features": "features of a day and of a range",
    "detectors": "scoring and training beside keras' own predict and fit",
    "networks": "training and scoring of every network beside keras' own fit and predict (some minutes)",
    "groups": "one network for each of 40 groups, all at once beside a loop of fit",
    "lakehouse": "writing and reading days",
    "bad_input": "memory that input made to harm takes",
    "maintenance": "what maintenance gains on a table of 400 days",
    "load_figure": "a thousand days of 20,000 rows beside ten (a quarter of an hour)",
    "history": "a daily run with 10, 100 and 1,000 days held, and what it reads (some minutes)",
    "streams": "reading Cassandra, landing a topic of Kafka and how long a record waits; fetches both servers",
    "serving": "requests a second of a server, at p50 and p99, beside the bare call",
    "mlflow": "keeping models and runs in MLflow, and a model that it serves",
    "peers": "a modern day, and detection on real days, beside three other stacks (10 GB, half an hour)",
    "growth": "how a run grows with rows, days, cores and workers of Spark (a quarter of an hour)",
    "extras": "what each extra adds: packages, megabytes, seconds of import",
    "chain": "a range run and a modern day, raw to anomalies",
}

ON_DEVICES = {"detectors", "groups", "networks"}
"""Measured on the CPU and, where JAX has one, on the accelerator."""


BY_NAME = {"extras", "growth", "mlflow", "peers", "streams"}
"""Those that run only where they are named."""


def runs_of(names: Sequence[str], accelerator: str | None) -> list[tuple[str, str | None]]:
    """The benchmarks to run, each with the platform of JAX that it is run on where that matters."""
    both = (None,) if accelerator is None else ("cpu", accelerator)
    return [(name, one) for name in ("machine", *names) for one in (both if name in ON_DEVICES else (None,))]


def main(arguments: list[str] | None = None) -> int:
    """Runs what is named, or everything.

    Returns:
        0 where every target is met, 1 where one is missed or a benchmark fails.
    """
    listed = "\n".join(f"  {name:12} {what}" for name, what in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="./dev bench",
        description="Measures the project on this machine.",
        epilog=f"benchmarks:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"to run (default: all but {', '.join(sorted(BY_NAME))})"
    )
    names = parser.parse_args(arguments).names or [name for name in BENCHMARKS if name not in BY_NAME]
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    rows: list[Row] = []
    failed: list[str] = []
    platform = accelerator() if ON_DEVICES & {*names} else None
    for name, one in runs_of(names, platform):
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            rows += [row if one is None else replace(row, name=f"{row.name} ({one})") for row in measure(name, one)]
        except Exception as error:  # noqa: BLE001 - the other figures are worth printing
            failed.append(f"{name} failed: {type(error).__name__}: {error}")
    print(table(rows))
    judged = [row.met for row in rows if row.met is not None]
    print(f"\n{sum(judged)} of {len(judged)} targets met")
    print("\n".join(failed), file=sys.stderr)
    return int(bool(failed) or not all(judged))


if __name__ == "__main__":
    sys.exit(main())
