"""The threshold section of a watched table's YAML. A further policy is one more member of the union."""

from typing import TypeAlias

from ae_assets.thresholds.percentile import PercentileConfig

__all__ = ["PercentileConfig", "ThresholdConfig"]

# With a second member: Annotated[PercentileConfig | OtherConfig, Field(discriminator="policy")]. Pydantic refuses a
# discriminator on a union of one.
ThresholdConfig: TypeAlias = PercentileConfig
