"""Convolutional autoencoder over the records of one window."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt

from ae_assets.detectors.networks.network import CODE, Batch, ReconstructionConfig, Shape
from ae_assets.detectors.search import OneOf, SearchSpace

if TYPE_CHECKING:
    import jax
    import keras


class ConvolutionalAutoencoderConfig(ReconstructionConfig):
    """Convolutional autoencoder over the records of one window, which it halves with every layer."""

    convolves = True
    former_keys: ClassVar[Mapping[str, str]] = {**ReconstructionConfig.former_keys, "kernel_days": "kernel"}
    searched: ClassVar[SearchSpace] = {
        **ReconstructionConfig.searched,
        "filters": OneOf(((16, 8), (32, 16), (64, 32, 16))),
        "kernel": OneOf((3, 5, 7)),
    }
    type: Literal["convolutional_autoencoder"] = "convolutional_autoencoder"
    filters: tuple[PositiveInt, ...] = Field(
        (32, 16), min_length=1, description="Filters of the encoder's layers; the decoder's are the same, backwards."
    )
    kernel: PositiveInt = Field(5, description="Steps of the window that a filter sees at once.")

    def build(self, shape: Shape) -> "keras.Model":
        """Values (windows, steps, features) and the steps that are recorded (windows, steps) to the reconstruction."""
        from ae_assets.detectors.backend import dropped_out, keras

        layers = keras.layers
        values = keras.Input((shape.steps, shape.features), name="values")
        recorded = keras.Input((shape.steps, 1), name="recorded")
        hidden = layers.Concatenate()([values, recorded])
        encoder = [(layers.Conv1D, count) for count in self.filters]
        decoder = [(layers.Conv1DTranspose, count) for count in reversed(self.filters)]
        for place, (layer, filters) in enumerate([*encoder, *decoder], start=1):
            name = CODE if place == len(encoder) else None
            convolution = layer(filters, self.kernel, strides=2, padding="same", activation="relu",
                                kernel_initializer="zeros", name=name)  # fmt: skip
            hidden = dropped_out(convolution(hidden), self.dropout)
        surplus = hidden.shape[1] - shape.steps
        output = layers.Dense(shape.features, kernel_initializer="zeros")(layers.Cropping1D((0, surplus))(hidden))
        return keras.Model([values, recorded], output, name=self.type)

    def inputs(self, batch: Batch) -> "list[jax.Array]":
        """The values and the steps that are recorded, as numbers."""
        return [batch.values, batch.recorded[:, :, None].astype(batch.values.dtype)]
