"""How an observation becomes events: a pair of input units a number, one for what is above zero and one for what is below.

A number is divided by its scale and clipped to -1 ... 1; its size in 1/256 is the count that its unit sends at every tick. As
spikes (`spike_draws`), each unit sends with that probability at each tick, one draw for each seed, episode, step, tick and unit:
what a PE, a lane or a batch is has no part in it.
"""

from __future__ import annotations

import numpy as np

from models.network import F32, I64

LEVELS = 256  # what 1 is sent as; a power of two, so that scaling by it rounds nothing


def counts_of(observations: F32, scale: F32) -> I64:
    """Return the counts (lanes, 2 numbers) that observations (lanes, numbers) are sent as, from 0 to 256: those of what is above
    zero first, then those of what is below. What is not a number counts as 0.
    """
    clipped = np.nan_to_num(np.clip(observations / scale, -1, 1), nan=0.0)
    whole = np.rint(clipped * LEVELS).astype(np.int64)
    return np.concatenate([np.maximum(whole, 0), np.maximum(-whole, 0)], axis=1)


def spike_draws(seed: int, episode: int, step: int, ticks: int, units: int) -> I64:
    """Return what each unit's count must exceed to spike at each tick of an action, (ticks, units), uniform from 0 to 255."""
    draw = np.random.Generator(np.random.Philox(key=(seed << 64 | episode) % (1 << 128), counter=[0, 0, 0, step]))
    return draw.integers(0, LEVELS, (ticks, units), dtype=np.int64)
