"""PyOD's AutoEncoder, with its own scaling and contamination, over pandas and scikit-learn's imputer."""

from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from common import BATCH, EPOCHS, KEYS, main, smart_columns
from pyod.models.auto_encoder import AutoEncoder
from sklearn.impute import SimpleImputer


def rows(path: str, columns: list[str] | None = None) -> pd.DataFrame:
    if path.endswith(".parquet"):
        return pd.read_parquet(path, columns=None if columns is None else [*KEYS, *columns])
    return pd.read_csv(path, engine="pyarrow", usecols=None if columns is None else [*KEYS, *columns])


def fit(path: str, model: Path) -> dict[str, Any]:
    frame = rows(path)
    frame = frame[frame["failure"] == 0]
    columns = [name for name in smart_columns(frame.columns) if frame[name].notna().any()]
    filled = SimpleImputer(strategy="median")
    x = filled.fit_transform(frame[columns].to_numpy("float32"))
    detector = AutoEncoder(contamination=0.001, batch_size=BATCH, epoch_num=EPOCHS, random_state=0, verbose=0)
    detector.fit(x)
    model.mkdir(parents=True)
    joblib.dump({"columns": columns, "filled": filled, "detector": detector}, model / "known")
    return {"rows": len(x)}


def score(model: Path, path: str, scores: Path) -> dict[str, Any]:
    known = joblib.load(model / "known")
    frame = rows(path, known["columns"])
    x = known["filled"].transform(frame[known["columns"]].to_numpy("float32"))
    known["detector"].batch_size = 8 * BATCH
    keys = frame[KEYS].assign(score=known["detector"].decision_function(x))
    keys.to_parquet(scores)
    return {"rows": len(x), "alarms": int((keys["score"] > known["detector"].threshold_).sum())}


main(fit, score)
