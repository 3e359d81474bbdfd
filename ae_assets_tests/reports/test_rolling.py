"""A rolling-origin evaluation in words and tables."""

from dataclasses import replace

import numpy as np
import polars as pl

from ae_assets.evaluation.intervals import Rate
from ae_assets.evaluation.pooling import Pooled, pooled
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import Difference
from ae_assets.evaluation.rolling import Split, judge_split
from ae_assets.reports.rolling import not_fitted_words, pooled_markdown, pooled_text
from ae_assets_tests.evaluation.fleet import day, fleet, lives_of

NAMES = ("ordinal", "gradient_boosting (wear)", "isolation_forest (wear)")
HEADS = ("FAR 0.1%", "FAR 0.5%", "FAR 1%", "FAR 2%", "FAR 5%")


def split_of(number: int, names: tuple[str, ...]) -> Split:
    records = fleet(healthy=20, failing=4, days=60, seed=number)
    drawn = np.random.default_rng(number).normal(size=(len(names), records.height))
    keys = records.select("day", "entity", "cohort")
    scores = {name: keys.with_columns(score=pl.Series(own)) for name, own in zip(names, drawn, strict=True)}
    training, protocol = (day(-99), day(-40)), Protocol(day(0), day(59), follow_up="none")
    return judge_split(
        f"split {number}", training, scores, lives_of(records), protocol, reference=NAMES[0], resamples=2
    )


def six_splits() -> Pooled:
    """Three detectors on six splits; the last one is missing from the last split. The pooled figures are invented."""
    result = pooled([split_of(number, NAMES if number < 6 else NAMES[:2]) for number in range(1, 7)], resamples=2)
    rates = list(result.detection[NAMES[0]])
    detection = {
        name: dict.fromkeys(rates, Rate(9 * place, 91, 91, 0.1 * place, 0.08 * place, 0.14 * place))
        for place, name in enumerate(NAMES[:2])
    }
    differences = tuple(Difference(NAMES[1], NAMES[0], rate, -0.1234, -0.2, -0.05) for rate in rates)
    return replace(result, detection=detection, differences=differences, failed=91)


def test_the_text_fits_eighty_columns_and_holds_rates_and_differences_at_two_false_alarm_rates() -> None:
    text = pooled_text(six_splits())
    assert max(len(line) for line in text.splitlines() if "  " in line) <= 80
    assert "FAR 0.1%" in text
    assert "FAR 5%" not in text
    assert "-12.3 [-20.0, -5.0]" in text
    assert "10.0% [8.00%, 14.0%]" in text


def test_the_markdown_holds_every_false_alarm_rate_and_every_split() -> None:
    result = six_splits()
    text = pooled_markdown(result)
    assert all(head in text for head in HEADS)
    assert all(f"split {split}" in text for split in range(1, 7))
    last = [line for line in text.splitlines() if NAMES[2] in line and " / " in line]
    assert len(last) == 1
    assert last[0].endswith("% | n/a |")
    assert "| gradient_boosting (wear) | 10.0% [8.00%, 14.0%] |" in text


def test_a_detector_that_could_not_be_fitted_is_named_with_the_reason() -> None:
    assert not_fitted_words({"gradient_boosting": "no failure is known"}) == [
        "gradient_boosting is left out: no failure is known"
    ]


def test_one_detector_alone_has_no_differences() -> None:
    alone = replace(six_splits(), differences=())
    assert "Difference" not in pooled_text(alone)
    assert "Difference" not in pooled_markdown(alone)
