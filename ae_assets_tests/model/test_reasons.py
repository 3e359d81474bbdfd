"""Reasons of a day's rows: what moved a score and what it was judged against, in the unit of the attributes."""

from collections.abc import Mapping
from dataclasses import replace
from math import log1p
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ae_assets.detectors import FittedDetector, Scores, Windows, windows_of
from ae_assets.features.catalogue import feature_names
from ae_assets.model.reasons import CONTEXT_ALONE, NOTHING_ON_THE_DAY, explanations, flags_of
from ae_assets.model.scoring import ScoredDay
from ae_assets_tests.chain.tables import FIRST, watched_table

FEATURES = watched_table().features
NAMES = feature_names(FEATURES)
KNOWN = {
    "smart_5_level": log1p(40), "smart_5_growth_1d": log1p(2), "smart_5_growth_7d": log1p(16),
    "smart_197_level": 0.0, "smart_197_growth_1d": 0.0, "smart_197_growth_7d": 0.0,
    "smart_9_level": log1p(33_704), "smart_9_drift": -log1p(5), "smart_194_level": 31.0, "smart_194_deviation": 0.5,
    "gap_days": 1.0, "history_days": 7.0,
}  # fmt: skip
"""Features of a drive that reports everything."""

Parts = Mapping[str, float]


def day_of(parts: Mapping[str, Parts], *, seen_days: int | None = 7, **missing: tuple[str, ...]) -> ScoredDay:
    """A day of drives.

    Args:
        parts: for each drive what its features contribute.
        seen_days: days since the earliest record of each.
        missing: by drive, the attributes that it lacks; drives of one letter are of one model.
    """
    rows, drives = [], sorted(parts)
    for drive in drives:
        lacks = missing.get(drive, ())
        flags = {name: float(name.removesuffix("_missing") in lacks) for name in NAMES if name.endswith("_missing")}
        known = {name: value for name, value in KNOWN.items() if not name.startswith(lacks)} if lacks else KNOWN
        rows.append({"day": FIRST, "entity": drive, "cohort": drive[0], "label": 0, **known, **flags})
    types = {"day": pl.Date, "entity": pl.String, "cohort": pl.String, "label": pl.Int8}
    frame = pl.DataFrame(rows, schema=types | dict.fromkeys(NAMES, pl.Float32))
    contributions = np.array([[parts[drive].get(name, 0.0) for name in NAMES] for drive in drives], np.float32)
    says = Scores(contributions.sum(axis=1), contributions, np.zeros_like(contributions))
    windows = windows_of(frame, NAMES)
    records = frame.select(
        "day",
        "entity",
        lost_attributes=pl.lit(None, pl.List(pl.String)),
        seen_days=pl.lit(seen_days, pl.Int16),
    )
    score = pl.Series("score", says.score, pl.Float64)
    return ScoredDay(FIRST, windows.keys(), score, score, says.score, windows, Said(says), records)


class Said(FittedDetector):
    """A detector that says of the rows of one table what it is given, and counts the rows that it was asked for."""

    def __init__(self, says: Scores) -> None:
        self.says, self.asked = says, 0

    def explain(self, windows: Windows) -> Scores:
        self.asked += len(windows)
        return self.says.take(windows.last_row)

    def save(self, directory: Path) -> None:
        raise NotImplementedError


def reasons(scored: ScoredDay, rows: pl.Series) -> pl.DataFrame:
    return explanations(scored, FEATURES, rows, rows)


def told(scored: ScoredDay) -> dict[str, list[str]]:
    words = reasons(scored, pl.repeat(True, len(scored.score), eager=True))
    return dict(zip(scored.keys["entity"], words["reasons"].to_list(), strict=True))


def test_age_is_context_and_no_cause_however_much_it_contributes() -> None:
    scored = day_of({"A1": {"smart_9_level": 20.0, "smart_5_level": 6.0, "smart_194_level": 1.0}})
    words = reasons(scored, pl.Series([True]))
    assert words["reasons"].to_list() == [["reallocated sectors 40, expected 0, +2 in a day, +16 in 7 days"]]
    assert words["context"].to_list() == ["33,704 power-on hours"]


def test_a_clock_that_moved_the_score_is_a_cause() -> None:
    expected = ["power-on hours 33,704, expected 0, clock off by -5 days"]
    assert told(day_of({"A1": {"smart_9_drift": 5.0, "smart_9_level": 9.0}})) == {"A1": expected}


def test_a_score_by_age_and_kind_alone_says_so_and_so_does_one_of_days_before() -> None:
    assert told(day_of({"A1": {"smart_9_level": 9.0, "smart_5_level": 0.5}})) == {"A1": [CONTEXT_ALONE]}
    assert told(day_of({"A1": {}})) == {"A1": [NOTHING_ON_THE_DAY]}


@pytest.mark.parametrize(
    ("lacking", "expected"),
    [
        (("A1",), ["pending sectors not reported", "reallocated sectors 40"]),
        (("A1", "A2"), ["reallocated sectors 40"]),
        (("A1", "A2", "A3", "A4"), ["reallocated sectors 40"]),
    ],
)
def test_a_missing_attribute_is_a_reason_only_where_most_drives_of_its_model_report_it(
    lacking: tuple[str, ...], expected: list[str]
) -> None:
    parts = {"smart_197_missing": 6.0, "smart_5_level": 3.0}
    # Drives of another model, all of which report it, change nothing.
    fleet = dict.fromkeys(("A1", "A2", "A3", "A4", "B1", "B2", "B3", "B4", "B5"), parts)
    scored = day_of(fleet, **dict.fromkeys(lacking, ("smart_197",)))
    assert [reason.partition(", ")[0] for reason in told(scored)["A1"]] == expected


def test_of_some_drives_of_a_model_what_the_others_lack_is_told_beside_them() -> None:
    scored = day_of({"A1": {"smart_197_missing": 6.0, "smart_5_level": 3.0}}, A1=("smart_197",))
    assert len(told(scored)["A1"]) == 1, "alone it is the whole model"
    others_report_it = pl.DataFrame({"cohort": ["A"], **{flag: [0.1] for flag in flags_of(NAMES, FEATURES)}})
    assert len(told(replace(scored, lacking=others_report_it))["A1"]) == 2


def test_that_an_attribute_is_there_is_no_reason() -> None:
    assert told(day_of({"A1": {"smart_197_missing": 6.0, "smart_5_level": 3.0}})) == {
        "A1": ["reallocated sectors 40, expected 0, +2 in a day, +16 in 7 days"]
    }


def test_spans_are_those_that_the_drive_has_lived() -> None:
    parts = {"A1": {"smart_197_level": 5.0, "smart_5_level": 5.0}}
    assert told(day_of(parts, seen_days=2))["A1"] == [
        "reallocated sectors 40, expected 0, +2 in a day, +16 in 2 days",
        "pending sectors 0, expected 0, unchanged in 2 days",
    ]


def test_rows_that_need_no_reason_have_none() -> None:
    scored = day_of({"A1": {"smart_5_level": 5.0}, "A2": {"smart_5_level": 5.0}})
    words = reasons(scored, pl.Series([False, True]))
    assert words["reasons"].is_null().to_list() == words["context"].is_null().to_list() == [True, False]


def test_only_rows_that_are_shown_are_explained() -> None:
    scored = day_of({drive: {"smart_5_level": 5.0} for drive in ("A1", "A2", "A3")})
    shown = explanations(scored, FEATURES, pl.Series([False, True, False]), pl.Series([False, True, True]))
    assert shown["reasons"].is_null().to_list() == [True, False, True]
    assert shown["top_features"].is_null().to_list() == [True, False, False]
    assert isinstance(scored.detector, Said)
    assert scored.detector.asked == 2


def test_the_top_features_are_in_the_unit_of_their_attribute() -> None:
    scored = day_of({"A1": {"smart_5_level": 5.0, "smart_9_level": 4.0, "smart_5_growth_7d": 3.0,
                            "smart_194_level": 2.0, "smart_197_missing": 1.0}})  # fmt: skip
    (features,) = reasons(scored, pl.Series([True]))["top_features"].to_list()
    assert [(feature["name"], feature["value"], feature["contribution"]) for feature in features] == [
        ("smart_5_level", 40.0, 5.0),
        ("smart_9_level", 33_704.0, 4.0),
        ("smart_5_growth_7d", 16.0, 3.0),
        ("smart_194_level", 31.0, 2.0),
        ("smart_197_missing", 0.0, 1.0),
    ]
    assert all(feature["expected"] == 0.0 for feature in features)
