"""The fitted threshold: its cut, the policy that chose it, and the calibration curve that says how rare a score is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from ae_assets.errors import ContractError, ModelError
from ae_assets.thresholds.curve import CalibrationCurve
from ae_assets.thresholds.policy import ThresholdPolicy

FORMAT_VERSION = 1
CALIBRATION_COLUMNS = ("day", "entity", "cohort", "score")


@dataclass(frozen=True)
class Threshold:
    """A cut on a detector's score.

    Attributes:
        cut: an entity-day is an alarm when its score is strictly above this.
        policy: the configuration of the policy that chose the cut, as it stood in the YAML.
        calibration: distribution of the calibration scores.
    """

    cut: float
    policy: Mapping[str, Any]
    calibration: CalibrationCurve

    def is_anomaly(self, score: ArrayLike) -> NDArray[np.bool_]:
        """Whether each score is over the cut; equal to it is not.

        Raises:
            ContractError: a score is NaN.
        """
        return np.asarray(_known(score) > self.cut)

    def severity(self, score: ArrayLike) -> NDArray[np.float64]:
        """Tail probability of each score under calibration, in (0, 1]; the smaller, the more anomalous.

        Raises:
            ContractError: a score is NaN.
        """
        return self.calibration.tail_probability(_known(score))

    def to_json(self) -> str:
        """The threshold as JSON text with a format version."""
        content = {
            "format_version": FORMAT_VERSION,
            "cut": self.cut,
            "policy": dict(self.policy),
            "calibration": self.calibration.as_dict(),
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
            return cls(
                cut=float(content["cut"]),
                policy=content["policy"],
                calibration=CalibrationCurve.from_dict(content["calibration"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the threshold file is incomplete ({error!r}); fit the threshold again") from error


def fit_threshold(config: ThresholdPolicy, calibration: pl.DataFrame) -> Threshold:
    """Chooses a cut on calibration scores.

    Args:
        config: the policy, one of `ThresholdConfig`.
        calibration: `day, entity, cohort, score`, one row per entity and day. The caller chooses days after training
            and leaves out what the policy must not see; labelled policies may read further columns.

    Raises:
        ContractError: a column is missing, or a score is missing or not finite.
        ModelError: there are no rows.
    """
    _check(calibration)
    scores = calibration.with_columns(pl.col("score").cast(pl.Float64))
    return Threshold(
        cut=config.cut(scores),
        policy=config.model_dump(mode="json"),
        calibration=CalibrationCurve.of(scores),
    )


def _check(calibration: pl.DataFrame) -> None:
    missing = [name for name in CALIBRATION_COLUMNS if name not in calibration.columns]
    if missing:
        raise ContractError(f"calibration scores lack {missing}; received the columns {calibration.columns}")
    if calibration.is_empty():
        raise ModelError(
            "no calibration scores were received; choose a calibration range that holds scored days after training"
        )
    unusable = calibration.filter(pl.col("score").is_null() | ~pl.col("score").is_finite())
    if not unusable.is_empty():
        first = unusable.row(0, named=True)
        raise ContractError(
            f"{unusable.height} of {calibration.height} calibration scores are missing or not finite, the first is "
            f"{first['score']} of {first['entity']} on {first['day']}; the detector must score every row it is given"
        )


def _known(score: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(score, dtype=np.float64)
    unknown = int(np.isnan(values).sum())
    if unknown:
        raise ContractError(f"{unknown} of {values.size} scores are NaN; the detector must score every row it is given")
    return values
