"""``ae-assets score --smartctl``: how one server's drives stand, for people, scripts and cron."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ae_assets.cli.exit_codes import CHECK_FAILED, DONE, RUN_FAILED, WRONG_USE
from ae_assets_tests.cli.conftest import Said, command
from ae_assets_tests.one_server.fake_smartctl import FakeSmartctl
from ae_assets_tests.one_server.outputs import FOLDER, content, nvme
from ae_assets_tests.one_server.test_webhook import PLACE, Service, service

__all__ = ["service"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("AE_ASSETS_SMARTCTL_WEBHOOK", raising=False)
    return tmp_path / "home"


def score(home: Path, *arguments: str) -> Said:
    return command(home, "score", "--smartctl", *arguments)


def outputs(*names: str) -> list[str]:
    return [str(FOLDER / f"{name}.json") for name in names]


def written(path: Path, *values: Any) -> str:
    path.write_text(json.dumps(values))
    return str(path)


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["wd_red", "hgst_ultrastar", "intel_nvme_p4510", "hitachi_sas"], DONE),
        (["wd_red", "hitachi_failed"], CHECK_FAILED),
        (["wd_red", "samsung_nvme_media_errors"], CHECK_FAILED),
        (["wd_red", "standby"], RUN_FAILED),
        (["permission_denied"], RUN_FAILED),
        (["no_such_device", "hitachi_failed"], CHECK_FAILED),
    ],
)
def test_cron_learns_by_the_exit_code_whether_all_is_well(home: Path, names: list[str], code: int) -> None:
    assert score(home, *outputs(*names)).code == code


def test_a_file_that_is_not_there_or_is_none_is_no_health_and_the_others_are_judged(home: Path, tmp_path: Path) -> None:
    (tmp_path / "noise.json").write_bytes(bytes(range(256)))
    said = score(home, *outputs("wd_red"), str(tmp_path / "missing.json"), str(tmp_path / "noise.json"), str(tmp_path))
    assert said.code == RUN_FAILED
    assert "4 drives: 1 healthy, 3 not judged" in said.out


def test_the_second_day_knows_the_first(home: Path, tmp_path: Path) -> None:
    first = written(tmp_path / "first.json", {**nvme(media_errors=1), "local_time": {"time_t": 1_763_000_000}})
    assert score(home, first).code == CHECK_FAILED
    said = score(home, written(tmp_path / "second.json", nvme(media_errors=5)))
    assert "media and data integrity errors 5, +4 since 2025-11-13" in said.out
    assert "2025-11-13\n" in said.out
    [kept] = (tmp_path / "state" / "ae_assets").iterdir()
    assert kept.name == "drives.sqlite"


def test_without_history_nothing_is_kept(home: Path, tmp_path: Path) -> None:
    assert score(home, "--no-history", *outputs("wd_red")).code == DONE
    assert list(tmp_path.iterdir()) == []


def test_a_history_that_cannot_be_used_is_said_and_the_drives_are_judged_all_the_same(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "history").write_text("no database " * 99)
    said = score(home, "--history", str(tmp_path / "history"), *outputs("wd_red"))
    assert said.code == RUN_FAILED
    assert "1 drive: 1 healthy" in said.out
    assert "--no-history" in said.error


def test_an_output_from_tomorrow_does_not_push_the_history_out(home: Path, tmp_path: Path) -> None:
    ahead = written(tmp_path / "ahead.json", {**nvme(), "local_time": {"time_t": 4_000_000_000}})
    for file in (*outputs("intel_nvme_p4510"), ahead):
        assert score(home, file).code == DONE
    said = score(home, written(tmp_path / "now.json", {**nvme(), "local_time": {"time_t": 1_764_100_000}}), "--json")
    assert json.loads(said.out)["drives"][0]["since"] == "2025-11-24"


def test_a_script_reads_json(home: Path) -> None:
    said = score(home, "--json", *outputs("seagate_sas_grown_defects", "standby"))
    told = json.loads(said.out)
    assert [(one["device"], one["state"], one["by"], one["problem"]) for one in told["drives"]] == [
        ("/dev/sdk", "watch", "rule", None), ("/dev/sdm", "not judged", None, "standby"),
    ]  # fmt: skip
    assert told["drives"][0]["readings"]["grown_defects"] == 56
    assert told["failures"] == []


def test_the_drives_of_this_machine_are_asked(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSmartctl(tmp_path / "bin", monkeypatch)
    fake.drives({"/dev/sda": "wd_red", "/dev/sdb": "hitachi_failed"})
    said = score(home, "--no-history")
    assert said.code == CHECK_FAILED
    assert "2 drives: 1 healthy, 1 failing" in said.out
    fake.scan('{"devices": []}')
    said = score(home, "--no-history")
    assert (said.code, said.out) == (RUN_FAILED, "")
    assert "finds no drives" in said.error


def test_a_drive_that_is_not_there_any_more_is_missed_and_one_that_sleeps_is_not(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeSmartctl(tmp_path / "bin", monkeypatch)
    fake.drives({"/dev/sda": "wd_red", "/dev/sdb": "hgst_ultrastar"})
    assert score(home).code == DONE
    fake.drives({"/dev/sda": "wd_red", "/dev/sdb": "standby"})
    asleep = score(home)
    assert (asleep.code, "2 drives: 1 healthy, 1 not judged" in asleep.out) == (RUN_FAILED, True)
    fake.drives({"/dev/sda": "wd_red"})
    missed = score(home)
    assert (missed.code, "2 drives: 1 healthy, 1 watch" in missed.out) == (CHECK_FAILED, True)
    assert "not there any more: last read on" in missed.out
    assert score(home, *outputs("wd_red")).code == DONE


def test_a_webhook_hears_of_each_change_once_and_of_one_that_it_did_not_take_again(
    home: Path, tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AE_ASSETS_SMARTCTL_WEBHOOK", service.url)
    sound, sick = (written(tmp_path / f"{errors}.json", nvme(media_errors=errors)) for errors in (0, 3))
    service.answers = [404]
    refused = score(home, sick)
    assert refused.code == CHECK_FAILED
    assert "took no message (it answered 404)" in refused.error
    assert PLACE not in refused.out + refused.error
    codes = [score(home, file).code for file in (sick, sick, sound, sound)]
    assert codes == [CHECK_FAILED, CHECK_FAILED, DONE, DONE]
    assert [one["event"] for message in service.received for one in message["drives"]] == ["opened", "closed"]
    score(home, sick)
    service.answers = [404]
    assert score(home, sound).code == RUN_FAILED


@pytest.mark.parametrize(
    "arguments",
    [
        ["--smartctl", "--output", "x.csv"],
        ["--smartctl", "--no-history", "--history", "x"],
        ["--smartctl", "--no-history", "--webhook", "https://example.com"],
        ["--smartctl", "--webhook", "http://example.com"],
        ["drive_stats", "x", "--json", "--output", "x.csv"],
        ["drive_stats", "x"],
        ["drive_stats"],
    ],
)
def test_options_that_do_not_go_together_are_refused(home: Path, arguments: list[str]) -> None:
    assert command(home, "score", *arguments).code == WRONG_USE


LOADED = """
import json, sys
from ae_assets.cli import main
try:
    main(["score", "--smartctl", "--no-history", sys.argv[1]])
except SystemExit as ended:
    heavy = ("dagster", "keras", "jax", "sklearn", "pyspark", "requests")
    print(json.dumps([ended.code, [name for name in heavy if name in sys.modules]]))
"""


@pytest.mark.slow
def test_standard_input_is_read_and_neither_dagster_nor_a_network_is_loaded(home: Path) -> None:
    text = json.dumps(content("wd_red"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADED, "-"],
        input=text, capture_output=True, text=True, check=True, env=dict(os.environ),
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == [DONE, []]
