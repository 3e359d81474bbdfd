"""How the jitted functions are compiled on a CPU: XLA options that each pay for themselves, where XLA knows them.

The options go with each compilation, never through ``XLA_FLAGS``, so that nothing outside this package changes. XLA
promises none of them for ever: one that it does not know any more is left out, and only speed is lost.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax

Option = tuple[str, str | int | bool]

WIDE_VECTORS = ("xla_cpu_prefer_vector_width", 512)
"""Elementwise loops use 512-bit registers; XLA's default of 256 leaves half of an AVX-512 unit idle."""

FUSED_NETWORK = ("xla_cpu_experimental_ynn_fusion_type", "LIBRARY_FUSION_TYPE_DOT")
"""Matrix products, biases and ReLUs of all layers become one kernel that keeps a tile of windows in cache."""

NO_PRODUCT_LIBRARY = ("xla_cpu_experimental_ynn_fusion_type", "")
"""Matrix products run in Eigen, whose small calls cost less than the library's inside a loop over days."""

ONE_THREAD = ("xla_cpu_multi_thread_eigen", False)
"""Matrix products stay on the calling thread, where threads have a block each."""

MOST_DEVICES = 4
"""Host devices to ask JAX for: a gradient step over the days of a window runs on one core per device."""


def compiled(function: Callable[..., Any], *options: Option, **jit: Any) -> Callable[..., Any]:
    """``jax.jit(function, **jit)`` with those of the options that apply to the platform in use."""
    if jax.default_backend() != "cpu":
        return jax.jit(function, **jit)
    known = {name: value for name, value in options if _is_known(name, value)}
    return jax.jit(function, compiler_options=known, **jit)


@lru_cache
def _is_known(name: str, value: str | int | bool) -> bool:
    """Whether XLA compiles with the option."""
    try:
        jax.jit(lambda number: number + 1, compiler_options={name: value}).lower(0.0).compile()
    except (jax.errors.JaxRuntimeError, ValueError):
        return False
    return True


def ask_for_host_devices() -> None:
    """Splits the CPU into a few JAX devices, unless JAX is running already or was told a number."""
    wanted = min(MOST_DEVICES, os.cpu_count() or 1)
    if jax.config.values["jax_num_cpu_devices"] > 0 or "host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    try:
        jax.config.update("jax_num_cpu_devices", wanted)  # type: ignore[no-untyped-call]  # JAX leaves it untyped
    except RuntimeError:  # JAX is in use: training goes on with the devices there are
        return
