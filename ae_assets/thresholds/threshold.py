"""The fitted threshold: its cut, the policy that chose it, and the calibration curve that says how rare a score is."""

import json
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from ae_assets.errors import ContractError, ModelError
from ae_assets.plugins import STORED
from ae_assets.schemas.daily import of_days
from ae_assets.schemas.records import ENTITY, PERIOD, TIME
from ae_assets.thresholds.config import ThresholdConfig
from ae_assets.thresholds.curve import CalibrationCurve
from ae_assets.thresholds.failures import KnownFailures
from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.promise import Promise

FORMAT_VERSION = 2
CURVE = TypeAdapter(CalibrationCurve)
CALIBRATION_COLUMNS = ("day", "entity", "cohort", "score")


@dataclass(frozen=True)
class Threshold:
    """A cut on a detector's score.

    Attributes:
        cut: the cut that was fitted. A day may have a higher or a lower one: `cuts`.
        policy: the policy that chose the cut, as it stood in the YAML.
        calibration: distribution of the calibration scores of healthy entities.
    """

    cut: float
    policy: ThresholdPolicy
    calibration: CalibrationCurve

    @property
    def promise(self) -> Promise:
        return self.policy.promise()

    def cuts(self, keys: pl.DataFrame, scores: pl.Series) -> pl.Series:
        """The cut that each row is held against: its entity has an alarm when its score is strictly above.

        Args:
            keys: ``day`` of each row (n,), and ``time`` and ``entity`` where an entity has several records in a period;
                of a day all rows are given. A cut that follows the day counts an entity once, with its highest score.
            scores: the score of each row (n,); null = not judged, or not to be counted where a policy lets the cut
                follow the scores of a day, as of those that are muted.

        Returns:
            Float64 (n,), named ``cut``.

        Raises:
            ContractError: a score is NaN.
        """
        days = self.cuts_of_days(self.counted(keys, scores))
        return keys.select(PERIOD).join(days, on=PERIOD, maintain_order="left")["cut"]

    def counted(self, keys: pl.DataFrame, scores: pl.Series) -> pl.DataFrame:
        """``day, score`` of what `cuts` takes: the scores that a cut may follow, of each entity and day the highest."""
        several = TIME in keys.columns
        rows = keys.select(PERIOD, *([ENTITY] if several else []), score=_known(scores))
        return rows.group_by(PERIOD, ENTITY).agg(pl.col("score").max()).drop(ENTITY) if several else rows

    def cuts_of_days(self, counted: pl.DataFrame) -> pl.DataFrame:
        """``day, cut`` of all the ``day, score`` that `counted` gives, of each day."""
        days = counted.group_by(PERIOD).agg(pl.col("score").drop_nulls()).sort(PERIOD)
        cuts = [self._cut_of_day(values.to_numpy()) for values in days["score"]]
        return days.select(PERIOD, pl.Series("cut", cuts, dtype=pl.Float64))

    def _cut_of_day(self, scores: NDArray[np.float64]) -> float:
        return self.policy.cut_of_day(self.cut, self.calibration, scores) if len(scores) else self.cut

    def severity(self, scores: pl.Series) -> pl.Series:
        """Tail probability of each score under calibration, in (0, 1]; the smaller, the more anomalous.

        It is null where the score is. Raises ContractError where a score is NaN.
        """
        known = _known(scores)
        tail = pl.Series("severity", self.calibration.tail_probability(known.fill_null(0.0).to_numpy()), pl.Float64)
        return pl.select(pl.when(known.is_not_null()).then(tail).alias("severity")).to_series()

    def to_json(self) -> str:
        """The threshold as JSON text with a format version."""
        content = {
            "format_version": FORMAT_VERSION,
            "cut": self.cut,
            "policy": self.policy.model_dump(mode="json"),
            "calibration": CURVE.dump_python(self.calibration, mode="json"),
        }
        return json.dumps(content, indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Threshold":
        """The threshold that `to_json` wrote.

        Raises:
            ModelError: the text is no threshold, or was written in another format version.
        """
        try:
            content = json.loads(text)
            version = content["format_version"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ModelError(
                f"received {text[:60]!r}, expected a threshold as JSON with a format_version; fit the threshold again"
            ) from error
        if version != FORMAT_VERSION:
            raise ModelError(
                f"the threshold has format version {version!r}, this release reads {FORMAT_VERSION}; "
                "fit the threshold again"
            )
        try:
            policy = TypeAdapter[ThresholdPolicy](ThresholdConfig).validate_python(content["policy"], context=STORED)
        except ValidationError as error:
            raise ModelError(
                f"the threshold was fitted by a policy that this release does not have ({content['policy']}); "
                "fit the threshold again"
            ) from error
        except KeyError as error:
            raise ModelError(f"the threshold file is incomplete ({error!r}); fit the threshold again") from error
        try:
            return cls(float(content["cut"]), policy, CURVE.validate_python(content["calibration"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the threshold file is incomplete ({error!r}); fit the threshold again") from error


def fit_threshold(config: ThresholdPolicy, calibration: pl.DataFrame) -> Threshold:
    """Chooses a cut on calibration scores.

    Args:
        config: the policy, one of `ThresholdConfig`.
        calibration: `day, entity, cohort, score`, with `time` where an entity has several records in a period, one row
            per record; the caller chooses days after training. A row whose score is null was not judged and counts for
            nothing. And `fails_in`, whole days from the row to the entity's failure where one is known, null elsewhere:
            an entity with such a row is known to fail, and only a policy that needs failures sees it. Such rows may be
            of earlier days. Without the column no entity is known to fail.

    Raises:
        ContractError: a column is missing, or a score is not finite.
        ModelError: there are no judged rows of healthy entities, or they do not bear what the policy promises.
    """
    _check(calibration)
    judged = calibration.with_columns(pl.col("score").cast(pl.Float64)).drop_nulls("score")
    scores = judged.with_columns(pl.col(PERIOD).cast(pl.Date)) if config.by_record else of_days(judged)
    healthy = _healthy(scores)
    return Threshold(
        cut=config.cut(scores if config.sees_failures else healthy),
        policy=config,
        calibration=CalibrationCurve.of(healthy),
    )


def _healthy(scores: pl.DataFrame) -> pl.DataFrame:
    """The rows of entities that are not known to fail."""
    healthy = KnownFailures.of(scores).healthy.drop("fails_in")
    if healthy.is_empty():
        raise ModelError(
            f"all {scores['entity'].n_unique()} entities of calibration are known to fail; choose a calibration range "
            "with healthy entities"
        )
    return healthy


def _check(calibration: pl.DataFrame) -> None:
    missing = [name for name in CALIBRATION_COLUMNS if name not in calibration.columns]
    if missing:
        raise ContractError(f"calibration scores lack {missing}; received the columns {calibration.columns}")
    if calibration.is_empty():
        raise ModelError(
            "no calibration scores were received; choose a calibration range that holds scored days after training"
        )
    if calibration["score"].null_count() == calibration.height:
        raise ModelError(
            f"none of the {calibration.height} calibration rows was judged: the devices report nothing that the "
            "detector's score rests on; choose a detector that looks at what they report, or another calibration range"
        )
    unusable = calibration.filter(~pl.col("score").is_finite())
    if not unusable.is_empty():
        first = unusable.row(0, named=True)
        raise ContractError(
            f"{unusable.height} of {calibration.height} calibration scores are not finite, the first is "
            f"{first['score']} of {first['entity']} on {first['day']}; pass null where a row is not judged"
        )


def _known(scores: pl.Series) -> pl.Series:
    values = scores.cast(pl.Float64)
    if unknown := int(values.is_nan().sum()):
        raise ContractError(f"{unknown} of {len(values)} scores are NaN; pass null where a row is not judged")
    return values
