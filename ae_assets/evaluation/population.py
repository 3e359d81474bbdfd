"""Who counts: the failed entities and healthy windows of a range, and the rows of scores that belong to each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from ae_assets.errors import ContractError, EvaluationError
from ae_assets.evaluation.bootstrap import Highest
from ae_assets.evaluation.intervals import Flags, Floats, Ints
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import Sample
from ae_assets.evaluation.spells import Lives

COLUMNS = ("day", "entity", "cohort", "score")


@dataclass(frozen=True)
class Groups:
    """Row positions gathered into groups, for one figure per group.

    Attributes:
        rows: positions in the population's rows, group after group.
        starts: where each group begins in `rows`.
    """

    rows: Ints
    starts: Ints

    def highest(self, scores: Floats) -> Floats:
        """The highest score of each group."""
        return np.asarray(np.maximum.reduceat(scores[self.rows], self.starts)) if len(self.starts) else np.empty(0)

    def any(self, flags: Flags) -> Flags:
        """Whether each group has a row with the flag."""
        if not len(self.starts):
            return np.empty(0, np.bool_)
        return np.asarray(np.logical_or.reduceat(flags[self.rows], self.starts))

    def first_day(self, flags: Flags, days: Ints) -> Ints:
        """The earliest day with the flag in each group; the largest integer where there is none."""
        if not len(self.starts):
            return np.empty(0, np.int64)
        never = np.iinfo(np.int64).max
        return np.asarray(np.minimum.reduceat(np.where(flags[self.rows], days[self.rows], never), self.starts))


@dataclass(frozen=True)
class Population:
    """The scored rows of a range and what each of them counts for. Independent of any score.

    Attributes:
        protocol: the rules that were applied.
        sample: how many of what there are.
        rows: `day, entity, cohort` of all scored rows in the range, sorted by entity and day.
        failed: `entity, failed_on, cohort`, one row per failed entity with a scored row in its horizon.
        failed_rows: rows in the horizon of each failed entity, in the order of `failed`.
        pairs: `entity, window, cohort` of the healthy pairs; window counts from 0.
        pair_rows: rows of each healthy pair, in the order of `pairs`.
        healthy_rows: positions of all rows of entities without a failure up to the end of the last horizon.
        failure_day_rows: positions of rows on the day of failure itself.
    """

    protocol: Protocol
    sample: Sample
    rows: pl.DataFrame
    failed: pl.DataFrame
    failed_rows: Groups
    pairs: pl.DataFrame
    pair_rows: Groups
    healthy_rows: Ints
    failure_day_rows: Ints

    @cached_property
    def days(self) -> Ints:
        """Day of each row, in days since 1970-01-01."""
        return self.rows["day"].to_physical().to_numpy().astype(np.int64)

    @cached_property
    def entity_codes(self) -> Ints:
        """A number per row, equal for rows of one entity and ascending."""
        return self.rows["entity"].rle_id().to_numpy().astype(np.int64)

    @cached_property
    def pair_entities(self) -> Ints:
        """A number per healthy pair, equal for pairs of one entity and ascending from 0 without gaps."""
        return self.pairs["entity"].rle_id().to_numpy().astype(np.int64)

    def highest(self, scores: Floats) -> Highest:
        """The highest score of each failed entity and of each healthy pair."""
        return Highest(self.failed_rows.highest(scores), self.pair_rows.highest(scores))

    def align(self, scores: pl.DataFrame, detector: str) -> Floats:
        """The scores of another frame in the order of `rows`.

        Args:
            scores: `day, entity, score`; rows outside the range are ignored, those inside must be exactly the rows that
                the population was made of. Where another detector does not judge a row of this population its score is
                null; it raises no alarm there, so the row is given the lowest score, which no cut lets through.
            detector: whose scores they are, for the message.

        Raises:
            ContractError: a column is missing.
            EvaluationError: other rows than the population's are scored, or a score is NaN.
        """
        inside = _in_range(self.protocol, scores, ("day", "entity", "score"), f"the scores of {detector}")
        given, needed = inside.height, self.rows.height + self.sample.not_judged
        if not self._has_the_rows_of(inside):
            inside = self.rows.select("entity", "day").join(
                inside, on=["entity", "day"], how="inner", maintain_order="left"
            )
        if given != needed or not self._has_the_rows_of(inside):
            raise EvaluationError(
                f"{detector} has {given} rows between {self.protocol.start} and {self.protocol.end}, the population "
                f"{needed} or other ones; detectors are compared on the same rows only, so score the same days and "
                "entities with each"
            )
        lowest = pl.min_horizontal(pl.col("score").min(), 0.0)
        values = inside.select(pl.col("score").fill_null(lowest).cast(pl.Float64)).to_series().to_numpy()
        unknown = int(np.isnan(values).sum())
        if unknown:
            raise EvaluationError(
                f"{unknown} of {len(values)} scores of {detector} are NaN; pass null where a row is not judged"
            )
        return values

    def _has_the_rows_of(self, scores: pl.DataFrame) -> bool:
        return scores["entity"].equals(self.rows["entity"]) and scores["day"].equals(self.rows["day"])


def population_of(protocol: Protocol, lives: Lives, keys: pl.DataFrame) -> Population:
    """Applies the protocol to the rows that were scored.

    Args:
        protocol: range, horizon, windows and follow-up.
        lives: lives of all entities that occur in `keys`, known at least until the end of the range.
        keys: `day, entity, cohort, score`, one row per entity and day; rows outside the range are ignored, and those
            whose score is null, since they were not judged, count for nothing.

    Raises:
        ContractError: a column is missing.
        EvaluationError: no scored row lies in the range, an entity-day occurs twice, an entity has no life, or labels
            end before the range does.
    """
    given = _rows_in_range(protocol, lives, keys)
    rows = given.drop_nulls("score").drop("score")
    if rows.is_empty():
        raise EvaluationError(
            f"none of the {given.height} rows between {protocol.start} and {protocol.end} was judged: their devices "
            "report nothing that the detector's score rests on"
        )
    known = rows.with_row_index("row").join(lives.frame, on="entity", how="left", maintain_order="left")
    failed = _failed(protocol, known)
    failing = lives.frame.filter(_fails_in_range(protocol))
    healthy = known.filter(pl.col("failed_on").is_null() | (pl.col("failed_on") > protocol.healthy_until))
    all_pairs = _pairs(protocol, healthy)
    # Seen at the end of the horizon or, where knowledge ends earlier, at the end of knowledge.
    seen = pl.col("last_day") >= pl.min_horizontal("horizon_end", pl.lit(lives.known_until))
    pairs = all_pairs if protocol.follow_up == "none" else all_pairs.filter(seen)
    sample = Sample(
        start=protocol.start,
        end=protocol.end,
        known_until=lives.known_until,
        horizon_days=protocol.horizon_days,
        window_days=protocol.window_days,
        windows=len(protocol.windows),
        follow_up=protocol.follow_up,
        rows=rows.height,
        days=rows["day"].n_unique(),
        entities=rows["entity"].n_unique(),
        failures=failing.height,
        failed=failed.height,
        unscored=tuple(failing.join(failed, on="entity", how="anti").sort("entity")["entity"]),
        healthy_entities=pairs["entity"].n_unique(),
        healthy_windows=pairs.height,
        censored_windows=all_pairs.height - pairs.height,
        windows_followed_short=pairs.filter(pl.col("horizon_end") > lives.known_until).height,
        healthy_rows=healthy.height,
        base_rate=min(1.0, failing.height / rows.height * protocol.window_days),
        not_judged=given.height - rows.height,
        never_judged=given["entity"].n_unique() - rows["entity"].n_unique(),
    )
    return Population(
        protocol,
        sample,
        rows,
        failed.select("entity", "failed_on", "cohort"),
        _groups(failed),
        pairs.select("entity", "window", "cohort"),
        _groups(pairs),
        _positions(healthy),
        _positions(known.filter(pl.col("day") == pl.col("failed_on"))),
    )


def require_labels(protocol: Protocol, lives: Lives) -> None:
    """Raises EvaluationError unless labels are known up to the end of the range."""
    if lives.known_until < protocol.end:
        raise EvaluationError(
            f"labels are known until {lives.known_until}, the evaluation ends on {protocol.end}; end it earlier or "
            "load the later days"
        )


def _in_range(protocol: Protocol, scores: pl.DataFrame, columns: Sequence[str], whose: str) -> pl.DataFrame:
    if missing := [name for name in columns if name not in scores.columns]:
        raise ContractError(f"{whose} lack {missing}; received the columns {scores.columns}")
    return scores.select(columns).filter(pl.col("day").is_between(protocol.start, protocol.end))


def _rows_in_range(protocol: Protocol, lives: Lives, keys: pl.DataFrame) -> pl.DataFrame:
    rows = _in_range(protocol, keys, COLUMNS, "scored rows").sort("entity", "day")
    require_labels(protocol, lives)
    if rows.is_empty():
        raise EvaluationError(
            f"no row is scored between {protocol.start} and {protocol.end}; materialise anomalies for those days"
        )
    same = (pl.col("entity") == pl.col("entity").shift()) & (pl.col("day") == pl.col("day").shift())
    twice = rows.filter(same)
    if not twice.is_empty():
        first = twice.row(0, named=True)
        raise EvaluationError(
            f"{twice.height} entity-days are scored twice, the first is {first['entity']} on {first['day']}; "
            "give one score per entity and day"
        )
    strangers = rows.join(lives.frame, on="entity", how="anti")
    if not strangers.is_empty():
        raise EvaluationError(
            f"{strangers['entity'].n_unique()} scored entities have no records, the first is {strangers['entity'][0]}; "
            "summarise lives from the records of at least the evaluated days"
        )
    return rows


def _fails_in_range(protocol: Protocol) -> pl.Expr:
    return (pl.col("failed_on") > protocol.start) & (pl.col("failed_on") <= protocol.end)


def _failed(protocol: Protocol, known: pl.DataFrame) -> pl.DataFrame:
    """`entity, failed_on, cohort, row, size`: the first row in the horizon of each failed entity, and how many."""
    before = (pl.col("failed_on") - pl.col("day")).dt.total_days()
    inside = known.filter(_fails_in_range(protocol) & before.is_between(1, protocol.horizon_days))
    return inside.group_by("entity", maintain_order=True).agg(
        pl.col("failed_on").first(), pl.col("cohort").last(), pl.col("row").first(), size=pl.len()
    )


def _pairs(protocol: Protocol, healthy: pl.DataFrame) -> pl.DataFrame:
    """`entity, window, cohort, last_day, row, size, horizon_end` of the pairs, followed or not."""
    window = (pl.col("day") - pl.lit(protocol.start)).dt.total_days() // protocol.window_days
    last_day = (pl.col("window") + 1) * protocol.window_days - 1
    return (
        healthy.with_columns(window=window)
        .filter(pl.col("window") < len(protocol.windows))
        .group_by("entity", "window", maintain_order=True)
        .agg(pl.col("cohort").last(), pl.col("last_day").first(), pl.col("row").first(), size=pl.len())
        .with_columns(
            horizon_end=(pl.lit(protocol.start) + pl.duration(days=last_day + protocol.horizon_days)).cast(pl.Date)
        )
    )


def _groups(groups: pl.DataFrame) -> Groups:
    """Groups of so many rows (`size`) that follow each other in the population's, from the first one (`row`) on."""
    sizes = groups["size"].to_numpy().astype(np.int64)
    starts = np.cumsum(sizes) - sizes
    return Groups(np.arange(int(sizes.sum())) + np.repeat(_positions(groups) - starts, sizes), starts)


def _positions(frame: pl.DataFrame) -> Ints:
    return frame["row"].to_numpy().astype(np.int64)
