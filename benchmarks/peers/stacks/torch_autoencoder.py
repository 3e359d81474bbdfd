"""pandas, scikit-learn's imputer and scaler over logarithms, and a dense autoencoder of PyTorch."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from common import BATCH, EPOCHS, KEYS, PERCENTILE, UNITS, main, smart_columns
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler


def rows(path: str, columns: list[str] | None = None) -> pd.DataFrame:
    if path.endswith(".parquet"):
        return pd.read_parquet(path, columns=None if columns is None else [*KEYS, *columns])
    return pd.read_csv(path, engine="pyarrow", usecols=None if columns is None else [*KEYS, *columns])


def values(frame: pd.DataFrame, columns: list[str]) -> np.ndarray:
    return frame[columns].to_numpy("float32")


def network(width: int) -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for before, after in zip((width, *UNITS), UNITS, strict=False):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(UNITS[-1], width))


def errors(made: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        parts = torch.from_numpy(x).split(8 * BATCH)
        return torch.cat([(made(part) - part).square().mean(dim=1) for part in parts]).numpy()


def fit(path: str, model: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    frame = rows(path)
    frame = frame[frame["failure"] == 0]
    columns = [name for name in smart_columns(frame.columns) if frame[name].notna().any()]
    logarithm = FunctionTransformer(np.log1p)
    prepared = make_pipeline(SimpleImputer(strategy="median"), logarithm, StandardScaler())
    x = prepared.fit_transform(values(frame, columns)).astype("float32")
    made = network(x.shape[1])
    optimiser = torch.optim.Adam(made.parameters())
    data = torch.from_numpy(x)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(data)).split(BATCH):
            optimiser.zero_grad()
            torch.nn.functional.mse_loss(made(data[batch]), data[batch]).backward()
            optimiser.step()
    threshold = float(np.percentile(errors(made, x), PERCENTILE))
    model.mkdir(parents=True)
    joblib.dump({"columns": columns, "prepared": prepared, "threshold": threshold}, model / "known")
    torch.save(made.state_dict(), model / "network")
    return {"rows": len(x)}


def score(model: Path, path: str, scores: Path) -> dict[str, Any]:
    known = joblib.load(model / "known")
    frame = rows(path, known["columns"])
    x = known["prepared"].transform(values(frame, known["columns"])).astype("float32")
    made = network(x.shape[1])
    made.load_state_dict(torch.load(model / "network"))
    keys = frame[KEYS].assign(score=errors(made, x))
    keys.to_parquet(scores)
    return {"rows": len(x), "alarms": int((keys["score"] > known["threshold"]).sum())}


main(fit, score)
