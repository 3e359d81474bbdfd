"""Selection: which detector is best on a table's own history, by folds of the days to learn from.

Where it is known what went wrong, candidates are held against the table's own detector, with an interval. Where nothing
is known, nothing ranks them; it is said how stable each is, how far it agrees with the table's own, and whether a
threshold on its scores keeps its promise.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from ae_assets.chain.folds import Fold, FoldReader, folds_of, ranking, stretch_of
from ae_assets.chain.workspace import Workspace
from ae_assets.detectors import FittedDetector, fit
from ae_assets.detectors.config import DetectorConfig, EnsembleConfig
from ae_assets.detectors.ensemble import FittedEnsemble
from ae_assets.errors import ModelError
from ae_assets.evaluation.gain import Gain, Ranked, gain_in_average_precision, groups_of
from ae_assets.evaluation.promises import Held, held_without_labels
from ae_assets.model.baselines import compared_detectors
from ae_assets.schemas.records import keys_of
from ae_assets.thresholds.config import ThresholdConfig
from ae_assets.thresholds.threshold import fit_threshold

FOLDS = 3
RESAMPLES = 2_000
"""Enough for the far tails that many comparisons ask for."""

ENSEMBLE = "ensemble"
COMBINED = ("pca", "isolation_forest", "ecod")
"""Types of detectors that an ensemble combines with the table's own, the first candidate of each."""


@dataclass(frozen=True)
class Candidate:
    """A detector with what came out of it.

    Attributes:
        name: what tables call it.
        config: its settings.
        failure: why it could not be fitted; the rest is empty then.
        gain: its mean average precision over the folds beside that of the table's own detector; None without labels.
        stability: rank correlation of the scores of the last days by fits on two stretches of days before them.
        agreement: rank correlation of the same scores with those of the table's own detector.
        held: without labels: what the table's threshold promises, fitted on the days before the last, and what came of
            it on the last; None where it could not be fitted on these scores.
        fit_seconds: for the mean fit.
        score_seconds: for the days after a fit, in the mean, reading included.
        stored_bytes: of a stored fit.
    """

    name: str
    config: DetectorConfig
    failure: str = ""
    gain: Gain | None = None
    stability: float | None = None
    agreement: float | None = None
    held: Held | None = None
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    stored_bytes: int = 0


@dataclass(frozen=True)
class Selected:
    """The candidates, the table's own detector first, and the one to take.

    Attributes:
        folds: the days that were used.
        has_labels: whether the candidates could be ranked.
        candidates: all of them.
        recommended: the one with the largest gain among those that are better by more than chance; None: keep the
            table's own.
    """

    folds: tuple[Fold, ...]
    has_labels: bool
    candidates: tuple[Candidate, ...]
    recommended: Candidate | None


@dataclass(frozen=True)
class _Scored:
    """A candidate that was fitted: its fits, its records of each fold, and those of the last by the fit before."""

    candidate: Candidate
    fits: tuple[FittedDetector, ...]
    records: tuple[pl.DataFrame, ...]
    by_earlier_fit: pl.DataFrame


def select(
    space: Workspace,
    days: tuple[date, date],
    on_candidate: Callable[[Candidate], None] = lambda _: None,
    *,
    first: int | None = None,
) -> Selected:
    """Fits and judges the table's detector, its comparisons, every baseline and an ensemble on folds of some days.

    The intervals hold together: they are so wide that it is unlikely that any candidate is mistaken for better.

    Args:
        space: the table; its features must be there.
        days: first and last day to use.
        on_candidate: is told each candidate once it is fitted; its gain follows.
        first: where the table counts by the days or records of each device: how many are used; None: those that a model
            and its threshold learn from.

    Raises:
        ModelError: the range is too short, nothing is known to have gone wrong on the days of a fold of a table with
            labels, or the table's own detector cannot be fitted.
    """
    table = space.table
    folds = folds_of(table.periods, stretch_of(table, days, first), FOLDS)
    reader = FoldReader(space, folds)
    has_labels = table.target_kind is not None
    if has_labels:
        reader.require_labels("")
    scored: list[_Scored] = []
    failed: list[Candidate] = []
    for one in compared_detectors(table, comparisons=True, baselines=True):
        try:
            scored.append(_fitted(reader, one.name, one.config))
            on_candidate(scored[-1].candidate)
        except ModelError as error:
            if not scored:
                raise
            failed.append(Candidate(one.name, one.config, str(error)))
            on_candidate(failed[-1])
    if (ensemble := _ensemble(reader, scored)) is not None:
        scored.append(ensemble)
        on_candidate(ensemble.candidate)
    own, count = scored[0], max(len(scored) - 1, 1)
    candidates = [
        replace(
            one.candidate,
            gain=_gain(own, one, count) if has_labels else None,
            stability=_agreement(one.by_earlier_fit, one.records[-1]),
            agreement=_agreement(own.records[-1], one.records[-1]),
            held=None if has_labels else _held(table.threshold, one),
        )
        for one in scored
    ]
    return Selected(folds, has_labels, (*candidates, *failed), _best(candidates))


def _best(candidates: Sequence[Candidate]) -> Candidate | None:
    """The one with the largest gain among those that are better by more than chance."""
    gains = [(one.gain.difference, one) for one in candidates if one.gain is not None and one.gain.is_beyond_chance]
    return max(gains, key=lambda pair: pair[0])[1] if gains else None


def _fitted(reader: FoldReader, name: str, config: DetectorConfig) -> _Scored:
    began = time.perf_counter()
    fits = [
        fit(config, reader.windows(number, config.window).data, reader.space.progress)
        for number in range(len(reader.folds))
    ]
    return _scored(reader, Candidate(name, config, fit_seconds=(time.perf_counter() - began) / len(fits)), fits)


def _ensemble(reader: FoldReader, scored: Sequence[_Scored]) -> _Scored | None:
    """The table's own detector with others of other kinds, as they are fitted already; None where there is no other."""
    own, *others = scored
    if own.candidate.config.type == ENSEMBLE:
        return None
    first = {one.candidate.config.type: one for one in reversed(others)}
    members = [own, *(first[kind] for kind in COMBINED if kind in first and kind != own.candidate.config.type)]
    if len(members) < 2:
        return None
    config = EnsembleConfig(members=tuple(one.candidate.config for one in members))
    began = time.perf_counter()
    fits = [
        FittedEnsemble.of(config, [one.fits[number] for one in members], reader.windows(number, config.window).data)
        for number in range(len(reader.folds))
    ]
    combining = (time.perf_counter() - began) / len(fits)
    seconds = combining + sum(one.candidate.fit_seconds for one in members)
    return _scored(reader, Candidate(ENSEMBLE, config, fit_seconds=seconds), fits)


def _scored(reader: FoldReader, candidate: Candidate, fits: Sequence[FittedDetector]) -> _Scored:
    """What fits say of the days after each of them."""
    began, last = time.perf_counter(), len(fits) - 1
    records = [reader.scores(one, number) for number, one in enumerate(fits)]
    seconds = (time.perf_counter() - began) / len(fits)
    measured = replace(candidate, score_seconds=seconds, stored_bytes=_stored_bytes(fits[last]))
    return _Scored(measured, tuple(fits), tuple(records), reader.scores(fits[last - 1], last))


def _held(policy: ThresholdConfig, one: _Scored) -> Held | None:
    """What becomes of a threshold that is fitted on the days before the last ones, by the fit before these."""
    try:
        return held_without_labels(fit_threshold(policy, one.records[-2].drop("abnormal")), one.by_earlier_fit)
    except ModelError:
        return None


def _gain(own: _Scored, other: _Scored, comparisons: int) -> Gain:
    """What a candidate gains on the table's own detector over the folds, on the records that count for both."""
    stretches = []
    for before, after in zip(own.records, other.records, strict=True):
        both = _joined(before, after)
        if both["abnormal"].any():
            scores = (ranking(both), ranking(both.with_columns(score="other")))
            stretches.append(Ranked(both["abnormal"].to_numpy(), *scores, groups_of(both)))
    if not stretches:
        raise ModelError(
            "no record of the days to judge by is abnormal; name a longer range (--train-start and --train-end)"
        )
    return gain_in_average_precision(stretches, comparisons=comparisons, resamples=RESAMPLES)


def _agreement(first: pl.DataFrame, second: pl.DataFrame) -> float | None:
    """The rank correlation of the scores of records that both judge; None where one of them tells none apart."""
    both = _joined(first, second).drop_nulls(["score", "other"])
    if min(both["score"].n_unique(), both["other"].n_unique()) < 2:
        return None
    ranks = both.select(pl.corr("score", "other", method="spearman"))
    return float(ranks.item())


def _joined(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """The records of both, with the score of the second as ``other``."""
    keys = list(keys_of(first.columns))
    return first.join(second.select(*keys, other="score"), on=keys, how="inner", maintain_order="left")


def _stored_bytes(fitted: FittedDetector) -> int:
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(Path(folder))
        return int(np.sum([path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()]))
