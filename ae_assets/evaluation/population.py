"""Who counts: the failed entities and healthy windows of a range, and the rows of scores that belong to each."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.errors import ContractError, EvaluationError
from ae_assets.evaluation.lives import Lives
from ae_assets.evaluation.protocol import Protocol

COLUMNS = ("day", "entity", "cohort", "score")
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Groups:
    """Row positions gathered into groups, for one maximum per group.

    Attributes:
        rows: positions in the population's rows, group after group.
        starts: where each group begins in `rows`.
    """

    rows: Ints
    starts: Ints

    def highest(self, scores: Floats) -> Floats:
        """The highest score of each group."""
        if len(self.starts) == 0:
            return np.empty(0)
        return np.asarray(np.maximum.reduceat(scores[self.rows], self.starts))

    def any(self, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether each group has a row with the flag."""
        return self.highest(flags.astype(np.float64)) > 0

    def first_day_over(self, scores: Floats, days: Ints, cut: float) -> Ints:
        """The earliest day with a score over the cut in each group; the largest integer where there is none."""
        if len(self.starts) == 0:
            return np.empty(0, np.int64)
        never = np.iinfo(np.int64).max
        return np.asarray(np.minimum.reduceat(np.where(scores[self.rows] > cut, days[self.rows], never), self.starts))


@dataclass(frozen=True)
class Population:
    """The scored rows of a range and what each of them counts for. Independent of any score.

    Attributes:
        protocol: the rules that were applied.
        known_until: labels after this day were not available.
        rows: `day, entity, cohort` of all scored rows in the range, sorted by entity and day.
        not_judged: rows of the range without a score; they count for nothing.
        never_judged: entities that have only such rows in the range.
        failed: `entity, failed_on, cohort`, one row per failed entity with a scored row in its horizon.
        failed_rows: rows in the horizon of each failed entity, in the order of `failed`.
        unscored: entities that failed in the range without a scored row in their horizon.
        pairs: `entity, window, cohort` of the healthy pairs; window counts from 0.
        pair_rows: rows of each healthy pair, in the order of `pairs`.
        censored: number of pairs left out because the entity was not seen at the end of the horizon.
        followed_short: number of `pairs` whose horizon ends after `known_until`.
        healthy_rows: positions of all rows of entities without a failure up to the end of the last horizon.
        failure_day_rows: positions of rows on the day of failure itself.
        failures: entities that failed in (start, end], scored or not.
    """

    protocol: Protocol
    known_until: date
    rows: pl.DataFrame
    failed: pl.DataFrame
    failed_rows: Groups
    unscored: tuple[str, ...]
    pairs: pl.DataFrame
    pair_rows: Groups
    censored: int
    followed_short: int
    healthy_rows: Ints
    failure_day_rows: Ints
    failures: int
    not_judged: int
    never_judged: int

    @cached_property
    def days(self) -> Ints:
        """Day of each row, in days since 1970-01-01."""
        return self.rows["day"].to_physical().to_numpy().astype(np.int64)

    @cached_property
    def entity_codes(self) -> Ints:
        """A number per row, equal for rows of one entity and ascending."""
        return self.rows["entity"].rle_id().to_numpy().astype(np.int64)

    @property
    def base_rate(self) -> float:
        """Failures per entity and window: failures over entity-days, times the length of a window; at most 1."""
        return min(1.0, self.failures / self.rows.height * self.protocol.window_days)

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
        needed = ("day", "entity", "score")
        missing = [name for name in needed if name not in scores.columns]
        if missing:
            raise ContractError(f"the scores of {detector} lack {missing}; received the columns {scores.columns}")
        inside = scores.select(needed).filter(pl.col("day").is_between(self.protocol.start, self.protocol.end))
        given = inside.height
        if not self._has_the_rows_of(inside):
            inside = self.rows.select("entity", "day").join(
                inside, on=["entity", "day"], how="inner", maintain_order="left"
            )
        if given != self.rows.height + self.not_judged or not self._has_the_rows_of(inside):
            raise EvaluationError(
                f"{detector} has {given} rows between {self.protocol.start} and {self.protocol.end}, the population "
                f"{self.rows.height + self.not_judged} or other ones; detectors are compared on the same rows only, so "
                "score the same days and entities with each"
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
    failed, failed_rows = _failed(protocol, known)
    failing = lives.frame.filter(_fails_in_range(protocol))
    healthy = known.filter(pl.col("failed_on").is_null() | (pl.col("failed_on") > protocol.healthy_until))
    pairs, pair_rows, censored, followed_short = _pairs(protocol, lives.known_until, healthy)
    return Population(
        protocol=protocol,
        known_until=lives.known_until,
        rows=rows,
        failed=failed,
        failed_rows=failed_rows,
        unscored=tuple(failing.join(failed, on="entity", how="anti").sort("entity")["entity"]),
        pairs=pairs,
        pair_rows=pair_rows,
        censored=censored,
        followed_short=followed_short,
        healthy_rows=_positions(healthy),
        failure_day_rows=_positions(known.filter(pl.col("day") == pl.col("failed_on"))),
        failures=failing.height,
        not_judged=given.height - rows.height,
        never_judged=given["entity"].n_unique() - rows["entity"].n_unique(),
    )


def require_labels(protocol: Protocol, lives: Lives) -> None:
    """Raises EvaluationError unless labels are known up to the end of the range."""
    if lives.known_until < protocol.end:
        raise EvaluationError(
            f"labels are known until {lives.known_until}, the evaluation ends on {protocol.end}; end it earlier or "
            "load the later days"
        )


def _rows_in_range(protocol: Protocol, lives: Lives, keys: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in COLUMNS if name not in keys.columns]
    if missing:
        raise ContractError(f"scored rows lack {missing}; received the columns {keys.columns}")
    require_labels(protocol, lives)
    rows = keys.select(COLUMNS).filter(pl.col("day").is_between(protocol.start, protocol.end)).sort("entity", "day")
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


def _failed(protocol: Protocol, known: pl.DataFrame) -> tuple[pl.DataFrame, Groups]:
    before = (pl.col("failed_on") - pl.col("day")).dt.total_days()
    inside = known.filter(_fails_in_range(protocol) & before.is_between(1, protocol.horizon_days))
    failed = inside.group_by("entity", maintain_order=True).agg(
        pl.col("failed_on").first(), pl.col("cohort").last(), pl.len().alias("size")
    )
    return failed.drop("size"), Groups(_positions(inside), _starts(failed))


def _pairs(protocol: Protocol, known_until: date, healthy: pl.DataFrame) -> tuple[pl.DataFrame, Groups, int, int]:
    window = (pl.col("day") - pl.lit(protocol.start)).dt.total_days() // protocol.window_days
    horizon_end = (
        pl.lit(protocol.start)
        + pl.duration(days=(pl.col("window") + 1) * protocol.window_days - 1 + protocol.horizon_days)
    ).cast(pl.Date)
    pairs = (
        healthy.with_columns(window.alias("window"))
        .filter(pl.col("window") < len(protocol.windows))
        .group_by("entity", "window", maintain_order=True)
        .agg(
            pl.col("cohort").last(),
            pl.col("last_day").first(),
            pl.col("row").first(),
            pl.len().alias("size"),
        )
        .with_columns(horizon_end.alias("horizon_end"))
    )
    seen_until = pl.min_horizontal("horizon_end", pl.lit(known_until))
    followed = pl.lit(True) if protocol.follow_up == "none" else pl.col("last_day") >= seen_until
    kept = pairs.filter(followed)
    sizes = kept["size"].to_numpy().astype(np.int64)
    starts = _starts(kept)
    # Rows of a pair are neighbours in `rows`: an ascending run from the pair's first row.
    within = np.arange(int(sizes.sum())) - np.repeat(starts, sizes)
    rows = np.repeat(_positions(kept), sizes) + within
    followed_short = kept.filter(pl.col("horizon_end") > known_until).height
    return kept.select("entity", "window", "cohort"), Groups(rows, starts), pairs.height - kept.height, followed_short


def _positions(frame: pl.DataFrame) -> Ints:
    return frame["row"].to_numpy().astype(np.int64)


def _starts(groups: pl.DataFrame) -> Ints:
    sizes = groups["size"].to_numpy().astype(np.int64)
    return np.concatenate([np.zeros(min(len(sizes), 1), np.int64), np.cumsum(sizes)[:-1]])
