"""Which names tables, models and versions may have, so that a name can never lead out of its folder."""

import re

from ae_assets.errors import AeAssetsError, LakehouseError

_WORD = r"[A-Za-z0-9_]+"


def table_identifier(table: str) -> tuple[str, str]:
    """Splits ``"<watched table>.<asset>"`` into Iceberg namespace and name; raises LakehouseError for other names."""
    if not re.fullmatch(rf"{_WORD}\.{_WORD}", table):
        raise LakehouseError(
            f"'{table}' is not a table name: expected <watched table>.<asset> with letters, digits and underscores, "
            "e.g. drive_stats.raw."
        )
    namespace, name = table.split(".")
    return namespace, name


def checked(name: str, kind: str, pattern: str, error: type[AeAssetsError]) -> str:
    """Gives the name back if it matches the whole pattern, else raises `error` that says what was expected."""
    if not re.fullmatch(pattern, name):
        raise error(f"'{name}' is not a {kind}: expected text that matches {pattern}.")
    return name
