"""Settings of features: those of a model version and of each day held against those of the YAML.

A version keeps the settings on its card; a day of features names them by a digest, which the table's properties spell
out. Versions and days from before settings were kept have none and are taken as they are.
"""

import json
from collections.abc import Collection
from datetime import date, timedelta

import polars as pl

from ae_assets.chain.training_days import latest_training_days
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.errors import ModelError
from ae_assets.features.schema import SETTINGS
from ae_assets.features.settings import Change, FeatureSettings
from ae_assets.model.model import SETTINGS as CARD_KEY
from ae_assets.schemas.periods import named
from ae_assets.schemas.records import keys_of

_PROPERTY = "ae_assets.settings."


def require_settings(space: Workspace, version: str) -> None:
    """Holds a model version to the YAML: under other feature settings its scores would mean nothing.

    Raises:
        ModelError: naming each setting that differs, both values and what to do.
    """
    changes = changed_settings(space, version)
    if changes:
        raise ModelError(
            f"model {version} of {space.table.table} was trained on features of other settings than the YAML has "
            f"now, and would score wrongly:\n{_in_words(changes, 'the model has', 'the YAML')}\n"
            f"Undo the change, or make the features again and train on them: {retraining_command(space)}"
        )


def settings_are_known(space: Workspace, version: str) -> bool:
    """Whether a model version says by which settings its features were made; those of older releases do not."""
    return CARD_KEY in space.models.card(space.table.table, version)


def changed_settings(space: Workspace, version: str) -> list[Change]:
    """Where the features that a model version reads would be made by other settings now than when it was trained."""
    if not settings_are_known(space, version):
        return []
    card = space.models.card(space.table.table, version)
    return FeatureSettings.from_record(card[CARD_KEY]).changes(space.table.feature_settings, card["features"])


def remember_settings(space: Workspace) -> None:
    """Spells out the current settings in the table of features, where there is one."""
    name, settings = space.name(FEATURES), space.table.feature_settings
    if space.tables.exists(name):
        text = json.dumps(settings.record, sort_keys=True)
        space.tables.set_properties(name, {_PROPERTY + settings.digest: text})


class DaySettings:
    """Tells by which settings days of features were made, of one table at one time."""

    def __init__(self, space: Workspace, names: Collection[str]) -> None:
        """Takes the features that shall be as the YAML makes them."""
        self._space, self._names = space, names
        self._seen = {space.table.feature_settings.digest}

    @property
    def columns(self) -> list[str]:
        """The columns of a day that are to be read: keys, features, and what `require` looks at.

        Raises:
            ModelError: no day has one of the features yet.
            LakehouseError: there is no table of features.
        """
        stored = self._space.schema(FEATURES)
        absent = [feature for feature in self._names if feature not in stored]
        if absent:
            raise ModelError(
                f"no day of {self._space.name(FEATURES)} has the features {', '.join(absent)}, which the YAML asks for "
                f"since; make the days again: {_make_again(self._space, 'DAY')}"
            )
        groups = [name for name in self._space.table.features.groups if name in stored]
        return [*keys_of(stored), "cohort", "label", *groups, *self._names, *([SETTINGS] if SETTINGS in stored else [])]

    def require(self, day: date, rows: pl.DataFrame) -> pl.DataFrame:
        """The keys and features of a day.

        Raises:
            ModelError: they were made by settings that give other features; it names them and what to do.
        """
        if SETTINGS not in rows.columns:
            return rows
        for digest in set(rows[SETTINGS].unique().drop_nulls()) - self._seen:
            self._require(day, digest)
            self._seen.add(digest)
        return rows.drop(SETTINGS)

    def _require(self, day: date, digest: str) -> None:
        space = self._space
        text = space.tables.properties(space.name(FEATURES)).get(_PROPERTY + digest)
        own = space.table.feature_settings.digest
        words = f"  settings {digest}, which the table does not spell out; the YAML's are {own}"
        if text is not None:
            made_by = FeatureSettings.from_record(json.loads(text))
            changes = made_by.changes(space.table.feature_settings, self._names)
            if not changes:
                return
            words = _in_words(changes, "the day has", "the YAML")
        raise ModelError(
            f"the features of {named(day)} were made by other settings than the YAML has now:\n{words}\n"
            f"Make them again, and those of other days like it: {_make_again(space, space.table.periods.key(day))}"
        )


def _in_words(changes: Collection[Change], before: str, now: str) -> str:
    return "\n".join(f"  {change.in_words(before, now)}" for change in changes)


def _make_again(space: Workspace, first: str) -> str:
    table = space.table.table
    return f"materialise {table}/features for them, or `ae-assets run {table} --start {first} --end DAY`"


def retraining_command(space: Workspace) -> str:
    """The command that makes the features of the latest days again and trains on them."""
    table = space.table
    days, key = space.days_with_rows(FEATURES), table.periods.key
    first, last = "DAY", "DAY"
    if days:
        start, _ = latest_training_days(table, days[-1], judged=True)
        first = key(max(days[0], table.periods.before(start, table.detector.window or timedelta())))
        last = key(days[-1])
    return f"`ae-assets run {table.table} --start {first} --end {last} --retrain`"
