"""Keras on JAX: its import, the weights that training starts from, and the files that networks are kept in."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.compilation import ask_for_host_devices
from ae_assets.errors import ModelError

if "keras" in sys.modules and sys.modules["keras"].backend.backend() != "jax":
    raise ImportError(
        f"keras is already loaded with the {sys.modules['keras'].backend.backend()} backend, detectors need jax; "
        "set the environment variable KERAS_BACKEND=jax before the first import of keras."
    )
os.environ["KERAS_BACKEND"] = "jax"

# Keras imports these where they are installed, for wrappers and galleries: a second of each process that scores.
_UNUSED = [name for name in ("sklearn", "matplotlib") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_UNUSED))  # type: ignore[arg-type]  # None: as if it were not installed
try:
    import keras
finally:
    for _name in _UNUSED:
        del sys.modules[_name]

ask_for_host_devices()

__all__ = ["Model", "dropped_out", "initial_weights", "keras", "load_weights"]

Model = keras.Model


def initial_weights(model: keras.Model, seed: int) -> list[NDArray[np.float32]]:
    """Weights to start training from, in the order of the model's trainable variables.

    The distributions are Keras' defaults: kernels uniform after Glorot and Bengio (2010), recurrent kernels orthogonal,
    all else (biases, scales) as the model was built. They are drawn by NumPy, because JAX would compile a draw for
    every shape; a `build` that says ``kernel_initializer="zeros"`` is spared that.
    """
    generator = np.random.default_rng(seed)
    return [_initial(generator, variable) for variable in model.trainable_variables]


def _initial(generator: np.random.Generator, variable: Any) -> NDArray[np.float32]:
    shape, name = tuple(variable.shape), variable.path.rpartition("/")[2]
    if name == "recurrent_kernel":
        factor, triangle = np.linalg.qr(generator.normal(size=shape[::-1]))  # orthonormal rows, uniformly distributed
        return (factor * np.sign(np.diag(triangle))).T.astype(np.float32)
    if len(shape) > 1:
        limit = np.sqrt(6 / (np.prod(shape[:-2]) * (shape[-2] + shape[-1])))
        return generator.uniform(-limit, limit, shape).astype(np.float32)
    return np.array(variable, np.float32)


def dropped_out(values: Any, share: float) -> Any:
    """The values with Dropout after them where there is a share to leave out; such a layer costs time even at 0."""
    return keras.layers.Dropout(share)(values) if share else values


def load_weights(path: Path, into: keras.Model) -> None:
    """Sets the weights of a model to those of a ``.keras`` file, without running anything else that it may hold.

    Raises:
        ModelError: the file is missing, Keras cannot load it, or its weights have other shapes than those of ``into``.
    """
    if not path.exists():
        raise ModelError(f"{path} does not exist; the model version is incomplete: train it again.")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise ModelError(f"{path} cannot be loaded by Keras {keras.__version__} in safe mode: {error}") from error
    received, expected = ([tuple(weight.shape) for weight in network.weights] for network in (model, into))
    if received != expected:
        raise ModelError(
            f"{path} holds weights of shapes {received}, but preprocessing.json beside it asks for {expected}; the two "
            "files are not of one model version."
        )
    into.set_weights(model.get_weights())
