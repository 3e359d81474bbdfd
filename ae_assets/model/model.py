"""The model: raw rows in, decisions out, for the daily assets, a file of rows or a notebook alike."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from ae_assets.decisions.config import AggregationConfig, EpisodeConfig
from ae_assets.decisions.episodes import ABSENT, OPEN, OPENED, Episodes, is_clear
from ae_assets.decisions.mutes import Mute, with_mutes
from ae_assets.detectors import FittedDetector, load_detector
from ae_assets.errors import ContractError, ModelError
from ae_assets.features.config import FeatureConfig
from ae_assets.features.settings import FeatureSettings
from ae_assets.features.volume import are_many, table_gaps
from ae_assets.model.definition import ChecksSection, WatchedTable
from ae_assets.model.judgement import LEARNED_FROM, lacks_what_it_reported, not_judged_because
from ae_assets.model.life import LifeRange, learned_of
from ae_assets.model.preparation import Preparation
from ae_assets.model.reasons import explanations
from ae_assets.model.scoring import ScoredDay, Scorer
from ae_assets.schemas.anomalies import anomaly_types, order_of_anomalies
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.layouts.own import layout_of_record, periods_of_record
from ae_assets.schemas.quarantine import nothing_set_aside
from ae_assets.schemas.raw import RawContract
from ae_assets.schemas.records import Rhythm
from ae_assets.thresholds.threshold import Threshold

FORMAT = 2
"""How rows are written; to be raised when a column says something else than before. Rows from before have none."""

MOST_SHOWN = 100
"""Records with the highest scores of a period that are explained beside those with an alarm or an open episode."""

VERSION_FILE, THRESHOLD_FILE = "version.json", "threshold.json"
SETTINGS, MEANINGS, DECISION, LIMITS = "feature_settings", "meanings", "decision", "limits"
"""Keys of a model card that say how raw rows become features and scores become decisions."""
OF_LIFE = "calibrated_on_days_of_life"
"""Key of a threshold: the first and last day of each entity on which it was chosen, where they are no calendar days."""


@dataclass(frozen=True)
class Limits:
    """Between which a day is what the fleet delivers.

    Attributes:
        volume_low: share of the usual rows below which a day tells nothing of who was away.
        volume_high: multiple of them above which a day is implausible.
        most_set_aside: largest share of a day's rows that are set aside with which the others are decided on.
    """

    volume_low: float
    volume_high: float
    most_set_aside: float

    @classmethod
    def of(cls, checks: ChecksSection) -> "Limits":
        """Those of a table's YAML."""
        return cls(checks.volume_low, checks.volume_high, checks.max_share_set_aside)


@dataclass
class State:
    """What a model knows of the days that it has seen.

    Attributes:
        preparation: the rows that features look back on.
        scorer: the features and scores that windows and aggregation look back on.
        episodes: the episodes until the last day.
        mutes: the mute list.
        gaps: days on which nobody can tell who was away.
        raw_rows: rows of each day.
        feature_rows: valid rows of each day.
        set_aside: rows of the days of the last call that cannot be true, with the columns of a quarantine.
        held_back: rows of each day of the last call of which so many are set aside that nothing is decided on it.
    """

    preparation: Preparation
    scorer: Scorer
    episodes: Episodes
    mutes: Sequence[Mute]
    gaps: set[date]
    raw_rows: dict[date, int] = field(default_factory=dict)
    feature_rows: dict[date, int] = field(default_factory=dict)
    set_aside: pl.DataFrame = field(default_factory=nothing_set_aside)
    held_back: dict[date, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """Everything between raw rows and decisions.

    Attributes:
        version: its name in the model store.
        detector: what scores.
        threshold: the cut.
        aggregation: how scores were aggregated on which the cut was chosen.
        settings: the contract of raw rows, and how features are made of them.
        episodes: when an episode opens and closes.
        limits: what a day has to keep to.
        learned: what of each entity's life is learned from, and not judged; None: days of the calendar are.
    """

    version: str
    detector: FittedDetector
    threshold: Threshold
    aggregation: AggregationConfig
    settings: FeatureSettings
    episodes: EpisodeConfig
    limits: Limits
    learned: LifeRange | None

    @property
    def features(self) -> FeatureConfig:
        return self.settings.config

    @property
    def look_back(self) -> timedelta:
        """How far before a period its decisions reach; an episode that is older has its start on the first record."""
        windows = (self.detector.window, self.aggregation.window, self.episodes.hold, self.episodes.within)
        window, aggregation, hold, episodes = (self.rhythm.look_back(one) for one in windows)
        return self.features.look_back + window + aggregation + hold + max(episodes, ABSENT)

    @property
    def rhythm(self) -> Rhythm:
        """By which periods rows come, and how the records of an entity follow each other."""
        return self.contract.rhythm

    @cached_property
    def contract(self) -> RawContract:
        return contract_of_settings(self.settings)

    def start(self, mutes: Sequence[Mute] = ()) -> State:
        """The state before the first day."""
        gaps: set[date] = set()
        return State(
            Preparation(self.contract, self.features),
            Scorer(self.detector, self.aggregation, self.episodes.hold, self.learned),
            Episodes(self.episodes, None, gaps, self.rhythm.periods),
            mutes,
            gaps,
        )

    def decide(self, rows: pl.DataFrame, state: State | None = None) -> tuple[pl.DataFrame, State]:
        """Decides on the rows of one period or of several.

        A first call knows nothing of the periods before: growths have nothing to be measured against, and episodes
        begin. For decisions on a period as the assets make them, pass those that it looks back on too, or first.

        Args:
            rows: raw rows in the columns of the contract; the column of times says of which period each is. Periods are
                taken in rising order, whatever the order of the rows, and each call has whole ones.
            state: what an earlier call returned; it is carried on, not copied. None: `start`.

        Returns:
            One row per valid row with the columns of an anomalies table, by period and falling score; and the state
            after the last one, whose ``set_aside`` holds the other rows. Periods that ``held_back`` names have none, as
            the assets make none of a period that a check holds back.

        Raises:
            ContractError: the rows lack a column of the contract, or a period is not later than those before.
        """
        state = self.start() if state is None else state
        decided, set_aside = [], []
        held_back: dict[date, int] = {}
        for day, of_day in self._days(rows):
            decided.append(self.decide_day(of_day, day, state))
            set_aside.append(state.set_aside)
            held_back |= state.held_back
        state.held_back = held_back
        state.set_aside = pl.concat(set_aside) if set_aside else nothing_set_aside(self.rhythm.periods)
        return pl.concat(decided) if decided else no_decisions(self.rhythm), state

    def decide_day(self, rows: pl.DataFrame, day: date, state: State) -> pl.DataFrame:
        """Decides on the raw rows of one day, and carries the state on; rows of other days are set aside.

        Raises:
            ContractError: as `decide`; the state then counts the day as one that is missing.
        """
        state.set_aside, state.held_back = nothing_set_aside(self.rhythm.periods), {}
        state.raw_rows[day] = rows.height
        prepared = state.preparation.prepare(rows, day, self._gaps(state.raw_rows, day))
        state.set_aside = prepared.quarantine
        state.feature_rows[day] = prepared.features.height
        state.gaps.update(self._gaps(state.feature_rows, day))
        if are_many(prepared.quarantine.height, rows.height, self.limits.most_set_aside):
            state.held_back[day] = rows.height
        if prepared.features.is_empty():
            return no_decisions(self.rhythm)
        scored = state.scorer.push(day, prepared.features)  # later days look back on it, whatever is decided now
        return no_decisions(self.rhythm) if state.held_back else self.judge(scored, state.episodes, state.mutes)

    def judge(
        self, scored: ScoredDay, episodes: Episodes, mutes: Sequence[Mute], cut: float | None = None
    ) -> pl.DataFrame:
        """Holds the scores of a day against the threshold, and says what each alarm means and why.

        Args:
            scored: the day's scores.
            episodes: the episodes up to the day before; they are taken on to this day.
            mutes: the mute list.
            cut: that of the day, where the rows are those of some of its devices; None: as the threshold has it. Of
                such rows more have ``top_features`` than of all: `MOST_SHOWN` of them.

        Returns:
            One row per record, with the columns of ``schemas.anomalies``, sorted by falling score.
        """
        decided = episodes.push(scored.day, self._verdicts(scored, mutes, cut))
        is_judged, score = pl.col("score").is_not_null(), pl.col("score")
        highest = is_judged & (score.rank("ordinal", descending=True) <= MOST_SHOWN)
        rows = decided.select(reasoned=is_reasoned(), shown=is_reasoned() | highest)
        explained = decided.hstack(explanations(scored, self.features, rows["reasoned"], rows["shown"]))
        return explained.select(*anomaly_types(self.rhythm)).sort(**order_of_anomalies(self.rhythm), nulls_last=True)

    def judge_stretch(
        self, scored: ScoredDay, episodes: Episodes, followed: pl.Series, asked: pl.Series, cut: float
    ) -> pl.DataFrame:
        """The same over several periods at once, of some devices of each; nobody is muted.

        Args:
            scored: the scores of a stretch, see `score_stretch`.
            episodes: what is known of the devices before the rows that are followed.
            followed: boolean (n,), the rows that episodes follow.
            asked: boolean (n,), those of them that are wanted.
            cut: of all periods.

        Returns:
            The rows that are asked for, in the order of the scores; those with an alarm or an open episode have reasons
            and ``top_features``.
        """
        decided = episodes.push_stretch(self._verdicts(scored, (), cut), followed)
        reasoned = decided.select(is_reasoned() & asked).to_series()
        explained = (
            decided.hstack(explanations(scored, self.features, reasoned, reasoned)) if reasoned.any() else decided
        )
        types = anomaly_types(self.rhythm)
        absent = (pl.lit(None, types[name]).alias(name) for name in types if name not in explained.columns)
        return explained.filter(asked).with_columns(absent).select(*types)

    def _verdicts(self, scored: ScoredDay, mutes: Sequence[Mute], cut: float | None) -> pl.DataFrame:
        """The scores held against the cut, with whether each clears its device."""
        because = not_judged_because(scored, self.detector, self.features)
        learned_from = scored.within(self.learned)
        scored = scored.judged_after(self.learned)
        keys, counted = _counted(scored, mutes)
        cuts = self.threshold.cuts(keys, counted) if cut is None else pl.repeat(cut, keys.height, eager=True)
        judged = keys.with_columns(
            score=scored.score,
            threshold=cuts,
            alarm_score=scored.alarm_score,
            is_anomaly=scored.alarm_score > cuts,
            severity=self.threshold.severity(scored.score),
            model_version=pl.lit(self.version),
            format=pl.lit(FORMAT, pl.Int32),
            not_judged_because=pl.when(learned_from).then(pl.lit(LEARNED_FROM)).otherwise(because),
            day_score=pl.when(scored.judged).then(pl.Series(scored.day_score).cast(pl.Float64)),
        )
        clear = is_clear(self.episodes, self.threshold.cut)
        unseen = lacks_what_it_reported(scored, self.detector, self.features)
        return judged.with_columns(is_clear=pl.when(~clear | ~unseen).then(clear))

    def counted(self, scored: ScoredDay, mutes: Sequence[Mute]) -> pl.DataFrame:
        """``day, score``, what the cut of a day follows where it does: of each device the highest score."""
        return self.threshold.counted(*_counted(scored.judged_after(self.learned), mutes))

    def _days(self, rows: pl.DataFrame) -> Iterator[tuple[date, pl.DataFrame]]:
        column = self.contract.names["day"]
        if rows.schema.get(column) != self.contract.columns[column]:
            kind = "dates" if self.contract.columns[column] == pl.Date else "times in UTC"
            raise ContractError(
                f"the rows have no column {column!r} of {kind}; received the columns {rows.columns[:12]}"
            )
        if rows[column].null_count():
            raise ContractError(
                f"{rows[column].null_count()} of {rows.height} rows have no {column}; leave them out, or pass each day "
                "with `decide_day`, which sets them aside"
            )
        days = rows.select(self.rhythm.periods.of_times(pl.col(column))).to_series()
        return ((day, rows.filter(days == day)) for day in days.unique().sort().to_list())

    def _gaps(self, day_rows: Mapping[date, int], day: date) -> frozenset[date]:
        limits = self.limits
        return table_gaps(
            day_rows,
            min(day_rows),
            day,
            self.rhythm.periods,
            lowest_share=limits.volume_low,
            highest_share=limits.volume_high,
        )


def _counted(scored: ScoredDay, mutes: Sequence[Mute]) -> tuple[pl.DataFrame, pl.Series]:
    """The keys with their mutes, and the scores that a cut may follow: muted rows take none of a budget of alarms."""
    keys = with_mutes(scored.keys, mutes, scored.day)
    return keys, pl.select(pl.when(keys["muted_until"].is_null()).then(scored.score)).to_series()


def contract_of_settings(settings: FeatureSettings) -> RawContract:
    """The contract of the raw rows that features are made of by these settings."""
    layout, periods = layout_of_record(settings.source), periods_of_record(settings.source)
    features = settings.config
    return contract_of(layout, tuple(features.attributes), features.low_bits, periods, features.groups)


def is_reasoned() -> pl.Expr:
    """Which rows say why: those that are judged and have an alarm or an open episode."""
    return pl.col("score").is_not_null() & (pl.col("is_anomaly") | pl.col("episode").is_in([OPENED, OPEN]))


def no_decisions(rhythm: Rhythm) -> pl.DataFrame:
    """An anomalies table without rows."""
    return pl.DataFrame(schema=anomaly_types(rhythm))


def card_of(table: WatchedTable) -> dict[str, Any]:
    """What a model card keeps so that `load_model` needs no YAML."""
    return {
        SETTINGS: table.feature_settings.record,
        MEANINGS: {column: attribute.meaning for column, attribute in table.features.attributes.items()},
        DECISION: table.decision.model_dump(mode="json", exclude={"mute_list"}),
        LIMITS: asdict(Limits.of(table.checks)),
    }


def load_model(path: str | Path) -> Model:
    """Loads a version of the model store from its folder, ``models/<table>/<version>``.

    Nothing in the folder is run: weights are arrays, all else is JSON.

    Raises:
        ModelError: the folder holds no complete version with a threshold, or one of an earlier release.
    """
    folder = Path(path)
    manifest, threshold = (_read(folder / name) for name in (VERSION_FILE, THRESHOLD_FILE))
    card = manifest.get("card", {})
    if missing := [key for key in (SETTINGS, MEANINGS, DECISION, LIMITS) if key not in card]:
        raise ModelError(
            f"the version in {folder} does not say {', '.join(missing)}, since an earlier release made it; train "
            "again, or score with the champion of a table: `ae-assets score TABLE LOCATION`"
        )
    return Model(
        manifest["version"],
        load_detector(folder),
        Threshold.from_json(json.dumps(threshold)),
        AggregationConfig.model_validate(threshold["aggregation"]),
        FeatureSettings.from_record(card[SETTINGS], card[MEANINGS]),
        EpisodeConfig.model_validate(card[DECISION]["episodes"]),
        Limits(**card[LIMITS]),
        learned_of(LifeRange.from_record(threshold.get(OF_LIFE))),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path.parent} holds no model with a threshold ({path.name}: {error}); expected the folder of a version, "
            "such as models/drive_stats/VERSION of AE_ASSETS_HOME"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds {type(content).__name__}, expected an object")
    return content
