"""The threshold section of a watched table's YAML: the policies of this package, and those that others add."""

from typing import Annotated

from ae_assets.plugins import Kinds
from ae_assets.thresholds.alarm_budget import AlarmBudgetConfig
from ae_assets.thresholds.conformal import ConformalConfig
from ae_assets.thresholds.iqr import IqrConfig
from ae_assets.thresholds.labelled import LabelledConfig
from ae_assets.thresholds.peaks_over_threshold import PeaksOverThresholdConfig
from ae_assets.thresholds.percentile import PercentileConfig
from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.target_far import TargetFarConfig

POLICY_KINDS = Kinds[ThresholdPolicy](
    tag="policy",
    group="ae_assets.thresholds",
    bases=(ThresholdPolicy,),
    own={
        "percentile": PercentileConfig,
        "iqr": IqrConfig,
        "alarm_budget": AlarmBudgetConfig,
        "target_far": TargetFarConfig,
        "peaks_over_threshold": PeaksOverThresholdConfig,
        "conformal": ConformalConfig,
        "labelled": LabelledConfig,
    },
)

ThresholdConfig = Annotated[ThresholdPolicy, POLICY_KINDS]
"""Any policy with its settings."""


def default_policies() -> dict[str, ThresholdPolicy]:
    """Every policy of this package with its default settings, by the name that the YAML gives it."""
    return {name: policy.model_validate({"policy": name}) for name, policy in POLICY_KINDS.own.items()}
