"""Settings of the detectors, as they stand in a table's YAML. Nothing here imports keras or jax."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt


class _Strict(BaseModel):
    """A setting that is misspelt is an error, and a config in use never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainingConfig(_Strict):
    """How a network is trained; shared by every network.

    Which entities are trained on and which validate is decided by the caller of ``fit``, who knows the split.
    """

    epochs: PositiveInt = Field(50, description="Most passes over the training windows; early stopping ends sooner.")
    batch_size: PositiveInt = Field(256, description="Windows per gradient step.")
    learning_rate: PositiveFloat = Field(0.001, description="Step size of Adam.")
    patience: PositiveInt = Field(5, description="Epochs without a better validation loss before training stops.")
    min_improvement: float = Field(
        0.001, ge=0, lt=1, description="Relative fall of the validation loss that counts as better for patience."
    )
    max_windows: PositiveInt = Field(
        200_000, description="Training windows to sample, by seed; validation takes at most a quarter as many."
    )
    clip: PositiveFloat = Field(
        10.0, description="Scaled values are cut to [-clip, clip], so that one wild reading cannot own the training."
    )
    seed: int = Field(7, ge=0, description="Fixes sampling, initial weights and the order of windows.")


class DenseAutoencoderConfig(TrainingConfig):
    """Dense autoencoder over the features of one day."""

    type: Literal["dense_autoencoder"] = "dense_autoencoder"
    units: tuple[PositiveInt, ...] = Field(
        (512, 256, 128, 64, 128, 256, 512),
        min_length=1,
        description="Widths of the hidden layers (ReLU); the output layer is linear and as wide as the features.",
    )

    @property
    def window_days(self) -> int:
        """One: the network sees the scored day only."""
        return 1


class LstmAutoencoderConfig(TrainingConfig):
    """LSTM autoencoder over the days of one window."""

    type: Literal["lstm_autoencoder"] = "lstm_autoencoder"
    window_days: PositiveInt = Field(20, description="Calendar days of a window, the scored day included.")
    encoder_units: tuple[PositiveInt, ...] = Field(
        (32, 16), min_length=1, description="Widths of the encoder's LSTM layers; the last state is the code."
    )
    decoder_units: tuple[PositiveInt, ...] = Field(
        (16, 32), min_length=1, description="Widths of the decoder's LSTM layers, which unroll the repeated code."
    )


class CounterRuleConfig(_Strict):
    """Baseline without a fit: the sum of log counters, e.g. of SMART 5 and 197."""

    type: Literal["counter_rule"] = "counter_rule"
    features: tuple[str, ...] = Field(min_length=1, description="Log-counter features to add up; missing counts as 0.")

    @property
    def window_days(self) -> int:
        """One: the rule sees the scored day only."""
        return 1


NetworkConfig = DenseAutoencoderConfig | LstmAutoencoderConfig
DetectorConfig = Annotated[
    DenseAutoencoderConfig | LstmAutoencoderConfig | CounterRuleConfig, Field(discriminator="type")
]
