"""The promises of threshold policies beside what came of them: Markdown and a figure for the UI, and plain text."""

import polars as pl

from ae_assets.evaluation.promises import CalibrationTable, PromiseResult
from ae_assets.reports.evaluation_figures import Reliability, promise_reliability
from ae_assets.reports.parts import percent, plain_table
from ae_assets.reports.tables import MISSING, markdown_table, number

QUANTITIES = {
    "row_rate": "row rate",
    "false_alarm_rate": "FAR",
    "alarms_a_day": "alarms a day",
    "false_discovery_rate": "false share",
    "nothing": "none",
}
COUNTED = "alarms_a_day"
SETTLED = ("held", "promises nothing")
KEPT = {"held": True, "not held": False}


def promises_markdown(promises: CalibrationTable) -> str:
    """The table, and the reasons of every verdict."""
    reasons = [f"- `{result.policy}`: {result.explanation}" for result in promises.results]
    unfit = [f"- `{policy}` could not be fitted: {reason}" for policy, reason in promises.not_fitted.items()]
    return "\n\n".join([heading(promises), markdown_table(promises_table(promises)), "\n".join(reasons + unfit)])


def promises_text(promises: CalibrationTable) -> str:
    """The same table for the terminal, with the reasons of what did not hold or could not be judged or fitted."""
    reasons = [f"{result.policy}: {result.explanation}" for result in promises.results if result.kept not in SETTLED]
    unfit = [f"{policy} could not be fitted: {reason}" for policy, reason in promises.not_fitted.items()]
    return "\n\n".join([f"{heading(promises)}:", plain_table(promises_table(promises)), *reasons, *unfit])


def promises_figures(promises: CalibrationTable) -> dict[str, bytes]:
    """How reliable each policy's promise was, as PNG by name."""
    return {"reliability": promise_reliability(reliabilities(promises))}


def reliabilities(promises: CalibrationTable) -> list[Reliability]:
    """What was observed as multiples of what was promised; a policy that promises nothing has none."""
    return [_reliability(result) for result in promises.results]


def heading(promises: CalibrationTable) -> str:
    """What the table shows."""
    return (
        "What each threshold policy promises and what came of it, with 95% intervals "
        f"(FAR: share of healthy devices with an alarm within {promises.window_days} days; row rate: share of their "
        "rows; false share: of the alarms, those without a failure within the horizon)"
    )


def promises_table(promises: CalibrationTable) -> pl.DataFrame:
    """One row per fitted policy: promise, what was observed, verdict, and what it detects at which price, as text."""
    return pl.DataFrame([_row(result) for result in promises.results], infer_schema_length=None)


def _reliability(result: PromiseResult) -> Reliability:
    row = _row(result)
    limit = result.at_most
    multiple, low, high = (
        None if value is None or not limit else value / limit for value in (result.observed, result.low, result.high)
    )
    return Reliability(
        policy=result.policy,
        promise=f"{row['promise']} ≤ {row['at most']}" if limit is not None else "no promise",
        observed=row["observed"],
        multiple=multiple,
        low=low,
        high=high,
        kept=KEPT.get(result.kept),
        verdict=result.kept,
    )


def _row(result: PromiseResult) -> dict[str, str]:
    counted = result.quantity == COUNTED
    limit = MISSING if result.at_most is None else f"{result.at_most:g}" if counted else percent(result.at_most)
    return {
        "policy": result.policy,
        "promise": QUANTITIES[result.quantity],
        "at most": limit,
        "observed": _observed(result, counted=counted),
        "verdict": result.kept,
        "detected": percent(result.detection.value),
        "FAR": percent(result.false_alarm.value),
        "alarms a day": number(round(result.alarms_per_day, 1)),
    }


def _observed(result: PromiseResult, *, counted: bool) -> str:
    if result.observed is None:
        return MISSING
    if counted or result.low is None or result.high is None:
        return f"{result.observed:g}"
    return f"{percent(result.observed)} [{percent(result.low)}, {percent(result.high)}]"
