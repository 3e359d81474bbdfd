r"""The table's detector and every baseline on several splits of real months, from a Parquet file of features.

    python -m benchmarks.rolling_origin --table drive_stats --output build/rolling \
        --features f2013.parquet --splits 2013 --features f2014.parquet --splits 2014

Fits, scores and figures are the chain's own (`ae-assets evaluate TABLE --origins N`); only the lakehouse is left out. A
file holds ``day, entity, cohort, label`` and the table's features, best with a row group a day. Training rows are read
once for all detectors of a split, judged days one at a time. The scores of a split are kept below ``--output``: a run
that was stopped goes on where it was, and a detector whose settings have changed is fitted again; delete the scores
where its code has changed.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import TypeAdapter

from ae_assets.chain.lives import lives_in
from ae_assets.chain.rolling import fitted_detectors, training_of
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.cli.instance import load_table
from ae_assets.detectors import FittedDetector, windows_of
from ae_assets.detectors.config import DetectorConfig
from ae_assets.errors import ModelError
from ae_assets.evaluation.pooling import Pooled, pooled
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.rolling import Origin, Split, judge_split
from ae_assets.evaluation.spells import Lives
from ae_assets.features.catalogue import feature_names
from ae_assets.model.baselines import Compared, compared_detectors
from ae_assets.model.definition import WatchedTable
from ae_assets.progress import Progress
from ae_assets.reports.evaluation import rates_table
from ae_assets.reports.rolling import not_fitted_words, pooled_markdown
from ae_assets.reports.tables import markdown_table
from ae_assets.schemas.periods import DAILY
from benchmarks.feature_frame import storage_over

FLEETS = {
    "2013": "A1=2013-04-10..2013-05-25/2013-06-25..2013-08-19,"
    "A2=2013-04-10..2013-06-15/2013-07-16..2013-08-19,"
    "A3=2013-04-10..2013-08-19/2013-10-02..2013-10-31",
    "2014": "B1=2014-02-01..2014-05-31/2014-07-01..2014-09-30,"
    "B2=2014-04-01..2014-09-30/2014-11-01..2015-01-31,"
    "B3=2014-07-01..2014-12-31/2015-02-01..2015-05-31",
}
"""Splits of the two published fleets: name=first day to fit..last/first day to judge..last."""

KEYS = ("day", "entity", "cohort")
FollowUp = Literal["through_horizon", "none"]


@dataclass(frozen=True)
class Run:
    """What is the same for every split."""

    table: WatchedTable
    compared: Sequence[Compared]
    follow_up: FollowUp
    output: Path


@dataclass(frozen=True)
class Fleet:
    """A file of features with its splits by name."""

    path: Path
    splits: Mapping[str, Origin]


def main(arguments: Sequence[str] | None = None) -> int:
    """Judges what is asked for and writes ``rolling_origin.md`` and ``rolling_origin.json``."""
    given = _arguments(arguments)
    table = load_table(given.table)[1]
    if given.detector:
        chosen: Any = TypeAdapter[Any](DetectorConfig).validate_python(json.loads(given.detector))
        table = table.model_copy(update={"detector": chosen})
    if given.compare:
        others = [TypeAdapter[Any](DetectorConfig).validate_python(json.loads(one)) for one in given.compare]
        table = table.model_copy(update={"comparisons": tuple(others)})
    compared = compared_detectors(table, comparisons=bool(given.compare), baselines=not given.compare)
    wanted = given.detectors.split(",") if given.detectors else [one.name for one in compared]
    if unknown := sorted(set(wanted) - {one.name for one in compared}):
        sys.exit(f"no such detector: {unknown}; there are {[one.name for one in compared]}")
    compared = [one for one in compared if one.name in wanted or one is compared[0]]
    if longer := [one.name for one in compared if one.config.window is not None]:
        sys.exit(f"{longer} look at more than one day; judge them by `ae-assets evaluate {given.table} --origins N`")
    if table.decision.aggregation.window is not None:
        sys.exit(
            f"{given.table} aggregates scores over days; judge it by `ae-assets evaluate {given.table} --origins N`"
        )
    run = Run(table, compared, given.follow_up, given.output)
    fleets = [Fleet(path, splits_of(text)) for path, text in zip(given.features, given.splits, strict=True)]
    judged: dict[Path, list[Split]] = {}
    not_fitted: dict[str, str] = {}
    timings: list[dict[str, Any]] = []
    for fleet in fleets:
        space = storage_over(pl.scan_parquet(fleet.path), table, _tell)
        lives = lives_in(space)
        for name, origin in fleet.splits.items():
            if given.only and name not in given.only.split(","):
                continue
            split, failed, seconds = judge(run, fleet.path, space, lives, name, origin)
            judged.setdefault(fleet.path, []).append(split)
            not_fitted |= failed
            timings += seconds
            write(run, judged, not_fitted, timings, sys.argv[1:] if arguments is None else arguments)
    print((given.output / "rolling_origin.md").read_text())
    return 0


def judge(
    run: Run, features: Path, space: Workspace, lives: Lives, name: str, origin: Origin
) -> tuple[Split, dict[str, str], list[dict[str, Any]]]:
    """Fits and scores what is not kept from an earlier run, and judges all of it.

    Returns:
        the split, why detectors are missing from it, and how long each took.
    """
    wanted = {one.name: _settings(run.table, features, one, origin) for one in run.compared}
    kept = _Kept(run.output / "scores" / f"{name}.parquet", wanted)
    missing = [one for one in run.compared if kept.facts.get(one.name, {}).get("settings") != wanted[one.name]]
    not_fitted: dict[str, str] = {}
    if missing:
        detectors: dict[str, FittedDetector] = {}
        facts: dict[str, dict[str, Any]] = {}
        for one, fitted in fitted_detectors(space, missing, training_of(space, origin)):
            if isinstance(fitted, ModelError):
                not_fitted[one.name] = f"{name}: {fitted}"
                continue
            detectors[one.name] = fitted
            facts[one.name] = {"settings": wanted[one.name], "fit_seconds": round(fitted.history.seconds, 1)}
        scores, seconds_of = scored(space, detectors, origin.test)
        for detector in detectors:
            facts[detector]["rows_per_second"] = round(scores.height / seconds_of[detector])
        kept.add(scores, facts)
    frame = kept.read([one.name for one in run.compared if one.name not in not_fitted])
    by_detector = {one: frame.select(*KEYS, score=pl.col(one)) for one in frame.columns if one not in KEYS}
    protocol = Protocol(*origin.test, run.table.horizon_days, run.table.checks.window_days, follow_up=run.follow_up)
    split = judge_split(name, origin.training, by_detector, lives, protocol, reference=run.compared[0].name)
    timings = [
        {"split": name, "detector": one, "fit s": kept.facts[one]["fit_seconds"],
         "scored rows/s": kept.facts[one]["rows_per_second"]}
        for one in by_detector
    ]  # fmt: skip
    return split, not_fitted, timings


def scored(
    space: Workspace, detectors: Mapping[str, FittedDetector], test: tuple[date, date]
) -> tuple[pl.DataFrame, dict[str, float]]:
    """The scores of all detectors, holding the features of one day at a time.

    Returns:
        ``day, entity, cohort`` and a column per detector, sorted by entity and day; and the seconds that each took.
    """
    names = feature_names(space.table.features)
    frames, seconds = [], dict.fromkeys(detectors, 0.0)
    days = DAILY.range(*test)
    began, rows = time.monotonic(), 0
    for day, frame in space.iter_days(FEATURES, *test, [*KEYS, "label", *names]):
        windows = windows_of(frame, names)
        columns = {}
        for detector, fitted in detectors.items():
            start = time.perf_counter()
            judged, score = fitted.judges(windows), fitted.score(windows).astype(np.float64)
            columns[detector] = pl.Series(np.where(judged, score, np.nan)).fill_nan(None)
            seconds[detector] += time.perf_counter() - start
        frames.append(windows.keys().select(KEYS).with_columns(**columns))
        rows += frame.height
        space.progress(Progress("scoring", days.index(day) + 1, len(days), "days", rows, time.monotonic() - began))
    return pl.concat(frames).sort("entity", "day"), seconds


def write(
    run: Run,
    judged: Mapping[Path, Sequence[Split]],
    not_fitted: Mapping[str, str],
    timings: Sequence[Mapping[str, Any]],
    arguments: Sequence[str],
) -> None:
    """Writes the figures of the splits judged so far."""
    of_fleet = {path.stem: pooled(splits) for path, splits in judged.items()}
    whole: Pooled = (
        next(iter(of_fleet.values())) if len(of_fleet) == 1 else pooled([s for some in judged.values() for s in some])
    )
    parts = [f"`python -m benchmarks.rolling_origin {' '.join(arguments)}`", pooled_markdown(whole)]
    if len(of_fleet) > 1:
        for stem, figures in of_fleet.items():
            parts += [
                f"The splits of {stem} alone: {figures.in_words()}",
                markdown_table(rates_table(figures.detection)),
            ]
    parts += [
        *not_fitted_words(not_fitted),
        "Seconds to fit and rows scored a second, on this machine",
        markdown_table(pl.DataFrame(timings)),
    ]
    run.output.mkdir(parents=True, exist_ok=True)
    (run.output / "rolling_origin.md").write_text("\n\n".join(parts) + "\n")
    record = {
        "arguments": list(arguments),
        "follow_up": run.follow_up,
        "detectors": {one.name: one.config.model_dump(mode="json") for one in run.compared},
        **json.loads(whole.to_json()),
        "fleets": {stem: figures.to_table().to_dicts() for stem, figures in of_fleet.items()},
        "not_fitted": dict(not_fitted),
        "timings": list(timings),
    }
    (run.output / "rolling_origin.json").write_text(json.dumps(record, indent=1))


def splits_of(text: str) -> dict[str, Origin]:
    """Reads ``NAME=DAY..DAY/DAY..DAY,...`` or the name of a published fleet."""
    splits = {}
    for part in FLEETS.get(text, text).split(","):
        name, _, ranges = part.partition("=")
        days = [tuple(date.fromisoformat(day) for day in one.split("..")) for one in ranges.split("/")]
        if [len(one) for one in days] != [2, 2]:
            sys.exit(f"received {part!r}; a split is written NAME=DAY..DAY/DAY..DAY, the fleets are {list(FLEETS)}")
        (fit_first, fit_last), (test_first, test_last) = days
        splits[name] = Origin((fit_first, fit_last), (test_first, test_last))
    return splits


class _Kept:
    """The scores of a split on disk, with what they were made by; those of other rows are forgotten."""

    def __init__(self, path: Path, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        self.path = path
        beside = path.with_suffix(".json")
        known: dict[str, dict[str, Any]] = json.loads(beside.read_text()) if beside.exists() else {}
        rows = [(facts["settings"]["file"], facts["settings"]["split"]) for facts in known.values()]
        asked = [(settings["file"], settings["split"]) for settings in wanted.values()]
        self.facts = known if all(one == asked[0] for one in rows) else {}

    def add(self, scores: pl.DataFrame, facts: Mapping[str, Mapping[str, Any]]) -> None:
        if self.facts:
            scores = pl.read_parquet(self.path).drop(*facts, strict=False).hstack(scores.drop(KEYS))
        self.facts |= {name: dict(known) for name, known in facts.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".json")
        beside.unlink(missing_ok=True)
        scores.write_parquet(self.path)
        beside.write_text(json.dumps(self.facts, indent=1))

    def read(self, detectors: Sequence[str]) -> pl.DataFrame:
        return pl.read_parquet(self.path, columns=[*KEYS, *detectors])


def _settings(table: WatchedTable, features: Path, one: Compared, origin: Origin) -> dict[str, Any]:
    """What must be equal for kept scores to be those of this run."""
    file = features.stat()
    return {
        "config": one.config.model_dump(mode="json"),
        "split": [day.isoformat() for day in (*origin.training, *origin.test)],
        "training": table.training.model_dump(mode="json"),
        "features": list(feature_names(table.features)),
        "file": [str(features.resolve()), file.st_size, file.st_mtime_ns],
    }


def _tell(progress: Progress) -> None:
    if progress.done == progress.total or progress.done % 10 == 0:
        print(
            f"{progress.stage}: {progress.done} of {progress.total} {progress.unit}, {progress.rows:,} rows, "
            f"{progress.seconds:.0f} s {progress.note}",
            file=sys.stderr,
            flush=True,
        )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rolling_origin", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--table", default="drive_stats", help="whose features and detector (default: drive_stats)")
    parser.add_argument("--features", action="append", required=True, type=Path, help="a Parquet file of features")
    parser.add_argument(
        "--splits", action="append", required=True,
        help=f"of the file before it: NAME=DAY..DAY/DAY..DAY,... or one of {', '.join(FLEETS)}",
    )  # fmt: skip
    parser.add_argument("--only", help="judge these of the splits only, e.g. A2,B3")
    parser.add_argument("--detector", help="settings of the reference as JSON (default: the table's detector)")
    parser.add_argument(
        "--compare",
        action="append",
        help="settings of a detector as JSON, beside the reference instead of every baseline",
    )
    parser.add_argument("--detectors", help="names, with commas (default: the reference and every baseline)")
    parser.add_argument(
        "--follow-up", choices=["through_horizon", "none"], default="through_horizon",
        help="whether drives that vanish within the horizon are left out of the healthy ones (default) or count",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, help="folder of the tables and the kept scores")
    given = parser.parse_args(arguments)
    if len(given.features) != len(given.splits):
        parser.error(f"{len(given.features)} files and {len(given.splits)} sets of splits; give each file its own")
    return given


if __name__ == "__main__":
    sys.exit(main())
