"""Which of the offered windows a fit takes: a sample by seed, and what is said where there are none."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.windows import Windows, is_reading
from ae_assets.errors import ModelError


def chosen(count: int, most: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """At most ``most`` of the numbers below ``count``, ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(generator.choice(count, most, replace=False))


def require_windows(windows: Windows, name: str) -> None:
    """Raises ModelError unless there is a window."""
    if not len(windows):
        raise ModelError(f"There are no {name} windows; widen the training range or the entities it takes.")


def require_readings(windows: Windows, kind: str, names: tuple[str, ...]) -> None:
    """Raises ModelError where the names are of readings and no window's last record knows one of them.

    Flags and ages are always known, and what is fitted on them alone says nothing of how a device is.
    """
    readings = [name for name in names if is_reading(name)]
    columns = [windows.feature_names.index(name) for name in readings]
    if readings and not any(np.isfinite(windows.values[windows.last_row, column]).any() for column in columns):
        raise ModelError(
            f"None of the features of {kind} is known in any of {len(windows)} training windows: {readings}; name "
            "features that the table's devices report, or train on days on which they report them."
        )


def balanced(target: NDArray[np.bool_], share: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Positions of all windows, of those with a target as often as they need to make up a share; (n,) or more.

    Args:
        target: of each window (n,).
        share: in (0, 1); where windows with a target make up more, or there is none, nothing is repeated.
        generator: draws those that are repeated once more than others.
    """
    everything, positive = np.arange(len(target)), np.flatnonzero(target)
    wanted = round(share / (1 - share) * (len(target) - len(positive)))
    if not len(positive) or wanted <= len(positive):
        return everything
    times, left = divmod(wanted, len(positive))
    more = generator.choice(positive, left, replace=False)
    return np.sort(np.concatenate([everything, np.repeat(positive, times - 1), more]))


def wanted_features(config: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """The features that a config names, all of the table where it names none.

    Raises:
        ModelError: the table lacks one.
    """
    wanted: tuple[str, ...] = config.features or names
    if absent := [name for name in wanted if name not in names]:
        raise ModelError(
            f"The features of {config.type} name {absent}, which the table lacks; available: {list(names)}."
        )
    return wanted
