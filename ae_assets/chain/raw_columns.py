"""How the columns of a day's file become those of the raw table, where the two spell or type them otherwise."""

from collections.abc import Mapping

import polars as pl

from ae_assets.chain.workspace import RAW, Workspace
from ae_assets.errors import SourceError
from ae_assets.model.unknown_names import nearest


class RawColumns:
    """The columns of a raw table with the types that a read gives, none of one that is not there yet.

    Those of each day that is fitted are added, since it will be written.
    """

    def __init__(self, table: str, known: Mapping[str, pl.DataType]) -> None:
        self._table, self._known = table, dict(known)
        self._spelled = {name.lower(): name for name in known}

    def fit(self, frame: pl.DataFrame, origin: str) -> pl.DataFrame:
        """The rows of a file with the table's columns.

        A name that differs from one of the table's in upper and lower case only is that column: engines beside this one
        do not tell them apart. A text that came in earlier versions as a number is read as one, and kept in `rescued`
        where it is none.

        Raises:
            SourceError: the table has a column of numbers of the file as text.
        """
        spelled = {name: self._spelled.setdefault(name.lower(), name) for name in frame.columns}
        frame = frame.rename({name: other for name, other in spelled.items() if name != other})
        for name, kind in frame.schema.items():
            if kind.is_integer() and self._known.setdefault(name, kind) == pl.String:
                raise SourceError(
                    f"{origin}: the column {name!r} holds numbers, and {self._table} has it as text, as earlier"
                    " versions read it. Load the source into a new home (AE_ASSETS_HOME)."
                )
        # The code location names attributes that no file had; only reading a day needs numpy.
        from ae_assets.sources.rescue import as_whole_numbers

        texts = [name for name, kind in frame.schema.items() if kind == pl.String]
        return as_whole_numbers(frame, [name for name in texts if self._known.get(name, pl.String()).is_integer()])


def never_delivered(space: Workspace) -> dict[str, str]:
    """The attributes that no file of the table had a column of so far, in words that name the nearest columns.

    A column that the YAML names as well is none that could have been meant.
    """
    known = space.schema(RAW) if space.exists(RAW) else {}
    asked, layout = space.table.features.attributes, space.table.layout
    others = [column for column in known if layout.is_attribute(column) and column not in asked]
    absent = [column for column in asked if known and column not in known]
    return {column: f"{column} ({near[2:]})" if (near := nearest(column, others)) else column for column in absent}
