"""A table that is served: its champion, taken up while requests go on, and what its lakehouse knows."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ae_assets.chain.anomalies import mutes_of, past_columns
from ae_assets.chain.anomaly_day import anomaly_rows, entry
from ae_assets.chain.champion import load_version
from ae_assets.chain.table_facts import table_facts
from ae_assets.chain.workspace import ANOMALIES, FEATURES, RAW, Workspace
from ae_assets.decisions.episodes import first_continued
from ae_assets.decisions.mutes import Mute
from ae_assets.detectors import windows_of
from ae_assets.errors import AeAssetsError, ModelError
from ae_assets.features.wording import wording_of
from ae_assets.model import devices
from ae_assets.model.devices import Question, TableFacts
from ae_assets.model.model import Model, load_model
from ae_assets.model.reasons import flags_of
from ae_assets.schemas.records import ENTITY, PERIOD, TIME, key_of

WARMED_WINDOWS = 2_048
"""The largest block of windows that a network is compiled for."""
REFUSED_SECONDS = 60.0
"""After which a champion that was refused is tried again: it may have been out of reach."""
STORED_PERIODS = 30 * timedelta(days=1)
"""How far back from the newest period a stored decision is looked for."""

_FIRST = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class InUse:
    """A model with what it is asked with.

    Attributes:
        model: what decides.
        identity: of the version and of its threshold, which may be chosen again.
        facts: of the table.
        mutes: its mute list.
    """

    model: Model
    identity: str
    facts: TableFacts
    mutes: tuple[Mute, ...]

    def decide(self, questions: Sequence[Question]) -> list[pl.DataFrame]:
        return devices.decide(self.model, questions, self.facts, self.mutes)


class ServedTable:
    """One of the tables of a server."""

    def __init__(self, space: Workspace, folder: Path | None = None) -> None:
        """Takes where the table is kept, and the folder of a version that stands for its champion."""
        self.space = space
        self.name = space.table.table
        self._folder = folder
        self._in_use: InUse | None = None
        self._facts_of: tuple[Any, ...] = ()
        self.refused: tuple[str, str] | None = None
        """The champion that was not taken up, and why; None: the champion is in use."""
        self._again = 0.0
        """When it is looked at again."""

    @property
    def in_use(self) -> InUse:
        """What answers now; a request keeps it to its end."""
        if self._in_use is None:
            raise ModelError(f"{self.name} has no model in use")
        return self._in_use

    @property
    def is_ready(self) -> bool:
        return self._in_use is not None

    def open(self) -> None:
        """Loads the champion and compiles it.

        Raises:
            AeAssetsError: there is none, or it cannot be used.
        """
        identity, load = self._champion()
        self._take(identity, load)

    def look(self) -> str | None:
        """Takes up another champion, and what the tables know since; takes long, beside the requests.

        Returns:
            The version that was taken up, or that was not, as ``refused`` says; None: nothing has changed.

        Raises:
            AeAssetsError: the model store, the tables or the mute list cannot be read; what was in use stays.
        """
        before = self.in_use
        identity, load = self._champion()
        if identity == before.identity:
            self.refused = None
            self._in_use = replace(before, **self._known(before.model))
            return None
        if self.refused is not None and self.refused[0] == identity and time.monotonic() < self._again:
            return None
        try:
            self._take(identity, load)
        except Exception as error:  # noqa: BLE001 - whatever a version holds, the one in use stays
            why = str(error) if isinstance(error, AeAssetsError) else f"it cannot be loaded ({type(error).__name__})"
            self.refused, self._again = (identity, why), time.monotonic() + REFUSED_SECONDS
            return identity
        return self.in_use.model.version

    def history(self, model: Model, raw: pl.DataFrame) -> Question:
        """The rows of a request with those that the lakehouse holds of its devices before.

        Args:
            model: what decides.
            raw: valid rows of the request.

        Raises:
            AeAssetsError: the tables cannot be read, or their rows are not those of the contract.
        """
        space, periods = self.space, self.space.table.periods
        firsts = raw.group_by(ENTITY).agg(first=pl.col(PERIOD).min())
        names, first = firsts[ENTITY].to_list(), firsts["first"].min()
        last: date = periods.shifted(firsts["first"].max(), -1)  # type: ignore[arg-type]  # polars does not know its type
        contract = model.contract
        parts = [raw]
        if space.exists(RAW):
            schema = space.schema(RAW)
            rows = space.tables.read(
                space.name(RAW),
                periods.before(first, model.look_back),  # type: ignore[arg-type]
                last,
                contract.read_in(list(schema)),
                entities=names,
                named_in=contract.names["entity"],
            )
            if rows.height:
                held = devices.validate(model, rows).valid.join(firsts, on=ENTITY, maintain_order="left")
                parts.insert(0, held.filter(pl.col(PERIOD) < pl.col("first")).drop("first"))
        rhythm = space.table.rhythm
        past = None
        if space.exists(ANOMALIES):
            since = first_continued(model.episodes, first, self.in_use.facts.feature_gaps, rhythm)  # type: ignore[arg-type]
            stored = anomaly_rows(space, since, last, names, past_columns(rhythm)).join(firsts, on=ENTITY)
            past = stored.filter(pl.col(PERIOD) < pl.col("first")).drop("first")
        return Question(pl.concat(parts, how="diagonal"), first, past, firsts)  # type: ignore[arg-type]

    def stored(self, entity: str) -> dict[str, Any] | None:
        """The newest stored decision on a device, as plain values; None where the last `STORED_PERIODS` have none.

        Raises:
            LakehouseError: the tables cannot be read.
        """
        space = self.space
        days = space.days_with_rows(ANOMALIES)
        if not days:
            return None
        rows = anomaly_rows(space, space.table.periods.spanning(days[-1], STORED_PERIODS), days[-1], [entity])
        if rows.is_empty():
            return None
        row = rows.sort(key_of(rows.columns)[0]).row(-1, named=True)
        told = entry(row, wording_of(space.table.features))
        more = {"period": row[PERIOD], "episode": row["episode"], "model_version": row["model_version"]}
        return {"table": self.name, **more, **told}

    def _champion(self) -> tuple[str, Callable[[], Model]]:
        """The identity of what is to be used, and what loads it."""
        if self._folder is not None:
            folder = self._folder
            return str(folder), lambda: load_model(folder)
        version = self.space.models.champion(self.name)
        if version is None:
            raise ModelError(f"{self.name} has no champion yet; `ae-assets run {self.name}` trains one")
        threshold = self.space.models.read_threshold(self.name, version)
        digest = hashlib.sha256(threshold.encode()).hexdigest()[:8]
        return f"{version}/{digest}", lambda: load_version(self.space, version)

    def _take(self, identity: str, load: Callable[[], Model]) -> None:
        model = load()
        known = self._known(model, anew=True)
        warm_up(model, known["facts"].lacking["cohort"].to_list())
        self._in_use, self.refused = InUse(model, identity, **known), None

    def _known(self, model: Model, *, anew: bool = False) -> dict[str, Any]:
        """What the tables and the mute list say now; tables that have not changed are not read again."""
        space = self.space
        states = tuple(
            space.tables.snapshot(space.name(asset)) if space.exists(asset) else None for asset in (RAW, FEATURES)
        )
        if anew or states != self._facts_of:
            facts = table_facts(space, flags_of(model.detector.feature_names, model.features))
            self._facts_of = states
        else:
            facts = self.in_use.facts
        return {"facts": facts, "mutes": mutes_of(space)}


def warm_up(model: Model, cohorts: Sequence[str]) -> None:
    """Compiles whatever scoring and explaining compile, in every shape that a batch may have.

    Raises:
        ModelError: it gives scores that are no numbers.
    """
    detector, names = model.detector, model.detector.feature_names
    kinds = [*cohorts[:WARMED_WINDOWS]] or ["all"]
    records = 1
    while True:
        windows = _made_up(model, names, kinds, min(records, detector.steps))
        last = windows.take(np.arange(len(windows))[-WARMED_WINDOWS:])
        scores, explained = detector.score(last), detector.explain(last)
        if not (np.isfinite(scores).all() and np.isfinite(explained.contributions).all()):
            raise ModelError(f"model {model.version} gives scores that are no numbers; train it again")
        if records >= detector.steps:
            return
        records *= 2


def _made_up(model: Model, names: Sequence[str], cohorts: Sequence[str], records: int) -> Any:
    """Windows of so many records, one of each of many devices."""
    rhythm, count = model.rhythm, WARMED_WINDOWS
    first = rhythm.periods.start(rhythm.periods.of(_FIRST))
    at = pl.int_range(records, eager=True)
    times = pl.select(pl.lit(first) + at * rhythm.step).to_series()
    rows = pl.DataFrame({"number": range(count)}).join(pl.DataFrame({TIME: times}), how="cross")
    moment = pl.col(TIME) if rhythm.cadence else pl.col(TIME).cast(rhythm.periods.dtype)
    features = rows.select(
        rhythm.periods.of_times(pl.col(TIME)).alias(PERIOD) if rhythm.cadence else moment.alias(PERIOD),
        *([pl.col(TIME)] if rhythm.cadence else []),
        pl.col("number").cast(pl.String).alias(ENTITY),
        pl.col("number")
        .map_elements(lambda number: cohorts[number % len(cohorts)], return_dtype=pl.String)
        .alias("cohort"),
        *(pl.lit(None, pl.String).alias(name) for name in model.features.groups),
        *(pl.lit(0.0, pl.Float32).alias(name) for name in names),
    )
    last = features.select(pl.col(key_of(features.columns)[0]) == pl.col(key_of(features.columns)[0]).max()).to_series()
    return windows_of(features, names, model.detector.window, where=last, step=model.detector.step)
