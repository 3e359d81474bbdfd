"""The threshold section of a watched table's YAML. A further policy is one more member of the union."""

from typing import Annotated, get_args

from pydantic import Field

from ae_assets.thresholds.alarm_budget import AlarmBudgetConfig
from ae_assets.thresholds.conformal import ConformalConfig
from ae_assets.thresholds.iqr import IqrConfig
from ae_assets.thresholds.labelled import LabelledConfig
from ae_assets.thresholds.peaks_over_threshold import PeaksOverThresholdConfig
from ae_assets.thresholds.percentile import PercentileConfig
from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.target_far import TargetFarConfig

ThresholdConfig = Annotated[
    PercentileConfig
    | IqrConfig
    | AlarmBudgetConfig
    | TargetFarConfig
    | PeaksOverThresholdConfig
    | ConformalConfig
    | LabelledConfig,
    Field(discriminator="policy"),
]


def default_policies() -> dict[str, ThresholdPolicy]:
    """Every policy with its default settings, by the name that the YAML gives it."""
    union, _ = get_args(ThresholdConfig)
    policies = [member() for member in get_args(union)]
    return {policy.name: policy for policy in policies}
