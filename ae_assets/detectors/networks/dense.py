"""Dense autoencoder over the features of one record."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from ae_assets.detectors.networks.network import CODE, Batch, ReconstructionConfig, Shape
from ae_assets.detectors.search import OneOf, SearchSpace

if TYPE_CHECKING:
    import jax
    import keras


class DenseAutoencoderConfig(ReconstructionConfig):
    """Dense autoencoder over the features of one record."""

    searched: ClassVar[SearchSpace] = {
        **ReconstructionConfig.searched,
        "units": OneOf(((48,), (64, 32, 64), (32, 16, 8, 16, 32), (128, 64, 32, 64, 128))),
        "batch_normalisation": OneOf((False, True)),
    }
    type: Literal["dense_autoencoder"] = "dense_autoencoder"
    window: None = Field(None, description="None: the network sees the scored record only.")
    units: tuple[PositiveInt, ...] = Field(
        (512, 256, 128, 64, 128, 256, 512),
        min_length=1,
        description="Widths of the hidden layers (ReLU); the output layer is as wide as the features.",
    )
    batch_normalisation: bool = Field(
        False, description="Whether each hidden layer's outputs are normalised over a batch (Ioffe and Szegedy 2015)."
    )
    output: Literal["linear", "sigmoid"] = Field(
        "linear", description="sigmoid: stretched to where values scaled by min_max lie, which it asks for."
    )

    @model_validator(mode="after")
    def _a_bounded_output_reaches_what_it_is_held_against(self) -> Self:
        if self.output == "sigmoid" and self.scaling != "min_max":
            raise ValueError(
                f"output: sigmoid reaches values scaled by min_max alone, received scaling: {self.scaling}; set "
                "scaling: min_max, or output: linear"
            )
        return self

    def build(self, shape: Shape) -> "keras.Model":
        """Values (windows, 1, features), and with batch normalisation which are recorded, to the reconstruction."""
        from ae_assets.detectors.backend import dropped_out, keras

        layers = keras.layers
        inputs = [keras.Input((1, shape.features), name="values")]
        if self.batch_normalisation:
            inputs.append(keras.Input((1,), dtype="bool", name="recorded"))
        hidden = layers.Reshape((shape.features,))(inputs[0])
        narrowest = self.units.index(min(self.units))
        for place, units in enumerate(self.units):
            name = CODE if place == narrowest else None
            hidden = layers.Dense(units, activation="relu", kernel_initializer="zeros", name=name)(hidden)
            if self.batch_normalisation:
                normal = layers.BatchNormalization()(hidden, mask=inputs[1][:, 0])
                hidden = normal * keras.ops.cast(inputs[1], "float32")  # filling is none
            hidden = dropped_out(hidden, self.dropout)
        output = layers.Dense(shape.features, kernel_initializer="zeros")(hidden)
        if self.output == "sigmoid":
            output = 2 * keras.ops.sigmoid(output) - 1
        return keras.Model(inputs, layers.Reshape((1, shape.features))(output), name=self.type)

    def inputs(self, batch: Batch) -> "list[jax.Array]":
        """The values, and with batch normalisation which windows are no filling."""
        return [batch.values, batch.recorded] if self.batch_normalisation else [batch.values]
