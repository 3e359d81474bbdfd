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
        validated = self.validate(raw, day)
        return PreparedDay(validated.valid, validated.quarantine, self.features(day, day))

    def validate(self, raw: pl.DataFrame, day: date) -> Validated:
        """Validates a day, which `features` are then made of with others.

        Raises:
            ContractError: as `look_back_on`.
        """
        with self._gap_unless_read(day):
            validated = validate_day(raw, day, self._contract)
        self._remembered(day, validated.valid)
        return validated

    def features(self, first: date, last: date) -> pl.DataFrame:
        """The features of the days of a stretch, the last days that were validated; those of a day by entity and time.

        Several days at once take hardly longer than one and are equal bit for bit: the look-back is gone through once.
        """
        if not self._see_the_table_begin_alike(first, last):
            days = self._contract.rhythm.periods.range(first, last)
            return pl.concat([self.features(day, day) for day in days])
        history = self._look_back.history(last, first)
        features_of = partial(
            features_of_block,
            first=first,
            config=self._config,
            gaps=frozenset(self._gaps),
            last=last,
            begins=self._begins(first),
            rhythm=self._contract.rhythm,
        )
        # By entity, so that one is found without reading the others.
        return self._map_blocks(features_of, history)

    def _remembered(self, day: date, valid: pl.DataFrame) -> pl.DataFrame:
        self._look_back.push(valid)
        if valid.is_empty() and self._census is None:
            self._gaps.add(day)
        return valid

    @property
    def _known(self) -> Collection[date]:
        """The days of which the table is known to have valid rows, in order, as far as features look back."""
        return self._look_back.known if self._census is None else self._census

    def _begins(self, day: date) -> date | None:
        """The first day with valid rows that the look-back of a day reaches into."""
        first = self._contract.rhythm.periods.before(day, self._config.look_back)
        return next((known for known in self._known if first <= known <= day), None)

    def _see_the_table_begin_alike(self, first: date, last: date) -> bool:
        """Whether no day counts as one before the table began for the last of a stretch that is none for the first."""
        begins, ends = self._begins(first), self._begins(last)
        if first == last or begins is None or ends is None:
            return first == last
        return {*self._contract.rhythm.periods.range(begins, ends)} <= {*self._known, *self._gaps}

    @contextmanager
    def _gap_unless_read(self, day: date) -> Iterator[None]:
        try:
            yield
        except ContractError:
            self._gaps.add(day)
            raise
