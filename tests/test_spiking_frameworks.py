"""Spiking neurons beside those of the frameworks that trained them: membranes and spikes of live modules, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from models import kernels
from models.network import Population
from models.reference import neurons_of
from models.spiking import FORMS, RESETS, SYNAPSES, vectors_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
UNITS, STEPS = 40, 300


def drive(scale=0.5, seed=1):
    """Sums (steps, units) that make units fire now and then."""
    return np.random.default_rng(seed).normal(0.15, scale, (STEPS, UNITS)).astype(np.float32)


def ours(kernel, x, params=None, **vectors):
    """What we send and keep, (steps, units) each, when each step's sums are x."""
    filled, many = vectors_of(UNITS, kernels.named(kernel).FILL, **vectors), (params or {}).get("multi_spike")
    names = {"form": FORMS, "reset": RESETS, "synapse": SYNAPSES}
    given = {k: float(names[k].index(v)) if isinstance(v, str) else v for k, v in (params or {}).items()}
    neurons = neurons_of(Population("p", UNITS, kernel, (), filled, given, "count" if many else "spike"))
    steps = [(neurons.step({"input": row}, 0), neurons._v.copy()) for row in x]
    return np.array([sent for sent, _ in steps]), np.array([v for _, v in steps])


def same(of_us, spikes, membranes):
    sent, v = of_us
    assert sent.sum() > 100
    assert np.array_equal(sent, np.array(spikes))
    assert np.array(membranes, np.float32).tobytes() == v.tobytes()


@pytest.mark.parametrize(
    ("reset", "delay", "kind"),
    [("subtract", True, "subtract-late"), ("subtract", False, "subtract-no-delay"), ("zero", False, "zero")],
)
@pytest.mark.parametrize("beta", [0.93, 1.0])
def test_snntorch_leaky(reset, delay, kind, beta):
    torch, snntorch = pytest.importorskip("torch"), pytest.importorskip("snntorch")
    cell, x = snntorch.Leaky(beta=beta, threshold=0.9, reset_mechanism=reset, reset_delay=delay), drive()
    mem, spikes, membranes = cell.reset_mem(), [], []
    for row in torch.from_numpy(x):
        spike, mem = cell(row, mem)
        spikes.append(spike.detach().numpy())
        membranes.append(mem.detach().numpy())
    same(ours("lif", x, {"reset": kind}, rate=np.float32(beta), threshold=np.float32(0.9)), spikes, membranes)


def test_snntorch_leaky_late_zero_has_the_spikes_of_zero():
    torch, snntorch = pytest.importorskip("torch"), pytest.importorskip("snntorch")
    cell, x = snntorch.Leaky(beta=0.9, reset_mechanism="zero"), drive()
    mem, spikes = cell.reset_mem(), []
    for row in torch.from_numpy(x):
        spike, mem = cell(row, mem)
        spikes.append(spike.detach().numpy())
    assert np.array_equal(ours("lif", x, {"reset": "zero"}, rate=np.float32(0.9))[0], np.array(spikes))


@pytest.mark.parametrize(
    ("reset", "delay", "kind"),
    [("subtract", True, "subtract-late"), ("subtract", False, "subtract-no-delay"), ("zero", True, "zero-late")],
)
def test_snntorch_synaptic(reset, delay, kind):
    torch, snntorch = pytest.importorskip("torch"), pytest.importorskip("snntorch")
    cell = snntorch.Synaptic(alpha=0.8, beta=0.9, reset_mechanism=reset, reset_delay=delay)
    (syn, mem), x, spikes, membranes = cell.reset_mem(), drive(), [], []
    for row in torch.from_numpy(x):
        spike, syn, mem = cell(row, syn, mem)
        spikes.append(spike.detach().numpy())
        membranes.append(mem.detach().numpy())
    of_us = ours("cuba_lif", x, {"reset": kind}, rate=np.float32(0.9), synapse_rate=np.float32(0.8))
    same(of_us, spikes, membranes)


def norse_rate(tau, dt):
    return np.float32(dt) * (np.float32(1) / np.asarray(tau, np.float32))


@pytest.mark.parametrize("leak", [0.0, 0.2])
def test_norse_lif_box(leak):
    torch, norse = pytest.importorskip("torch"), pytest.importorskip("norse.torch")
    from norse.torch.functional.lif_box import LIFBoxParameters

    tau = np.random.default_rng(2).uniform(2e-3, 2e-2, UNITS).astype(np.float32)
    p = LIFBoxParameters(
        tau_mem_inv=1 / torch.from_numpy(tau), v_th=torch.tensor(0.3), v_leak=torch.tensor(leak), v_reset=torch.tensor(0.05)
    )
    cell, x, state, spikes, membranes = norse.LIFBoxCell(p, dt=1e-3), drive(2.0), None, [], []
    for row in torch.from_numpy(x):
        spike, state = cell(row, state)
        spikes.append(spike.detach().numpy())
        membranes.append(state.v.detach().numpy())
    start = membranes[0] * 0 + np.float32(leak)  # Norse begins at the leak
    params = {"form": "difference", "reset": "zero"}
    same(ours("lif", x, params, rate=norse_rate(tau, 1e-3), leak=leak, threshold=0.3, reset=0.05, start=start), spikes, membranes)


@pytest.mark.parametrize("method", ["zero", "subtract"])
def test_norse_of_a_nir_cuba_lif(method):
    torch, nir = pytest.importorskip("torch"), pytest.importorskip("nir")
    for package in ("norse.torch", "nirtorch"):
        pytest.importorskip(package)
    from norse.torch.functional.reset import reset_subtract, reset_value
    from norse.torch.utils.import_nir import _import_norse_module

    rng = np.random.default_rng(3)
    tau_syn, tau_mem = rng.uniform(2e-3, 9e-3, (2, UNITS)).astype(np.float32)
    node = nir.CubaLIF(
        tau_syn=tau_syn, tau_mem=tau_mem, r=np.full(UNITS, 1.5, np.float32), v_leak=np.zeros(UNITS, np.float32),
        v_threshold=np.full(UNITS, 0.1, np.float32), v_reset=np.zeros(UNITS, np.float32), w_in=np.full(UNITS, 2, np.float32),
    )  # fmt: skip
    cell = _import_norse_module(node, reset_method={"zero": reset_value, "subtract": reset_subtract}[method], dt=1e-3)
    x, state, spikes, membranes = drive(1.0), None, [], []
    for row in torch.from_numpy(x):
        spike, state = cell(row, state)
        spikes.append(spike.detach().numpy())
        membranes.append(state[1].v.detach().numpy())
    params = {"form": "difference", "synapse": "difference", "reset": method}
    of_us = ours(
        "cuba_lif", x, params, rate=norse_rate(tau_mem, 1e-3), synapse_rate=norse_rate(tau_syn, 1e-3), synapse_gain=2, gain=1.5,
        threshold=np.float32(0.1),
    )  # fmt: skip
    same(of_us, spikes, membranes)


@pytest.mark.parametrize("layer", ["iaf", "iaf with a floor", "lif", "lif normed", "lif with a synapse"])
def test_sinabs(layer):
    torch, sinabs = pytest.importorskip("torch"), pytest.importorskip("sinabs.layers")
    x, threshold = drive(1.0), np.float32(0.7)
    params = {"reset": "subtract", "fire_at_threshold": 1.0, "multi_spike": 1.0}
    if layer.startswith("iaf"):
        cell, kernel, vectors = sinabs.IAF(spike_threshold=0.7, min_v_mem=-0.7 if "floor" in layer else None), "lif", {}
        params |= {"floor": float("floor" in layer)}
    else:
        has_synapse = "synapse" in layer
        cell = sinabs.LIF(tau_mem=9.0, tau_syn=4.0 if has_synapse else None, spike_threshold=0.7, norm_input="normed" in layer)
        kernel = "cuba_lif" if has_synapse else "lif"
        vectors = {"rate": torch.exp(-1 / torch.tensor(9.0)).numpy()}
        if has_synapse:
            vectors |= {"synapse_rate": torch.exp(-1 / torch.tensor(4.0)).numpy()}
            params["synapse"] = "sum-first"
        if "normed" in layer:
            vectors["gain"], x = np.float32(1) - vectors["rate"], 4 * x
    spikes, membranes = [], []
    for row in torch.from_numpy(x):
        spikes.append(cell(row[None, None])[0, 0].detach().numpy())
        membranes.append(cell.v_mem[0].detach().numpy().copy())
    same(ours(kernel, x, params, threshold=threshold, **vectors), spikes, membranes)
