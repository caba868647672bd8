"""Makes `tests/golden_nir`: small networks that snnTorch, Norse and sinabs export as NIR, and their spikes for seeded inputs.

    python -m tests.tools.nir_goldens            # writes tests/golden_nir

Each NAME.nir has a NAME.npz beside it: `x` (steps, inputs), `layer0`, `layer1`, ... (steps, units) the spikes (or values) of
each layer of neurons in the order of execution, and `choices`, a JSON text of what a reader has to choose beside what the file
suggests. The versions that wrote them are in `versions.json`. `live()` makes them in memory, so that a test can hold the files
against what is installed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent.parent / "golden_nir"
PACKAGES = ("nir", "nirtorch", "snntorch", "norse", "sinabs", "torch", "numpy")
STEPS = 60


@dataclass
class Golden:
    """A network as NIR, its input, what its layers gave, and what has to be chosen to read it."""

    name: str
    graph: Any
    x: np.ndarray
    layers: list[np.ndarray]
    choices: dict[str, Any] = field(default_factory=dict)


def spikes_in(seed: int, *shape: int, rate: float = 0.25) -> np.ndarray:
    """Return seeded input spikes (STEPS, *shape), 0 or 1."""
    return (np.random.default_rng(seed).random((STEPS, *shape)) < rate).astype(np.uint8)


def live() -> Iterator[Golden]:
    """Yield every golden network, made by what is installed."""
    import torch

    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for make in (*_SNNTORCH, *_NORSE, *_SINABS):
        torch.manual_seed(20)
        with torch.no_grad():
            yield make()


def _strong(module: Any, factor: float) -> Any:
    """Return a layer with weights so large that neurons fire."""
    for parameter in module.parameters():
        parameter.mul_(factor)
    return module


def _recorded(modules: list[Any], run: Callable[[], None]) -> list[np.ndarray]:
    """Return what modules gave at each call while `run` ran, (calls, units): the first of what each returns."""
    rows: list[list[np.ndarray]] = [[] for _ in modules]
    hooks = []
    for at, module in enumerate(modules):

        def hook(_: Any, __: Any, out: Any, at: int = at) -> None:
            first = out[0] if isinstance(out, tuple) else out
            rows[at].append(first.detach().numpy().copy())

        hooks.append(module.register_forward_hook(hook))
    run()
    for hook in hooks:
        hook.remove()
    return [np.stack(some) for some in rows]


def _snntorch(name: str, layers: list[Any], neurons: type | tuple[type, ...], x: np.ndarray, choices: dict[str, Any]) -> Golden:
    """Export a chain of snnTorch's layers, and step it with the states in the modules."""
    import torch
    from snntorch import utils
    from snntorch.export_nir import export_to_nir

    net = torch.nn.Sequential(*layers)
    graph = export_to_nir(net, torch.tensor(x[:1].astype(np.float32)), ignore_dims=[0])
    utils.reset(net)
    modules = [layer for layer in layers if isinstance(layer, neurons)]
    for module in modules:
        module.reset_mem()  # utils.reset leaves the spikes that a recurrent layer feeds back

    def run() -> None:
        for row in x:
            net(torch.tensor(row[None].astype(np.float32)))

    given = [some.reshape(len(some), -1) for some in _recorded(modules, run)]
    return Golden(name, graph, x, given, choices)


def _leaky_dense(name: str, choices: dict[str, Any], **options: Any) -> Golden:
    import snntorch as snn
    import torch

    # Betas and thresholds as arrays: a single number has no shape, which the export then misses.
    first = snn.Leaky(beta=torch.full((24,), 0.9), threshold=torch.ones(24), init_hidden=True, **options)
    betas = torch.linspace(0.55, 0.97, 6)
    second = snn.Leaky(beta=betas, threshold=torch.full((6,), 0.8), init_hidden=True, **options)
    layers = [_strong(torch.nn.Linear(12, 24), 3), first, _strong(torch.nn.Linear(24, 6, bias=False), 3), second]
    return _snntorch(name, layers, snn.Leaky, spikes_in(1, 12), choices)


def snntorch_leaky() -> Golden:
    """Leaky with the defaults of 1.0.0: subtract, a step late."""
    return _leaky_dense("snntorch_leaky", {})


def snntorch_leaky_zero() -> Golden:
    """Leaky that resets to zero."""
    return _leaky_dense("snntorch_leaky_zero", {"reset": "zero"}, reset_mechanism="zero")


def snntorch_leaky_no_delay() -> Golden:
    """Leaky whose reset comes in the step of the spike."""
    return _leaky_dense("snntorch_leaky_no_delay", {"reset": "subtract-no-delay"}, reset_delay=False)


def snntorch_conv() -> Golden:
    """Two convolutions, a mean pool in between, and a dense layer behind another pool."""
    import snntorch as snn
    import torch

    def leaky(*shape: int) -> Any:
        return snn.Leaky(beta=torch.full(shape, 0.93), threshold=torch.ones(shape), init_hidden=True)

    layers = [
        _strong(torch.nn.Conv2d(2, 4, 5, stride=2, padding=1, bias=False), 2), leaky(4, 6, 7), torch.nn.AvgPool2d(2),
        _strong(torch.nn.Conv2d(4, 6, 3, padding=1), 3), leaky(6, 3, 3), torch.nn.AvgPool2d(2), torch.nn.Flatten(),
        _strong(torch.nn.Linear(6, 5, bias=False), 4), leaky(5),
    ]  # fmt: skip
    return _snntorch("snntorch_conv", layers, snn.Leaky, spikes_in(2, 2, 14, 16), {})


def snntorch_synaptic() -> Golden:
    """Synaptic neurons: a current of their own."""
    import snntorch as snn
    import torch

    layers = [
        _strong(torch.nn.Linear(12, 20), 2),
        snn.Synaptic(alpha=torch.full((20,), 0.6), beta=torch.full((20,), 0.85), threshold=torch.ones(20), init_hidden=True),
        _strong(torch.nn.Linear(20, 7), 2),
        snn.Synaptic(alpha=torch.linspace(0.5, 0.9, 7), beta=torch.full((7,), 0.8), threshold=torch.ones(7), init_hidden=True),
    ]
    return _snntorch("snntorch_synaptic", layers, snn.Synaptic, spikes_in(3, 12), {})


def snntorch_recurrent() -> Golden:
    """RLeaky: a subgraph with a loop."""
    import snntorch as snn
    import torch

    recurrent = snn.RLeaky(beta=0.9, linear_features=16, init_hidden=True)
    _strong(recurrent.recurrent, 2)
    layers = [_strong(torch.nn.Linear(12, 16), 3), recurrent, _strong(torch.nn.Linear(16, 5), 3),
              snn.Leaky(beta=torch.full((5,), 0.8), threshold=torch.ones(5), init_hidden=True)]  # fmt: skip
    return _snntorch("snntorch_recurrent", layers, (snn.RLeaky, snn.Leaky), spikes_in(4, 12), {})


def snntorch_recurrent_synaptic() -> Golden:
    """RSynaptic: a subgraph with a loop, and a current."""
    import snntorch as snn
    import torch

    recurrent = snn.RSynaptic(alpha=0.7, beta=0.9, linear_features=16, init_hidden=True)
    ones = torch.ones(5)
    last = snn.Synaptic(alpha=0.5 * ones, beta=0.8 * ones, threshold=ones, init_hidden=True)
    layers = [_strong(torch.nn.Linear(12, 16), 2), recurrent, _strong(torch.nn.Linear(16, 5), 3), last]
    return _snntorch("snntorch_recurrent_synaptic", layers, (snn.RSynaptic, snn.Synaptic), spikes_in(5, 12), {})


def _norse(name: str, net: Any, modules: list[Any], x: np.ndarray, choices: dict[str, Any]) -> Golden:
    """Export a chain of Norse's layers, and step it with the states handed on."""
    import norse.torch as norse
    import torch

    graph = norse.to_nir(net, torch.tensor(x[0].astype(np.float32)))
    return Golden(name, graph, x, _norse_run(net, modules, x), choices)


def _norse_run(net: Any, modules: list[Any], x: np.ndarray) -> list[np.ndarray]:
    import torch

    def run() -> None:
        state = None
        for row in x:
            _, state = net(torch.tensor(row.astype(np.float32)), state)

    return [some.reshape(len(some), -1) for some in _recorded(modules, run)]


def norse_lif() -> Golden:
    """LIFBox cells and a leaky integrator at the end; 1.1.0 writes time constants a thousand times too small."""
    import norse.torch as norse
    import torch

    def box(size: int, inverse: float) -> Any:
        zeros = torch.zeros(size)
        return norse.LIFBoxCell(
            norse.LIFBoxParameters(tau_mem_inv=zeros + inverse, v_th=zeros + 0.4, v_leak=zeros.clone(), v_reset=zeros.clone())
        )

    readout = norse.LIBoxCell(norse.LIBoxParameters(tau_mem_inv=torch.full((4,), 70.0), v_leak=torch.zeros(4)))
    first, second = box(20, 100.0), box(10, 230.0)
    net = norse.SequentialState(
        _strong(torch.nn.Linear(12, 20), 6), first, _strong(torch.nn.Linear(20, 10, bias=False), 6), second,
        _strong(torch.nn.Linear(10, 4), 3), readout,
    )  # fmt: skip
    return _norse("norse_lif", net, [first, second, readout], spikes_in(6, 12), {})


def norse_iaf() -> Golden:
    """IAF cells."""
    import norse.torch as norse
    import torch

    def cell(size: int) -> Any:
        return norse.IAFCell(norse.IAFParameters(v_th=torch.full((size,), 1.0), v_reset=torch.zeros(size)))

    first, second = cell(20), cell(6)
    net = norse.SequentialState(_strong(torch.nn.Linear(12, 20), 2), first, _strong(torch.nn.Linear(20, 6), 2), second)
    return _norse("norse_iaf", net, [first, second], spikes_in(7, 12), {"exporter": "norse"})


def _own_cuba(dt: float | None = None) -> Any:
    """Return a recurrent CubaLIF as people write it by hand: a flat loop, and parameters that differ between neurons.

    With `dt` its r and w_in are those of snnTorch at that step.
    """
    import nir

    rng = np.random.default_rng(8)
    units = 18

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(0, 2.0 / np.sqrt(shape[-1]), shape).astype(np.float32)

    def between(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, units).astype(np.float32)

    syn, mem = between(1e-3, 4e-3), between(2e-3, 8e-3)
    r, w_in = np.ones(units, np.float32), between(1, 3)
    if dt is not None:
        syn, mem = syn / 10, mem / 10
        r, w_in = mem / np.float32(dt), syn / np.float32(dt)
    return nir.NIRGraph(
        nodes={
            "input": nir.Input(np.array([12])),
            "fc": nir.Affine(weight=4 * weights(units, 12), bias=weights(units) / 4),
            "cuba": nir.CubaLIF(
                tau_syn=syn, tau_mem=mem, r=r, v_leak=np.zeros(units, np.float32), w_in=w_in,
                v_threshold=np.full(units, 0.3 if dt is None else 9.0, np.float32), v_reset=np.zeros(units, np.float32),
            ),
            "rec": nir.Affine(weight=weights(units, units), bias=weights(units) / 10),
            "out": nir.Output(np.array([units])),
        },
        edges=[("input", "fc"), ("fc", "cuba"), ("cuba", "rec"), ("rec", "cuba"), ("cuba", "out")],
    )  # fmt: skip


def _norse_reads(name: str, graph: Any, dt: float, choices: dict[str, Any], **options: Any) -> Golden:
    import norse.torch as norse

    x = spikes_in(8, 12)
    net = norse.from_nir(graph, dt=dt, **options)
    module = next(module for module in net.modules() if type(module).__name__ == "CubaLIF")
    return Golden(name, graph, x, _norse_run(net, [module], x), choices)


def norse_cuba() -> Golden:
    """A hand-written recurrent CubaLIF as Norse reads it."""
    return _norse_reads("norse_cuba", _own_cuba(), 1e-3, {"dt": 1e-3, "exporter": "norse"})


def norse_cuba_subtract() -> Golden:
    """The same, reset by subtraction."""
    from norse.torch.functional import reset

    choices = {"dt": 1e-3, "exporter": "norse", "reset": "subtract"}
    return _norse_reads("norse_cuba_subtract", _own_cuba(), 1e-3, choices, reset_method=reset.reset_subtract)


def norse_synaptic() -> Golden:
    """What snnTorch would write of Synaptic neurons, as Norse reads it."""
    return _norse_reads("norse_synaptic", _own_cuba(1e-4), 1e-4, {"reset": "zero"})


def norse_synaptic_subtract() -> Golden:
    """The same, reset by subtraction."""
    from norse.torch.functional import reset

    choices = {"reset": "subtract"}
    return _norse_reads("norse_synaptic_subtract", _own_cuba(1e-4), 1e-4, choices, reset_method=reset.reset_subtract)


def _sinabs(name: str, layers: list[Any], neurons: type | tuple[type, ...], x: np.ndarray, choices: dict[str, Any]) -> Golden:
    import sinabs.nir
    import torch

    net = torch.nn.Sequential(*layers)
    modules = [layer for layer in layers if isinstance(layer, neurons)]

    def run() -> None:
        for row in x:  # one step a call: the modules keep their states
            net(torch.tensor(row[None].astype(np.float32)))

    net(torch.zeros(1, *x.shape[1:]))  # shapes of states are known only then
    graph = sinabs.nir.to_nir(net, torch.zeros(1, *x.shape[1:]))
    graph.infer_types()  # gives convolutions the input shapes without which nir 1.0.8 cannot write them
    for module in modules:
        module.reset_states()
    given = _recorded(modules, run)
    return Golden(name, graph, x, [some.reshape(len(some), -1) for some in given], choices)


def sinabs_iaf() -> Golden:
    """IAF with convolutions and sum pools: several spikes a step, a floor."""
    import sinabs.layers as sl
    import torch

    def iaf() -> Any:
        return sl.IAFSqueeze(batch_size=1, min_v_mem=-1.0)

    layers = [
        _strong(torch.nn.Conv2d(2, 4, 3, padding=1, bias=False), 3), iaf(), sl.SumPool2d(2),
        _strong(torch.nn.Conv2d(4, 6, 3, stride=2, groups=2, bias=False), 3), iaf(), torch.nn.Flatten(),
        _strong(torch.nn.Linear(24, 5, bias=False), 3), iaf(),
    ]  # fmt: skip
    return _sinabs("sinabs_iaf", layers, sl.IAFSqueeze, spikes_in(9, 2, 12, 12), {})


def _sinabs_lif(name: str, norm_input: bool, choices: dict[str, Any]) -> Golden:
    import sinabs.layers as sl
    import torch

    def lif(size: int, tau: float) -> Any:
        threshold = torch.full((size,), 0.7)
        return sl.LIFSqueeze(tau_mem=torch.full((size,), tau), spike_threshold=threshold, batch_size=1, norm_input=norm_input)

    factor = 6 if norm_input else 1.5
    second = _strong(torch.nn.Linear(20, 6), factor)
    second.weight[::2].abs_()  # inputs that only add up, so that these fire in either case
    layers = [_strong(torch.nn.Linear(12, 20), factor), lif(20, 8.0), second, lif(6, 15.0)]
    return _sinabs(name, layers, sl.LIFSqueeze, spikes_in(10, 12), choices)


def sinabs_lif() -> Golden:
    """LIF, whose inputs it multiplies by 1 - alpha."""
    return _sinabs_lif("sinabs_lif", True, {"gain": "equation"})


def sinabs_lif_as_is() -> Golden:
    """LIF, whose inputs enter as they are."""
    return _sinabs_lif("sinabs_lif_as_is", False, {"gain": "one"})


_SNNTORCH = (
    snntorch_leaky, snntorch_leaky_zero, snntorch_leaky_no_delay, snntorch_conv, snntorch_synaptic, snntorch_recurrent,
    snntorch_recurrent_synaptic,
)  # fmt: skip
_NORSE = (norse_lif, norse_iaf, norse_cuba, norse_cuba_subtract, norse_synaptic, norse_synaptic_subtract)
_SINABS = (sinabs_iaf, sinabs_lif, sinabs_lif_as_is)


def write(folder: Path = FOLDER) -> None:
    """Write all golden networks into a folder."""
    from importlib.metadata import version

    import nir

    folder.mkdir(exist_ok=True)
    for golden in live():
        packed = "gzip" if golden.name.endswith("conv") else None  # nir's default, which makes small arrays large
        nir.write(folder / f"{golden.name}.nir", golden.graph, compression=packed)
        x = golden.x.reshape(len(golden.x), -1)
        layers = {f"layer{at}": _small(some) for at, some in enumerate(golden.layers)}
        np.savez_compressed(folder / f"{golden.name}.npz", x=x, choices=np.array(json.dumps(golden.choices)), **layers)
        rates = ", ".join(f"{some.mean():.3f}" for some in golden.layers)
        sys.stdout.write(f"{golden.name}: mean of what each layer gave {rates}\n")
    versions = {package: version(package) for package in PACKAGES}
    (folder / "versions.json").write_text(json.dumps(versions, indent=1) + "\n", encoding="utf-8")


def _small(numbers: np.ndarray) -> np.ndarray:
    """Return spikes as uint8, values as float32."""
    whole = numbers.astype(np.uint8)
    return whole if np.array_equal(whole, numbers) else numbers.astype(np.float32)


if __name__ == "__main__":
    write()
