"""Whether a network can run: every fault of a graph in one line that names its populations."""

from __future__ import annotations

from models import kernels
from models.convolution import Convolution
from models.network import ModelError, Network, Population, Projection, check_trace
from models.numerics import payload_bytes, sum_of
from models.schedule import schedule

TRACED = ("float32", "int8")  # payloads of events of which a port may keep a trace
MOST_SHIFT = 7
MOST_TICKS = 1024  # of a position: a section's flags hold the number of one (`noc/packet.py`)


def check_network(network: Network) -> None:
    """Raise ModelError, in one line, for a network that cannot run as it stands."""
    _check_populations(network)
    for number in network.layers:
        layer = network.populations[number]
        kernel = kernels.named(layer.kernel)
        for projection in layer.projections:
            _check_projection(network, number, projection)
        for port, spec in kernel.PORTS.items():
            if not spec.may_be_silent and not layer.projections_to(port):
                raise ModelError(f"{layer.name}: nothing feeds its port {port!r}; needs a projection to it")
        if layer.payload not in kernel.EMITS or layer.dense != kernels.is_dense(layer.kernel):
            form = "dense sections" if kernels.is_dense(layer.kernel) else "events"
            have = f"{'dense sections' if layer.dense else 'events'} of {layer.payload}"
            raise ModelError(f"{layer.name}: sends {have}; neuron model {layer.kernel!r} sends {form} of {', '.join(kernel.EMITS)}")
        ticks = kernels.ticks_of(layer.kernel, layer.params)
        if not 1 <= ticks <= MOST_TICKS:
            raise ModelError(f"{layer.name}: takes {ticks} ticks a position; needs 1 to {MOST_TICKS}")
        for name, vector in kernel.VECTORS.items():
            have_shape = layer.vectors[name].shape if name in layer.vectors else None
            if have_shape != (vector.length * layer.units,):
                raise ModelError(f"{layer.name}: vector {name!r} needs {vector.length * layer.units} numbers, has {have_shape}")
        _check_peers(network, number)
        _check_beside(network, number)
        if hasattr(kernel, "check"):
            kernel.check(layer)
    schedule(network)
    _check_reach(network)


def _check_peers(network: Network, number: int) -> None:
    """Raise ModelError for peers of a layer that do not exchange transfers."""
    layer = network.populations[number]
    for peer in layer.peers if kernels.transfers_of(layer.kernel) else ():
        if peer not in network.layers or kernels.transfers_of(network.populations[peer].kernel) is None:
            raise ModelError(f"{layer.name}: may send transfers to population {peer}, which takes none")
    if layer.peers and kernels.transfers_of(layer.kernel) is None:
        raise ModelError(f"{layer.name}: has peers; neuron model {layer.kernel!r} exchanges no transfers")


def _check_beside(network: Network, number: int) -> None:
    """Raise ModelError for a layer that lies beside what it cannot share PEs with, unit by unit."""
    layer = network.populations[number]
    if layer.beside is None:
        return
    if layer.beside not in network.layers or layer.beside == number:
        layers = ", ".join(str(n) for n in network.layers if n != number) or "none"
        raise ModelError(f"{layer.name}: lies beside population {layer.beside}; needs another layer, has {layers}")
    other = network.populations[layer.beside]
    if other.units != layer.units:
        raise ModelError(f"{layer.name}: {layer.units} units lie beside the {other.units} of {other.name}; needs as many")
    if other.beside is not None:
        leader = network.populations[other.beside].name
        raise ModelError(f"{layer.name}: lies beside {other.name}, which lies beside {leader}; needs to lie beside {leader} too")


def _check_populations(network: Network) -> None:
    if not network.inputs or not network.layers:
        raise ModelError(f"network: {len(network.inputs)} inputs and {len(network.layers)} layers; needs at least one of each")
    names = [population.name for population in network.populations]
    for name in names:
        if names.count(name) > 1:
            raise ModelError(f"network: {names.count(name)} populations are called {name!r}; needs names of their own")
    for population in network.populations:
        payload_bytes(population.payload)
        if population.units < 1:
            raise ModelError(f"{population.name}: has {population.units} units; needs at least 1")
        if population.dense and population.payload == "spike":
            raise ModelError(f"{population.name}: dense sections of spikes carry nothing; needs a payload")
    for output in network.outputs:
        if output not in network.layers:
            raise ModelError(f"network: output {output} is no layer; has layers {', '.join(map(str, network.layers))}")


def _check_projection(network: Network, number: int, projection: Projection) -> None:
    layer = network.populations[number]
    if not 0 <= projection.source < len(network.populations):
        raise ModelError(f"{layer.name}: port {projection.port!r} hears population {projection.source}, which is not there")
    source = network.populations[projection.source]
    who, kernel = f"{source.name} to {layer.name}", kernels.named(layer.kernel)
    if projection.port not in kernel.PORTS:
        ports = ", ".join(kernel.PORTS)
        raise ModelError(f"{who}: neuron model {layer.kernel!r} has no port {projection.port!r}; has {ports}")
    spec = kernel.PORTS[projection.port]
    if isinstance(projection.weights, Convolution):
        projection.weights.check(who)
    need = spec.rows * layer.units, source.units
    if projection.weights.shape != need:
        have = projection.weights.shape
        raise ModelError(f"{who}: weights of port {projection.port!r} need {need} rows and columns, have {have}")
    if projection.delay < 0 or int(projection.delay) != projection.delay:
        raise ModelError(f"{who}: delay {projection.delay!r}; needs a whole number of positions from 0")
    if number == projection.source and not projection.delay:
        raise ModelError(f"{layer.name}: hears itself at the same position; needs a delay of 1 or more")
    try:
        sums = sum_of(projection.weights.numeric, source.payload)
    except ModelError as error:
        raise ModelError(f"{who}: {error}") from None
    if sums not in spec.sums:
        takes = ", ".join(spec.sums)
        raise ModelError(f"{who}: port {projection.port!r} of neuron model {layer.kernel!r} takes sums of {takes}; gets {sums}")
    check_trace(who, projection.trace)
    if projection.trace and (projection.delay or source.payload not in TRACED or source.dense or _phased(source)):
        why = f"events {projection.delay} positions late" if projection.delay else f"events of {source.payload}"
        raise ModelError(f"{who}: a trace of {why}; needs float32 or int8 events of the same position, one tick a position")
    if projection.trace and sums == "int32" and isinstance(projection.weights, Convolution):
        raise ModelError(f"{who}: a convolution that hears a trace of int8 events; needs a matrix")
    most = MOST_SHIFT if projection.trace and source.payload == "int8" else 0
    if not 0 <= projection.trace_shift <= most:
        raise ModelError(f"{who}: a trace {projection.trace_shift} bits to the left; needs 0 to {most}")
    twins = [p for p in layer.projections_to(projection.port) if p.sort_key == projection.sort_key]
    if len(twins) > 1:
        raise ModelError(f"{who}: {len(twins)} projections to port {projection.port!r} with delay {projection.delay}; needs one")


def _phased(population: Population) -> bool:
    return kernels.ticks_of(population.kernel, population.params) > 1


def _check_reach(network: Network) -> None:
    """Raise ModelError for populations that no input reaches."""
    reached, rest = set(network.inputs), list(network.layers)
    while True:
        more = [n for n in rest if reached.intersection(network.sources(n))]
        if not more:
            break
        reached.update(more)
        rest = [n for n in rest if n not in reached]
    if rest:
        names = ", ".join(network.populations[n].name for n in rest)
        raise ModelError(f"network: no input reaches {names}; needs a projection from an input or from a layer that one reaches")
