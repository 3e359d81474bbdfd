"""The rolling-origin benchmark, from a source to its tables: what is kept between runs is only what still holds."""

import json
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from benchmarks import feature_file, rolling_origin

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
