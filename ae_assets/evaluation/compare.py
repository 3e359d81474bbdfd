"""Several detectors' scores on the same days and entities, side by side."""

from collections.abc import Mapping

import polars as pl

from ae_assets.errors import EvaluationError
from ae_assets.evaluation.evaluate import RESAMPLES, compare_on
from ae_assets.evaluation.lives import Lives
from ae_assets.evaluation.population import population_of
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import Comparison


def compare(
    scores: Mapping[str, pl.DataFrame],
    lives: Lives,
    protocol: Protocol,
    *,
    reference: str | None = None,
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compares detectors on one split, each at the same false alarm rates, with paired intervals of the differences.

    Args:
        scores: for each detector by name `day, entity, cohort, score`, null = not judged; all must have the same rows
            of the range. Those that the reference does not judge count for nobody, and on those that another detector
            does not judge it raises no alarm.
        lives: lives of all scored entities.
        protocol: range and rules.
        reference: the detector that the others are compared with; the first one by default.
        thresholds: for each detector further cuts to judge, by name.
        resamples: bootstrap resamples of entities.
        seed: of the bootstrap.

    Raises:
        ContractError: a column is missing.
        EvaluationError: there is no detector, nothing to judge, or a detector scores other rows than the first.
    """
    if not scores:
        raise EvaluationError("no detector was given to compare; pass the scores of at least one")
    population = population_of(protocol, lives, scores.get(reference or "", next(iter(scores.values()))))
    return compare_on(population, scores, thresholds=thresholds, reference=reference, resamples=resamples, seed=seed)
