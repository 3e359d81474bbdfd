"""``select``: which detector is best on a table's own history."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ae_assets.cli.commands import command
from ae_assets.cli.exit_codes import DONE
from ae_assets.cli.periods import day_option
from ae_assets.cli.screen import say, say_lines, shown_progress, text_width
from ae_assets.cli.tune import days_to_use, detector_yaml, first_option
from ae_assets.errors import ConfigError
from ae_assets.pipeline.ranges import range_if_named

if TYPE_CHECKING:
    from ae_assets.chain.selection import Candidate, Selected
    from ae_assets.evaluation.gain import Gain
    from ae_assets.evaluation.promises import Held

YAML_FILE = "detector.yaml"


@command("Say which detector is best on the table's own history.")
@click.argument("table")
@day_option("--train-start", "First day or hour to use; with --train-end.", required=False)
@day_option("--train-end", "Last day or hour to use; with --train-start.", required=False)
@first_option
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the YAML of a better detector; left out: select/TABLE/detector.yaml in the home.",
)
def select(table: str, train_start: str | None, train_end: str | None, first: int | None, output: Path | None) -> int:
    """Fits TABLE's detector, its comparisons, every baseline and an ensemble at three points in time.

    They are judged on the days after each. Where it is known what went wrong: how high such records score, beside the
    table's own detector, with an interval. Else nothing ranks detectors, and it is said how stable each is, how far
    they agree and whether the table's threshold would keep its promise. Left out, the days are those that a model would
    learn from now; what is chosen by them can be judged on later days alone. Nothing in use changes.
    """
    from ae_assets.chain.selection import select as selected_of
    from ae_assets.cli.instance import open_workspace, prepare_home

    space = open_workspace(table)
    named = range_if_named(space.table.periods, train_start, train_end, ("--train-start", "--train-end"))
    days = days_to_use(space, named)
    home = prepare_home()
    with shown_progress("selection"):
        selected = selected_of(space, days, _say_candidate, first=first)
    say_lines(_lines(selected, text_width()))
    say(_in_words(selected))
    if selected.recommended is not None:
        path = output or home / "select" / table / YAML_FILE
        _write(selected.recommended, table, _in_words(selected), path)
        say(
            f"{path}: the settings to put into the table's YAML; then `ae-assets run {table} --start DAY --end DAY "
            "--retrain` trains it as a challenger, which becomes the champion unless it is found worse"
        )
    return DONE


def _say_candidate(candidate: "Candidate") -> None:
    said = candidate.failure or f"fitted in {candidate.fit_seconds:.1f} s"
    say(f"{candidate.name}: {said}")


def _lines(selected: "Selected", width: int) -> list[str]:
    """The candidates as a table, the best on top where they can be ranked."""
    from ae_assets.reports.alarms_text import aligned

    fitted = [one for one in selected.candidates if not one.failure]
    ranked = sorted(fitted, key=lambda one: -(one.gain.after if one.gain is not None else 0))
    measured = (
        ["AP", "gain", "interval", "stable"] if selected.has_labels else ["stable", "agrees", "alarms", "promise"]
    )
    rows = [["detector", *measured, "fit", "score", "stored"]]
    for one in ranked:
        figures = [_share(one.stability), _share(one.agreement), *_promise(one.held)]
        if one.gain is not None:
            gained = ["in use", ""] if one is fitted[0] else [_signed(one.gain), _interval(one.gain)]
            figures = [f"{one.gain.after:.2f}", *gained, _share(one.stability)]
        costs = [f"{one.fit_seconds:.1f} s", f"{one.score_seconds:.1f} s", f"{one.stored_bytes / 1024:,.0f} KiB"]
        rows.append([one.name, *figures, *costs])
    return aligned(rows, width, right=range(1, len(rows[0])))


def _signed(gain: "Gain") -> str:
    return f"{gain.difference:+.2f}"


def _interval(gain: "Gain") -> str:
    return f"{gain.low:+.2f} to {gain.high:+.2f}"


def _promise(held: "Held | None") -> tuple[str, str]:
    """What was observed of what a threshold promises, and whether it was kept."""
    if held is None:
        return "-", "no threshold"
    rate = held.observed
    if rate is None or isinstance(rate, float):
        return "-" if rate is None else f"{rate:.0f} a day", held.kept
    return f"{100 * (rate.value or 0):.1f}% ({100 * rate.low:.1f} to {100 * rate.high:.1f})", held.kept


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _in_words(selected: "Selected") -> str:
    own, best = selected.candidates[0], selected.recommended
    if not selected.has_labels:
        return (
            "Nothing is known to have gone wrong with these devices, so nothing says which detector finds more. "
            "stable: how alike a detector ranks the last days after a fit on other days; agrees: how alike it ranks "
            f"them as {own.name}, the table's own. A detector that is not stable is no ground for alarms."
            f"{_promised(own.held)}"
        )
    if best is None or best.gain is None:
        return f"No candidate is better than {own.name}, the table's own, by more than chance."
    gain = best.gain
    return (
        f"{best.name} is better than {own.name}, the table's own, by more than chance: average precision "
        f"{gain.after:.2f} against {gain.before:.2f}, a gain of {_signed(gain)} ({_interval(gain)}, wide enough for "
        "all candidates together)."
    )


def _promised(held: "Held | None") -> str:
    if held is None or held.observed is None:
        return ""
    return (
        f" promise: whether a threshold such as the table's ({held.promise.words}), fitted on the days before, "
        "kept it on the last, all of whose records count as normal; alarms: what it promises, with a 95% interval."
    )


def _write(best: "Candidate", table: str, told: str, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(detector_yaml(best.config, [f"A detector of {table}.", told]), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); name another --output") from None
