"""Integrate-and-fire neurons, leaky (LIF) or not (IF), as every framework of the NIR family updates them, in float32.

A step, of a unit at a position; s its sum (of int8 weights an int32, made float32), n its spikes, m those of the step before:

    x = gain * (s + bias)
    v' = (rate * v + x) + leak              form "decay"
    v' = v + rate * ((x + leak) - v)        form "difference"
    v' = v + (x - (v - leak)) / rate        form "quotient-input"
    v' = (v - (v - leak) / rate) + x        form "quotient"
    v' = v' - m * threshold                 resets "subtract-late", "subtract-no-delay"
    v' = reset, where m > 0                 reset "zero-late"
    n = 1 where v' > threshold, or with `fire_at_threshold` >=; with `multi_spike` floor(v' / threshold), at most 65,535, where >=
        does not count one less if that is exact
    v' = reset, where n > 0                 reset "zero"
    v' = v' - n * threshold                 reset "subtract"
    v' = v' - (n - m) * threshold           reset "subtract-no-delay"
    v' = max(v' + threshold, 0) - threshold where `floor`

m is n of the v that was kept, so it needs no state. `form` and `reset` are places in `FORMS` and `RESETS` (`models/spiking.py`).
A sequence or segment begins at `start`. Frameworks, read in their sources and held to bits in `tests/test_spiking_frameworks.py`:

| framework, neuron | form; rate, gain, leak | reset | fires |
|---|---|---|---|
| snnTorch Leaky (subtract; with reset_delay=False; zero) | decay; beta, 1, 0 | subtract-late; subtract-no-delay; zero | > |
| Norse LIFBox, of a NIR LIF | difference; dt / tau in float32, r (it leaves it out: 1), v_leak | zero (v_reset) | > |
| Norse, of a NIR IF | decay; 1, 1, 0 | zero | > |
| sinabs IAF, LIF (norm_input) | decay; 1, exp(-1 / tau); 1 (1 - rate); 0 | subtract; `floor`: min_v_mem = -threshold | >=, many |
| Rockpool LIFNeuron | decay; exp(-dt / tau), 1, bias | subtract | >=, many |
| SpikingJelly IF; LIF (decay_input) | decay, 1; quotient-input, tau; 1; v_reset = start | zero (hard), subtract (soft) | >= |
| SpikingJelly LIF (decay_input=False) | quotient; tau, 1, v_reset = start | the same | >= |
| py-spinnaker2 lif_no_delay, lif_conv2d | decay; alpha, 1, offset | zero or subtract | > |

The port `input` takes any number of projections; a neuron that hears itself has one of delay 1 among them. Their sums are added
up in ascending source before the bias.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.compute.bound_calls import (
    EventsBefore,
    Flag,
    FloatRows,
    Floats,
    Lane,
    Number,
    NumberRows,
    Shorts,
    Words,
    bindable,
    bindable_late,
)
from models.compute.compiling import inlined
from models.compute.membrane import after_firing, before_firing, membrane_after, resets_late, spikes_of
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field, Population
from models.spiking import FORMS, check_choice, check_firing

PORTS = {"input": PortSpec(1, ("float32", "int32"))}
EMITS = ("spike", "count")  # a count with `multi_spike`
FILL = {name: np.float32(value) for name, value in (
    ("rate", 1), ("gain", 1), ("leak", 0), ("bias", 0), ("threshold", 1), ("reset", 0), ("start", 0),
)}  # fmt: skip
VECTORS = {name: Vector() for name in FILL}
DEFAULTS = {"form": 0.0, "reset": 0.0, "fire_at_threshold": 0.0, "multi_spike": 0.0, "floor": 0.0}
COUNTS = ("units",)
PER_UNIT = {"units": 1}


def check(population: Population) -> None:
    """Raise ModelError for numbers that no neuron of this kind can have."""
    check_choice(population, "form", FORMS)
    check_firing(population)


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard keeps beside its ports, vectors, counts and events."""
    return [Field("v", (lanes, units), "<f4", "variables", "membrane")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views. `reset` puts membranes to their start."""
    names = ("rate", "gain", "leak", "bias", "threshold", "reset", "units", "v", "counts")
    operands: dict[str, Any] = {name: mem[name] for name in names} | {"sums": mem["input.sums"], "keys": mem["send_keys"]}
    operands |= {f"{name}_kind": int(params[name]) for name in ("form", "reset")}
    operands |= {"inclusive": int(params["fire_at_threshold"]), "floor": int(params["floor"]), "width": width}
    step = _step_counts.bind(**operands, values=mem["send_values"]) if params["multi_spike"] else _step_spikes.bind(**operands)
    return Stepper(reset=_begin.bind(v=mem["v"], start=mem["start"]), step=step)


@bindable
def _begin(v: FloatRows, start: Floats, lane: Lane) -> None:
    v[lane] = start


@inlined
def _step_units(
    sums: Any, rate: Any, gain: Any, leak: Any, bias: Any, threshold: Any, reset: Any, units: Any, v: Any, counts: Any, keys: Any,
    values: Any, width: int, form: int, kind: int, inclusive: bool, floor: bool, lane: int, before: int,
) -> int:  # fmt: skip
    sent, many = before, values is not None
    for i in range(units.size):
        x = gain[i] * (np.float32(sums[lane, i]) + bias[i])
        earlier = spikes_of(v[lane, i], threshold[i], inclusive, many) if resets_late(kind) else 0
        u = membrane_after(form, v[lane, i], x, rate[i], leak[i])
        u = before_firing(kind, u, earlier, threshold[i], reset[i])
        spikes = spikes_of(u, threshold[i], inclusive, many)
        if spikes:
            keys[sent] = lane * width + units[i]
            if values is not None:
                values[sent] = spikes
            sent += 1
        v[lane, i] = after_firing(kind, u, spikes, earlier, threshold[i], reset[i], floor)
    counts[0] += units.size
    return sent - before


@bindable
def _step_spikes(
    sums: NumberRows, rate: Floats, gain: Floats, leak: Floats, bias: Floats, threshold: Floats, reset: Floats, units: Words,
    v: FloatRows, counts: Words, keys: Words, width: Number, form_kind: Number, reset_kind: Number, inclusive: Flag, floor: Flag,
    lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    return _step_units(
        sums, rate, gain, leak, bias, threshold, reset, units, v, counts, keys, None, width, form_kind, reset_kind, inclusive,
        floor, lane, before,
    )  # fmt: skip


@bindable_late
def _step_counts(
    sums: NumberRows, rate: Floats, gain: Floats, leak: Floats, bias: Floats, threshold: Floats, reset: Floats, units: Words,
    v: FloatRows, counts: Words, keys: Words, values: Shorts, width: Number, form_kind: Number, reset_kind: Number,
    inclusive: Flag, floor: Flag, lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    return _step_units(
        sums, rate, gain, leak, bias, threshold, reset, units, v, counts, keys, values, width, form_kind, reset_kind, inclusive,
        floor, lane, before,
    )  # fmt: skip
