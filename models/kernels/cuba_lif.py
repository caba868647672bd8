"""Leaky integrate-and-fire neurons that hear a synaptic current (CubaLIF), in float32.

A step, of a unit at a position; s its sum (of int8 weights an int32, made float32), i its current:

    x = synapse_gain * (s + bias)
    i' = synapse_rate * i + x               synapse "decay"
    i' = i + synapse_rate * (x - i)         synapse "difference"
    i' = synapse_rate * (i + x)             synapse "sum-first"
    v' = (rate * v + gain * i') + leak      form "decay"
    v' = v + rate * ((gain * i' + leak) - v)  form "difference"; and the other forms, resets and ways of firing of `lif`

The membrane hears the new current. Currents are not reset by a spike, and begin at 0. `synapse` is a place in `SYNAPSES`
(`models/spiking.py`). Frameworks:

| framework, neuron | synapse; rate, gain | form; rate, gain, leak | reset | fires |
|---|---|---|---|---|
| snnTorch Synaptic (subtract; zero) | decay; alpha, 1 | decay; beta, 1, 0 | subtract-late; zero-late | > |
| with reset_delay=False | the same | the same | subtract-no-delay | > |
| Norse, of a NIR CubaLIF | difference; dt / tau_syn, w_in | difference; dt / tau_mem, r, v_leak | zero, or subtract | > |
| sinabs LIF with tau_syn | sum-first; exp(-1 / tau_syn), 1 | decay; exp(-1 / tau_mem), 1 | subtract | >=, many |
| Rockpool LIFTorch | sum-first; exp(-dt / tau_syn), 1 | decay; exp(-dt / tau_mem), 1, bias | subtract | >=, many |
| py-spinnaker2 lif_curr_exp_no_delay | decay; exp(-dt / tau_syn), 1 | decay; alpha, 1, offset | zero or subtract | > |

The port `input` takes any number of projections; a neuron that hears itself has one of delay 1 among them.
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
from models.compute.membrane import after_firing, before_firing, current_after, membrane_after, resets_late, spikes_of
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field, Population
from models.spiking import FORMS, SYNAPSES, check_choice, check_firing

PORTS = {"input": PortSpec(1, ("float32", "int32"))}
EMITS = ("spike", "count")  # a count with `multi_spike`
FILL = {name: np.float32(value) for name, value in (
    ("synapse_rate", 0), ("synapse_gain", 1), ("rate", 1), ("gain", 1), ("leak", 0), ("bias", 0), ("threshold", 1), ("reset", 0),
    ("start", 0),
)}  # fmt: skip
VECTORS = {name: Vector() for name in FILL}
DEFAULTS = {"synapse": 0.0, "form": 0.0, "reset": 0.0, "fire_at_threshold": 0.0, "multi_spike": 0.0, "floor": 0.0}
COUNTS = ("units",)
PER_UNIT = {"units": 1}


def check(population: Population) -> None:
    """Raise ModelError for numbers that no neuron of this kind can have."""
    check_choice(population, "form", FORMS)
    check_choice(population, "synapse", SYNAPSES)
    check_firing(population)


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard keeps beside its ports, vectors, counts and events."""
    return [
        Field("i", (lanes, units), "<f4", "variables", "synaptic current"),
        Field("v", (lanes, units), "<f4", "variables", "membrane"),
    ]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views. `reset` puts membranes to their start and currents to 0."""
    names = ("rate", "gain", "leak", "bias", "threshold", "reset", "units", "v", "i", "counts", "synapse_rate", "synapse_gain")
    operands: dict[str, Any] = {name: mem[name] for name in names} | {"sums": mem["input.sums"], "keys": mem["send_keys"]}
    operands |= {f"{name}_kind": int(params[name]) for name in ("synapse", "form", "reset")}
    operands |= {"inclusive": int(params["fire_at_threshold"]), "floor": int(params["floor"]), "width": width}
    step = _step_counts.bind(**operands, values=mem["send_values"]) if params["multi_spike"] else _step_spikes.bind(**operands)
    return Stepper(reset=_begin.bind(v=mem["v"], i=mem["i"], start=mem["start"]), step=step)


@bindable
def _begin(v: FloatRows, i: FloatRows, start: Floats, lane: Lane) -> None:
    v[lane] = start
    i[lane] = np.float32(0)


@inlined
def _step_units(
    sums: Any, synapse_rate: Any, synapse_gain: Any, rate: Any, gain: Any, leak: Any, bias: Any, threshold: Any, reset: Any,
    units: Any, i: Any, v: Any, counts: Any, keys: Any, values: Any, width: int, synapse: int, form: int, kind: int,
    inclusive: bool, floor: bool, lane: int, before: int,
) -> int:  # fmt: skip
    sent, many = before, values is not None
    for n in range(units.size):
        x = synapse_gain[n] * (np.float32(sums[lane, n]) + bias[n])
        current = current_after(synapse, i[lane, n], x, synapse_rate[n])
        i[lane, n] = current
        earlier = spikes_of(v[lane, n], threshold[n], inclusive, many) if resets_late(kind) else 0
        u = membrane_after(form, v[lane, n], gain[n] * current, rate[n], leak[n])
        u = before_firing(kind, u, earlier, threshold[n], reset[n])
        spikes = spikes_of(u, threshold[n], inclusive, many)
        if spikes:
            keys[sent] = lane * width + units[n]
            if values is not None:
                values[sent] = spikes
            sent += 1
        v[lane, n] = after_firing(kind, u, spikes, earlier, threshold[n], reset[n], floor)
    counts[0] += units.size
    return sent - before


@bindable
def _step_spikes(
    sums: NumberRows, synapse_rate: Floats, synapse_gain: Floats, rate: Floats, gain: Floats, leak: Floats, bias: Floats,
    threshold: Floats, reset: Floats, units: Words, i: FloatRows, v: FloatRows, counts: Words, keys: Words, width: Number,
    synapse_kind: Number, form_kind: Number, reset_kind: Number, inclusive: Flag, floor: Flag, lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    return _step_units(
        sums, synapse_rate, synapse_gain, rate, gain, leak, bias, threshold, reset, units, i, v, counts, keys, None, width,
        synapse_kind, form_kind, reset_kind, inclusive, floor, lane, before,
    )  # fmt: skip


@bindable_late
def _step_counts(
    sums: NumberRows, synapse_rate: Floats, synapse_gain: Floats, rate: Floats, gain: Floats, leak: Floats, bias: Floats,
    threshold: Floats, reset: Floats, units: Words, i: FloatRows, v: FloatRows, counts: Words, keys: Words, values: Shorts,
    width: Number, synapse_kind: Number, form_kind: Number, reset_kind: Number, inclusive: Flag, floor: Flag, lane: Lane,
    before: EventsBefore,
) -> int:  # fmt: skip
    return _step_units(
        sums, synapse_rate, synapse_gain, rate, gain, leak, bias, threshold, reset, units, i, v, counts, keys, values, width,
        synapse_kind, form_kind, reset_kind, inclusive, floor, lane, before,
    )  # fmt: skip
