"""Variational autoencoders (Kingma and Welling 2014): the code is a distribution, drawn from while training.

What a window is worth is the error of the reconstruction from the mean of its code, so that a score is no draw.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from ae_assets.detectors.networks.network import (
    CODE,
    Answer,
    Batch,
    Outputs,
    ReconstructionConfig,
    Shape,
    Tensor,
    Verdict,
)
from ae_assets.detectors.search import Between, OneOf, SearchSpace
from ae_assets.schemas.durations import Duration

if TYPE_CHECKING:
    import jax
    import keras


MOST_LOG_VARIANCE = 5.0


class _VariationalConfig(ReconstructionConfig):
    searched: ClassVar[SearchSpace] = {
        **ReconstructionConfig.searched,
        "code": OneOf((2, 4, 8, 16)),
        "divergence": Between(0.01, 2.0, log=True),
        "units": OneOf(((16,), (32,), (64,), (64, 32))),
    }
    code: PositiveInt = Field(8, description="Width of the code.")
    divergence: NonNegativeFloat = Field(
        0.1,
        description="Weight of the code's divergence from a standard normal beside the squared errors of a window; at "
        "2 the loss is that of a decoder with variance 1, more orders the code, less reconstructs better.",
    )

    @abstractmethod
    def _encoded(self, values: Tensor, recorded: Tensor, context: Tensor) -> Tensor:
        """The last hidden layer (windows, units) before the code."""

    @abstractmethod
    def _decoded(self, code: Tensor, recorded: Tensor, context: Tensor, shape: Shape) -> Tensor:
        """The reconstruction (windows, steps, features) of a code (windows, code)."""

    def _cohorts(self, shape: Shape) -> list[tuple[Tensor, Tensor]]:  # noqa: ARG002 - a network that knows no cohort
        """The cohort as an input, and what is learned of it (windows, units)."""
        return []

    def build(self, shape: Shape) -> "keras.Model":
        """Values (windows, steps, features), recorded steps (windows, steps) to reconstruction and divergence."""
        from ae_assets.detectors.backend import keras
        from ae_assets.detectors.networks.layers import Draw

        ops, layers = keras.ops, keras.layers
        values = keras.Input((shape.steps, shape.features), name="values")
        recorded = keras.Input((shape.steps,), dtype="bool", name="recorded")
        cohorts = self._cohorts(shape)
        context = layers.Concatenate()([ops.cast(recorded, "float32"), *(learned for _, learned in cohorts)])
        hidden = self._encoded(values, recorded, context)
        mean, spread = (layers.Dense(self.code, kernel_initializer="zeros", name=name)(hidden) for name in (CODE, None))
        log_variance = MOST_LOG_VARIANCE * ops.tanh(spread / MOST_LOG_VARIANCE)
        divergence = ops.sum(ops.square(mean) + ops.exp(log_variance) - log_variance - 1, axis=1) / 2
        reconstruction = self._decoded(Draw()(mean, log_variance), recorded, context, shape)
        inputs = [values, recorded, *(cohort for cohort, _ in cohorts)]
        return keras.Model(inputs, [reconstruction, divergence], name=self.type)

    def inputs(self, batch: Batch) -> "list[jax.Array]":
        """The values and the steps that are recorded."""
        return [batch.values, batch.recorded]

    def loss(self, outputs: Outputs, batch: Batch) -> "tuple[jax.Array, jax.Array]":
        """Squared errors of known values and weighted divergences of windows, and the number of known values."""
        reconstruction, divergence = outputs
        errors, known = super().loss(reconstruction, batch)
        return errors + self.divergence * (divergence * batch.recorded[:, -1]).sum(), known

    def verdict(self, answer: Answer, batch: Batch) -> Verdict:
        """Each feature's part of the mean squared error of the reconstruction from the code's mean."""
        return super().verdict(Answer(lambda batch: answer(batch)[0], answer.weights), batch)


class VariationalAutoencoderConfig(_VariationalConfig):
    """Variational autoencoder with dense layers, over one record or the records of a window."""

    type: Literal["variational_autoencoder"] = "variational_autoencoder"
    window: Duration | None = Field(
        None, description="Length of a window, the scored record included; left out: the scored record alone."
    )
    units: tuple[PositiveInt, ...] = Field(
        (64, 32),
        min_length=1,
        description="Widths of the encoder's layers (ReLU); the decoder's are the same, backwards.",
    )

    def _encoded(self, values: Tensor, recorded: Tensor, context: Tensor) -> Tensor:  # noqa: ARG002 - in the context
        from ae_assets.detectors.backend import keras

        return self._hidden(keras.layers.Flatten()(values), context, self.units)

    def _decoded(self, code: Tensor, recorded: Tensor, context: Tensor, shape: Shape) -> Tensor:  # noqa: ARG002
        from ae_assets.detectors.backend import keras

        hidden = self._hidden(code, context, tuple(reversed(self.units)))
        flat = keras.layers.Dense(shape.steps * shape.features, kernel_initializer="zeros")(hidden)
        return keras.layers.Reshape((shape.steps, shape.features))(flat)

    def _hidden(self, values: Tensor, context: Tensor, widths: tuple[int, ...]) -> Tensor:
        from ae_assets.detectors.backend import dropped_out, keras

        hidden = keras.layers.Concatenate()([values, context])
        for units in widths:
            layer = keras.layers.Dense(units, activation="relu", kernel_initializer="zeros")
            hidden = dropped_out(layer(hidden), self.dropout)
        return hidden


class ConditionalVariationalAutoencoderConfig(VariationalAutoencoderConfig):
    """Variational autoencoder whose encoder and decoder know the cohort (Sohn, Lee and Yan 2015)."""

    uses_cohort = True
    type: Literal["conditional_variational_autoencoder"] = "conditional_variational_autoencoder"  # type: ignore[assignment]  # another kind
    cohort_units: PositiveInt = Field(4, description="Numbers that are learned of each cohort.")

    def _cohorts(self, shape: Shape) -> list[tuple[Tensor, Tensor]]:
        from ae_assets.detectors.backend import keras

        cohort = keras.Input((), dtype="int32", name="cohort")
        return [(cohort, keras.layers.Embedding(shape.cohorts, self.cohort_units)(cohort))]

    def inputs(self, batch: Batch) -> "list[jax.Array]":
        """The values, the steps that are recorded, and the cohort."""
        return [*super().inputs(batch), batch.cohort]


class LstmVariationalAutoencoderConfig(_VariationalConfig):
    """Variational autoencoder whose encoder and decoder are LSTM layers (Park, Hoshi and Kemp 2018)."""

    loops_over_steps = True
    type: Literal["lstm_variational_autoencoder"] = "lstm_variational_autoencoder"
    units: tuple[PositiveInt, ...] = Field(
        (32,), min_length=1, description="Widths of the encoder's LSTM layers; the decoder's are the same, backwards."
    )

    def _encoded(self, values: Tensor, recorded: Tensor, context: Tensor) -> Tensor:  # noqa: ARG002 - it skips steps
        return self._through(values, recorded, self.units, ends=True)

    def _decoded(self, code: Tensor, recorded: Tensor, context: Tensor, shape: Shape) -> Tensor:  # noqa: ARG002
        from ae_assets.detectors.backend import keras

        repeated = keras.layers.RepeatVector(shape.steps)(code)
        hidden = self._through(repeated, recorded, tuple(reversed(self.units)), ends=False)
        return keras.layers.Dense(shape.features, kernel_initializer="zeros")(hidden)

    def _through(self, hidden: Tensor, recorded: Tensor, widths: tuple[int, ...], *, ends: bool) -> Tensor:
        from ae_assets.detectors.backend import dropped_out, keras

        for position, units in enumerate(widths, start=1):
            layer = keras.layers.LSTM(
                units,
                return_sequences=not (ends and position == len(widths)),
                kernel_initializer="zeros",
                recurrent_initializer="zeros",
            )
            hidden = dropped_out(layer(hidden, mask=recorded), self.dropout)
        return hidden
