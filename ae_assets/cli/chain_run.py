"""``run`` and ``evaluate``: the chain's stages in order, and what is said after them."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from ae_assets.cli.instance import Chain, RunOutcome
from ae_assets.cli.screen import console, print_table, shown_progress
from ae_assets.lakehouse import ModelStore
from ae_assets.pipeline.chain.storage import DAILY_INPUT
from ae_assets.pipeline.resources import home_folder

DONE, RUN_FAILED, CHECK_FAILED = 0, 1, 3

LONGEST_FACT = 60


def run_chain(chain: Chain, days: tuple[date, date], training: tuple[date, date] | None, *, retrain: bool) -> int:
    """Runs the chain over a range of days and prints what came out.

    Args:
        chain: the table.
        days: first and last day to process.
        training: first and last day to train on; None: a champion is used where there is one, else the default range.
        retrain: whether to train although the champion was trained on that range.

    Returns:
        The exit code.
    """
    outcomes: list[tuple[str, RunOutcome]] = []

    def stage(title: str, *args: Any) -> bool:
        with shown_progress():
            outcome = chain.run(*args)
        outcomes.append((title, outcome))
        return outcome.success

    config = _model_config(training)
    succeeded = stage("raw and features", DAILY_INPUT, days)
    if succeeded and (retrain or _needs_training(chain.table, training)):
        succeeded = stage("model and threshold", ("model", "threshold"), None, {"model": config})
    if succeeded:
        succeeded = stage("anomalies", ("anomalies",), days)
    return report(chain, outcomes)


def run_evaluation(chain: Chain, days: tuple[date, date], *, compare: bool) -> int:
    """Judges the champion on a range of days and prints the comparison."""
    config = {"start": days[0].isoformat(), "end": days[1].isoformat(), "compare": compare}
    with shown_progress():
        outcome = chain.run(("evaluation",), None, {"evaluation": config})
    if outcome.success:
        for line in outcome.metadata["evaluation"]["in_words"].splitlines():
            console.print(line, markup=False, soft_wrap=True)
    return report(chain, [("evaluation", outcome)], facts=False)


def report(chain: Chain, outcomes: list[tuple[str, RunOutcome]], *, facts: bool = True) -> int:
    """Prints what each stage did and every check that failed, and returns the exit code."""
    if facts:
        rows = [row for _, outcome in outcomes for row in _facts(outcome.metadata)]
        if rows:
            print_table(f"{chain.table}", ("asset", "what", "value"), rows)
    failed_checks = [check for _, outcome in outcomes for check in outcome.checks if not check.passed]
    checks = sum(len(outcome.checks) for _, outcome in outcomes)
    for title, outcome in outcomes:
        if not outcome.success and outcome.failure is not None:
            console.print(f"{title} failed (run {outcome.run_id}): {outcome.failure}", style="bold", markup=False, soft_wrap=True)
    for check in failed_checks:
        console.print(f"check failed: {check.asset_key.to_user_string()} {check.check_name}", style="bold", markup=False, soft_wrap=True)
        console.print(f"  {_explanation(check)}", markup=False, soft_wrap=True)
    if checks:
        console.print(f"{checks - len(failed_checks)} of {checks} checks passed", markup=False, soft_wrap=True)
    if not all(outcome.success for _, outcome in outcomes):
        return RUN_FAILED
    return CHECK_FAILED if failed_checks else DONE


def _facts(metadata: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """The short values of each asset's run, as rows of a table; what Dagster itself reads is left out."""
    rows = []
    for asset, values in metadata.items():
        for key, value in values.items():
            if key.startswith("dagster/") or not isinstance(value, int | float | str) or len(str(value)) > LONGEST_FACT:
                continue
            rows.append((asset, key.replace("_", " "), _in_words(value)))
            asset = ""
    return rows


def _in_words(value: float | str) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else value


def _explanation(check: dg.AssetCheckEvaluation) -> str:
    value = check.metadata.get("verdict")
    return str(value.value) if value is not None else (check.description or "")


def _model_config(training: tuple[date, date] | None) -> dict[str, Any]:
    if training is None:
        return {}
    return {"train_start": training[0].isoformat(), "train_end": training[1].isoformat()}


def _needs_training(table: str, training: tuple[date, date] | None) -> bool:
    models = ModelStore.open(home_folder())
    champion = models.champion(table)
    if champion is None:
        return True
    if training is None:
        return False
    card = models.card(table, champion)["training"]
    return (card["start"], card["end"]) != tuple(day.isoformat() for day in training)


def open_ui_hint(home: Path) -> str:
    """The command that opens the UI on a home."""
    return f"AE_ASSETS_HOME={home} DAGSTER_HOME={home / 'dagster'} dagster dev -w workspace.yaml"
