"""Spark, Imputer, VectorAssembler, StandardScaler, toPandas, and a dense autoencoder of Keras on TensorFlow."""

import json
import os
from pathlib import Path
from typing import Any

os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
from common import BATCH, EPOCHS, KEYS, PERCENTILE, UNITS, main, smart_columns
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import Imputer, StandardScaler, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812


def session() -> SparkSession:
    settings = {
        "spark.master": "local[*]",
        "spark.driver.memory": "4g",
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }
    spark = SparkSession.builder.config(map=settings).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def rows(spark: SparkSession, path: str, columns: list[str] | None = None) -> Any:
    if path.endswith(".parquet"):
        read = spark.read.parquet(path)
    else:
        # A schema, since one that Spark infers costs another reading of the file.
        with Path(path).open(encoding="utf-8") as file:
            header = file.readline().strip().split(",")
        schema = ", ".join(f"`{name}` {'double' if name.startswith('smart_') else 'string'}" for name in header)
        read = spark.read.csv(path, header=True, schema=schema)
    wanted = columns or smart_columns(read.columns)
    return read.select(*KEYS, "failure", *[F.col(name).cast("double") for name in wanted])


def vectors(frame: Any) -> tuple[Any, np.ndarray]:
    pandas = frame.select(*KEYS, vector_to_array("scaled", "float32").alias("scaled")).toPandas()
    return pandas[KEYS], np.stack(pandas["scaled"].to_numpy())


def fit(path: str, model: Path) -> dict[str, Any]:
    import keras

    spark = session()
    healthy = rows(spark, path).where("failure = 0").cache()
    counts = healthy.select(*[F.count(name).alias(name) for name in smart_columns(healthy.columns)]).first().asDict()
    columns = [name for name, count in counts.items() if count]
    filled = [f"{name}_filled" for name in columns]
    stages = [
        Imputer(inputCols=columns, outputCols=filled, strategy="mean"),
        VectorAssembler(inputCols=filled, outputCol="assembled"),
        StandardScaler(inputCol="assembled", outputCol="scaled", withMean=True),
    ]
    prepared = Pipeline(stages=stages).fit(healthy)
    _, x = vectors(prepared.transform(healthy))
    layers = [keras.layers.Dense(units, "relu") for units in UNITS]
    network = keras.Sequential([keras.Input((x.shape[1],)), *layers, keras.layers.Dense(x.shape[1])])
    network.compile("adam", "mse")
    stop = keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True)
    network.fit(x, x, batch_size=BATCH, epochs=EPOCHS, validation_split=0.1, callbacks=[stop], verbose=0)
    error = np.abs(network.predict(x, batch_size=8 * BATCH, verbose=0) - x).mean(axis=1)
    model.mkdir(parents=True)
    prepared.write().overwrite().save(str(model / "prepared"))
    network.save(model / "network.keras")
    known = {"columns": columns, "threshold": float(np.percentile(error, PERCENTILE))}
    (model / "known.json").write_text(json.dumps(known))
    return {"rows": len(x)}


def score(model: Path, path: str, scores: Path) -> dict[str, Any]:
    spark = session()
    known = json.loads((model / "known.json").read_text())
    frame = rows(spark, path, known["columns"])
    keys, x = vectors(PipelineModel.load(str(model / "prepared")).transform(frame))
    import keras

    network = keras.models.load_model(model / "network.keras")
    keys["score"] = np.abs(network.predict(x, batch_size=8 * BATCH, verbose=0) - x).mean(axis=1)
    keys.to_parquet(scores)
    return {"rows": len(x), "alarms": int((keys["score"] > known["threshold"]).sum())}


main(fit, score)
