"""What the numbers of a NIR file say about who wrote it: time constants, resistances and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.foreign.nir_file import NEURONS, SPIKING, Node
from models.foreign.nir_flat import Flat
from models.network import F64, ModelError

LEAKY = frozenset({"LI", "LIF", "CubaLI", "CubaLIF"})
CUBA = frozenset({"CubaLI", "CubaLIF"})
_CLOSE = 1e-5  # of ratios of float32 numbers
_FIRST_NUMBERS = 50_000  # of each node's weights, to see whether they lie on a grid


@dataclass(frozen=True)
class Evidence:
    """The nodes of a graph, and what can be asked of their numbers."""

    flat: Flat

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds of nodes that there are."""
        return frozenset(node.kind for node in self.flat.nodes.values())

    @cached_property
    def neurons(self) -> list[Node]:
        """The nodes with a state or a threshold."""
        return [node for node in self.flat.nodes.values() if node.kind in NEURONS]

    @cached_property
    def leaky(self) -> list[Node]:
        """The neurons with a time constant."""
        return [node for node in self.neurons if node.kind in LEAKY]

    @cached_property
    def plain(self) -> list[Node]:
        """The integrators without a leak, spiking or not."""
        return [node for node in self.neurons if node.kind in ("I", "IF")]

    @cached_property
    def spikes(self) -> bool:
        """Whether any neuron spikes."""
        return any(node.kind in SPIKING for node in self.neurons)

    @cached_property
    def resistances(self) -> F64:
        """Every r."""
        return _all(node.params["r"] for node in self.neurons if "r" in node.params)

    @cached_property
    def time_constants(self) -> F64:
        """Every membrane's time constant."""
        return _all(_tau(node) for node in self.leaky)

    @cached_property
    def is_at_rest(self) -> bool:
        """Whether every v_leak and v_reset, as far as there are any, is 0."""
        return not np.any(_all(node.params[key] for node in self.neurons for key in ("v_leak", "v_reset") if key in node.params))

    @cached_property
    def resets_to_leak(self) -> bool:
        """Whether every neuron that spikes has a v_reset, and it is its v_leak where there is one."""
        for node in self.neurons:
            if node.kind in SPIKING and node.kind != "Threshold":
                reset = node.params.get("v_reset")
                if reset is None or ("v_leak" in node.params and not _same(reset, node.params["v_leak"])):
                    return False
        return True

    @cached_property
    def has_own_w_in(self) -> bool:
        """Whether some neuron with a synaptic current has a w_in other than 1."""
        return any(np.any(node.params["w_in"] != 1) for node in self.leaky if "w_in" in node.params)

    @cached_property
    def ratio(self) -> float | None:
        """Tau / r where all neurons have the same, and with a synaptic current w_in = tau_syn / that; None otherwise."""
        ratios = _all(ratio for node in self.leaky for ratio in _ratios(node))
        if not self.leaky or not np.all(np.isfinite(ratios)):
            return None
        if not ratios.size:  # all of them leak nothing: tau and r are infinite
            return 1e-4
        first = float(np.median(ratios))
        if first <= 0 or np.any(np.abs(ratios - first) > _CLOSE * first):
            return None
        for node in self.leaky:
            if node.kind in CUBA:
                w_in = node.params.get("w_in", np.ones(1))
                if not _near(w_in * first, node.params["tau_syn"]):
                    return None
        return first

    def solved_step(self) -> float | None:
        """Return the dt for which r = tau exp(-dt / tau) / dt in all neurons, as Rockpool writes; None where there is none."""
        steps = []
        for node in self.leaky:
            for tau, r in _pairs(_tau(node), node.params["r"]):
                if not (np.isfinite(tau) and np.isfinite(r) and tau > 0 and r > 0):
                    return None
                part = 1 / (1 + r)  # dt / tau: r part = exp(-part), by Newton's method
                for _ in range(50):
                    part -= (r * part - np.exp(-part)) / (r + np.exp(-part))
                steps.append(part * tau)
        if not steps:
            return None
        first = float(np.median(steps))
        return first if np.all(np.abs(np.array(steps) - first) <= 10 * _CLOSE * first) else None

    @cached_property
    def lies_on_grid(self) -> bool:
        """Whether weights and thresholds are whole numbers of 1/64, and decays of 1/4096, as lava has them; enough to say so."""
        step, weights = self.ratio, set[float]()
        if step is None:
            return False
        for node in self.flat.nodes.values():
            for key, unit in (("weight", 64), ("v_threshold", 64)):
                if key in node.params:
                    numbers = node.params[key].reshape(-1)[:_FIRST_NUMBERS].astype(np.float64) * unit
                    if not np.array_equal(numbers, np.rint(numbers)):
                        return False
                    if key == "weight":
                        weights.update(np.unique(numbers).tolist())
        decays = 4096 * step / self.time_constants
        return bool(np.all(np.abs(decays - np.rint(decays)) < 1e-2)) and len(weights - {0.0}) > 8

    @cached_property
    def differs_between_neurons(self) -> bool:
        """Whether time constants differ, so that a ratio that is the same for all is no accident."""
        finite = self.time_constants[np.isfinite(self.time_constants)]
        return bool(finite.size) and bool(np.ptp(finite) > 1e-3 * np.abs(finite).max())


def is_round(number: float, digits: int = 2) -> bool:
    """Say whether a number has no more than so many digits, as people choose steps."""
    return abs(float(f"{number:.{digits - 1}e}") - number) <= _CLOSE * abs(number)


def has_few_decimals(numbers: F64, decimals: int) -> bool:
    """Say whether numbers, as float32, are what one writes with so many decimals."""
    with np.errstate(over="ignore"):
        return bool(np.array_equal(numbers.astype(np.float32), np.round(numbers, decimals).astype(np.float32)))


def check_numbers(flat: Flat) -> None:
    """Raise ModelError, with node and place, for numbers of neurons that no convention has a meaning for."""
    for node in flat.nodes.values():
        if node.kind not in NEURONS:
            continue
        for key, value in node.params.items():
            above_0 = key in ("v_threshold", "threshold") or key.startswith("tau")
            leaks_nothing = key in ("tau", "tau_mem", "r")  # snnTorch's beta of 1: tau and r are infinite
            bad = np.isnan(value) | (np.isinf(value) & ~np.full(value.shape, leaks_nothing)) | (value == -np.inf)
            bad |= (value <= 0) & np.full(value.shape, above_0)
            if key == "r" and "tau" not in node.params and "tau_mem" not in node.params:
                bad |= np.isinf(value)
            if np.any(bad):
                at = int(np.flatnonzero(bad)[0])
                need = "a finite number above 0" if above_0 else "finite numbers"
                raise ModelError(f"{flat.who}: {node}: {key} is {value.flat[at]:g} at {at}; needs {need}")
        for tau, r in _pairs(_tau(node), node.params["r"]) if node.kind in LEAKY else ():
            if np.isinf(r) and not np.isinf(tau):
                raise ModelError(f"{flat.who}: {node}: r is infinite where tau is {tau:g}; needs finite numbers")


def _tau(node: Node) -> F64:
    return node.params["tau_mem" if node.kind in CUBA else "tau"]


def _pairs(one: F64, other: F64) -> Iterator[tuple[float, float]]:
    """Yield the different pairs of two parameters, either of which may be a single number."""
    if one.size != other.size and 1 not in (one.size, other.size):
        return  # shapes are checked elsewhere
    table = np.stack(np.broadcast_arrays(one.reshape(-1), other.reshape(-1)), axis=1)
    yield from map(tuple, np.unique(table, axis=0).tolist())


def _ratios(node: Node) -> list[F64]:
    """Return tau / r of a neuron, without those that leak nothing: both infinite."""
    pairs = _pairs(_tau(node), node.params["r"])
    return [np.array([tau / r if r else np.inf]) for tau, r in pairs if not (np.isinf(tau) and np.isinf(r))]


def _near(one: F64, other: F64) -> bool:
    return all(abs(a - b) <= _CLOSE * max(abs(a), abs(b)) for a, b in _pairs(one, other))


def _same(one: F64, other: F64) -> bool:
    return all(a == b for a, b in _pairs(one, other))


def _all(arrays: Iterable[F64]) -> F64:
    parts = [np.asarray(array, np.float64).reshape(-1) for array in arrays]
    return np.concatenate(parts) if parts else np.zeros(0)
