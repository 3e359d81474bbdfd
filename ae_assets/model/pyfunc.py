"""A version of a model as MLflow serves it: raw rows in, decisions out, as `Model.decide` makes them.

MLflow calls `_load_pyfunc` by the name of this module, so what is logged is data alone: no code, no pickle. Imports
MLflow, pandas and Pandera inside functions.
"""

import json
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ae_assets.errors import ContractError
from ae_assets.features.settings import FeatureSettings
from ae_assets.model.model import MEANINGS, SETTINGS, Model, State, contract_of_settings, load_model
from ae_assets.schemas.anomalies import anomaly_types
from ae_assets.schemas.columns import ValueSection
from ae_assets.schemas.raw import RawContract

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from mlflow.models import ModelSignature

PERIODS, ALL, NEWEST = "periods", "all", "newest"
"""The parameter of a call: of which periods of the rows decisions are wanted."""

SET_ASIDE = "set_aside_because"
"""The column beside those of an anomalies table: why a row was not decided on; null = it was."""

REQUIREMENTS = ("mlflow-skinny", "polars", "pandera", "numpy", "keras", "jax", "optax", "pyarrow", "pandas")
"""Packages by which numbers and types come out as they did; ae_assets itself comes from where you keep it."""


class Decider:
    """What MLflow calls with rows."""

    def __init__(self, model: Model) -> None:
        """Takes the model that decides."""
        self._model = model

    def predict(
        self, model_input: "pd.DataFrame | pl.DataFrame | pa.Table", params: Mapping[str, Any] | None = None
    ) -> "pd.DataFrame | pl.DataFrame | pa.Table":
        """Decides on raw rows; each call knows nothing of those before.

        Args:
            model_input: rows in the columns of the contract, of the periods that decisions are wanted of and of those
                that these look back on. Columns that the contract has and the rows have not are unknown values.
            params: ``{"periods": "newest"}`` gives the decisions on the last period of the rows only.

        Returns:
            As what the rows came: the columns of an anomalies table, and ``set_aside_because``. Rows that cannot be
            true, and periods of which so many are that nothing is decided, have their reason there, and no score.

        Raises:
            ContractError: a column that says who or when is missing, or ``periods`` is not known.
        """
        asked = (params or {}).get(PERIODS, ALL)
        if asked not in (ALL, NEWEST):
            raise ContractError(f"params: {PERIODS}: received {asked!r}, expected {ALL!r} or {NEWEST!r}")
        rows = typed(_as_polars(model_input), self._model.contract)
        decided, state = self._model.decide(rows)
        answer = with_set_aside(decided, state)
        if asked == NEWEST and answer.height:
            answer = answer.filter(pl.col("day") == max(state.raw_rows))
        return _as_received(answer, model_input)


def _load_pyfunc(data_path: str) -> Decider:
    """What MLflow asks of a loader: the model in the folder that was logged."""
    return Decider(load_model(data_path))


def with_set_aside(decided: pl.DataFrame, state: State) -> pl.DataFrame:
    """Decisions, rows that were set aside and periods that were held back in one frame, so that no row goes unsaid."""
    aside = state.set_aside.select("day", "entity", pl.format("{}: {}", "rule", "reason").alias(SET_ASIDE))
    held = pl.DataFrame(
        [
            (day, f"so many of the {rows} rows of the period are set aside that nothing is decided on the others")
            for day, rows in state.held_back.items()
        ],
        schema={"day": decided.schema["day"], SET_ASIDE: pl.String},
        orient="row",
    )
    return pl.concat([decided.with_columns(pl.lit(None, pl.String).alias(SET_ASIDE)), aside, held], how="diagonal")


def typed(rows: pl.DataFrame, contract: RawContract) -> pl.DataFrame:
    """Rows with the columns and types of the contract; a cell that its type cannot hold goes to ``rescued``.

    Raises:
        ContractError: they lack a column without which nothing can be said of them.
    """
    types = types_of(contract)
    if missing := [name for name in required_columns(contract) if name not in rows.columns]:
        raise ContractError(
            f"the rows lack {', '.join(missing)}; received the columns {rows.columns[:12]}, expected "
            f"{', '.join(types)}, of which {', '.join(required_columns(contract))} must be there"
        )
    received = rows.with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in types.items() if name not in rows.columns
    ).select(_in_utc(name, rows.schema.get(name, dtype)) for name, dtype in types.items())
    cast = received.select(pl.col(name).cast(dtype, strict=False) for name, dtype in types.items())
    lost = pl.DataFrame(_is_lost(received[name], cast[name]) for name in types)
    spoilt = lost.select(pl.any_horizontal(pl.all())).to_series()
    rescued = pl.select(pl.when(spoilt).then(pl.lit("")).alias("rescued")).to_series()
    if spoilt.any():
        texts = received.select(pl.when(lost[name]).then(pl.col(name).cast(pl.String)) for name in types)
        cells = [_known(row) for row in texts.filter(spoilt).iter_rows(named=True)]
        rescued = rescued.scatter(spoilt.arg_true(), cells)
    return cast.with_columns(rescued)


def _in_utc(name: str, received: pl.DataType | type[pl.DataType]) -> pl.Expr:
    """A column as it came; times without a zone are in UTC."""
    zoneless = isinstance(received, pl.Datetime) and received.time_zone is None
    return pl.col(name).dt.replace_time_zone("UTC") if zoneless else pl.col(name)


def _is_lost(received: pl.Series, cast: pl.Series) -> pl.Series:
    """Which cells the type of their column cannot hold; a double beyond its whole numbers is not known exactly."""
    lost = received.is_not_null() & cast.is_null()
    if received.dtype.is_float() and cast.dtype.is_integer():
        lost |= ((received != received.floor()) | (received.abs() > 2**53)).fill_null(value=False)
    return lost.alias(received.name)


def _known(cells: Mapping[str, Any]) -> str:
    return json.dumps({name: text for name, text in cells.items() if text is not None})


def types_of(contract: RawContract) -> dict[str, pl.DataType]:
    """The columns that the contract reads, with their types."""
    attributes = {name: contract.layout.type_of(name)() for name in contract.attributes or ()}
    named = {name: dtype for name, dtype in contract.columns.items() if name != "rescued"}
    return {**named, **attributes, **dict.fromkeys(contract.groups, pl.String())}


def required_columns(contract: RawContract) -> list[str]:
    """Those that say who, of what kind and when."""
    return list(dict.fromkeys(contract.names[name] for name in ("day", "entity", "cohort") if name in contract.names))


def save(folder: Path, version: Path, card: Mapping[str, Any]) -> None:
    """Makes a folder that MLflow takes for a model, of the folder of a version and its card.

    A card that does not say how features are made, of an earlier release, gives a model without signature and example.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow finds fault with type hints of its own
        from mlflow.pyfunc import save_model

    described = {}
    if SETTINGS in card:
        settings = FeatureSettings.from_record(card[SETTINGS], card[MEANINGS])
        contract = contract_of_settings(settings)
        described = {"signature": signature_of(contract), "input_example": (example_of(contract), {PERIODS: ALL})}
    save_model(
        str(folder),
        loader_module=__name__,
        data_path=str(version),
        pip_requirements=[f"{name}=={version_of(name)}" for name in REQUIREMENTS],
        **described,
    )


def signature_of(contract: RawContract) -> "ModelSignature":
    """What MLflow holds calls to: the columns of the contract, those of an anomalies table, and the parameter.

    Numbers may come as any type: to MLflow a column is whole or not, and pandas makes of the same readings one or the
    other, as some of them are missing. A cell that is no number sets its row aside.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    required = required_columns(contract)
    taken = [
        ColSpec(AnyType() if dtype.is_numeric() else _type(dtype), name, required=name in required)
        for name, dtype in types_of(contract).items()
    ]
    given = {**anomaly_types(contract.rhythm), SET_ASIDE: pl.String()}
    return ModelSignature(
        Schema(taken),
        Schema([ColSpec(_type(dtype), name, required=False) for name, dtype in given.items()]),
        ParamSchema([ParamSpec(PERIODS, "string", ALL)]),
    )


def example_of(contract: RawContract) -> "pd.DataFrame":
    """Two records of a device, the second without any value, in the columns of the contract."""
    first = datetime(2026, 1, 5, tzinfo=UTC)
    times = {contract.names["day"]: [first.replace(tzinfo=None), (first + contract.rhythm.step).replace(tzinfo=None)]}
    words = {name: ["A1", "A1"] for name in required_columns(contract)}
    values = {name: [None, None] for name in types_of(contract)} | {
        name: [_plausible(contract.layout.values.get(name)), None] for name in contract.attributes or ()
    }
    types = dict.fromkeys(contract.groups, pl.String)
    return _as_pandas(pl.DataFrame({**values, **words, **times}, schema_overrides=types))


def _plausible(value: ValueSection | None) -> float:
    """The number nearest to 0 that a column may hold."""
    lowest, highest = (None, None) if value is None else (value.at_least, value.at_most)
    return min(max(0.0, -inf if lowest is None else lowest), inf if highest is None else highest)


def _type(dtype: pl.DataType) -> Any:
    from mlflow.types.schema import Array, Object, Property

    if isinstance(dtype, pl.List):
        return Array(_type(_instance(dtype.inner)))
    if isinstance(dtype, pl.Struct):
        return Object([Property(field.name, _type(_instance(field.dtype)), required=False) for field in dtype.fields])
    if dtype.is_temporal():
        return "datetime"
    if dtype.is_numeric():
        return "double" if dtype.is_float() else "integer"
    return "boolean" if dtype == pl.Boolean else "string"


def _instance(dtype: Any) -> pl.DataType:
    made: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return made


def _as_polars(rows: "pd.DataFrame | pl.DataFrame | pa.Table") -> pl.DataFrame:
    if isinstance(rows, pl.DataFrame):
        return rows
    import pyarrow as pa

    try:
        frame = pl.from_arrow(rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False))
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise ContractError(f"the rows cannot be read: {error}; expected a frame of pandas, Polars or Arrow") from error
    return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()


def _as_received(answer: pl.DataFrame, rows: object) -> "pd.DataFrame | pl.DataFrame | pa.Table":
    if isinstance(rows, pl.DataFrame):
        return answer
    import pyarrow as pa

    return answer.to_arrow() if isinstance(rows, pa.Table) else _as_pandas(answer)


def _as_pandas(frame: pl.DataFrame) -> "pd.DataFrame":
    return frame.to_arrow().to_pandas(date_as_object=False)
