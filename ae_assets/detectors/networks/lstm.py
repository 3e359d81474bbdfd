"""LSTM autoencoder over the records of one window."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt

from ae_assets.detectors.networks.network import CODE, Answer, Batch, ReconstructionConfig, Shape, Verdict
from ae_assets.detectors.search import OneOf, SearchSpace

if TYPE_CHECKING:
    import jax
    import keras


class LstmAutoencoderConfig(ReconstructionConfig):
    """LSTM autoencoder over the records of one window."""

    loops_over_steps = True
    searched: ClassVar[SearchSpace] = {
        **ReconstructionConfig.searched,
        "encoder_units": OneOf(((16,), (32, 16), (64, 16))),
        "decoder_units": OneOf(((16,), (32,), (16, 32))),
    }
    type: Literal["lstm_autoencoder"] = "lstm_autoencoder"
    encoder_units: tuple[PositiveInt, ...] = Field(
        (32, 16), min_length=1, description="Widths of the encoder's LSTM layers; the last state is the code."
    )
    decoder_units: tuple[PositiveInt, ...] = Field(
        (16, 32), min_length=1, description="Widths of the decoder's LSTM layers, which unroll the repeated code."
    )

    def build(self, shape: Shape) -> "keras.Model":
        """Values (windows, steps, features) and the steps that are recorded (windows, steps) to the reconstruction.

        A step that is not recorded leaves every state as it was.
        """
        from ae_assets.detectors.backend import dropped_out, keras

        values = keras.Input((shape.steps, shape.features), name="values")
        recorded = keras.Input((shape.steps,), dtype="bool", name="recorded")
        hidden = values
        for position, units in enumerate((*self.encoder_units, *self.decoder_units)):
            if position == len(self.encoder_units):
                hidden = keras.layers.RepeatVector(shape.steps)(hidden)
            layer = keras.layers.LSTM(
                units,
                return_sequences=position != len(self.encoder_units) - 1,
                kernel_initializer="zeros",
                recurrent_initializer="zeros",
                name=CODE if position == len(self.encoder_units) - 1 else None,
            )
            hidden = dropped_out(layer(hidden, mask=recorded), self.dropout)
        output = keras.layers.Dense(shape.features, kernel_initializer="zeros")(hidden)
        return keras.Model([values, recorded], output, name=self.type)

    def inputs(self, batch: Batch) -> "list[jax.Array]":
        """The values and the steps that are recorded."""
        return [batch.values, batch.recorded]

    def verdict(self, answer: Answer, batch: Batch) -> Verdict:
        """That of every reconstruction, faster than by Keras' layers; see ``lstm_scoring``."""
        from ae_assets.detectors.networks.lstm_scoring import verdict

        return verdict(answer.weights, len(self.encoder_units), batch)
