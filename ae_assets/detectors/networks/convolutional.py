"""Convolutional autoencoder over the days of one window."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, PositiveInt

from ae_assets.detectors.networks.network import Batch, ReconstructionConfig, Shape

if TYPE_CHECKING:
    import jax
    import keras


class ConvolutionalAutoencoderConfig(ReconstructionConfig):
    """Convolutional autoencoder over the days of one window, which it halves with every layer."""

    type: Literal["convolutional_autoencoder"] = "convolutional_autoencoder"
    filters: tuple[PositiveInt, ...] = Field(
        (32, 16), min_length=1, description="Filters of the encoder's layers; the decoder's are the same, backwards."
    )
    kernel_days: PositiveInt = Field(5, description="Days that a filter sees at once.")

    def build(self, shape: Shape) -> "keras.Model":
        """Values (windows, days, features) and the days that are recorded (windows, days) to the reconstruction."""
        from ae_assets.detectors.backend import dropped_out, keras

        layers = keras.layers
        values = keras.Input((self.window_days, shape.features), name="values")
        recorded = keras.Input((self.window_days, 1), name="recorded")
        hidden = layers.Concatenate()([values, recorded])
        for layer, filters in (
            *((layers.Conv1D, count) for count in self.filters),
            *((layers.Conv1DTranspose, count) for count in reversed(self.filters)),
        ):
            convolution = layer(filters, self.kernel_days, strides=2, padding="same", activation="relu",
                                kernel_initializer="zeros")  # fmt: skip
            hidden = dropped_out(convolution(hidden), self.dropout)
        surplus = hidden.shape[1] - self.window_days
        output = layers.Dense(shape.features, kernel_initializer="zeros")(layers.Cropping1D((0, surplus))(hidden))
        return keras.Model([values, recorded], output, name=self.type)

    def inputs(self, batch: Batch) -> "list[jax.Array]":
        """The values and the days that are recorded, as numbers."""
        return [batch.values, batch.recorded[:, :, None].astype(batch.values.dtype)]
