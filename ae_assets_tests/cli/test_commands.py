"""What the commands do and say when they are used as they should be, and when a run of theirs fails."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from traceback import TracebackException
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster_shared.error import SerializableErrorInfo

from ae_assets.chain.lives import failures_in
from ae_assets.chain.raw_columns import RawColumns
from ae_assets.cli.demo import Followed, followed, show_followed
from ae_assets.errors import ContractError, LakehouseError
from ae_assets.pipeline.failures import root_message
from ae_assets.pipeline.metadata import FENCE, IN_WORDS, SUMMARY
from ae_assets_tests.chain.tables import write_day
from ae_assets_tests.cli.conftest import FIRST, LAST, SEEN_UNTIL, Demo, Said, command, storage_of

RunIn = Callable[..., Said]
UNSEEN = ("--start", str(SEEN_UNTIL + timedelta(days=1)), "--end", str(LAST))
INTERRUPTED = "interrupted: days that were committed stay, no day is half written; give the same command again to go on"
FIRST_DAYS = ("--start", str(FIRST), "--end", str(FIRST + timedelta(days=2)))


def words_of(said: Said) -> str:
    """What was said, without its line breaks."""
    return " ".join(said.out.split())


def test_the_version_is_said(run_in: RunIn) -> None:
    assert re.fullmatch(r"ae-assets, version \d+\.\d+\.\d+\S*\n", run_in("--version").out)


def test_the_demo_counts_flagged_and_failed_drives_on_unseen_days_only(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = storage_of(demo.home, monkeypatch).tables.read(
        "drive_stats.anomalies", SEEN_UNTIL + timedelta(days=1), LAST, ["day", "entity", "is_anomaly", "label"]
    )
    failed = dict(rows.filter(pl.col("label") == 1).select("entity", "day").iter_rows())
    alarms = [(row[1], row[0]) for row in rows.iter_rows() if row[2]]
    flagged = {drive for drive, day in alarms if day < failed.get(drive, LAST + timedelta(days=1))}
    assert failed, "the fleet is chosen so that a drive fails on the unseen days"
    assert (
        f"From {SEEN_UNTIL + timedelta(days=1)} to {LAST}, 30 days that neither the fit nor the threshold has seen, "
        f"{len(flagged)} of {rows['entity'].n_unique()} simulated drives are flagged."
    ) in words_of(demo.said)
    if flagged:
        assert f" {len(flagged & set(failed))} of the {len(flagged)} flagged drives failed; " in words_of(demo.said)
    for drive in flagged:
        assert drive in demo.said.out


def test_the_demo_ends_with_the_answer_of_an_evaluation_on_unseen_days(demo: Demo) -> None:
    with dg.DagsterInstance.from_config(str(demo.home / "dagster")) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["drive_stats", "evaluation"]))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert metadata["Judged days"].value == f"{SEEN_UNTIL + timedelta(days=1)} to {LAST}"
    assert str(metadata[SUMMARY].value) in words_of(demo.said)


def test_the_demo_ends_with_the_command_that_opens_the_ui_on_its_home(demo: Demo) -> None:
    *settings, dagster, _, _, workspace = shlex.split(demo.said.out.splitlines()[-1])
    assert len(settings) == 3
    assert os.access(dagster, os.X_OK)
    assert Path(workspace).is_file()


def test_what_the_commands_start_is_in_the_instance_of_the_home(demo: Demo) -> None:
    with dg.DagsterInstance.from_config(str(demo.home / "dagster")) as instance:
        runs = instance.get_runs()
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
        assert {run.tags["ae_assets/started_by"] for run in runs} == {"ae-assets"}
        key = dg.AssetKey(["drive_stats", "anomalies"])
        assert len(instance.get_materialized_partitions(key)) == 120


REASON = "bad sectors 1,025, expected 0, +3 in a day"


def made_up(flagged: list[tuple[str, int, int]], failed: dict[str, int]) -> Followed:
    day = lambda number: FIRST + timedelta(days=number)  # noqa: E731
    rows = [
        {"entity": drive, "cohort": "M1", "score": 9.0 - place, "reasons": [REASON],
         "flagged_on": day(since), "alarm_days": days, "failed_on": day(failed[drive]) if drive in failed else None}
        for place, (drive, since, days) in enumerate(flagged)
    ]  # fmt: skip
    frame = pl.DataFrame(rows) if rows else pl.DataFrame(schema={"entity": pl.String, "failed_on": pl.Date})
    return Followed(FIRST, day(29), 2000, frame)


def test_flagged_drives_are_listed_with_what_became_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    show_followed(made_up([("A1", 3, 5), ("A2", 28, 1)], {"A1": 9}), simulated=False)
    said = capsys.readouterr().out
    assert "2 of 2,000 drives are flagged." in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 80
    assert re.search(r"A1 +04-13 +5 +9 +bad sectors 1,025 +failed 04-19", said)
    assert re.search(r"A2 +05-08 +1 +8 +bad sectors 1,025 +works", said)
    assert "1 of the 2 flagged drives failed; the latest flags" in " ".join(said.split())


def test_where_nothing_is_flagged_or_fails_no_empty_table_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show_followed(made_up([], {}), simulated=True)
    said = capsys.readouterr().out
    assert " ".join(said.split()).endswith("0 of 2,000 simulated drives are flagged.")
    assert len(said.split("\n\n")) == 1


def test_only_the_highest_scores_are_listed_and_the_rest_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    show_followed(made_up([(f"D{number:02}", 1, 1) for number in range(25)], {}), simulated=True)
    said = capsys.readouterr().out
    assert "5 more with lower scores are not shown." in said
    assert "D19" in said
    assert "D20" not in said


def test_an_alarm_on_the_day_of_failure_is_no_early_flag(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    space = storage_of(demo.home, monkeypatch)
    found = followed(space, FIRST, LAST)
    assert found.drives == space.tables.read("drive_stats.features", FIRST, LAST, ["entity"])["entity"].n_unique()
    failures = dict(failures_in(space).iter_rows())
    assert set(found.flagged["entity"]) & failures.keys()
    for drive in found.flagged.iter_rows(named=True):
        assert drive["failed_on"] == failures.get(drive["entity"])
        assert drive["flagged_on"] < (drive["failed_on"] or LAST + timedelta(days=1))


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ((), {"compare": True, "baselines": False, "origins": 0}),
        (("--compare", "none"), {"compare": False, "baselines": False, "origins": 0}),
        (("--compare", "all", "--origins", "3"), {"compare": True, "baselines": True, "origins": 3}),
    ],
)
def test_evaluate_says_to_the_asset_what_is_compared_and_on_how_many_splits(
    run_in: RunIn, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], config: dict[str, object]
) -> None:
    from ae_assets.cli.instance import Chain, RunOutcome

    asked: list[object] = []

    def remembered(chain: Chain, *what: object) -> RunOutcome:
        asked.append(what)
        return RunOutcome(
            "id",
            success=True,
            failure=None,
            metadata={"evaluation": {IN_WORDS: dg.MetadataValue.md(f"{FENCE}the tables{FENCE}")}},
        )

    monkeypatch.setattr(Chain, "run", remembered)
    said = run_in("evaluate", "drive_stats", *UNSEEN, *options)
    assert (said.code, said.out.splitlines()[-1]) == (0, "the tables")
    days = {"start": UNSEEN[1], "end": UNSEEN[3]}
    assert asked == [(("evaluation",), None, {"evaluation": days | config})]


def test_more_splits_than_the_days_hold_are_refused_with_what_a_split_needs(demo: Demo) -> None:
    said = command(demo.home, "evaluate", "drive_stats", *UNSEEN, "--compare", "none", "--origins", "2")
    assert said.code == 1
    assert f"1 of 2 splits fit between {FIRST} and {LAST}, each of 30 days to judge after 60 days to fit" in said.out


def test_days_that_the_champion_has_seen_are_not_evaluated(demo: Demo) -> None:
    said = command(demo.home, "evaluate", "drive_stats", "--start", str(SEEN_UNTIL), "--end", str(LAST))
    assert said.code == 1
    assert re.search(
        r"evaluation failed \(run [0-9a-f-]{36}\): the champion \S+ has seen days and labels until", said.out
    )
    assert f"evaluate from {SEEN_UNTIL + timedelta(days=1)} on, received {SEEN_UNTIL}\n" in said.out


def test_without_a_champion_the_evaluation_says_how_to_train_one(run_in: RunIn) -> None:
    said = run_in("evaluate", "drive_stats", *UNSEEN)
    assert said.code == 1
    assert "drive_stats has no champion yet; train one: `ae-assets run drive_stats" in said.out


def test_a_run_with_a_champion_does_not_train_again(run_in: RunIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of their own days in a home of their own; the stage that is left out is what is looked at."""
    from ae_assets.cli import chain_run
    from ae_assets.cli.instance import Chain, RunOutcome

    stages: list[tuple[str, ...]] = []

    def remembered(chain: Chain, assets: tuple[str, ...], *_: object) -> RunOutcome:
        stages.append(assets)
        return RunOutcome("id", success=True, failure=None)

    monkeypatch.setattr(Chain, "run", remembered)
    training = ("--train-start", str(FIRST), "--train-end", str(FIRST))
    assert run_in("run", "drive_stats", *FIRST_DAYS, *training).code == 0
    assert stages == [("raw", "features", "quarantine"), ("model", "threshold"), ("anomalies",)]
    stages.clear()
    monkeypatch.setattr(chain_run, "_needs_training", lambda *_: False)
    assert run_in("run", "drive_stats", *FIRST_DAYS).code == 0
    assert stages == [("raw", "features", "quarantine"), ("anomalies",)]
    assert run_in("run", "drive_stats", *FIRST_DAYS, "--retrain").code == 0
    assert ("model", "threshold") in stages


def test_a_training_range_other_than_the_champions_is_trained(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from ae_assets.cli.chain_run import _needs_training

    chain = SimpleNamespace(space=storage_of(demo.home, monkeypatch), table="drive_stats")
    trained_on = (FIRST, FIRST + timedelta(days=59))
    assert not _needs_training(chain, None)  # type: ignore[arg-type]
    assert not _needs_training(chain, trained_on)  # type: ignore[arg-type]
    assert _needs_training(chain, (FIRST, FIRST + timedelta(days=58)))  # type: ignore[arg-type]


def test_missing_days_are_named_and_an_implausible_volume_ends_with_exit_code_3(
    run_in: RunIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ae_assets.cli import chain_run

    for number in (0, 2):
        write_day(tmp_path / "source", FIRST + timedelta(days=number), [(f"D{n}", 0, 0) for n in range(10)])
    for name in (*(f"{number}.txt" for number in range(7)), f"{FIRST + timedelta(days=1)}.csv.part"):
        (tmp_path / "source" / name).touch()
    daily = chain_run.DAILY_INPUT
    run = chain_run.Chain.run

    def daily_only(chain: chain_run.Chain, assets: tuple[str, ...], *rest: object) -> chain_run.RunOutcome:
        if assets == daily:
            return run(chain, assets, *rest)  # type: ignore[arg-type]
        return chain_run.RunOutcome("id", success=True, failure=None)

    monkeypatch.setattr(chain_run.Chain, "run", daily_only)
    said = run_in("run", "drive_stats", *FIRST_DAYS, location=str(tmp_path / "source"))
    assert said.code == 3
    assert re.findall("^left out: (.*?)(?::|$)", said.out, re.MULTILINE) == [
        f"{FIRST + timedelta(days=1)}.csv.part",
        *(f"{number}.txt" for number in range(4)),
        "and 3 more",
    ]
    assert f"not in the source: {FIRST + timedelta(days=1)}; what was loaded of them before stays\n" in said.out
    assert "check failed: drive_stats/raw day_volume_is_plausible\n  1 of 3 days do not: 2013-04-11" in said.out
    assert "5 of 6 checks passed\n" in said.out


def test_a_day_that_cannot_be_read_is_named_at_the_end_and_the_others_go_through(
    run_in: RunIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ae_assets.cli import chain_run

    for number in range(3):
        path = write_day(tmp_path / "source", FIRST + timedelta(days=number), [("D1", 0, 0)])
    path.write_text("date,colour\n2013-04-12,red\n")
    stages: list[tuple[str, ...]] = []
    run = chain_run.Chain.run

    def without_a_model(chain: chain_run.Chain, assets: tuple[str, ...], *rest: object) -> chain_run.RunOutcome:
        stages.append(assets)
        if assets == chain_run.DAILY_INPUT:
            return run(chain, assets, *rest)  # type: ignore[arg-type]
        return chain_run.RunOutcome("id", success=True, failure=None)

    monkeypatch.setattr(chain_run.Chain, "run", without_a_model)
    monkeypatch.setattr(chain_run, "_too_early", lambda _: None)
    said = run_in("run", "drive_stats", *FIRST_DAYS, location=str(tmp_path / "source"))
    assert said.code == 1
    assert stages == [("raw", "features", "quarantine"), ("model", "threshold"), ("anomalies",)]
    assert re.search(r"^1 of 3 days failed.*\n  2013-04-12 at raw: 2013-04-12\.csv: ", said.out, re.MULTILINE)
    assert re.search(r"^raw +2 days from ", said.out, re.MULTILINE)


def test_days_that_a_check_holds_back_end_with_exit_code_3(run_in: RunIn, monkeypatch: pytest.MonkeyPatch) -> None:
    from ae_assets.model import preparation

    made = preparation.features_of_block
    monkeypatch.setattr(preparation, "features_of_block", lambda *given, **more: made(*given, **more).head(100))
    said = run_in("run", "drive_stats", *FIRST_DAYS)
    assert said.code == 3
    assert re.search(rf"^3 of 3 days failed.*\n  {FIRST} at features: rows_are_conserved: ", said.out, re.MULTILINE)
    assert "5 of 6 checks passed\n" in said.out


def chained(*errors: Exception) -> SerializableErrorInfo:
    """The errors as Dagster records them: each caused by the one after it."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return SerializableErrorInfo.from_traceback(TracebackException.from_exception(errors[0]))


def test_the_failure_text_is_that_of_the_innermost_error_of_ours() -> None:
    ours = LakehouseError("the table: cannot be written; free some space")
    assert root_message(chained(RuntimeError("the step failed"), ours, OSError("disk gone"))) == str(ours)
    assert root_message(chained(KeyError("a mistake"), ValueError("in here"))) == "ValueError: in here"


def started(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    settings = {"AE_ASSETS_HOME": str(home), "DRIVE_STATS_LOCATION": "simulated://?drives=4000&days=120"}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", "from ae_assets.cli import main; main()", *arguments],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_ctrl_c_ends_with_130_says_what_stays_and_marks_the_run_as_failed(tmp_path: Path) -> None:
    process = started(tmp_path / "home", "run", "drive_stats", "--start", str(FIRST), "--end", "2013-08-07")
    assert process.stdout is not None
    while not process.stdout.readline().startswith("raw: "):
        assert process.poll() is None
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130, error
    assert error.strip() == INTERRUPTED
    with dg.DagsterInstance.from_config(str(tmp_path / "home" / "dagster")) as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


class _DropsErrors:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def _fails_of_an_interrupt() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except BaseException as error:
        raise ContractError("a callback failed") from error


@pytest.mark.parametrize("interrupted", [_DropsErrors, _fails_of_an_interrupt])
def test_an_interrupt_that_a_library_drops_or_renames_still_ends_the_run(
    run_in: RunIn, monkeypatch: pytest.MonkeyPatch, interrupted: Callable[[], object]
) -> None:
    fit, fitted = RawColumns.fit, []

    def fit_interrupted(*given: Any) -> pl.DataFrame:
        fitted.append(given)
        if len(fitted) == 2:
            interrupted()
        return fit(*given)

    monkeypatch.setattr(RawColumns, "fit", fit_interrupted)
    said = run_in("run", "drive_stats", "--start", str(FIRST), "--end", str(FIRST + timedelta(days=9)))
    assert (said.code, said.error.strip()) == (130, INTERRUPTED)
    assert len(fitted) == 2, "no day was begun after the interrupt"
    monkeypatch.setattr(RawColumns, "fit", fit)
    assert run_in("run", "drive_stats", *FIRST_DAYS).code != 130


def test_a_process_of_its_own_ends_with_the_exit_code(tmp_path: Path) -> None:
    process = started(tmp_path / "home", "run", "nope", *FIRST_DAYS)
    out, error = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert error.startswith("error: there is no watched table 'nope'; the tables are: drive_stats in ae_assets")
    assert error.count("\n") == 1
    assert not (tmp_path / "home").exists()


def test_a_first_week_is_loaded_and_the_command_says_when_there_can_be_a_model(run_in: RunIn) -> None:
    week = ("--start", str(FIRST), "--end", str(FIRST + timedelta(days=6)))
    said = run_in("run", "drive_stats", *week, location="simulated://?drives=20&days=90&seed=6")
    assert said.code == 0, said.out + said.error
    words = " ".join(said.out.split())
    assert "drive_stats has no anomalies yet, since it has no model" in words
    assert f"7 days have features to learn from ({FIRST} to {FIRST + timedelta(days=6)}), and a model needs 60" in words
    assert f"that is from {FIRST + timedelta(days=59)} on" in words
    for day in ("2013-02", "2013-01"):
        assert day not in words, "no days that nobody gave"


def test_a_run_lists_the_source_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ae_assets.sources.folder import FolderSource

    for number in range(3):
        write_day(tmp_path / "days", FIRST + timedelta(days=number), [("A1", 0, 0), ("A2", 0, 1)])
    listings = []
    listing = FolderSource._listing

    def counted(source: FolderSource) -> object:
        listings.append(source.location)
        return listing(source)

    monkeypatch.setattr(FolderSource, "_listing", counted)
    said = command(
        tmp_path / "home",
        *("run", "drive_stats", "--start", str(FIRST), "--end", str(FIRST + timedelta(days=2))),
        location=str(tmp_path / "days"),
    )
    assert "The days are loaded and have features" in said.out
    assert listings == [str(tmp_path / "days")]
