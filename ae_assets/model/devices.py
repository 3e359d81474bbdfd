"""Decisions on some devices of a table, over a stretch of time at once: what one who has but a few rows asks for.

What rests on a device alone is equal, bit for bit, to what `Model.decide` says day by day. What rests on the whole
table cannot be told from a few of its devices and is never guessed from them: it comes from `TableFacts`, and the cut
is the calibrated one.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property

import polars as pl

from ae_assets.decisions.episodes import Episodes
from ae_assets.decisions.mutes import Mute, with_mutes
from ae_assets.features.block import features_of_block
from ae_assets.features.validation import Validated, validate_stretch
from ae_assets.model.model import Model, no_decisions
from ae_assets.model.reasons import flags_of
from ae_assets.model.scoring import score_stretch
from ae_assets.schemas.anomalies import order_of_anomalies
from ae_assets.schemas.records import ENTITY, PERIOD

_APART = "\x1f"
"""Stands between the number of a request and a device: no name of a device has it, as the contract has it."""


@dataclass(frozen=True)
class TableFacts:
    """What is known of the whole table, on which decisions on a device rest.

    After the last period with rows the table is taken to have rows in each; before the first, and where none is known,
    to have had them always.

    Attributes:
        periods_with_rows: those with a valid row, in order.
        raw_gaps: periods in which the raw rows cannot tell who was away.
        feature_gaps: the same of the features, for episodes.
        lacking: ``cohort`` and by flag of a missing attribute the share of its records that lack it; no cohort is known
            where it is empty, and that such a device lacks one is no reason.
    """

    periods_with_rows: Sequence[date] = ()
    raw_gaps: frozenset[date] = frozenset()
    feature_gaps: frozenset[date] = frozenset()
    lacking: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"cohort": pl.String}))

    def begins(self, first: date, period: date) -> date:
        """From when on the table has rows, for a period that looks back to a first one."""
        at = bisect_left(self.periods_with_rows, first)
        known = self.periods_with_rows[at] if at < len(self.periods_with_rows) else None
        return first if known is None or known > period else known

    def are_known(self, periods: Sequence[date]) -> bool:
        """Whether of each of some periods, as far as the table reaches, it is known whether it has rows."""
        own = self.periods_with_rows
        return not own or all(one in self._known for one in periods if own[0] <= one <= own[-1])

    @cached_property
    def _known(self) -> frozenset[date]:
        return frozenset(self.periods_with_rows) | self.raw_gaps

    def lacking_of(self, flags: Sequence[str]) -> pl.DataFrame:
        """Of the flags of a model; null of those that the table does not tell."""
        absent = (pl.lit(None, pl.Float64).alias(flag) for flag in flags if flag not in self.lacking.columns)
        return self.lacking.with_columns(absent).select("cohort", *flags)


@dataclass(frozen=True)
class Question:
    """The rows of one request.

    Attributes:
        valid: its valid rows, as `validate_stretch` gives them, history included.
        first: the first period to decide on, of all devices or by ``entity, first`` of each.
        past: what is known of its devices before their first, with the columns that episodes go on from; None: its rows
            are the whole history, and episodes follow all of them.
    """

    valid: pl.DataFrame
    first: date | pl.DataFrame
    past: pl.DataFrame | None = None

    @cached_property
    def bounds(self) -> tuple[date, date]:
        """Its first and last period; there is at least one row."""
        return _bounds(self.valid)

    @property
    def firsts(self) -> pl.DataFrame:
        """``entity, first, follows``: from when on each is decided on, and whether episodes follow all its rows."""
        firsts = self.first
        if not isinstance(firsts, pl.DataFrame):
            firsts = self.valid.select(pl.col(ENTITY).unique()).with_columns(first=pl.lit(firsts))
        return firsts.with_columns(follows=pl.lit(self.past is None))


def validate(model: Model, raw: pl.DataFrame) -> Validated:
    """Sets aside what cannot be true.

    Raises:
        ContractError: the rows do not have the columns of the contract.
    """
    return validate_stretch(raw, model.contract)


def decide(
    model: Model, questions: Sequence[Question], facts: TableFacts, mutes: Sequence[Mute] = ()
) -> list[pl.DataFrame]:
    """Decides on the devices of several requests, whose answers do not depend on each other.

    Args:
        model: what decides.
        questions: rows of each request, none of them empty.
        facts: of the table.
        mutes: its mute list.

    Returns:
        For each request the decisions of its periods from the first asked on, as rows of an anomalies table, by period
        and falling score. Nothing is held back, and only rows with an alarm or an open episode have ``top_features``.
    """
    if not questions:
        return []
    rows = pl.concat([_numbered(one.valid, number) for number, one in enumerate(questions)], how="diagonal")
    features = _features(rows, model, facts)
    scored = score_stretch(features, model.detector, model.aggregation, model.episodes.hold, model.learned)
    firsts = pl.concat([_numbered(one.firsts, number) for number, one in enumerate(questions)])
    of_rows = scored.keys.select(PERIOD, ENTITY).join(firsts, on=ENTITY, how="left", maintain_order="left")
    asked = of_rows.select(pl.col(PERIOD) >= pl.col("first")).to_series()
    followed = asked | of_rows["follows"]
    pasts = [_numbered(one.past, number) for number, one in enumerate(questions) if one.past is not None]
    past = pl.concat(pasts) if pasts else None
    episodes = Episodes(model.episodes, past, facts.feature_gaps, model.rhythm.periods)
    flags = flags_of(model.detector.feature_names, model.features)
    scored = replace(scored, lacking=facts.lacking_of(flags))
    decided = model.judge_stretch(scored, episodes, followed, asked, model.threshold.cut)
    parts = decided.select(pl.col(ENTITY).str.split_exact(_APART, 1)).unnest(ENTITY)
    numbers = parts["field_0"].cast(pl.Int64)
    named = decided.with_columns(parts["field_1"].alias(ENTITY))
    return [_answer(model, named.filter(numbers == number), mutes) for number in range(len(questions))]


def _features(rows: pl.DataFrame, model: Model, facts: TableFacts) -> pl.DataFrame:
    """Those of all rows; of as many periods at once as see the table begin alike."""
    first, last = _bounds(rows)
    periods, look_back = model.rhythm.periods, model.features.look_back
    own = facts.periods_with_rows
    stretches = [(first, last)]
    if own and first < own[0] <= last:
        stretches = [(first, periods.shifted(own[0], -1)), (own[0], last)]

    def begins(period: date) -> date:
        return facts.begins(periods.before(period, look_back), period)

    made = []
    for start, end in stretches:
        alike = facts.are_known(periods.range(begins(start), begins(end)))
        days = rows.filter(pl.col(PERIOD).is_between(start, end))[PERIOD].unique().sort().to_list()
        for one, other in [(start, end)] if alike else [(day, day) for day in days]:
            made.append(
                features_of_block(
                    rows, one, model.features, facts.raw_gaps, last=other, begins=begins(one), rhythm=model.rhythm
                )
            )
    return pl.concat(made)


def _answer(model: Model, decided: pl.DataFrame, mutes: Sequence[Mute]) -> pl.DataFrame:
    order = order_of_anomalies(model.rhythm)
    parts = [no_decisions(model.rhythm)]
    for day in decided[PERIOD].unique().sort():
        rows = decided.filter(pl.col(PERIOD) == day).sort(**order, nulls_last=True)
        parts.append(
            with_mutes(rows.drop("muted_until", "mute_reason"), mutes, day).select(rows.columns) if mutes else rows
        )
    return pl.concat(parts)


def _bounds(rows: pl.DataFrame) -> tuple[date, date]:
    return rows[PERIOD].min(), rows[PERIOD].max()  # type: ignore[return-value]  # polars does not know their types


def _numbered(rows: pl.DataFrame, number: int) -> pl.DataFrame:
    """The same device of two requests is two devices."""
    return rows.with_columns((pl.lit(f"{number}{_APART}") + pl.col(ENTITY)).alias(ENTITY))
