"""``run`` and ``evaluate``: the chain's stages in order, and what is said after them."""

import os
import shlex
import sys
from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

from ae_assets.chain.anomaly_day import stored_day
from ae_assets.chain.training_days import default_training_days
from ae_assets.chain.workspace import ANOMALIES, DAILY_INPUT, FEATURES, RAW
from ae_assets.cli.exit_codes import CHECK_FAILED, DONE, RUN_FAILED
from ae_assets.cli.instance import Chain, RunOutcome
from ae_assets.cli.project import OWN
from ae_assets.cli.screen import say, say_lines, shown_progress, text_width
from ae_assets.errors import ConfigError
from ae_assets.pipeline.checks import HOLDS_BACK
from ae_assets.pipeline.daily import in_words
from ae_assets.pipeline.metadata import FENCE, IN_WORDS, SUMMARY, THIS_RUN, TO_TIDY
from ae_assets.pipeline.resources import handing_over
from ae_assets.pipeline.run_config import require_window
from ae_assets.reports.alarms_text import aligned, day_text, folded
from ae_assets.schemas.periods import Periods
from ae_assets.sources import ListedSource, Source

SOURCE_SETTINGS = (
    "DRIVE_STATS_LOCATION",
    "WATER_LEVEL_LOCATION",
    "SEWER_FLOW_LOCATION",
    "CLOUDWATCH_LOCATION",
    "FLOW_CHANNELS_LOCATION",
)
"""What a UI needs to show the same days."""
MOST_NAMED = 5
MOST_LISTED = 10
"""Devices of the newest day that a run ends with."""


def run_chain(
    chain: Chain,
    days: tuple[date, date],
    training: tuple[date, date] | None,
    *,
    retrain: bool,
    engine: Literal["local", "spark"] | None = None,
) -> int:
    """Runs the chain over a range of periods, prints what came out and returns the exit code.

    Without days to train on, a champion is used where there is one, else a model is trained on the default range.

    Raises:
        SourceError: the source cannot be listed.
        ConfigError: the table has no such periods, or the source holds none of them.
        ModelError: the champion that would be used was trained on features of other settings than the YAML has.
    """
    from ae_assets.chain.settings import require_settings

    chain.require_periods(*days)
    training_is_due = retrain or _needs_training(chain, training)
    champion = chain.space.models.champion(chain.table)
    if champion is not None and not training_is_due:
        require_settings(chain.space, champion)
    source = ListedSource(chain.source())
    days = chain.periods_to_run(days, announce_source(chain.definition.periods, source, days))
    outcomes: list[tuple[str, RunOutcome]] = []

    def stage(title: str, *what: Any) -> bool:
        with shown_progress(title):
            outcomes.append((title, chain.run(*what)))
        return outcomes[-1][1].goes_on

    def by_engine(*assets: str) -> dict[str, Any]:
        return {} if engine is None else {asset: {"engine": engine} for asset in assets}

    with handing_over(chain.definition, source):
        goes_on = stage("raw and features", DAILY_INPUT, days, by_engine(RAW, FEATURES))
    periods = chain.definition.periods
    asked = periods.range(*days)
    has_days = len(outcomes[0][1].failed_days) < len(asked)
    training_is_due = training_is_due and has_days
    too_early = _too_early(chain) if goes_on and training_is_due and training is None and not retrain else None
    if goes_on and training_is_due and not too_early:
        names = ("train_start", "train_end")
        config = {} if training is None else dict(zip(names, map(periods.key, training), strict=True))
        goes_on = stage("model and threshold", ("model", "threshold"), None, {"model": config})
    has_champion = chain.space.models.champion(chain.table) is not None
    if goes_on and not too_early and (has_days or has_champion):
        stage("anomalies", (ANOMALIES,), days, by_engine(ANOMALIES))  # withdraws those of days that are held back
    print_facts([outcome for _, outcome in outcomes])
    failed = {day for _, outcome in outcomes for day in outcome.failed_days}
    list_newest_day(chain, [day for day in asked if day not in failed])
    code = report(chain, outcomes, len(asked))
    if too_early:
        say(f"The days are loaded and have features; {chain.table} has no anomalies yet, since it has no model.")
        say(too_early)
    return code


def judge(chain: Chain, days: tuple[date, date] | None = None, *, compare: str, origins: int = 0) -> RunOutcome:
    """Judges the champion on a range of days, or on the latest that it has scored and not seen.

    Beside it are judged no rivals ("none"), those of the YAML ("table"), or every baseline as well ("all"). With
    ``origins`` the table's detector is judged on so many ranges going back in time, each after a fit of its own.

    Raises:
        ConfigError: the range is too short to be judged.
    """
    config: dict[str, Any] = {"compare": compare != "none", "baselines": compare == "all", "origins": origins}
    if days is not None:
        require_window(chain.definition, *days)
        config |= dict(zip(("start", "end"), map(chain.definition.periods.key, days), strict=True))
    with shown_progress("evaluation"):
        return chain.run(("evaluation",), None, {"evaluation": config})


def say_answer(outcome: RunOutcome, *, tables: bool = False) -> None:
    """What an evaluation found, in words; nothing where it failed."""
    values = outcome.metadata.get("evaluation", {})
    if SUMMARY in values:
        say_lines(folded(str(values[SUMMARY].value), text_width()))
    if tables and IN_WORDS in values:
        say("\n" + str(values[IN_WORDS].value).removeprefix(FENCE).removesuffix(FENCE))


def announce_source(periods: Periods, source: Source, days: tuple[date, date]) -> Collection[date]:
    """Says what the source holds of a range of periods, and what in it is none; gives all that it lists.

    Raises:
        SourceError: it cannot be listed.
        ConfigError: it holds none of these.
    """
    noun, (first, last) = periods.noun, map(periods.key, days)
    listed, asked = source.days(), periods.range(*days)
    missing = [day for day in asked if day not in listed]
    strays = "".join(f"\nleft out: {stray}" for stray in _nearest_first(source.strays(), missing))
    if len(missing) == len(asked):
        held = f"no {noun} at all"
        if listed:
            held = f"{len(listed)} {noun}s from {periods.key(min(listed))} to {periods.key(max(listed))}"
        raise ConfigError(
            f"{source.location} holds no {noun} from {first} to {last}, but {held}; "
            f"give other {noun}s or set another location{strays}"
        )
    kind = " of a SIMULATED fleet" if source.simulated else ""
    say(f"{source.location}: {len(asked) - len(missing)} {noun}s{kind}, {first} to {last}{strays}")
    if missing:
        say(f"not in the source: {_named([*map(periods.key, missing)])}; what was loaded of them before stays")
    return listed.keys()


def report(chain: Chain, outcomes: Collection[tuple[str, RunOutcome]], days: int = 0) -> int:
    """Says which of so many days, which runs and which checks failed and where to look, and gives the exit code."""
    periods = chain.definition.periods
    checks = [check for _, outcome in outcomes for check in outcome.checks]
    failed_checks = [check for check in checks if not check.passed]
    failed_runs = [(title, outcome) for title, outcome in outcomes if outcome.failure is not None]
    failed_days = {day: failure for _, outcome in outcomes for day, failure in outcome.failed_days.items()}
    for check in failed_checks:
        if check.check_name not in HOLDS_BACK:
            say(f"check failed: {check.asset_key.to_user_string()} {check.check_name}", style="bold")
            say(f"  {check.description}")
    if checks:
        say(f"{len(checks) - len(failed_checks)} of {len(checks)} checks passed")
    for check in checks:
        if check.check_name == "rows_set_aside_are_few" and check.passed and check.metadata["rows_set_aside"].value:
            say(check.description or "")
    if failed_days:
        of_all = f"{len(failed_days)} of {days} {periods.plural}"
        say(f"{of_all} failed, and there are no new anomalies of them:", style="bold")
        say(in_words(periods, failed_days.values()))
    for title, outcome in failed_runs:
        say(f"{title} failed (run {outcome.run_id}): {outcome.failure}", style="bold")
    if failed_days or failed_runs or failed_checks:
        say("the runs are in the UI, with the days and values behind each verdict:")
        say(f"  {open_ui_hint(chain)}", folded=False)
    if failed_runs or not all(outcome.success or outcome.is_held_back for _, outcome in outcomes):
        return RUN_FAILED
    return CHECK_FAILED if failed_checks else DONE


def print_facts(outcomes: Sequence[RunOutcome]) -> None:
    """What became of each asset, in a sentence each, and what of it should be looked after."""
    rows: list[tuple[str, str]] = []
    for asset, values in (pair for outcome in outcomes for pair in outcome.metadata.items()):
        if (said := values.get(THIS_RUN, values.get(SUMMARY))) is not None:
            rows += [
                (asset, str(said.value)),
                *(("", f"{key}: {values[key].value}") for key in TO_TIDY if key in values),
            ]
    if rows:
        say_lines(["", *aligned(rows, text_width()), ""])


def list_newest_day(chain: Chain, days: Collection[date]) -> None:
    """The devices that the newest of some days asks to look at; nothing where none of them has anomalies."""
    made = chain.space.days_of(ANOMALIES).keys() & set(days)
    if made:
        record = stored_day(chain.space, max(made))
        say_lines([*day_text(record, text_width(), MOST_LISTED), ""])


def _nearest_first(strays: Sequence[str], missing: Collection[date]) -> list[str]:
    """The first of what was left out of a source and how much more there is; what is called as a missing day leads."""
    names = {form for day in missing for form in (f"{day:%Y-%m-%d}", f"{day:%Y%m%d}")}
    ordered = sorted(strays, key=lambda stray: not any(name in stray for name in names))
    more = len(ordered) - MOST_NAMED
    return [*ordered[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])]


def _named(keys: Sequence[str]) -> str:
    more = len(keys) - MOST_NAMED
    return ", ".join(keys[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _too_early(chain: Chain) -> str | None:
    """Why there can be no model yet, where the days that are held are too few for a first one."""
    planned = default_training_days(chain.space)
    return planned if isinstance(planned, str) else None


def _needs_training(chain: Chain, training: tuple[date, date] | None) -> bool:
    models = chain.space.models
    champion = models.champion(chain.table)
    if champion is None:
        return True
    if training is None:
        return False
    card, parse = models.card(chain.table, champion)["training"], chain.space.table.periods.parse
    return (parse(card["start"]), parse(card["end"])) != training


def open_ui_hint(chain: Chain) -> str:
    """The command that opens the UI on a chain's home; it works in any folder where its project can be imported."""
    workspace = OWN.folder / "workspace.yaml"
    is_checkout = chain.module == OWN.module and workspace.exists()
    code = ["-w", str(workspace)] if is_checkout else ["-m", chain.module]
    home = chain.home
    settings = {"AE_ASSETS_HOME": str(home), "DAGSTER_HOME": os.environ.get("DAGSTER_HOME") or str(home / "dagster")}
    settings |= {name: os.environ[name] for name in SOURCE_SETTINGS if name in os.environ}
    assignments = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    command = shlex.join([str(Path(sys.executable).with_name("dagster")), "dev", *code])
    return " ".join([*assignments, command])
