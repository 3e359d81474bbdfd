"""Networks that are no plain reconstructions, as somebody would add them: they show what the protocol can hold."""

from typing import TYPE_CHECKING

from ae_assets.detectors.networks.network import (
    Answer,
    Batch,
    NetworkConfig,
    Outputs,
    ReconstructionConfig,
    Shape,
    Verdict,
)

if TYPE_CHECKING:
    import jax
    import keras


class ClassifierConfig(NetworkConfig):
    """A fully convolutional network that tells windows before a failure from others, and knows the cohort."""

    uses_target = True
    uses_cohort = True

    def build(self, shape: Shape) -> "keras.Model":
        from ae_assets.detectors.backend import keras

        layers = keras.layers
        values = keras.Input((shape.steps, shape.features))
        cohort = keras.Input((), dtype="int32")
        hidden = layers.BatchNormalization()(layers.Conv1D(8, 3, padding="same", activation="relu")(values))
        pooled = layers.GlobalAveragePooling1D()(hidden)
        log_odds = layers.Add()([layers.Dense(1)(pooled), layers.Embedding(shape.cohorts, 1)(cohort)])
        return keras.Model([values, cohort], layers.Reshape(())(log_odds))

    def inputs(self, batch: Batch) -> "list[jax.Array]":
        return [batch.values, batch.cohort]

    def loss(self, outputs: Outputs, batch: Batch) -> "tuple[jax.Array, jax.Array]":
        import jax

        present = batch.recorded[:, -1]
        return (present * (jax.nn.softplus(outputs) - batch.target * outputs)).sum(), present.sum()

    def verdict(self, answer: Answer, batch: Batch) -> Verdict:
        import jax
        import jax.numpy as jnp

        log_odds, pull = jax.vjp(lambda values: answer(batch._replace(values=values)), batch.values)
        pushes = jnp.maximum((pull(jnp.ones_like(log_odds))[0] * batch.values).sum(axis=1), 0) + 1e-6
        shares = pushes / pushes.sum(axis=1, keepdims=True)
        return Verdict(jax.nn.softplus(log_odds)[:, None] * shares, None)


class VariationalConfig(ReconstructionConfig):
    """A variational autoencoder: the code is drawn while it trains, and its divergence is part of the loss."""

    code: int = 2

    def build(self, shape: Shape) -> "keras.Model":
        from ae_assets.detectors.backend import keras

        class Drawn(keras.layers.Layer):  # type: ignore[misc]  # keras has no annotations
            def __init__(self) -> None:
                super().__init__()
                self.seeds = keras.random.SeedGenerator(1)

            def call(self, mean: "jax.Array", training: bool = False) -> "jax.Array":
                return mean + keras.random.normal(keras.ops.shape(mean), seed=self.seeds) if training else mean

        layers = keras.layers
        values = keras.Input((shape.steps, shape.features))
        mean = layers.Dense(self.code)(layers.Flatten()(values))
        decoded = layers.Dense(shape.steps * shape.features)(Drawn()(mean))
        divergence = (
            keras.ops.sum(keras.ops.square(mean), axis=1) / 2
        )  # of a normal of variance 1 from the standard one
        return keras.Model([values], [layers.Reshape((shape.steps, shape.features))(decoded), divergence])

    def loss(self, outputs: Outputs, batch: Batch) -> "tuple[jax.Array, jax.Array]":
        reconstruction, divergence = outputs
        errors, known = super().loss(reconstruction, batch)
        return errors + (0.01 * divergence * batch.recorded[:, -1]).sum(), known

    def verdict(self, answer: Answer, batch: Batch) -> Verdict:
        return super().verdict(Answer(lambda batch: answer(batch)[0], answer.weights), batch)
