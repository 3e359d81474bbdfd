"""The threshold section of a watched table's YAML: the policies of this package, and those that others add."""

from typing import Annotated

from ae_assets.plugins import Kinds
from ae_assets.thresholds.policy import ThresholdPolicy

POLICY_KINDS = Kinds[ThresholdPolicy](
    tag="policy",
    group="ae_assets.thresholds",
    bases=(ThresholdPolicy,),
    own={
        "percentile": "ae_assets.thresholds.percentile:PercentileConfig",
        "iqr": "ae_assets.thresholds.iqr:IqrConfig",
        "alarm_budget": "ae_assets.thresholds.alarm_budget:AlarmBudgetConfig",
        "target_far": "ae_assets.thresholds.target_far:TargetFarConfig",
        "peaks_over_threshold": "ae_assets.thresholds.peaks_over_threshold:PeaksOverThresholdConfig",
        "conformal": "ae_assets.thresholds.conformal:ConformalConfig",
        "labelled": "ae_assets.thresholds.labelled:LabelledConfig",
    },
)

ThresholdConfig = Annotated[ThresholdPolicy, POLICY_KINDS]
"""Any policy with its settings."""


def default_policies() -> dict[str, ThresholdPolicy]:
    """Every policy of this package with its default settings, by the name that the YAML gives it."""
    return {name: policy.model_validate({"policy": name}) for name, policy in POLICY_KINDS.own_kinds().items()}
