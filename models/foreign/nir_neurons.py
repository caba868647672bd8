"""The neurons of a NIR file as populations: the numbers of a step, from parameters and conventions, in float64, kept in float32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from models import kernels
from models.foreign.nir_conventions import METADATA
from models.foreign.nir_evidence import CUBA, LEAKY
from models.foreign.nir_exporters import NORSE_DT, Convention
from models.foreign.nir_file import SPIKING, Node
from models.foreign.nir_shapes import Shape, spread, units_of
from models.network import F32, F64, Array, ModelError, Population, Projection
from models.spiking import FORMS, RESETS, SYNAPSES, vectors_of

KERNELS = {
    "IF": "lif", "LIF": "lif", "Threshold": "lif", "I": "li", "LI": "li", "CubaLIF": "cuba_lif", "CubaLI": "cuba_li",
}  # fmt: skip
_ONE = 1e-4  # how far from 1 a gain is still 1, of a step that was rounded to float32
_OUR_ONE = 1e-12  # of a file that we wrote, in float64
_ROUND = 6  # characters of a decay that somebody chose
_ULPS = 6  # around 1 - 1 / r, in which the decay is looked for that rounds to tau and r


@dataclass(frozen=True)
class _Step:
    """A membrane's or a current's step: its form, and numbers (units,)."""

    form: str
    rate: Array
    gain: Array | float = 1.0
    leak: Array | float = 0.0


def population_of(
    who: str, node: Node, name: str, shape: Shape, convention: Convention, projections: tuple[Projection, ...], bias: F64 | None
) -> Population:  # fmt: skip
    """Return a node's population; ModelError, beginning with `who`, where a step is longer than a time constant allows."""
    units, kernel = units_of(shape), KERNELS[node.kind]
    p = {key: _spread(who, node, key, shape) for key in node.params}
    membrane = _membrane(who, node, p, convention, units)
    values: dict[str, Array | float] = {"rate": membrane.rate, "gain": membrane.gain, "leak": membrane.leak}
    params = {"form": float(FORMS.index(membrane.form))}
    if node.kind in CUBA:
        synapse = _synapse(who, node, p, convention)
        values |= {"synapse_rate": synapse.rate, "synapse_gain": synapse.gain}
        params["synapse"] = float(SYNAPSES.index(synapse.form))
    if bias is not None:
        values["bias"] = bias
    if node.kind in LEAKY and convention.start == "leak":
        values["start"] = p["v_leak"]
    spiking, many = node.kind in SPIKING, False
    if node.kind == "Threshold":
        values["threshold"] = p["threshold"]
    elif spiking:
        many = convention.multi_spike
        values |= {"threshold": p["v_threshold"], "reset": p.get("v_reset", 0.0)}
        params |= {
            "reset": float(RESETS.index(convention.reset)), "fire_at_threshold": float(convention.fire == "ge"),
            "multi_spike": float(many), "floor": float(convention.floor == "minus-threshold"),
        }  # fmt: skip
    vectors = vectors_of(units, kernels.named(kernel).FILL, **values)  # type: ignore[attr-defined]
    _check_range(f"{who}: {node}", vectors)
    return Population(
        name=name, units=units, kernel=kernel, projections=projections, vectors=vectors, params=params,
        payload=("count" if many else "spike") if spiking else "float32", dense=not spiking,
    )  # fmt: skip


def sum_population(who: str, name: str, units: int, projections: tuple[Projection, ...], bias: F64 | None) -> Population:
    """Return a population that sends what it hears, with a bias: weights that feed an output."""
    values = {"rate": np.zeros(1), "bias": bias if bias is not None else np.zeros(1)}
    vectors = vectors_of(units, kernels.named("li").FILL, **values)  # type: ignore[attr-defined]
    _check_range(f"{who}: node {name} (Output)", vectors)
    return Population(
        name=name, units=units, kernel="li", projections=projections, vectors=vectors, params={"form": 0.0}, payload="float32",
        dense=True,
    )  # fmt: skip


def _check_range(who: str, vectors: Mapping[str, Array]) -> None:
    """Raise ModelError for numbers of a step that float32 cannot hold."""
    for key, vector in vectors.items():
        bad = np.flatnonzero(~np.isfinite(vector) | ((vector == 0) & np.full(vector.shape, key == "threshold")))
        if bad.size:
            at = int(bad[0])
            need = "a number above 0" if vector.flat[at] == 0 else "finite numbers"
            raise ModelError(f"{who}: {key} of a step is {vector.flat[at]:g} at {at} in float32; needs {need}")


def _spread(who: str, node: Node, key: str, shape: Shape) -> F64:
    value = spread(node.params[key], shape)
    if value is None:
        raise ModelError(f"{who}: {node}: {key} of {node.params[key].shape} does not fit {shape}")
    return value


def _membrane(who: str, node: Node, p: dict[str, F64], c: Convention, units: int) -> _Step:
    if node.kind == "Threshold":
        return _Step("decay", np.zeros(units))
    if node.kind in ("I", "IF"):
        scale = (c.dt or 1.0) if node.kind == "I" or c.exporter in ("nir", "spikingjelly") else 1.0
        gain = scale * p["r"]
        return _Step("decay", np.ones(units), np.where(np.abs(gain - 1) < _near_one(c), 1.0, gain))
    tau = p["tau_mem" if node.kind in CUBA else "tau"]
    return _step(who, node, c, tau=tau, r=p["r"], leak=p["v_leak"], is_membrane=True)


def _synapse(who: str, node: Node, p: dict[str, F64], c: Convention) -> _Step:
    w_in = p.get("w_in", np.ones(len(p["tau_syn"])))
    if c.exporter == "rockpool" and c.integrator == "exponential":
        assert c.dt is not None
        return _Step("sum-first", np.exp(-c.dt / p["tau_syn"]), w_in)
    return _step(who, node, c, tau=p["tau_syn"], r=w_in, leak=np.zeros(len(w_in)), is_membrane=False)


def _step(who: str, node: Node, c: Convention, *, tau: F64, r: F64, leak: F64, is_membrane: bool) -> _Step:
    """Return the step of tau dy/dt = (leak - y) + r x under the conventions."""
    assert c.dt is not None
    never = np.isinf(tau)
    if c.integrator == "exponential":
        rate = np.exp(-c.dt / tau)
        gain = np.ones(len(tau)) if c.gain == "one" else np.where(never, _times(never, r), (1 - rate) * np.where(never, 0, r))
        return _Step("decay", rate, gain, (1 - rate) * leak)
    part = c.dt / tau
    over = np.flatnonzero(part > 1 + 1e-6)
    if over.size:
        at = int(over[0])
        name = ("tau_mem" if node.kind in CUBA else "tau") if is_membrane else "tau_syn"
        what = f"dt {c.dt:g} is longer than {name} {tau[at]:g} at {at}"
        raise ModelError(f"{who}: {node}: {what}, so that forward Euler swings; choose a shorter --dt or --integrator exponential")
    if is_membrane and c.form in ("quotient", "quotient-input"):
        return _Step(c.form, tau / c.dt, 1.0, leak)
    gain = np.where(never, _times(never, r), part * np.where(never, 0, r))
    is_one = c.gain == "one" or bool(np.all(np.abs(gain - 1) < _near_one(c)))
    if c.form == "decay" or c.gain == "one" or (is_one and c.form != "difference" and not np.any(leak)):
        return _Step(
            "decay", _decay(tau, r, c.dt) if is_one and c.exporter != METADATA else 1 - part, 1.0 if is_one else gain, part * leak
        )
    return _Step("difference", _norse_rate(tau, c.dt) if c.form == "difference" and c.exporter != METADATA else part, r, leak)


def _norse_rate(tau: F64, dt: float) -> F32:
    """Return dt / tau as Norse has it: in float32, a product of dt and of 1 / tau.

    A time constant that 1.1.0 wrote is dt times its own: dt / inverse for the `inverse` that it stepped with, at 1 ms.
    """
    inverse = np.float32(1) / tau.astype(np.float32)
    if dt != NORSE_DT:
        return np.float32(dt) * inverse
    step = np.float32(1e-3)
    near = step / tau.astype(np.float32)
    for at in (near, np.nextafter(near, np.float32(0)), np.nextafter(near, np.float32(np.inf)), np.rint(near)):
        inverse = np.where(step / at == tau.astype(np.float32), at, near)  # the last that fits is the roundest
        near = inverse
    return step * near


def _near_one(c: Convention) -> float:
    return _OUR_ONE if c.exporter == METADATA else _ONE


def _times(never: Array, r: F64) -> F64:
    """Return the gain of units that leak nothing: 1 where r is infinite as well, as a beta of 1 is written, else 0."""
    return np.where(never & np.isinf(r), 1.0, 0.0)


def _decay(tau: F64, r: F64, dt: float) -> F32 | F64:
    """Return 1 - dt / tau, the very float32 from which snnTorch computed tau and r where it did so in float32."""
    if dt != 1e-4 or np.any(np.isinf(tau)):
        return np.where(np.isinf(tau), 1.0, 1 - dt / np.where(np.isinf(tau), 1.0, tau))
    pairs, places = np.unique(np.stack([tau, r], axis=1), axis=0, return_inverse=True)
    return np.array([_decay_of(*pair) for pair in pairs.tolist()])[places.reshape(-1)]


@cache
def _decay_of(tau: float, r: float) -> float:
    near = 1 - 1e-4 / tau
    if float(np.float32(tau)) != tau or float(np.float32(r)) != r:
        return near
    decay = np.float32(near)
    tries = [np.float32(round(near, digits)) for digits in (2, 3, 4)] + [decay]
    for direction in (np.float32(2), np.float32(-1)):
        at = decay
        for _ in range(_ULPS):
            at = np.nextafter(at, direction)
            tries.append(at)
    step = np.float32(1e-4)
    fits = []
    for at in tries:
        if at < 1:
            tau_of = step / (np.float32(1) - at)
            if tau_of == np.float32(tau) and tau_of / step == np.float32(r):
                fits.append(at)
    # Below 0.5 several decays round to one tau: those with few decimals are likelier than others.
    return float(min(fits, key=lambda at: (len(str(at)) > _ROUND, abs(at - decay)))) if fits else near
