"""Who may have written a NIR file, by its numbers, and the conventions that each exporter computes by.

A file has the equations and their parameters. It has neither the step, nor how the equations are integrated, nor how neurons
reset and fire. The signatures were read in the exporters' sources: snnTorch 1.0.0, Norse 1.1.0, sinabs 3.1.3, Rockpool,
SpikingJelly 2.0.0.dev1, and lava's script in NIR's documentation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from models.foreign.nir_evidence import CUBA, Evidence, has_few_decimals, is_round

INTEGRATORS = ("forward", "exponential")
FIRES = ("gt", "ge")
FLOORS = ("none", "minus-threshold")
GAINS = ("equation", "one")
STARTS = ("zero", "leak")


@dataclass(frozen=True)
class Convention:
    """How a file's neurons step. `dt` is in the file's unit of time; None: nothing says.

    `gain`: whether inputs are multiplied as the equation says (dt r / tau, or (1 - exp(-dt / tau)) r), or enter as they are.
    `start`: whether membranes begin at 0 or at their v_leak.
    `form`: how the membrane's step is written (`models/spiking.py`), which decides its rounding; "": as the numbers suggest.
    """

    exporter: str
    dt: float | None = None
    integrator: str = "forward"
    reset: str = "zero"
    fire: str = "gt"
    multi_spike: bool = False
    floor: str = "none"
    gain: str = "equation"
    start: str = "zero"
    form: str = ""


@dataclass(frozen=True)
class Fit:
    """An exporter that may have written a file: why, its conventions, and whether it only reads such files (`is_reader`)."""

    convention: Convention
    why: str
    is_reader: bool = False


def fits(evidence: Evidence) -> list[Fit]:
    """Return every exporter whose file it may be, the likeliest first."""
    rows = [row(evidence) for row in _ROWS.values()]
    some = [fit for row in rows for fit in row]
    return some if any(not fit.is_reader for fit in some) else [*some, Fit(EQUATION, "no exporter's numbers are known from these")]


def named(exporter: str, evidence: Evidence) -> list[Fit]:
    """Return the conventions of an exporter that was asked for, as far as they do not depend on its numbers."""
    own = [fit for fit in _ROWS[exporter](evidence) if fit.convention.exporter == exporter]
    if own:
        writes = [fit for fit in own if not fit.is_reader] or own[:1]
        return [Fit(fit.convention, fit.why) for fit in writes]
    return [Fit(_PLAIN[exporter], "as it was asked for")]


SNNTORCH = Convention("snntorch", reset="subtract-late", form="decay")
LAVA = Convention("lava", fire="ge", form="decay")
NORSE = Convention("norse", start="leak", form="difference")
EQUATION = Convention("nir")
SINABS = Convention(
    "sinabs", dt=1.0, integrator="exponential", reset="subtract", fire="ge", multi_spike=True, floor="minus-threshold", gain="one"
)  # fmt: skip
ROCKPOOL = Convention("rockpool", integrator="exponential", reset="subtract", fire="ge", multi_spike=True, gain="one")
SPIKINGJELLY = Convention("spikingjelly", fire="ge", start="leak", form="quotient")
_SNNTORCH_DT = 1e-4  # written into its exporter, as into SpikingJelly's default
NORSE_DT = 1e-6  # its default of 1 ms, and the factor of a thousand by which 1.1.0 writes time constants too small
_MOST_JELLY_TAU = 20.0
_CLOSE = 1e-5  # to a beta of few decimals, in float32


def _snntorch(e: Evidence) -> list[Fit]:
    step = e.ratio
    if step is None or e.plain or not e.is_at_rest or (np.all(e.resistances == 1) and not _is(step, _SNNTORCH_DT)):
        return []
    if not (_is(step, _SNNTORCH_DT) or e.differs_between_neurons or is_round(step)):
        return []
    betas = 1 - step / e.time_constants
    if e.lies_on_grid and np.any(np.abs(betas - np.round(betas, 3)) > _CLOSE):
        return []  # decays of lava's that nobody would choose as a beta
    dt = _SNNTORCH_DT if _is(step, _SNNTORCH_DT) else step
    return [Fit(replace(SNNTORCH, dt=dt), f"tau / r is {dt:g} for every neuron")]


def _lava(e: Evidence) -> list[Fit]:
    if e.ratio is None or e.plain or not e.is_at_rest or not e.lies_on_grid:
        return []
    why = f"tau / r is {e.ratio:g} for every neuron, weights and thresholds lie on a grid of 1/64, decays on one of 1/4096"
    return [Fit(replace(LAVA, dt=e.ratio), why)]


def _spikingjelly(e: Evidence) -> list[Fit]:
    if not e.resets_to_leak or not e.kinds.isdisjoint({"LI", "I", "CubaLI", "CubaLIF", "SumPool2d", "Conv1d"}):
        return []
    steps: set[float] = set()
    form, why = "quotient", ""
    if e.plain:
        r = np.concatenate([node.params["r"].reshape(-1) for node in e.plain])
        if r.min() < 100 or np.ptp(r) > 1e-5 * r.max() or not is_round(1 / float(r[0])):
            return []
        steps.add(float(f"{1 / float(r[0]):.5g}"))
        why = f"r of every IF is 1 / {1 / float(r[0]):g}"
    if e.leaky:
        own = np.concatenate([node.params["r"].reshape(-1) for node in e.leaky])
        if not np.all(np.isfinite(own)) or not np.all(np.isfinite(e.time_constants)):
            return []
        if np.all(own == 1):
            taus = e.time_constants / _SNNTORCH_DT
            if taus.max() > _MOST_JELLY_TAU or taus.min() < 1 or np.abs(taus - np.round(taus, 1)).max() > 1e-4:
                return []
            steps.add(_SNNTORCH_DT)
            form, why = "quotient-input", f"r is 1 and tau a round number of {_SNNTORCH_DT:g}, v_reset is v_leak"
        else:
            step = e.ratio
            if step is None or not is_round(step) or not has_few_decimals(own, 2):
                return []
            steps.add(_SNNTORCH_DT if _is(step, _SNNTORCH_DT) else float(f"{step:.5g}"))
            why = f"r is a round number and tau / r {step:g} for every neuron, v_reset is v_leak"
    return [Fit(replace(SPIKINGJELLY, dt=steps.pop(), form=form), why)] if len(steps) == 1 else []


def _rockpool(e: Evidence) -> list[Fit]:
    if e.plain or not e.leaky or e.has_own_w_in or not e.is_at_rest or np.all(e.resistances == 1):
        return []
    step = e.solved_step()
    if step is None or not (is_round(step) or e.differs_between_neurons):
        return []
    dt = float(f"{step:.2g}") if is_round(step) else step
    return [Fit(replace(ROCKPOOL, dt=dt), f"r is tau exp(-dt / tau) / dt with dt {dt:g} for every neuron")]


def _sinabs(e: Evidence) -> list[Fit]:
    if not e.neurons or not e.kinds.isdisjoint({"I", "CubaLI", "CubaLIF", "Threshold", "AvgPool2d"}):
        return []
    if not np.all(e.resistances == 1) or not e.is_at_rest or (e.leaky and (e.time_constants.min() < 1)):
        return []
    if e.leaky:  # its norm_input is not in the file: whether inputs are multiplied by 1 - alpha
        why = "r is 1 and tau, in steps, is 1 or more"
        return [Fit(replace(SINABS, gain=gain, floor="none"), why) for gain in ("equation", "one")]
    if all(value.ndim == 0 for node in e.plain for value in node.params.values()):
        return []  # it writes a number for each unit
    pools = " and the pools are sums" if "SumPool2d" in e.kinds else ""
    return [Fit(SINABS, f"r of every IF is 1, v_reset 0 or not there{pools}")]


def _norse(e: Evidence) -> list[Fit]:
    if e.ratio is not None and not e.plain and all(node.kind in CUBA for node in e.leaky) and e.has_own_w_in:
        # What snnTorch wrote: nobody but Norse puts these neurons to zero, or subtracts, in the step of the spike.
        why = f"tau_mem / r is {e.ratio:g} for every neuron, and Norse reads such files"
        return [Fit(replace(NORSE, dt=e.ratio, reset=reset), why, is_reader=True) for reset in ("zero", "subtract")]
    if not e.neurons or not np.all(e.resistances == 1) or e.has_own_w_in or not e.kinds.isdisjoint({"I", "Threshold"}):
        return []
    if not e.leaky:
        return [Fit(NORSE, "r of every IF is 1", is_reader="SumPool2d" in e.kinds)]
    if e.time_constants.max() < 1e-4:
        why = "r is 1 and every tau below 1e-4: Norse 1.1.0 writes time constants a thousand times too small"
        return [Fit(replace(NORSE, dt=NORSE_DT), why)]
    if e.time_constants.min() >= 1e-4 and e.time_constants.max() <= 1:
        why = "r is 1 and tau in seconds, as Norse and people write"
        return [Fit(NORSE, why), Fit(EQUATION, why)]
    return []


_ROWS: dict[str, Callable[[Evidence], list[Fit]]] = {
    "snntorch": _snntorch, "lava": _lava, "rockpool": _rockpool, "sinabs": _sinabs, "norse": _norse, "spikingjelly": _spikingjelly,
    "nir": lambda _: [],
}  # fmt: skip
_PLAIN = {one.exporter: one for one in (SNNTORCH, LAVA, ROCKPOOL, SINABS, NORSE, SPIKINGJELLY, EQUATION)}
EXPORTERS = tuple(_ROWS)


def _is(number: float, known: float) -> bool:
    return abs(number - known) <= 1e-4 * known
