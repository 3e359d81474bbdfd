"""Settings of the detectors, as they stand in a table's YAML. Nothing here imports a library that fits."""

from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    FieldSerializationInfo,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    WithJsonSchema,
    field_serializer,
    model_validator,
)

from ae_assets.detectors.search import Between, OneOf, SearchSpace
from ae_assets.detectors.settings import DayDetectorConfig, FeatureNames, Preprocessing, WindowDetectorConfig
from ae_assets.plugins import Kinds
from ae_assets.schemas.durations import DAY, Duration


class _RuleConfig(DayDetectorConfig):
    """Baseline without a fit: the sum of what some features are above 0."""

    implementation = "ae_assets.detectors.rule:FittedRule"
    either_way: ClassVar[bool] = False
    """Whether a feature below 0 counts as much as one above."""
    features: FeatureNames = Field(description="Features to add up; one that is missing or below 0 adds nothing.")


class CounterRuleConfig(_RuleConfig):
    """Baseline without a fit: the sum of log counters, e.g. smart_5_level and smart_197_level."""

    type: Literal["counter_rule"] = "counter_rule"


class GrowthRuleConfig(_RuleConfig):
    """Baseline without a fit: the sum of how much counters grew over a span, e.g. smart_5_growth_28d."""

    type: Literal["growth_rule"] = "growth_rule"


class ExcessRuleConfig(_RuleConfig):
    """Without a fit: how far values and their means lie outside of the range of the device's past, added up.

    The features are those of the transform excess, e.g. value_excess and value_excess_2h.
    """

    type: Literal["excess_rule"] = "excess_rule"


class LastValueConfig(_RuleConfig):
    """Baseline without a fit: each value is expected to be the one before, e.g. value_growth_5m.

    The features are growths, of which those that fall count as those that rise.
    """

    either_way = True
    type: Literal["last_value"] = "last_value"


class OrdinalConfig(DayDetectorConfig):
    """Which steps counters have reached, held against those that are usual, with heads that learn from failures.

    The counters' levels and growths are coded as steps ("above 0", "above 1", "above 2", "above 4", ...). A model that
    knows cohort, age and missing attributes learns by Bernoulli likelihood which steps healthy drives have set; with a
    bottleneck above 0 it is an autoencoder, which sees the steps as well. The error of a drive-day is the negative
    log-likelihood of the steps that it has set, one-sided, since a counter that is lower than expected is no wear.
    Where failures are known, small networks learn to tell drive-days before them from healthy ones. Error and opinions
    become tail probabilities among healthy drive-days; the score is the sum of their negative logarithms (Fisher 1932,
    section 21.1).
    """

    implementation = "ae_assets.detectors.ordinal:FittedOrdinal"
    searched: ClassVar[SearchSpace] = {
        "units": OneOf((16, 32, 64)),
        "heads": OneOf((0, 1, 2, 3)),
        "head_units": OneOf((16, 32, 64)),
        "epochs": Between(5, 30),
        "learning_rate": Between(3e-4, 1e-2, log=True),
        "decay": Between(1e-5, 1e-2, log=True),
        "cohort_decay": Between(1e-5, 1e-2, log=True),
    }
    type: Literal["ordinal"] = "ordinal"
    counters: FeatureNames = Field(
        description="Prefixes of the counters to code, e.g. smart_5 for smart_5_level and smart_5_growth_28d."
    )
    judged: FeatureNames = Field(description="Those of the counters whose surprise counts as error.")
    age: str | None = Field(None, description="Log-hours feature that holds the age, e.g. smart_9_level.")
    steps: tuple[int, ...] = Field(
        (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 65535),
        min_length=1,
        description="A step is set where a counter, or its growth, is above this number.",
    )
    age_days: tuple[PositiveInt, ...] = Field(
        (2, 7, 14, 30, 60, 120, 240, 365, 547, 730, 1095, 1460),
        description="Ages that are told apart, in days of operation.",
    )
    units: PositiveInt = Field(32, description="Width of the encoder's hidden layer (tanh).")
    bottleneck: int = Field(0, ge=0, description="Width of the code; at 0 steps depend on cohort and context alone.")
    heads: int = Field(
        3,
        ge=0,
        description="Networks that learn from labelled failures, in turn one that knows the cohort, one that does not, "
        "and one without hidden layer; 0 leaves labels unused.",
    )
    head_units: PositiveInt = Field(32, description="Width of a head's hidden layer (SiLU).")
    least_failures: PositiveInt = Field(20, description="Failed entities below which no head is trained.")
    epochs: PositiveInt = Field(15, description="Epochs of 100 gradient steps, the rate falling to 0 by a cosine.")
    batch_size: PositiveInt = Field(2048, description="Drive-days per gradient step.")
    learning_rate: PositiveFloat = Field(0.003, description="First step size of Adam.")
    decay: float = Field(1e-4, ge=0, description="Quadratic penalty on weights.")
    cohort_decay: float = Field(
        3e-4, ge=0, description="Quadratic penalty on what heads learn of single cohorts; they are few drives each."
    )
    seed: int = Field(7, ge=0, lt=2**31, description="Fixes initial weights and batches.")

    @model_validator(mode="after")
    def _judged_are_counters(self) -> Self:
        strangers = [name for name in self.judged if name not in self.counters]
        if strangers:
            raise ValueError(f"judged must name counters; {strangers} are not among {list(self.counters)}")
        if list(self.steps) != sorted(set(self.steps)) or self.steps[0] < 0:
            raise ValueError(f"steps must rise from 0 or more, received {list(self.steps)}")
        return self


class _FittedConfig(DayDetectorConfig):
    """Baseline that is fitted on a sample of the training windows."""

    features: FeatureNames | None = Field(
        None, description="Features to look at; all features of the table where left out."
    )
    max_windows: PositiveInt = Field(200_000, description="Healthy training windows to sample, by seed.")
    seed: int = Field(7, ge=0, lt=2**31, description="Fixes the sampling and the fit.")


class _ScaledConfig(Preprocessing, _FittedConfig):
    """Baseline on scaled features."""

    searched: ClassVar[SearchSpace] = {"scaling": OneOf(("robust", "standard", "min_max"))}


class PcaConfig(_ScaledConfig):
    """Baseline: how far a record lies from the plane of the principal components of healthy ones, and in it."""

    implementation = "ae_assets.detectors.pca:FittedPca"
    searched: ClassVar[SearchSpace] = {
        **_ScaledConfig.searched,
        "explained_variance": Between(0.3, 0.98),
        "statistic": OneOf(("q", "t2_and_q")),
    }
    type: Literal["pca"] = "pca"
    explained_variance: float = Field(
        0.6, gt=0, lt=1, description="Share of the healthy variance that the kept components hold; fixes their number."
    )
    statistic: Literal["q", "t2_and_q"] = Field(
        "q",
        description="q: the squared distance from the plane. t2_and_q: added to it that within the plane, in units of "
        "each component's variance; both as multiples of what one of 20 healthy records exceeds.",
    )

    @property
    def is_in_units(self) -> bool:
        return self.statistic == "t2_and_q"


class KMeansConfig(_ScaledConfig):
    """Baseline: squared distance to the nearest centre of healthy drives."""

    implementation = "ae_assets.detectors.kmeans:FittedKMeans"
    searched: ClassVar[SearchSpace] = {**_ScaledConfig.searched, "clusters": Between(2, 128, log=True)}
    type: Literal["kmeans"] = "kmeans"
    clusters: PositiveInt = Field(16, description="Centres.")
    clip: PositiveFloat = Field(
        100.0,
        description="Scaled values are cut to [-clip, clip]: wide, or worn drives lie no farther out than others.",
    )


class IsolationForestConfig(_ScaledConfig):
    """Baseline: how few random splits set a drive-day apart."""

    implementation = "ae_assets.detectors.isolation_forest:FittedIsolationForest"
    searched: ClassVar[SearchSpace] = {
        "trees": OneOf((50, 100, 200)),
        "windows_per_tree": Between(64, 4096, log=True),
    }
    type: Literal["isolation_forest"] = "isolation_forest"
    trees: PositiveInt = Field(100, description="Trees of the forest.")
    windows_per_tree: int = Field(256, ge=2, description="Windows that each tree is grown on.")


class EcodConfig(_FittedConfig):
    """Baseline: how far out in the tails of the features' healthy distributions a drive-day lies."""

    implementation = "ae_assets.detectors.ecod:FittedEcod"
    type: Literal["ecod"] = "ecod"


class GradientBoostingConfig(_FittedConfig):
    """Baseline that learns from labelled failures: gradient-boosted trees, healthy windows against failing ones."""

    implementation = "ae_assets.detectors.gradient_boosting:FittedGradientBoosting"
    searched: ClassVar[SearchSpace] = {
        "trees": Between(50, 500, log=True),
        "leaves": Between(4, 63, log=True),
        "learning_rate": Between(0.01, 0.3, log=True),
        "min_windows_per_leaf": Between(10, 1000, log=True),
        "l2": Between(0.01, 100.0, log=True),
    }
    type: Literal["gradient_boosting"] = "gradient_boosting"
    trees: PositiveInt = Field(200, description="Trees, one per boosting step.")
    leaves: int = Field(15, ge=2, le=256, description="Most leaves of a tree.")
    learning_rate: PositiveFloat = Field(0.05, description="Shrinkage of each tree.")
    min_windows_per_leaf: PositiveInt = Field(200, description="Fewest training windows in a leaf.")
    l2: float = Field(1.0, ge=0, description="Quadratic penalty on the values of the leaves.")


class MatrixProfileConfig(WindowDetectorConfig):
    """Baseline over a window: how unlike the last records are in shape to any stretch of as many before them.

    The left matrix profile (Yeh et al. 2016) within the window: the z-normalised distance to the nearest neighbour,
    added up over the features. It has nothing to fit but which stretches are flat.
    """

    implementation = "ae_assets.detectors.matrix_profile:FittedMatrixProfile"
    searched: ClassVar[SearchSpace] = {"records": OneOf((8, 12, 24, 48, 96))}
    type: Literal["matrix_profile"] = "matrix_profile"
    window: Duration | None = Field(
        28 * DAY, description="How far back is looked for the like; at least twice as many records as are compared."
    )
    records: int = Field(24, ge=3, description="Records of a stretch, the scored one its last.")
    features: FeatureNames | None = Field(
        None, description="Features to look at, best readings themselves; all features of the table where left out."
    )
    max_windows: PositiveInt = Field(20_000, description="Normal windows to sample, by seed.")
    seed: int = Field(7, ge=0, lt=2**31, description="Fixes the sampling.")


KNOWN_LIBRARIES = {"sklearn", "pyod"}
"""Packages of estimators that a stored model may name without a YAML that names them."""


class EstimatorConfig(_ScaledConfig):
    """Any estimator with `fit` and `score_samples` or `decision_function`, as those of scikit-learn and PyOD.

    It is fitted on scaled features, 0 (the median) where a value is missing. A model version keeps the training sample
    and not the estimator, which only pickle could store, and fits it again when it is loaded: its library must be
    installed there, and an estimator that draws numbers needs a `random_state` or `seed` among its options, or takes
    the config's.
    """

    implementation = "ae_assets.detectors.estimator:FittedEstimator"
    type: Literal["estimator"] = "estimator"
    class_path: str = Field(
        alias="class",
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
        description="The class, e.g. pyod.models.iforest.IForest.",
    )
    options: dict[str, Any] = Field(default={}, description="What the class is called with, by name.")
    method: Literal["decision_function", "score_samples"] = Field(
        "decision_function", description="The method that scores rows."
    )
    higher: Literal["anomalous", "normal"] | None = Field(
        None,
        description="What a higher number of the method means; left out: normal for scikit-learn, anomalous for PyOD, "
        "as these define it.",
    )
    max_windows: PositiveInt = Field(20_000, description="Healthy training windows to sample, by seed, and to store.")

    @property
    def higher_is_anomalous(self) -> bool:
        return self.higher == "anomalous" or (self.higher is None and self.library == "pyod")

    @property
    def name(self) -> str:
        return self.class_path.rpartition(".")[2]

    @property
    def module(self) -> str:
        return self.class_path.rpartition(".")[0]

    @property
    def library(self) -> str:
        return self.class_path.partition(".")[0]

    @model_validator(mode="after")
    def _another_library_can_be_imported_and_says_what_its_numbers_mean(self, info: ValidationInfo) -> Self:
        if self.library in KNOWN_LIBRARIES:  # heavy, so imported when it is fitted
            return self
        if self.higher is None:
            raise ValueError(
                f"higher must say whether a higher {self.method} of {self.class_path} means 'anomalous' or 'normal'"
            )
        if not (info.context or {}).get("stored"):
            try:
                import_module(self.module)
            except ImportError as error:
                raise ValueError(f"class {self.class_path} cannot be imported: {error}") from error
        return self


_NETWORKS = "ae_assets.detectors.networks"

DETECTOR_KINDS = Kinds[DayDetectorConfig | WindowDetectorConfig](
    tag="type",
    group="ae_assets.detectors",
    bases=(DayDetectorConfig, WindowDetectorConfig),
    own={
        "dense_autoencoder": f"{_NETWORKS}.dense:DenseAutoencoderConfig",
        "lstm_autoencoder": f"{_NETWORKS}.lstm:LstmAutoencoderConfig",
        "convolutional_autoencoder": f"{_NETWORKS}.convolutional:ConvolutionalAutoencoderConfig",
        "variational_autoencoder": f"{_NETWORKS}.variational:VariationalAutoencoderConfig",
        "conditional_variational_autoencoder": f"{_NETWORKS}.variational:ConditionalVariationalAutoencoderConfig",
        "lstm_variational_autoencoder": f"{_NETWORKS}.variational:LstmVariationalAutoencoderConfig",
        "lstm_classifier": f"{_NETWORKS}.classifiers:LstmClassifierConfig",
        "bidirectional_lstm_classifier": f"{_NETWORKS}.classifiers:BidirectionalLstmClassifierConfig",
        "convolutional_classifier": f"{_NETWORKS}.classifiers:ConvolutionalClassifierConfig",
        "spectrogram_classifier": f"{_NETWORKS}.classifiers:SpectrogramClassifierConfig",
        "ordinal": f"{__name__}:OrdinalConfig",
        "counter_rule": f"{__name__}:CounterRuleConfig",
        "growth_rule": f"{__name__}:GrowthRuleConfig",
        "excess_rule": f"{__name__}:ExcessRuleConfig",
        "last_value": f"{__name__}:LastValueConfig",
        "pca": f"{__name__}:PcaConfig",
        "kmeans": f"{__name__}:KMeansConfig",
        "isolation_forest": f"{__name__}:IsolationForestConfig",
        "ecod": f"{__name__}:EcodConfig",
        "matrix_profile": f"{__name__}:MatrixProfileConfig",
        "gradient_boosting": f"{__name__}:GradientBoostingConfig",
        "estimator": f"{__name__}:EstimatorConfig",
        "ensemble": f"{__name__}:EnsembleConfig",
    },
    former={"ordinal_autoencoder": "ordinal"},
)

DetectorConfig = Annotated[DayDetectorConfig | WindowDetectorConfig, DETECTOR_KINDS]
"""The settings of any detector."""

_MEMBER_KINDS = replace(
    DETECTOR_KINDS, own={name: where for name, where in DETECTOR_KINDS.own.items() if name != "ensemble"}
)

_Member = Annotated[
    DayDetectorConfig | WindowDetectorConfig,
    _MEMBER_KINDS,
    WithJsonSchema({"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}),
]


class EnsembleConfig(DayDetectorConfig):
    """Several detectors, their scores made comparable and added up.

    The score of each becomes the negative logarithm of its tail probability among normal records; beyond the highest of
    these a generalised Pareto tail goes on. The sum is Fisher's (1932, section 21.1), whose distribution is known for
    members that are independent; these are not, so its cut is chosen by the table's threshold, on sums.
    """

    implementation = "ae_assets.detectors.ensemble:FittedEnsemble"
    type: Literal["ensemble"] = "ensemble"
    members: tuple[_Member, ...] = Field(
        min_length=2, description="The detectors, each with its settings as it would stand alone; no ensembles."
    )
    max_windows: PositiveInt = Field(100_000, description="Normal windows to sample for the tails, by seed.")
    seed: int = Field(7, ge=0, lt=2**31, description="Fixes the sampling.")

    @property
    def window(self) -> timedelta | None:
        """The longest of the members'; None: all of them see the scored record alone."""
        return max((one.window for one in self.members if one.window is not None), default=None)

    @field_serializer("members")
    def _with_their_types(
        self, members: tuple[DetectorConfig, ...], info: FieldSerializationInfo
    ) -> list[dict[str, Any]]:
        """Each with its type, which a reader needs, also where defaults are left out."""
        mode, defaults = info.mode, info.exclude_defaults
        return [{"type": one.type} | one.model_dump(mode=mode, exclude_defaults=defaults) for one in members]
