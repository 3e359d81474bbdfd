"""Benchmarks that others rest on: rolling origin, which keeps only what still holds, and what a daily run reads."""

import json
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from ae_assets.lakehouse import Lakehouse
from benchmarks import feature_file, growth, peers, rolling_origin, series_split, stages
from benchmarks.__main__ import runs_of
from benchmarks.history_run import counted_reads
from benchmarks.process import _process, platform_of_jax

FIRST = date(2024, 1, 1)
SIMULATED = f"simulated://?drives=700&days=130&seed=3&start={FIRST}"
DETECTORS = ("--detectors", "counter_rule,growth_rule", "--detector")
RULE = json.dumps({"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]})


def day(number: int) -> str:
    return str(FIRST + timedelta(days=number))


SPLITS = f"one={day(0)}..{day(30)}/{day(62)}..{day(95)},two={day(34)}..{day(64)}/{day(96)}..{day(129)}"


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features") / "fleet.parquet"
    assert feature_file.main(["--location", SIMULATED, "--output", str(path)]) == 0
    return path


def judged(features: Path, output: Path, *more: str) -> pl.DataFrame:
    """Split, detector, rates and whether it was fitted in this run."""
    arguments = ["--features", str(features), "--splits", SPLITS, "--output", str(output), *DETECTORS, RULE, *more]
    assert rolling_origin.main(arguments) == 0
    return pl.DataFrame(json.loads((output / "rolling_origin.json").read_text())["splits"])


@pytest.mark.slow
def test_a_feature_file_holds_every_day_in_a_row_group_of_its_own(features: Path) -> None:
    import pyarrow.parquet as pq

    frame = pl.read_parquet(features)
    assert frame["day"].n_unique() == pq.ParquetFile(features).num_row_groups == 130
    assert {"day", "entity", "cohort", "label", "smart_5_level", "smart_5_growth_28d"} <= set(frame.columns)


def test_days_that_the_source_lacks_make_no_file(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no day from 2030-01-01"):
        feature_file.main(
            ["--location", SIMULATED, "--start", "2030-01-01", "--output", str(tmp_path / "none.parquet")]
        )
    assert not (tmp_path / "none.parquet").exists()


@pytest.mark.slow
def test_scores_are_kept_between_runs_and_made_anew_for_other_features(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[list[str]] = []
    fit = rolling_origin.fitted_detectors

    def counting(space: object, compared: list[rolling_origin.Compared], *rest: object) -> object:
        fitted.append([one.name for one in compared])
        return fit(space, compared, *rest)

    monkeypatch.setattr(rolling_origin, "fitted_detectors", counting)
    first = judged(features, tmp_path / "out", "--only", "two")
    assert fitted == [["counter_rule", "growth_rule"]]
    again = judged(features, tmp_path / "out")
    assert fitted == [["counter_rule", "growth_rule"]] * 2  # split one only
    assert again.filter(pl.col("split") == "two").equals(first)

    other = tmp_path / "other.parquet"
    pl.read_parquet(features).with_columns(pl.col("^smart_.*_growth_.*$") * 0).write_parquet(other)
    fitted.clear()
    changed = judged(other, tmp_path / "out")
    assert fitted == [["counter_rule", "growth_rule"]] * 2
    assert changed.filter(pl.col("detector") == "counter_rule").equals(
        again.filter(pl.col("detector") == "counter_rule")
    )
    scores = pl.read_parquet(tmp_path / "out" / "scores" / "two.parquet")
    assert scores["counter_rule"].max() > 0 == scores["growth_rule"].max()


def test_reads_are_counted_by_table_file_and_column(tmp_path: Path) -> None:
    lakehouse = Lakehouse.open(tmp_path)
    first, last = FIRST, FIRST + timedelta(days=1)
    for table in ("fleet.raw", "fleet.lives"):
        with lakehouse.writer(table) as writer:
            for one in (first, last):
                rows = {"day": [one] * 500, "entity": [f"{n:03}" for n in range(500)], "value": list(range(500))}
                writer.write(one, pl.DataFrame(rows))
    with counted_reads() as of_one_day:
        lakehouse.read("fleet.raw", first, first, ["value"])
    with counted_reads() as reads:
        lakehouse.read("fleet.raw", first, last, ["value"])
        list(lakehouse.iter_days("fleet.raw", first, first, ["day", "value"], entities=["007"]))
        lakehouse.revise("fleet.lives", first, last, lambda rows: {first: rows.filter(pl.col("day") == first)})
    lakehouse.read("fleet.raw", first, last)

    raw, lives = reads["raw"].plain, reads["lives"].plain
    assert (raw["files"], raw["most_reads_of_a_file"], raw["columns"]) == (2, 2, 2)
    assert (lives["files"], lives["most_reads_of_a_file"], lives["columns"]) == (2, 1, 3)
    value = of_one_day["raw"].bytes
    assert value > 500
    assert 3 * value < raw["bytes"] < 4 * value


def test_series_are_fitted_on_the_first_of_their_records_and_judged_on_the_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WATER_LEVEL_LOCATION", "simulated://?entities=2&days=60&seed=3")
    assert series_split.main(["water_level", "--detectors", "pca", "q of the values"]) == 0
    said = capsys.readouterr()
    assert re.search(r"4,608 records judged, \d+\.\d% abnormal", said.err)  # 0.4 of 2 * 60 * 96
    own, of_values = (line.split("|") for line in said.out.splitlines() if line.startswith(("| pca", "| q of")))
    share = float(re.findall(r"(\d+\.\d)% abnormal", said.err)[0]) / 100
    assert min(float(own[2]), float(of_values[2])) > 5 * share  # a score that says nothing has the share itself


def test_what_computes_networks_is_measured_on_the_cpu_and_on_an_accelerator_where_there_is_one() -> None:
    assert runs_of(["read", "detectors"], None) == [("machine", None), ("read", None), ("detectors", None)]
    assert runs_of(["read", "detectors"], "gpu")[2:] == [("detectors", "cpu"), ("detectors", "gpu")]


def test_a_benchmark_runs_in_a_process_of_its_own_on_the_platform_that_is_named() -> None:
    with _process("cpu") as process:
        assert process.submit(platform_of_jax).result() == "cpu"


def test_the_seconds_of_a_stage_are_without_those_inside_it_and_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 1.0, 3.0, 6.0, 10.0])
    monkeypatch.setattr(stages.Clock, "_now", staticmethod(lambda: (next(moments), 0.0)))
    clock = stages.Clock()
    with clock.stage("run"), clock.stage("write"):
        pass
    assert {stage: wall for stage, (wall, _) in clock.seconds.items()} == {"run": 2.0 + 4.0, "write": 3.0}


def test_an_exponent_is_the_slope_of_logarithms_with_its_interval() -> None:
    sizes = [10, 20, 40, 80]
    exact = growth.Slope.of_logarithms(sizes, [3 * size**1.5 for size in sizes])
    assert (exact.value, exact.low, exact.high) == pytest.approx((1.5, 1.5, 1.5))
    rough = growth.Slope.of_logarithms(sizes, [10, 22, 37, 85])
    assert rough.low < 1 < rough.high < 1.3
    assert growth.Slope.of(sizes, [7 + 2 * size for size in sizes]).value == pytest.approx(2)


def test_a_figure_of_growth_is_drawn(tmp_path: Path) -> None:
    curve = {size: {"processor": size / 9, "memory": size * 7.0, "written": size * 2.0} for size in (10, 100)}
    growth.draw({"rows a day": curve, "days of a range": curve}, tmp_path / "build" / "growth.svg")
    assert "<svg" in (tmp_path / "build" / "growth.svg").read_text()


def test_the_cost_of_a_command_is_that_of_all_its_processes() -> None:
    work = "b = b'x' * 60_000_000; s = sum(range(9_000_000)); import time; time.sleep(0.3)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}]); print('{{\"rows\": 3}}')"
    cost = peers.cost_of([sys.executable, "-c", parent])
    assert cost.said == {"rows": 3}
    assert cost.peak > 60_000_000
    assert cost.processor > 0.05
    assert cost.wall > 0.3
    with pytest.raises(subprocess.CalledProcessError):
        peers.cost_of([sys.executable, "-c", "raise SystemExit(3)"])
