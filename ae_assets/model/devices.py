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

import numpy as np
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
        valid: its valid rows, at least one, as `validate_stretch` gives them, history included.
        first: the first period to decide on.
        past: what is known of its devices before that, with the columns that episodes go on from; None: its rows are
            the whole history, and episodes follow all of them.
        firsts: ``entity, first`` where devices have another first period each.
    """

    valid: pl.DataFrame
    first: date
    past: pl.DataFrame | None = None
    firsts: pl.DataFrame | None = None

    @cached_property
    def bounds(self) -> tuple[date, date]:
        """Its first and last period."""
        return _bounds(self.valid)


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
    rows = _together([one.valid for one in questions])
    features = _features(rows, model, facts)
    scored = score_stretch(features, model.detector, model.aggregation, model.episodes.hold, model.learned)
    asked, followed = _wanted(scored.keys, questions)
    past = _together([one.past for one in questions])
    episodes = Episodes(model.episodes, past if past.height else None, facts.feature_gaps, model.rhythm.periods)
    flags = flags_of(model.detector.feature_names, model.features)
    scored = replace(scored, lacking=facts.lacking_of(flags))
    decided = model.judge_stretch(scored, episodes, followed, asked, model.threshold.cut)
    answers = _answers(decided, model, mutes)
    return [answers.get((number,), no_decisions(model.rhythm)) for number in range(len(questions))]


def _together(frames: Sequence[pl.DataFrame | None]) -> pl.DataFrame:
    """The rows of all requests, in which the same device of two of them is two devices."""
    some = {number: rows for number, rows in enumerate(frames) if rows is not None}
    if not some:
        return pl.DataFrame()
    numbers = pl.Series(np.repeat([*some], [rows.height for rows in some.values()]), dtype=pl.Int64)
    rows = pl.concat(some.values(), how="diagonal")
    return rows.with_columns((numbers.cast(pl.String) + _APART + rows[ENTITY]).alias(ENTITY))


def _apart(entities: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The numbers of the requests, and the devices as they call them."""
    parts = entities.str.split_exact(_APART, 1).struct.unnest()
    return parts["field_0"].cast(pl.Int64), parts["field_1"]


def _wanted(keys: pl.DataFrame, questions: Sequence[Question]) -> tuple[pl.Series, pl.Series]:
    """Which records are decided on, and which of them episodes follow."""
    of_numbers = pl.DataFrame(
        {
            "number": range(len(questions)),
            "first": [one.first for one in questions],
            "follows": [one.past is None for one in questions],
        },
        schema_overrides={"number": pl.Int64},
    )
    rows = keys.select(PERIOD, ENTITY, number=_apart(keys[ENTITY])[0])
    rows = rows.join(of_numbers, on="number", how="left", maintain_order="left")
    own = _together([one.firsts for one in questions])
    if own.height:
        own = own.select(ENTITY, own="first")
        rows = rows.join(own, on=ENTITY, how="left", maintain_order="left").with_columns(
            first=pl.coalesce("own", "first")
        )
    asked = rows[PERIOD] >= rows["first"]
    return asked, asked | rows["follows"]


def _answers(decided: pl.DataFrame, model: Model, mutes: Sequence[Mute]) -> dict[tuple[object, ...], pl.DataFrame]:
    """The decisions by the number of their request, in order, with their mutes."""
    numbers, names = _apart(decided[ENTITY])
    rows = decided.with_columns(names.alias(ENTITY), number=numbers)
    if mutes and rows.height:
        rows = pl.concat(
            with_mutes(of_day.drop("muted_until", "mute_reason"), mutes, of_day[PERIOD][0]).select(rows.columns)
            for of_day in rows.partition_by(PERIOD)
        )
    order = order_of_anomalies(model.rhythm)
    rows = rows.sort(PERIOD, *order["by"], descending=[False, *order["descending"]], nulls_last=True)
    return rows.partition_by("number", as_dict=True, include_key=False)


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


def _bounds(rows: pl.DataFrame) -> tuple[date, date]:
    return rows[PERIOD].min(), rows[PERIOD].max()  # type: ignore[return-value]  # polars does not know their types
