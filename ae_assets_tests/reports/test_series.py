"""What an evaluation by intervals says in words and tables."""

from datetime import timedelta

from ae_assets.evaluation.series import Series, SeriesComparison, compare_series
from ae_assets.evaluation.target import Intervals
from ae_assets.reports.series import series_answer, series_figures, series_markdown, series_rates, series_text
from ae_assets_tests.evaluation.test_series import DAY, SCORED, STEP, TARGET


def compared(target: Intervals = TARGET) -> SeriesComparison:
    series = Series(SCORED, target, DAY, DAY + timedelta(days=1), STEP)
    blind = SCORED.with_columns(score=SCORED["score"] * 0 + 1)
    return compare_series(series, {"one": SCORED, "blind": blind}, reference="one", rates=(0.5,))


def test_the_answer_counts_what_was_found_and_what_was_false_and_names_strangers() -> None:
    words = series_answer(compared(), simulated=False)
    assert "2 of 3 labelled intervals" in words
    assert "blind, the best of the others, finds 66.7 points fewer" in words
    assert "Intervals of 1 devices that no record names do not count." in words
    assert "simulated" in series_answer(compared(), simulated=True)


def test_without_an_interval_the_answer_says_that_it_is_not_known() -> None:
    words = series_answer(compared(Intervals()), simulated=False)
    assert "is not known" in words
    assert "2 of" not in words
    assert series_figures(compared(Intervals()))["Share of intervals found"] is None


def test_tables_have_a_row_for_each_detector() -> None:
    assert series_rates(compared())["detector"].to_list() == ["one", "blind"]
    for text in (series_markdown(compared()), series_text(compared())):
        assert "blind" in text
        assert "a from 2024-04-18 18:00" in text
        assert "do not count: 'z'." in text
