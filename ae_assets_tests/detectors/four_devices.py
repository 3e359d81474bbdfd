"""Trains and scores on one and on four devices in a process of its own, and prints how far the results lie apart."""

import json

import jax
import numpy as np

from ae_assets.detectors import windows_of
from ae_assets.detectors.backend import initial_weights
from ae_assets.detectors.networks.network import Shape
from ae_assets.detectors.preprocessing import Scaler
from ae_assets.detectors.scoring import Scorer
from ae_assets.detectors.training import Trainer, on_devices
from ae_assets_tests.detectors.fleets import DENSE, FEATURES, LSTM, NAMES, fleet

EPOCHS = 3


def main() -> None:
    """For each network the devices that hold its windows, and the largest differences of weights and scores."""
    for config in (DENSE, LSTM):
        windows = windows_of(fleet(), NAMES, config.window)
        windows = windows.take(np.arange(len(windows) - len(windows) % 4))
        whole = config.model_copy(update={"batch_size": len(windows)})  # one step an epoch, whatever the order
        steps = 1 if config.window is None else 6
        scaler, none = Scaler.fit(windows.values, config, NAMES), np.zeros(len(windows), np.int32)
        weights, scores, held = [], [], 0
        for shards in (1, 4):
            model = whole.build(Shape(FEATURES, 1, steps))
            trainer = Trainer(whole, model, steps, shards)
            data = on_devices(windows, scaler, steps, shards, none > 0, none)
            held = len(data.rows.devices())
            state = trainer.initial_state(initial_weights(model, 7))
            for epoch in range(EPOCHS):
                state, _ = trainer.epoch(state, jax.random.key(epoch), 0.01, data)
            weights.append([np.asarray(weight) for weight in state.variables.weights])
            for variable, weight in zip(model.trainable_variables, weights[-1], strict=True):
                variable.assign(weight)
            scores.append(Scorer(whole, model, scaler, steps).score(windows, none))
        apart = [float(np.abs(one - other).max()) for one, other in zip(*weights, strict=True)]
        moved = [
            float(np.abs(one - first).max()) for one, first in zip(weights[1], initial_weights(model, 7), strict=True)
        ]
        of_scores = float(np.abs(scores[0] - scores[1]).max() / scores[0].max())
        print(json.dumps({"held_by": held, "weights": max(apart), "moved": max(moved), "scores": of_scores}))


if __name__ == "__main__":
    main()
