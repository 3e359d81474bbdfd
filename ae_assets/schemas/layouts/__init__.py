"""The layouts of raw rows that are known by name."""

from collections.abc import Mapping, Sequence

from ae_assets.errors import ConfigError
from ae_assets.schemas.layouts.drive_stats import drive_stats_contract
from ae_assets.schemas.raw import RawContract


def contract_of(
    layout: str, attributes: Sequence[str] | None = None, low_bits: Mapping[str, int] | None = None
) -> RawContract:
    """The contract of a layout.

    Args:
        layout: ``"drive_stats"``.
        attributes: the raw attribute columns that features are made of: they are checked and kept. A column
            that no feature reads cannot set a row aside. None = every attribute column of a frame.
        low_bits: how many low bits carry the value, of columns into which vendors pack more; rules look at these.

    Raises:
        ConfigError: there is no such layout.
    """
    layouts = {"drive_stats": drive_stats_contract}
    if layout not in layouts:
        raise ConfigError(f"layout: received {layout!r}, expected one of {sorted(layouts)}")
    return layouts[layout](None if attributes is None else tuple(attributes), low_bits or {})
