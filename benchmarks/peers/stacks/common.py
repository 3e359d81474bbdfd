"""What the peers share: two commands, `fit ROWS MODEL` and `score MODEL ROWS SCORES`, and what they print."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

KEYS = ["date", "serial_number"]
PERCENTILE = 99.9
EPOCHS, BATCH = 10, 1024
UNITS = (512, 256, 128, 64, 128, 256, 512)


def smart_columns(names: Sequence[str]) -> list[str]:
    """The columns that a detector can look at."""
    return [name for name in names if name.startswith("smart_")]


def main(fit: Callable[[str, Path], Any], score: Callable[[Path, str, Path], Any]) -> None:
    """Runs what the command line says; the last line printed is JSON."""
    command, *paths = sys.argv[1:]
    began = time.perf_counter()
    said = fit(paths[0], Path(paths[1])) if command == "fit" else score(Path(paths[0]), paths[1], Path(paths[2]))
    print(json.dumps({"seconds": time.perf_counter() - began, **(said or {})}))
