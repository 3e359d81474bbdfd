"""``select``: which detector is best on a table's own history."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ae_assets.cli.commands import command
from ae_assets.cli.exit_codes import DONE
from ae_assets.cli.periods import day_option
from ae_assets.cli.screen import say, say_lines, shown_progress, text_width
from ae_assets.cli.tune import first_option
from ae_assets.errors import ConfigError
from ae_assets.pipeline.ranges import range_if_named
from ae_assets.reports.alarms_text import aligned

if TYPE_CHECKING:
    from ae_assets.chain.selection import Candidate

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
    from ae_assets.pipeline.choosing import days_to_use, rows_of, selected_in_words

    space = open_workspace(table)
    named = range_if_named(space.table.periods, train_start, train_end, ("--train-start", "--train-end"))
    days = days_to_use(space, named)
    home = prepare_home()
    with shown_progress("selection"):
        selected = selected_of(space, days, _say_candidate, first=first)
    rows = rows_of(selected)
    say_lines(aligned(rows, text_width(), right=range(1, len(rows[0]))))
    say(selected_in_words(selected))
    if selected.recommended is not None:
        path = output or home / "select" / table / YAML_FILE
        _write(selected.recommended, table, selected_in_words(selected), path)
        say(
            f"{path}: the settings to put into the table's YAML; then `ae-assets run {table} --start DAY --end DAY "
            "--retrain` trains it as a challenger, which becomes the champion unless it is found worse"
        )
    return DONE


def _say_candidate(candidate: "Candidate") -> None:
    said = candidate.failure or f"fitted in {candidate.fit_seconds:.1f} s"
    say(f"{candidate.name}: {said}")


def _write(best: "Candidate", table: str, told: str, path: Path) -> None:
    from ae_assets.pipeline.choosing import detector_yaml

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(detector_yaml(best.config, [f"A detector of {table}.", told]), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); name another --output") from None
