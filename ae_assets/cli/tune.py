"""``tune``: other settings of a table's detector, tried on its own history."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from ae_assets.cli.commands import command
from ae_assets.cli.exit_codes import DONE
from ae_assets.cli.periods import day_option
from ae_assets.cli.screen import say, shown_progress
from ae_assets.errors import ConfigError
from ae_assets.pipeline.ranges import range_if_named

if TYPE_CHECKING:
    from ae_assets.chain.tuning import Aim, Tried, Tuned

YAML_FILE, HISTORY_FILE, IMPORTANCE_FILE = "detector.yaml", "history.png", "importance.png"

first_option = click.option(
    "--first",
    type=click.IntRange(min=1),
    help="How many first days or records of each device to use, where a table counts by these (training.counted_from: "
    "entity); left out: those that a model and its threshold learn from.",
)


@command("Try other settings of the detector.")
@click.argument("table")
@day_option("--train-start", "First day or hour to use; with --train-end.", required=False)
@day_option("--train-end", "Last day or hour to use; with --train-start.", required=False)
@first_option
@click.option("--trials", type=click.IntRange(min=1), default=30, show_default=True, help="Trials in all.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Begin no further trial after so long.")
@click.option(
    "--by",
    "aim",
    type=click.Choice(["labels", "loss"]),
    help="What to choose by: how high records score that are labelled, or a network's loss; left out: labels, if any.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the YAML and the figures; left out: tuning/TABLE in the home.",
)
def tune(
    table: str,
    train_start: str | None,
    train_end: str | None,
    *,
    first: int | None,
    trials: int,
    minutes: float | None,
    aim: str | None,
    output: Path | None,
) -> int:
    """Tries other settings of TABLE's detector and writes the best as YAML to commit, with figures.

    The days to learn from are cut in time: fits, days to choose by, and the last days to say whether the gain is more
    than chance. Left out, they are those that a model would learn from now; what is chosen by them can be judged on
    later days alone. Given again, the command goes on where it was; nothing in use changes.
    """
    from ae_assets.chain.tuning import tune as tuned_of
    from ae_assets.cli.instance import open_workspace, prepare_home
    from ae_assets.pipeline.choosing import days_to_use, study_of, tuned_in_words

    space = open_workspace(table)
    named = range_if_named(space.table.periods, train_start, train_end, ("--train-start", "--train-end"))
    days = days_to_use(space, named)
    study = study_of(prepare_home(), table)
    folder = study.parent
    with shown_progress("tuning"):
        tuned = tuned_of(
            space,
            days,
            study,
            trials=trials,
            seconds=None if minutes is None else 60 * minutes,
            aim=cast("Aim | None", aim),
            first=first,
            on_trial=_say_trial,
        )
    _write(tuned, table, output or folder)
    say(tuned_in_words(tuned))
    path = (output or folder) / YAML_FILE
    if tuned.gain is not None and tuned.gain.is_beyond_chance:
        say(f"{path}: the settings to put into the table's YAML; then train again")
    else:
        say(f"{path}: the best settings that were tried; keep the YAML as it is, or try on more days")
    return DONE


def _say_trial(tried: "Tried") -> None:
    figure = "given up" if tried.figure is None else f"{tried.figure:.4f}"
    changes = ", ".join(f"{name} {_short(value)}" for name, value in tried.changes.items()) or "the YAML's own"
    say(f"trial {tried.number + 1}: {figure} in {tried.seconds:.0f} s ({changes})")


def _short(value: Any) -> str:
    return (
        f"{value:.3g}"
        if isinstance(value, float)
        else "-".join(map(str, value))
        if isinstance(value, list)
        else f"{value}"
    )


def _write(tuned: "Tuned", table: str, folder: Path) -> None:
    """The YAML with a word on where it is from, and the figures."""
    from ae_assets.chain.tuning import AIMS
    from ae_assets.pipeline.choosing import detector_yaml, tuned_in_words
    from ae_assets.reports.axes import shortened
    from ae_assets.reports.tuning import setting_importance, tuning_history

    text = detector_yaml(
        tuned.best, [f"The detector of {table}, tuned on {tuned.used.in_words}.", tuned_in_words(tuned)]
    )
    figures = [one.figure for one in tuned.tried]
    own = next((one.figure for one in tuned.tried if not one.changes), None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / YAML_FILE).write_text(text, encoding="utf-8")
        (folder / HISTORY_FILE).write_bytes(tuning_history(figures, own, AIMS[tuned.aim]))
        if tuned.importance:
            named = {shortened(name): share for name, share in tuned.importance.items()}
            (folder / IMPORTANCE_FILE).write_bytes(setting_importance(named))
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror}); name another --output") from None
