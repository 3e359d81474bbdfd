"""Kills processes while they write and counts what is broken afterwards: `python -m benchmarks.kills --trials 400`.

Starts servers of its own on loopback ports and stops them. Exit code 1 where anything is found that a re-run does not
excuse: see `FAULTS`.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from ae_assets_tests.integration import postgres, seaweed
from ae_assets_tests.integration.kills.findings import FAULTS, Found, total
from ae_assets_tests.integration.kills.places import POSTGRES, REST, SQLITE, TABLE_ASSETS, places
from ae_assets_tests.integration.kills.rounds import ASSETS, first_writes, rounds

SHARES = {SQLITE: 0.5, POSTGRES: 0.3, REST: 0.2}
FIRST_WRITES = 0.15
"""Share of the trials that kill the very first write, which makes catalog and table."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the trials and prints what was found.

    Returns:
        0 where nothing was.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--trials", type=int, default=400, help="kills in total (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="draws the moments (default: %(default)s)")
    parser.add_argument("--places", nargs="+", choices=list(SHARES), default=list(SHARES))
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = _killed(Path(folder), asked.places, asked.trials, random.Random(asked.seed))  # noqa: S311 - no secret
    rows = {place: total(founds) for place, founds in found.items()}
    print(_table(rows))
    print(f"\n{sum(row['trials'] for row in rows.values())} trials in {time.monotonic() - began:,.0f} seconds")
    print(_phases(list(found.values())))
    words = [words for founds in found.values() for one in founds for words in one.words]
    print("\n".join(words[:20]), file=sys.stderr)
    return int(any(row[name] for row in rows.values() for name in FAULTS))


def _killed(
    folder: Path, asked: Sequence[str], trials: int, chance: random.Random
) -> dict[tuple[str, str], list[Found]]:
    """What was found, by place and asset."""
    found: dict[tuple[str, str], list[Found]] = defaultdict(list)
    folder.chmod(0o755)  # PostgreSQL runs as nobody where this runs as root
    (folder / "seaweed").mkdir()
    with postgres.running() as database, seaweed.running(folder / "seaweed") as server:
        os.environ.update(server.environment())
        makers = places(folder, database, server)
        for name in asked:
            count = round(trials * SHARES[name] / sum(SHARES[one] for one in asked))
            first = round(count * FIRST_WRITES)
            assets = TABLE_ASSETS if name == REST else ASSETS
            for one in rounds(makers[name](), count - first, chance, assets):
                found[name, one.asset].append(one)
                _say(name, found)
            for one in first_writes(makers[name], first, chance):
                found[name, one.asset].append(one)
                _say(name, found)
    return found


def _say(name: str, found: dict[tuple[str, str], list[Found]]) -> None:
    done = sum(len(founds) for (place, _), founds in found.items() if place == name)
    if done % 20 == 0:
        print(f"{name}: {done} trials", file=sys.stderr, flush=True)


def _table(rows: dict[tuple[str, str], Counter[str]]) -> str:
    counts = ("trials", "nothing", "part", "all", *FAULTS)
    heading = ["place", "asset", "trials", "before commit", "between commits", "after commit"]
    heading += [name.replace("_", " ") for name in FAULTS]
    lines = [[*place, *(str(row[name]) for name in counts)] for place, row in rows.items()]
    summed: Counter[str] = sum(rows.values(), Counter())
    lines.append(["together", "", *(str(summed[name]) for name in counts)])
    return "\n".join(f"| {' | '.join(line)} |" for line in [heading, ["---"] * len(heading), *lines])


def _phases(founds: Sequence[list[Found]]) -> str:
    """In which step of a write the processes were killed."""
    phases = Counter(one.phase for group in founds for one in group)
    return "killed after: " + ", ".join(f"{phase} {count}" for phase, count in phases.most_common())


if __name__ == "__main__":
    sys.exit(main())
