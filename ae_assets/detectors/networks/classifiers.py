"""Networks that learn from labels which windows lead to what went wrong; a fit needs both kinds, to stop by as well.

The score is the softplus of the log-odds, shared out among the features by gradient times input.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from ae_assets.detectors.networks.network import Answer, Batch, NetworkConfig, Outputs, Shape, Tensor, Verdict
from ae_assets.detectors.search import Between, OneOf, SearchSpace
from ae_assets.schemas.durations import Duration

if TYPE_CHECKING:
    import jax
    import keras
    import numpy as np
    from numpy.typing import NDArray

    from ae_assets.detectors.windows import TrainingData


class ClassifierConfig(NetworkConfig):
    """A network that answers the log-odds of each window, from its values and from which of them are known."""

    uses_target: ClassVar[bool] = True
    scores_alone: ClassVar[bool] = True  # contributions take a gradient
    searched: ClassVar[SearchSpace] = {**NetworkConfig.searched, "positive_share": Between(0.05, 0.5)}
    positive_share: float | None = Field(
        0.5,
        gt=0,
        lt=1,
        description="Share of what it is trained on that windows make up which lead to what went wrong; they are "
        "repeated up to it. Left out: as they come.",
    )
    chunk_step: Duration | None = Field(
        None,
        description="Learn from chunks: windows that end so far apart, such as 5h, each abnormal where any record in "
        "it is. The score then says that something within the window is wrong. Left out: from the window that ends on "
        "each record, abnormal where that record is.",
    )

    def chosen(self, data: "TrainingData") -> "TrainingData":
        """Chunks, or all windows."""
        if self.chunk_step is None:
            return data
        from ae_assets.detectors.base import steps_of
        from ae_assets.detectors.windows import chunks

        return chunks(data, steps_of(self.chunk_step, data.windows.step))

    @abstractmethod
    def hidden(self, values: Tensor, recorded: Tensor) -> Tensor:
        """What the last layer sees (windows, units).

        Args:
            values: (windows, steps, 2 x features): the values, and 1 where each is known.
            recorded: boolean (windows, steps).
        """

    def build(self, shape: Shape) -> "keras.Model":
        """Values and which are known (windows, steps, features), recorded steps (windows, steps) to log-odds."""
        from ae_assets.detectors.backend import dropped_out, keras

        layers = keras.layers
        values, known = (keras.Input((shape.steps, shape.features), name=name) for name in ("values", "known"))
        recorded = keras.Input((shape.steps,), dtype="bool", name="recorded")
        hidden = self.hidden(layers.Concatenate()([values, known]), recorded)
        log_odds = layers.Dense(1, kernel_initializer="zeros")(dropped_out(hidden, self.dropout))
        return keras.Model([values, known, recorded], layers.Reshape(())(log_odds), name=self.type)

    def inputs(self, batch: Batch) -> "list[jax.Array]":
        """The values, which of them are known, and the steps that are recorded."""
        return [batch.values, batch.known, batch.recorded]

    def drawn(self, target: "NDArray[np.bool_]", generator: "np.random.Generator") -> "NDArray[np.int64]":
        """All windows, those with a target as often as their share asks for."""
        from ae_assets.detectors.sampling import balanced

        if self.positive_share is None:
            return super().drawn(target, generator)
        return balanced(target, self.positive_share, generator)

    def loss(self, outputs: Outputs, batch: Batch) -> "tuple[jax.Array, jax.Array]":
        """Cross entropy with the target, and the number of windows."""
        import jax

        present = batch.recorded[:, -1]
        return (present * (jax.nn.softplus(outputs) - batch.target * outputs)).sum(), present.sum()

    def constant(self, outputs: Outputs, share: "jax.Array") -> Outputs:
        """The log-odds of the share of windows with a target."""
        import jax.numpy as jnp

        return jnp.full_like(outputs, jnp.log(share) - jnp.log1p(-share))

    def verdict(self, answer: Answer, batch: Batch) -> Verdict:
        """The softplus of the log-odds, shared out by how much each feature's values raise them."""
        import jax
        import jax.numpy as jnp

        log_odds, pull = jax.vjp(lambda values: answer(batch._replace(values=values)), batch.values)
        raised = jnp.maximum((pull(jnp.ones_like(log_odds))[0] * batch.values).sum(axis=1), 0) + 1e-6
        return Verdict(jax.nn.softplus(log_odds)[:, None] * (raised / raised.sum(axis=1, keepdims=True)), None)

    def score(self, answer: Answer, batch: Batch) -> "jax.Array":
        """The softplus of the log-odds."""
        import jax

        return jax.nn.softplus(answer(batch))


class LstmClassifierConfig(ClassifierConfig):
    """LSTM layers over a window; the last state is judged."""

    loops_over_steps = True
    searched: ClassVar[SearchSpace] = {**ClassifierConfig.searched, "units": OneOf(((16,), (32,), (64,), (64, 32)))}
    type: Literal["lstm_classifier"] = "lstm_classifier"
    units: tuple[PositiveInt, ...] = Field((64,), min_length=1, description="Widths of the LSTM layers.")
    bidirectional: ClassVar[bool] = False

    def hidden(self, values: Tensor, recorded: Tensor) -> Tensor:
        """The last state of the last layer, of both directions where there are two."""
        from ae_assets.detectors.backend import dropped_out, keras

        for position, units in enumerate(self.units, start=1):
            if position > 1:
                values = dropped_out(values, self.dropout)
            layer = keras.layers.LSTM(
                units,
                return_sequences=position < len(self.units),
                kernel_initializer="zeros",
                recurrent_initializer="zeros",
            )
            values = (keras.layers.Bidirectional(layer) if self.bidirectional else layer)(values, mask=recorded)
        return values


class BidirectionalLstmClassifierConfig(LstmClassifierConfig):
    """LSTM layers that read a window forwards and backwards (Schuster and Paliwal 1997)."""

    bidirectional = True
    type: Literal["bidirectional_lstm_classifier"] = "bidirectional_lstm_classifier"  # type: ignore[assignment]  # another kind


class ConvolutionalClassifierConfig(ClassifierConfig):
    """Fully convolutional network over a window (Wang, Yan and Oates 2017)."""

    convolves = True
    type: Literal["convolutional_classifier"] = "convolutional_classifier"
    filters: tuple[PositiveInt, ...] = Field((128, 256, 128), min_length=1, description="Filters of each layer.")
    kernels: tuple[PositiveInt, ...] = Field((8, 5, 3), description="Steps that a filter of each layer sees at once.")

    @model_validator(mode="after")
    def _a_kernel_for_each_layer(self) -> Self:
        if len(self.filters) != len(self.kernels):
            raise ValueError(
                f"filters has {len(self.filters)} layers and kernels {len(self.kernels)}; name both for each"
            )
        return self

    def hidden(self, values: Tensor, recorded: Tensor) -> Tensor:
        """The mean of the last layer over the recorded steps; one that is not recorded is to all layers as none."""
        from ae_assets.detectors.backend import dropped_out, keras

        layers = keras.layers
        present = keras.ops.expand_dims(keras.ops.cast(recorded, "float32"), -1)
        for filters, kernel in zip(self.filters, self.kernels, strict=True):
            convolution = layers.Conv1D(filters, kernel, padding="same", kernel_initializer="zeros")
            normal = layers.BatchNormalization()(convolution(values), mask=recorded)
            values = dropped_out(layers.Activation("relu")(normal) * present, self.dropout)
        total = keras.ops.sum(values, axis=1)
        return total / keras.ops.maximum(keras.ops.sum(present, axis=1), 1)  # filling has no step


class SpectrogramClassifierConfig(ClassifierConfig):
    """Convolutional network over the spectrogram of each feature, taken as an image with a channel for each."""

    convolves = True
    type: Literal["spectrogram_classifier"] = "spectrogram_classifier"
    frame: int = Field(
        16, ge=2, description="Steps of a frame of the Fourier transform; beyond a window's ends it holds 0."
    )
    filters: tuple[PositiveInt, ...] = Field((32, 64), min_length=1, description="Filters of each layer.")
    kernel: PositiveInt = Field(3, description="Frames and frequencies that a filter sees at once.")

    def hidden(self, values: Tensor, recorded: Tensor) -> Tensor:
        """The mean of the last layer over frames and frequencies; values that are not recorded are 0."""
        from ae_assets.detectors.backend import dropped_out, keras
        from ae_assets.detectors.networks.layers import Spectrogram

        layers = keras.layers
        image = Spectrogram(self.frame)(values)
        windows = keras.ops.expand_dims(recorded[:, -1:], -1)  # filling is none
        present = keras.ops.expand_dims(keras.ops.cast(windows, "float32"), -1)
        for filters in self.filters:
            convolution = layers.Conv2D(filters, self.kernel, padding="same", kernel_initializer="zeros")
            normal = layers.BatchNormalization()(convolution(image), mask=windows)
            image = dropped_out(layers.Activation("relu")(normal) * present, self.dropout)
        return keras.ops.mean(image, axis=(1, 2))
