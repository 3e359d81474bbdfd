"""How well detectors rebuild the records of a range where nothing is known to be wrong: values beside expectations."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from ae_assets.chain.workspace import Workspace
from ae_assets.evaluation.intervals import Floats
from ae_assets.evaluation.protocols.rebuilt import RebuiltFigures, rebuilt_figures
from ae_assets.evaluation.target import Target
from ae_assets.features.catalogue import Feature, catalogue
from ae_assets.features.units import in_own_units, scale_of
from ae_assets.model.scoring import ScoredDay
from ae_assets.schemas.records import ENTITY, key_of

MOST_RECORDS = 20_000
SEED = 0


@dataclass
class Rebuilding:
    """Readings of some records, and what a detector expects instead, day by day.

    Attributes:
        space: the table.
        records: the records that count, by their key.
    """

    space: Workspace
    records: pl.DataFrame
    _entities: list[str] = field(default_factory=list)
    _values: list[Floats] = field(default_factory=list)
    _expected: list[Floats] = field(default_factory=list)

    @property
    def _levels(self) -> list[Feature]:
        """A percentage of a reading says something; of a growth or a range, which are 0 where all is well, nothing."""
        return [one for one in catalogue(self.space.table.features) if one.transform == "level"]

    def add(self, scored: ScoredDay) -> bool:
        """Takes a day; gives whether the detector expects any reading of it, and any record of it may count."""
        if self.records.is_empty():
            return False
        levels, names = self._levels, scored.windows.feature_names
        columns = [names.index(one.name) for one in levels]
        scales = [scale_of(one, self.space.table.features) for one in levels]
        key = key_of(scored.keys.columns)
        own = scored.keys.with_row_index("row").join(self.records, on=key, how="semi", maintain_order="left")
        rows = own["row"].cast(pl.Int64).to_numpy()
        expected = scored.explain(rows).expected[:, columns]
        if len(rows) and not np.isfinite(expected).any():
            return False
        values = scored.windows.values[scored.windows.last_row[rows]][:, columns]
        self._entities += own[ENTITY].to_list()
        self._values.append(in_own_units(values, scales))
        self._expected.append(in_own_units(expected, scales))
        return True

    def figures(self) -> RebuiltFigures | None:
        """The percentage errors of all days; None of a detector that expects no reading."""
        if not self._entities:
            return None
        names = [one.name for one in self._levels]
        return rebuilt_figures(np.concatenate(self._values), np.concatenate(self._expected), self._entities, names)


def normal_records(scores: pl.DataFrame, target: Target) -> pl.DataFrame:
    """The keys of judged records where nothing is known to be wrong; of more than `MOST_RECORDS` so many are drawn."""
    key = key_of(scores.columns)
    normal = scores.filter(pl.col("score").is_not_null() & target.normal(scores)).select(key)
    return normal.sample(min(MOST_RECORDS, normal.height), seed=SEED)
