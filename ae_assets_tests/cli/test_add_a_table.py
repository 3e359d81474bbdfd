"""The page that leads through adding a table: every command on it runs as it stands, and says what the page says."""

import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from ae_assets_tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "add-a-table.md"


@pytest.mark.slow
def test_every_command_of_the_page_runs_and_the_pump_at_fault_is_found(tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == PAGE.read_text().count("```sh") >= 7
    script = "\n".join(f"echo '--- block {number}'\n{block}" for number, block in enumerate(blocks))
    commands = Path(sys.executable).parent
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AE_ASSETS", "DAGSTER"))},
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
    }
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "-e"], input=script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    answers = dict(zip(blocks, re.split(r"^--- block \d+\n", done.stdout, flags=re.MULTILINE)[1:], strict=True))

    def said(command: str) -> str:
        return next(answer for block, answer in answers.items() if command in block)

    assert "the contract holds" in said("ae-assets check")
    assert re.search(r"^south +all +2024-04-17", said("ae-assets alarms"), re.MULTILINE)
    assert "pressure in bar" in said("ae-assets alarms")
    assert "2 of 2 labelled intervals" in re.sub(r"\s+", " ", said("ae-assets evaluate"))
    project = tmp_path / "plant"
    decisions = pl.read_parquet(project / "decisions.parquet")
    alarms = decisions.filter("is_anomaly", pl.col("entity") == "south")
    # The threshold allows a false alarm in ten days of a pump.
    assert (alarms["time"].dt.date() == date(2024, 4, 17)).mean() >= 0.75
    assert (project / "alarms.csv").read_text().count("\n") == 1 + 3 * 96
