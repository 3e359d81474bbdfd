"""Raw rows of a period in, features and quarantine out: the half of a model that comes before its detector."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial

import polars as pl

from ae_assets.errors import ContractError
from ae_assets.features.block import features_of_block
from ae_assets.features.config import FeatureConfig
from ae_assets.features.look_back import LookBack
from ae_assets.features.validation import Validated, valid_rows, validate_day
from ae_assets.schemas.raw import RawContract

MapBlocks = Callable[[Callable[[pl.DataFrame], pl.DataFrame], pl.DataFrame], pl.DataFrame]
"""Applies a function of blocks to all rows, and gives what it makes of them by entity and time."""


def on_the_whole(function: Callable[[pl.DataFrame], pl.DataFrame], rows: pl.DataFrame) -> pl.DataFrame:
    """One block."""
    return function(rows)


@dataclass(frozen=True)
class PreparedDay(Validated):
    """What became of a day's raw rows.

    Attributes:
        features: one row per valid row, as ``features_of_block`` gives them, by entity and time.
    """

    features: pl.DataFrame


class Preparation:
    """Prepares days in rising order and holds no more than what the features look back on."""

    def __init__(
        self,
        contract: RawContract,
        config: FeatureConfig,
        gaps: Iterable[date] = (),
        map_blocks: MapBlocks = on_the_whole,
        census: Collection[date] | None = None,
    ) -> None:
        """Starts without any day.

        Args:
            contract: what raw rows promise.
            config: which features are made.
            gaps: days on which the table cannot tell who was away; days without a valid row join them.
            map_blocks: applies a function to the rows of some devices each, as an engine does.
            census: where the days hold only some devices of the table, the days of which the table has valid rows; the
                other ones it has are among the gaps. None: those of which there are some here.
        """
        self._map_blocks = map_blocks
        self._contract = contract
        self._config = config
        self._look_back = LookBack(config, contract.rhythm)
        self._gaps = set(gaps)
        self._census = None if census is None else sorted(census)

    def look_back_on(self, raw: pl.DataFrame, day: date) -> pl.DataFrame:
        """Takes a day that later ones look back on.

        Returns:
            Its valid rows.

        Raises:
            ContractError: the rows break the contract as a whole; the day is a gap then.
        """
        with self._gap_unless_read(day):
            return self._remembered(day, valid_rows(raw, day, self._contract))

    def prepare(self, raw: pl.DataFrame, day: date, gaps: Iterable[date] = ()) -> PreparedDay:
        """Validates a day and makes its features.

        Args:
            raw: its raw rows, in the file's order or with ``source_row``.
            day: the day, later than every day before.
            gaps: further days on which the table cannot tell who was away.

        Raises:
            ContractError: as `look_back_on`.
        """
        self._gaps.update(gaps)
        with self._gap_unless_read(day):
            validated = validate_day(raw, day, self._contract)
        self._remembered(day, validated.valid)
        history = self._look_back.history(day)
        features_of = partial(
            features_of_block,
            first=day,
            config=self._config,
            gaps=frozenset(self._gaps),
            begins=self._begins(day),
            rhythm=self._contract.rhythm,
        )
        # By entity, so that one is found without reading the others.
        features = self._map_blocks(features_of, history)
        return PreparedDay(validated.valid, validated.quarantine, features)

    def _remembered(self, day: date, valid: pl.DataFrame) -> pl.DataFrame:
        self._look_back.push(valid)
        if valid.is_empty() and self._census is None:
            self._gaps.add(day)
        return valid

    def _begins(self, day: date) -> date | None:
        """The first day with valid rows that the look-back of a day reaches into."""
        if self._census is None:
            return self._look_back.begins
        first = self._contract.rhythm.periods.before(day, self._config.look_back)
        return next((known for known in self._census if first <= known <= day), None)

    @contextmanager
    def _gap_unless_read(self, day: date) -> Iterator[None]:
        try:
            yield
        except ContractError:
            self._gaps.add(day)
            raise
