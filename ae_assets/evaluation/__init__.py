"""The drive-level protocol: detection and false alarms per entity, with intervals. Thresholds are chosen elsewhere."""

from ae_assets.evaluation.compare import compare
from ae_assets.evaluation.evaluate import compare_on, evaluate, judge_threshold, judge_threshold_on
from ae_assets.evaluation.intervals import Rate, clopper_pearson, clustered_rate, lower_bound, rate, upper_bound
from ae_assets.evaluation.lives import Lives, lives_of
from ae_assets.evaluation.pooling import Pooled, PooledPoint, pooled
from ae_assets.evaluation.population import Population, population_of, require_labels
from ae_assets.evaluation.promises import CalibrationTable, PromiseResult, calibration_table
from ae_assets.evaluation.protocol import FALSE_ALARM_RATES, Protocol
from ae_assets.evaluation.results import (
    CohortResult,
    Comparison,
    DetectionCurve,
    Difference,
    Evaluation,
    OperatingPoint,
    Sample,
)
from ae_assets.evaluation.rolling import Origin, Split, judge_split, origins
from ae_assets.evaluation.verdicts import (
    Outcome,
    Verdict,
    detection_rate_is_acceptable,
    false_alarm_rate_is_acceptable,
    verdict,
)

__all__ = [
    "FALSE_ALARM_RATES",
    "CalibrationTable",
    "CohortResult",
    "Comparison",
    "DetectionCurve",
    "Difference",
    "Evaluation",
    "Lives",
    "OperatingPoint",
    "Origin",
    "Outcome",
    "Pooled",
    "PooledPoint",
    "Population",
    "PromiseResult",
    "Protocol",
    "Rate",
    "Sample",
    "Split",
    "Verdict",
    "calibration_table",
    "clopper_pearson",
    "clustered_rate",
    "compare",
    "compare_on",
    "detection_rate_is_acceptable",
    "evaluate",
    "false_alarm_rate_is_acceptable",
    "judge_split",
    "judge_threshold",
    "judge_threshold_on",
    "lives_of",
    "lower_bound",
    "origins",
    "pooled",
    "population_of",
    "rate",
    "require_labels",
    "upper_bound",
    "verdict",
]
