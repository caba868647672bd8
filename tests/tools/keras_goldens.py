"""Makes `tests/golden_keras`, a model of Keras with its answers: `KERAS_BACKEND=torch python -m tests.tools.keras_goldens`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "golden_keras"


def main() -> None:
    """Write `gru-inside.keras`, and inputs and outputs beside it."""
    import keras

    rng, layers = np.random.default_rng(3), keras.layers
    gru = {"return_sequences": True, "reset_after": False}
    model = keras.Sequential([
        keras.Input((None, 3)), layers.Dense(4, activation="relu", name="front"), layers.GRU(5, name="first", **gru),
        layers.Dropout(0.3), layers.GRU(3, name="second", **gru), layers.Dense(2, name="head"),
    ])  # fmt: skip
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.7, variable.shape))
    inputs = rng.normal(0, 1, (2, 12, 3)).astype(np.float32)
    model.save(FOLDER / "gru-inside.keras")
    np.savez(FOLDER / "gru-inside.npz", inputs=inputs, outputs=np.array(model.predict(inputs, verbose=0)))


if __name__ == "__main__":
    main()
