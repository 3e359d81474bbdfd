"""A rolling-origin evaluation in words and tables."""

from datetime import date

import polars as pl

from ae_assets.reports.rolling import not_fitted_words, pooled_markdown, pooled_text

NAMES = ("ordinal", "gradient_boosting (wear)", "isolation_forest (wear)")
HEADS = ("FAR 0.1%", "FAR 0.5%", "FAR 1%", "FAR 2%", "FAR 5%")


class Figures:
    """Three detectors on six splits; the last one is missing from the last split."""

    reference = NAMES[0]

    def in_words(self) -> str:
        return "6 splits, each at its own thresholds."

    def to_table(self) -> pl.DataFrame:
        return pl.DataFrame(
            [{"detector": name, **rates(0.1 * place, spread=0.02 * place)} for place, name in enumerate(NAMES[:2])]
        )

    def difference_table(self) -> pl.DataFrame:
        far = (0.001, 0.005, 0.01, 0.02, 0.05)
        return pl.DataFrame(
            [
                {"detector": NAMES[1], "reference": NAMES[0], "target_false_alarm_rate": rate, "value": -0.1234,
                 "low": -0.2, "high": -0.05}
                for rate in far
            ]
        )  # fmt: skip

    def split_table(self) -> pl.DataFrame:
        day = date(2013, 4, 10)
        return pl.DataFrame(
            [
                {"split": f"split {split}", "train_start": day, "train_end": day, "test_start": day,
                 "test_end": day, "detector": name, **rates(0.5)}
                for split in range(1, 7)
                for name in (NAMES if split < 6 else NAMES[:2])
            ]
        )  # fmt: skip


def rates(value: float, spread: float = 0.0) -> dict[str, float]:
    cells: dict[str, float] = {"failed": 91, "healthy_windows": 23_797}
    for head in HEADS:
        cells |= {f"detection at {head}": value, f"{head} low": value - spread, f"{head} high": value + 2 * spread}
    return cells


def test_the_text_fits_eighty_columns_and_holds_rates_and_differences_at_two_false_alarm_rates() -> None:
    text = pooled_text(Figures())
    assert max(map(len, text.splitlines())) <= 80
    assert "FAR 0.1%" in text
    assert "FAR 5%" not in text
    assert "-12.3 [-20.0, -5.0]" in text
    assert "10.0% [8.00%, 14.0%]" in text


def test_the_markdown_holds_every_false_alarm_rate_and_every_split() -> None:
    text = pooled_markdown(Figures())
    assert all(head in text for head in HEADS)
    assert all(f"split {split}" in text for split in range(1, 7))
    assert "50.0% / 50.0% | n/a |" in text
    assert "| gradient_boosting (wear) | 10.0% [8.00%, 14.0%] |" in text


def test_a_detector_that_could_not_be_fitted_is_named_with_the_reason() -> None:
    assert not_fitted_words({"gradient_boosting": "no failure is known"}) == [
        "gradient_boosting is left out: no failure is known"
    ]


def test_one_detector_alone_has_no_differences() -> None:
    class Alone(Figures):
        def difference_table(self) -> pl.DataFrame:
            return super().difference_table().clear()

    assert "Difference" not in pooled_text(Alone())
    assert "Difference" not in pooled_markdown(Alone())
