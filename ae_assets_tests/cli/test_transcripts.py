"""What each command says, whole: its help and a use of it, held against transcripts/NAME.txt.

``AE_ASSETS_UPDATE_TRANSCRIPTS=1 pytest ae_assets_tests/cli/test_transcripts.py`` writes the transcripts again, and the
diff shows what has changed. What is another one on each run or machine is masked.
"""

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from ae_assets.chain.model import train
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.cli import main
from ae_assets_tests.chain import pumps
from ae_assets_tests.cli.conftest import FLEET, Demo, Said, command
from ae_assets_tests.cli.fleet import TRAINED, Fleet
from ae_assets_tests.cli.test_tune import RANGE, table_in
from ae_assets_tests.conftest import REPOSITORY
from ae_assets_tests.one_server.outputs import content, raws

UPDATE = "AE_ASSETS_UPDATE_TRANSCRIPTS"
TRANSCRIPTS = Path(__file__).parent / "transcripts"
DEMO = {
    "ae-assets": [],
    "alarms": ["alarms drive_stats"],
    "check": ["check drive_stats --day 2013-08-07", "check nothing"],
    "clusters": ["clusters drive_stats --output FOLDER/map.png"],
    "consume": ["consume drive_stats --until-end"],
    "evaluate": ["evaluate drive_stats --start 2013-07-09 --end 2013-08-07 --compare none"],
    "export": [
        "export drive_stats raw --start 2013-08-06 --end 2013-08-07 --output FOLDER/raw.csv",
        "export drive_stats raw --start 2013-08-06 --end 2013-08-07 --output FOLDER/raw.xlsx",
    ],
    "export-source": ["export-source drive_stats --start 2013-08-06 --end 2013-08-08 --output FOLDER/csv"],
    "new": ["new pumps --from FOLDER/in --output FOLDER/defs.yaml"],
    "produce": ["produce drive_stats --start 2013-08-06 --end 2013-08-06 --to kafka://levels"],
    "reproduce": ["reproduce drive_stats --start 2013-07-01"],
    "score": [
        f"score drive_stats '{FLEET}' --start 2013-08-06 --end 2013-08-07 --output FOLDER/decisions.csv",
        "score --smartctl --history FOLDER/drives.sqlite FOLDER/drives.json",
        "score --smartctl --no-history FOLDER/drives.json --output FOLDER/decisions.csv",
    ],
    "serve": ["serve nothing --port 0", "serve drive_stats --port 0 --host 0.0.0.0"],
    "show": ["show drive_stats SIM00000107"],
}
"""Commands on the home of the demo, which they leave as it is."""
MASKS = (
    (r"\d{8}T\d{9}Z-[0-9a-f]{8}", "VERSION"),
    (r"\S+/dagster dev", "dagster dev"),
    (r" in [\d.]+ s\b", " in SECONDS"),
    (r" +[\d.]+ s +[\d.]+ s +\d+ KiB\n", "  COSTS\n"),
    (r"(?m)^(.+: )\d+ (of (\d+) (?:days|epochs)), [\d,.]+ rows/s.*\n(?:\1\d+ \2.*\n)*", r"\1\3 \2, SPEED\n"),
)
"""Pattern and what stands in its place; progress is told as often as it takes time, and its last line is enough."""


class Session:
    """Commands and what they said, as a person sees them."""

    def __init__(self, name: str, home: Path, folder: Path) -> None:
        self.name, self.home, self.folder, self.text = name, home, folder, ""
        self.type("--help" if name == "ae-assets" else f"{name} --help")

    def type(self, line: str) -> None:
        self.add(line, command(self.home, *shlex.split(line.replace("FOLDER", str(self.folder)))))

    def add(self, line: str, said: Said) -> None:
        text = said.out + said.error
        for place, path in {"HOME": self.home, "FOLDER": self.folder, "REPOSITORY": REPOSITORY}.items():
            text, line = text.replace(str(path), place), line.replace(str(path), place)
        for pattern, mask in MASKS:
            text, line = re.sub(pattern, mask, text), re.sub(pattern, mask, line)
        ending = f"[exit code {said.code}]\n" if said.code else ""
        self.text += f"{self.text and chr(10)}$ ae-assets {line}\n{text}{ending}"

    def is_as_written(self) -> None:
        """Holds the transcript against what was said; where it is asked for, it becomes that."""
        path = TRANSCRIPTS / f"{self.name}.txt"
        if UPDATE in os.environ:
            path.write_text(self.text)
        assert self.text == path.read_text(), f"if it should say this: {UPDATE}=1 pytest {__file__}, and read the diff"


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_every_command_has_a_transcript() -> None:
    assert {path.stem for path in TRANSCRIPTS.iterdir()} == {"ae-assets", *main.commands}


@pytest.mark.parametrize("name", DEMO)
def test_a_command_that_reads(demo: Demo, tmp_path: Path, name: str) -> None:
    if name == "new":
        pumps.write_csv(tmp_path / "in")
    if name == "score":
        drives = ("hgst_ultrastar", "seagate_barracuda_reallocated", "hitachi_failed", "samsung_nvme_media_errors",
                  "seagate_sas_grown_defects", "standby")  # fmt: skip
        days = [raws("toshiba_mg08", day, smart_5=8 * (day + 30), smart_197=4 if day else 24) for day in (-29, -7, 0)]
        (tmp_path / "drives.json").write_text(json.dumps([*map(content, drives), *days]))
    session = Session(name, demo.home, tmp_path)
    for line in DEMO[name]:
        session.type(line)
    session.is_as_written()


def test_demo(demo: Demo, tmp_path: Path) -> None:
    session = Session("demo", demo.home, tmp_path)
    session.add("demo", demo.said)
    session.is_as_written()


def test_run(fleet: Fleet, tmp_path: Path) -> None:
    session = Session("run", fleet.home, tmp_path)
    session.type("run fleet --start 2013-05-08 --end 2013-05-09")
    (fleet.home / "source" / "2013-05-09.csv").write_bytes(b"")
    session.type("run fleet --start 2013-05-08 --end 2013-05-09")
    session.is_as_written()


def test_calibrate(fleet: Fleet, tmp_path: Path) -> None:
    session = Session("calibrate", fleet.home, tmp_path)
    session.type("calibrate fleet")
    session.is_as_written()


def test_promote(fleet: Fleet, tmp_path: Path) -> None:
    champion = fleet.space.models.champion("fleet")
    train(fleet.space, TRAINED)
    calibrate_latest(fleet.space, "always")
    session = Session("promote", fleet.home, tmp_path)
    for _ in range(2):
        session.type(f"promote fleet {champion}")
    session.is_as_written()


def test_spark_jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AE_ASSETS_SPARK_JARS", str(tmp_path / "jars"))
    monkeypatch.setenv("PATH", str(tmp_path))
    session = Session("spark-jars", tmp_path, tmp_path)
    session.type("spark-jars")
    session.is_as_written()


def test_select(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weak = {"type": "isolation_forest", "trees": 2, "windows_per_tree": 4}
    session = Session("select", table_in(tmp_path, monkeypatch, detector=weak), tmp_path)
    session.type(shlex.join(["select", "stations", *RANGE]))
    session.is_as_written()


def test_tune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weak = {"type": "isolation_forest", "trees": 2, "windows_per_tree": 4}
    session = Session("tune", table_in(tmp_path, monkeypatch, detector=weak), tmp_path)
    session.type(shlex.join(["tune", "stations", *RANGE, "--trials", "3"]))
    session.is_as_written()
