"""Which names tables may have, so that a name can never lead out of its folder."""

import re

from ae_assets.errors import LakehouseError

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
