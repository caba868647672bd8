"""Quantising, for all networks: float32 weights become int8 numbers and scales, in one place.

    weight = number * scale        number an integer from -most to most; 127 in 8 bits, symmetric: -128 never arises

`grids.py` chooses scales and rounds, `weights.py` does it to matrices and networks and reports what it cost, `spiking.py` to
spiking networks, whose neurons' numbers follow (`neuron_grids.py`), `egru.py` to EGRUs, with their events.
"""

from models.quantise.grids import Grid as Grid
from models.quantise.weights import Quantised as Quantised
from models.quantise.weights import quantise_network as quantise_network
from models.quantise.weights import quantise_rows as quantise_rows
from models.quantise.weights import quantise_together as quantise_together
