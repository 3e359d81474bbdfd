"""What the YAML says and the champion does not follow yet: such a change waits for a calibration or a training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from ae_assets.chain.champion import Champion
from ae_assets.chain.settings import retraining_command, settings_are_known
from ae_assets.chain.workspace import Workspace
from ae_assets.decisions.config import AggregationConfig
from ae_assets.features.catalogue import feature_names
from ae_assets.model.definition import WatchedTable
from ae_assets.model.life import LifeRange

Remedy = Literal["calibrate", "train"]

_ABSENT = "not set"


@dataclass(frozen=True)
class Unapplied:
    """A setting that the champion does not follow, by its path in the YAML, and what applies it: calibrate or train."""

    key: str
    champion: object
    yaml: object
    remedy: Remedy

    @property
    def words(self) -> str:
        """Both values."""
        return f"{self.key}: the champion has {self.champion}, the YAML {self.yaml}"


def unapplied_settings(space: Workspace, champion: Champion) -> list[Unapplied]:
    """The settings of the YAML that count from the next calibration or training on, where the champion has others.

    Settings of the features are not among them: under other ones a champion is not loaded at all.
    """
    return [*_of_the_fit(space, champion), *_of_the_threshold(space, champion)]


def unapplied_words(space: Workspace, champion: Champion) -> str:
    """What differs, and which commands apply it; where nothing does, that the champion follows the YAML."""
    table = space.table.table
    found = unapplied_settings(space, champion)
    if not found:
        words = f"{champion.version} was trained and calibrated as the YAML says"
        unknown = "; by which settings its features were made was not kept when it was trained"
        return words + ("" if settings_are_known(space, champion.version) else unknown)
    command = (
        f"{retraining_command(space)} trains by the YAML"
        if any(one.remedy == "train" for one in found)
        else f"`ae-assets calibrate {table}` chooses the threshold by the YAML"
    )
    return f"{champion.version} does not follow the YAML: {'; '.join(one.words for one in found)}; {command}"


def _of_the_fit(space: Workspace, champion: Champion) -> Iterator[Unapplied]:
    table = space.table
    fitted, now = (config.model_dump(mode="json") for config in (champion.detector.config, table.detector))
    yield from _unlike("detector", fitted, now, "train")
    card = space.models.card(table.table, champion.version)
    horizon = card["horizon_days"]
    if table.target_kind == "failures" and horizon != table.horizon_days:
        yield Unapplied("training.horizon_days", horizon, table.horizon_days, "train")
    learned = champion.training.learned
    if learned != table.learned:
        yield Unapplied("training.counted_from", _first(learned), _first(table.learned), "train")
    target = table.target_settings
    for key, before in card.get("target", target).items():  # a version of an earlier release does not say
        if before != target[key]:
            yield Unapplied(key, before or _ABSENT, target[key] or _ABSENT, "train")
    read = set(champion.detector.feature_names)
    if unread := [name for name in feature_names(table.features) if name not in read]:
        yield Unapplied("features", "none of them", ", ".join(unread), "train")


def _of_the_threshold(space: Workspace, champion: Champion) -> Iterator[Unapplied]:
    table = space.table
    chosen, now = (config.model_dump(mode="json") for config in (champion.threshold.policy, table.threshold))
    yield from _unlike("threshold", chosen, now, "calibrate")
    in_use, now = _in_force(champion.aggregation), _in_force(table.decision.aggregation)
    yield from _unlike("decision.aggregation", in_use, now, "calibrate")
    of_life, asked = champion.calibration.of_life, table.calibration_of_life(champion.training.learned)
    if of_life is None or asked is None:
        now = table.calibration.model_dump(include={"embargo_days", "days"})
        yield from _unlike("calibration", _calibrated_as(table, champion), now, "calibrate")
    elif of_life != asked:
        yield Unapplied("calibration", of_life.words, asked.words, "calibrate")


def _calibrated_as(table: WatchedTable, champion: Champion) -> dict[str, int]:
    """The lengths of the calibration range and of the embargo before it: the YAML's where they make that range."""
    asked, periods = table.calibration, table.periods
    days, learned_until = champion.calibration, periods.end(champion.training.end)
    length = len(periods.range(days.start, days.end)) - len(days.left_out)
    begins = periods.following(learned_until + timedelta(days=asked.embargo_days))
    return {
        "embargo_days": asked.embargo_days
        if begins == days.start
        else (periods.start(days.start) - learned_until).days,
        "days": asked.days if length == periods.count(timedelta(days=asked.days)) else (length * periods.step).days,
    }


def _first(learned: LifeRange | None) -> str:
    return "calendar" if learned is None else f"entity, the first {learned.last} {learned.unit}"


def _in_force(aggregation: AggregationConfig) -> dict[str, Any]:
    """The keys that the method looks at."""
    looked_at = {"none": {"method"}, "exponential": {"method", "span", "half_life"}}
    return aggregation.model_dump(mode="json", include=looked_at.get(aggregation.method, {"method", "span"}))


def _unlike(section: str, champion: Mapping[str, Any], yaml: Mapping[str, Any], remedy: Remedy) -> Iterator[Unapplied]:
    """Where two sections differ; of another type or policy that alone, since its other keys are other keys."""
    keys = [key for key in {**champion, **yaml} if champion.get(key) != yaml.get(key)]
    for key in [key for key in keys if key in {"type", "policy", "method"}] or keys:
        yield Unapplied(f"{section}.{key}", champion.get(key, _ABSENT), yaml.get(key, _ABSENT), remedy)
