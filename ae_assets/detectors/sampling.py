"""Which of the offered windows a fit takes: a sample by seed, and what is said where there are none."""

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.windows import Windows
from ae_assets.errors import ModelError


def sample(windows: Windows, most: int, generator: np.random.Generator) -> Windows:
    """At most ``most`` windows, without replacement, in their order."""
    return windows.take(chosen(len(windows), most, generator)) if len(windows) > most else windows


def chosen(count: int, most: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """At most ``most`` of the numbers below ``count``, ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(generator.choice(count, most, replace=False))


def require_windows(windows: Windows, name: str) -> None:
    """Raises ModelError unless there is a window."""
    if not len(windows):
        raise ModelError(f"There are no {name} windows; widen the training range or the entities it takes.")
