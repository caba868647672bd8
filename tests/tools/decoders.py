"""Decoders of reaches: EGRU regressors in the layout in which EvNN saves them, worked out by hand from the neurons' tuning."""

from __future__ import annotations

import numpy as np

from models.control.environments.reach import ACCELERATION, GAIN, MOST_SPEED, NEURONS, OUTPUT_SPEED, STEP_S, seeded_neurons

_SLOPE = 4 / 3  # of the candidate in y, which makes a unit at 0.5 keep what it has
_SCALE = 0.05  # of a unit's state, for an output of 1


def decoder_tensors(neurons=None):
    """Return the tensors of a decoder that adds up its neurons' directions: 96 > 4 in front, an EGRU of two units, a head.

    A unit rests at 0.5, where tanh(4/3 y + b) is y with a slope of 1, so that what the neurons say adds up; it always has an event.
    """
    neurons = seeded_neurons() if neurons is None else neurons
    directions, spread = neurons[:, :2], (neurons[:, 3] - neurons[:, 2]).mean()
    change = MOST_SPEED * STEP_S * ACCELERATION  # of a step's way, at most
    spikes = NEURONS * STEP_S * spread * GAIN / 4  # what the directions of a step's spikes add up to at that
    gain = change / (OUTPUT_SPEED * STEP_S) / spikes * _SCALE / (0.5 * 0.75)
    kernel, recurrent, bias = np.zeros((4, 6)), np.zeros((2, 6)), np.zeros(6)
    kernel[0, 4] = kernel[1, 5] = gain
    kernel[2:, :4] = 0.001  # what the authors' files have there, too: numbers that are not zero
    recurrent[0, 4] = recurrent[1, 5] = _SLOPE
    bias[2:4] = 12.0  # reset gates open
    bias[4:] = np.arctanh(0.5) - _SLOPE * 0.5
    tensors = {
        "egru.0.weight": np.concatenate([directions.T, np.full((2, NEURONS), 1e-3)]), "egru.0.bias": np.zeros(4),
        "egru.1._max_norm": np.array([-1.0]), "egru.1.kernel": kernel, "egru.1.recurrent_kernel": recurrent, "egru.1.bias": bias,
        "egru.1.recurrent_bias": np.zeros(6), "egru.1.dampening_factor": np.array([0.7]),
        "egru.1.pseudo_derivative_support": np.array([1.0]), "egru.1.thr": np.array([-0.0003, 0.0]),
        "head.weight": np.eye(2) / _SCALE, "head.bias": np.full(2, -0.5 / _SCALE),
    }  # fmt: skip
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
