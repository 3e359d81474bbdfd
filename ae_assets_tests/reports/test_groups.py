"""What the page of a model says of its groups, in the width of a terminal."""

import polars as pl

from ae_assets.reports.groups import LISTED, groups_parts
from ae_assets.reports.parts import TERMINAL_WIDTH, page_text

GROUPS = pl.DataFrame(
    {
        "group": [f"M{number:02d}" for number in range(30)],
        "windows": [1000 - number for number in range(30)],
        "pooled_because": [None] * 20 + ["too few normal records"] * 10,
        "validation_loss": [[1.0, 0.5 + number / 100] for number in range(20)] + [[]] * 10,
        "median_loss": [2.0] * 20 + [0.0] * 10,
        "converged": [True] * 30,
    }
)


def test_groups_that_learned_least_and_most_are_listed_and_the_largest_without_a_detector() -> None:
    words, least, most, pooled = groups_parts(GROUPS, "cohort")
    assert "20 of 30" in words
    assert least[1]["group"].to_list() == [f"M{number:02d}" for number in range(19, 19 - LISTED, -1)]
    assert least[1]["of_constant"][0] == (0.5 + 0.19) / 2
    assert most[1]["group"].to_list() == [f"M{number:02d}" for number in range(LISTED)]
    assert pooled[1]["group"].to_list() == [f"M{number:02d}" for number in range(20, 20 + LISTED)]
    assert all(len(line) <= TERMINAL_WIDTH for line in page_text([least, most, pooled]).splitlines())


def test_detectors_without_epochs_are_counted_and_not_ranked() -> None:
    parts = groups_parts(GROUPS.with_columns(validation_loss=pl.lit([], dtype=pl.List(pl.Float64))), "site")
    assert len(parts) == 2
