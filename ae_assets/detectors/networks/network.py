"""What a network is to the training loop and to scoring. Nothing here imports keras or jax before it is fitted.

A network is its config: a file beside this one with its settings, its Keras model, and where it is no reconstruction
what a loss and a verdict are.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ae_assets.detectors.settings import TrainingConfig, WindowDetectorConfig

if TYPE_CHECKING:
    import jax
    import keras
    import numpy as np
    from numpy.typing import NDArray

    from ae_assets.detectors.windows import TrainingData

CODE = "code"
"""The layer whose output is where a window lies in the latent space, if a network has one of this name."""

Tensor = Any
"""An array, or what stands for one while a Keras model is built; Keras leaves it untyped."""

Outputs = Any
"""What a Keras model answers: an array, or a list of arrays."""


class Shape(NamedTuple):
    """What a network is built for.

    Attributes:
        features: of a record.
        cohorts: numbers that the cohort of a batch may have, 0 included; 1 where the network does not use cohorts.
        steps: of a window: as many records as it holds where none is missing.
    """

    features: int
    cohorts: int
    steps: int


class Batch(NamedTuple):
    """Windows as a network sees them, inside jit.

    Attributes:
        values: float32 (windows, steps, features) in scaled units, 0 where a value is unknown.
        known: float32 of the same shape, 1 where the value is known, else 0.
        recorded: boolean (windows, steps); false before the first record of a window, and in all of filling.
        target: float32 (windows,), 1 where something is known to go wrong; 0 in scoring.
        cohort: int32 (windows,), from 1; 0 for a cohort that the fit did not tell apart, or without `uses_cohort`.
    """

    values: "jax.Array"
    known: "jax.Array"
    recorded: "jax.Array"
    target: "jax.Array"
    cohort: "jax.Array"


class Verdict(NamedTuple):
    """What is said of n windows.

    Attributes:
        contributions: (n, features), >= 0; the score is their sum.
        expected: (n, features), the values expected of the scored record in scaled units; None without an expectation.
    """

    contributions: "jax.Array"
    expected: "jax.Array | None"


@dataclass(frozen=True)
class Answer:
    """A trained network as a function of batches.

    Attributes:
        answer: from a batch to the model's outputs; may be called with changed batches and differentiated.
        weights: the model's trainable weights, in its order.
    """

    answer: Callable[[Batch], Outputs]
    weights: "list[jax.Array]"

    def __call__(self, batch: Batch) -> Outputs:
        """The model's outputs."""
        return self.answer(batch)


class NetworkConfig(TrainingConfig, WindowDetectorConfig):
    """A network with its settings.

    Attributes:
        uses_target: whether it learns from windows of which something is known to go wrong, too.
        uses_cohort: whether its inputs hold the cohort.
        loops_over_steps: whether it takes one step after the other, as recurrent layers do; says how XLA is best used.
        convolves: whether it is made of convolutions; the same.
        scores_alone: whether a score costs less than a verdict; :meth:`score` is then asked for where nothing is shown.
    """

    implementation = "ae_assets.detectors.network_detector:FittedNetwork"
    uses_target: ClassVar[bool] = False
    uses_cohort: ClassVar[bool] = False
    loops_over_steps: ClassVar[bool] = False
    convolves: ClassVar[bool] = False
    scores_alone: ClassVar[bool] = False

    @abstractmethod
    def build(self, shape: Shape) -> "keras.Model":
        """The Keras model, which is called with :meth:`inputs`."""

    def chosen(self, data: "TrainingData") -> "TrainingData":
        """The windows to learn from, with their targets, of those that end on each record."""
        return data

    def inputs(self, batch: Batch) -> "list[jax.Array]":
        """What of a batch the model is called with: the values."""
        return [batch.values]

    def drawn(self, target: "NDArray[np.bool_]", generator: "np.random.Generator") -> "NDArray[np.int64]":  # noqa: ARG002
        """Positions of the windows to learn from among those with these targets (n,); a window may be repeated."""
        import numpy as np

        return np.arange(len(target))

    @abstractmethod
    def loss(self, outputs: Outputs, batch: Batch) -> "tuple[jax.Array, jax.Array]":
        """The loss of a batch as a sum, and what it is divided by, which must not depend on the outputs.

        Both are added up over devices, and over batches where no gradient is taken; filling must count for nothing.
        """

    def constant(self, outputs: Outputs, share: "jax.Array") -> Outputs:  # noqa: ARG002 - of a network without target
        """The constant answer that training has to beat, in the shapes of the outputs; all 0 unless a network differs.

        ``share`` of the windows have a target.
        """
        import jax
        import jax.numpy as jnp

        return jax.tree.map(jnp.zeros_like, outputs)

    @abstractmethod
    def verdict(self, answer: Answer, batch: Batch) -> Verdict:
        """What the model's answer says of each window."""

    def score(self, answer: Answer, batch: Batch) -> "jax.Array":
        """The score (n,) of each window: the sum of its contributions, but for rounding."""
        return self.verdict(answer, batch).contributions.sum(axis=1)


class ReconstructionConfig(NetworkConfig):
    """A network that answers with the window itself, (windows, steps, features).

    Loss and score are the mean squared error in scaled units over the known values of a window's records; a
    feature's contribution is its part of that mean. All records of the window count alike, as in the mean error of the
    document that the autoencoders come from: one odd reading moves the score by a share, a device that leaves its
    course moves it more with each record.
    """

    def loss(self, outputs: Outputs, batch: Batch) -> "tuple[jax.Array, jax.Array]":
        """Squared errors of known values, and their number."""
        return (batch.known * (batch.values - outputs) ** 2).sum(), batch.known.sum()

    def verdict(self, answer: Answer, batch: Batch) -> Verdict:
        """Each feature's part of the mean squared error, and the answer for the scored record."""
        import jax
        import jax.numpy as jnp

        # the barrier keeps the sums below out of the fused network, which XLA then runs faster
        outputs = jax.lax.optimization_barrier(answer(batch))  # type: ignore[no-untyped-call]  # JAX leaves it untyped
        squared = (batch.known * (batch.values - outputs) ** 2).sum(axis=1)
        return Verdict(squared / jnp.maximum(batch.known.sum(axis=(1, 2)), 1)[:, None], outputs[:, -1])
