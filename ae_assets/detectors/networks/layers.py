"""Layers of ours that a stored network may hold; Keras knows them once this module is imported."""

from typing import Any

from ae_assets.detectors.backend import keras
from ae_assets.detectors.networks.network import Tensor


@keras.saving.register_keras_serializable(package="ae_assets")
class Draw(keras.layers.Layer):  # type: ignore[misc]  # keras has no annotations
    """Draws codes (windows, code) from normal distributions while it trains, and gives their means else."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seeds = keras.random.SeedGenerator(0)  # training starts it from the seed of the config

    def call(self, mean: Tensor, log_variance: Tensor, training: bool = False) -> Tensor:
        """Takes means and logarithms of variances, both (windows, code)."""
        if not training:
            return mean
        noise = keras.random.normal(keras.ops.shape(mean), seed=self.seeds)
        return mean + keras.ops.exp(log_variance / 2) * noise


@keras.saving.register_keras_serializable(package="ae_assets")
class Spectrogram(keras.layers.Layer):  # type: ignore[misc]  # keras has no annotations
    """Short-time Fourier transform of each channel: (windows, steps, channels) to log-magnitudes as images.

    The images are (windows, frames, frequencies, channels); frames overlap by half, under a Hann window. The middle of
    the last one, where that window is 1, lies on the last step; what frames hold beyond both ends is 0.
    """

    def __init__(self, frame: int, **options: Any) -> None:
        super().__init__(**options)
        self.frame = frame

    def call(self, values: Tensor) -> Tensor:
        """Takes values (windows, steps, channels)."""
        half, later = self.frame // 2, values.shape[1] - 1
        ends = -later % half + half, self.frame - half - 1
        by_channel = keras.ops.pad(keras.ops.transpose(values, (0, 2, 1)), ((0, 0), (0, 0), ends))
        real, imaginary = keras.ops.stft(by_channel, self.frame, half, self.frame, center=False)
        power = keras.ops.square(real) + keras.ops.square(imaginary)
        return keras.ops.transpose(keras.ops.log1p(power), (0, 2, 3, 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "frame": self.frame}
