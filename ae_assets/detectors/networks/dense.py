"""Dense autoencoder over the features of one record."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, PositiveInt

from ae_assets.detectors.networks.network import ReconstructionConfig, Shape

if TYPE_CHECKING:
    import keras


class DenseAutoencoderConfig(ReconstructionConfig):
    """Dense autoencoder over the features of one record."""

    type: Literal["dense_autoencoder"] = "dense_autoencoder"
    window: None = Field(None, description="None: the network sees the scored record only.")
    units: tuple[PositiveInt, ...] = Field(
        (512, 256, 128, 64, 128, 256, 512),
        min_length=1,
        description="Widths of the hidden layers (ReLU); the output layer is linear and as wide as the features.",
    )

    def build(self, shape: Shape) -> "keras.Model":
        """Values (windows, 1, features) to their reconstruction."""
        from ae_assets.detectors.backend import dropped_out, keras

        values = keras.Input((1, shape.features), name="values")
        hidden = keras.layers.Reshape((shape.features,))(values)
        for units in self.units:
            hidden = keras.layers.Dense(units, activation="relu", kernel_initializer="zeros")(hidden)
            hidden = dropped_out(hidden, self.dropout)
        output = keras.layers.Dense(shape.features, kernel_initializer="zeros")(hidden)
        return keras.Model([values], keras.layers.Reshape((1, shape.features))(output), name=self.type)
