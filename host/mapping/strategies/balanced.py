"""As few PEs as fit (or the number asked for), each with about the same bytes, whatever the number of units."""

from host.errors import Exit, HostError
from host.mapping.dealing import check_units, deal_layer, deal_whole_layers, fewest_pes, hears_by_kernel
from host.mapping.request import Deal, Request
from host.mapping.sharding import all_fit, layer_bytes
from models.network import Network

EVEN = False
assign_chips = None


def deals(network: Network, request: Request) -> list[Deal]:
    """Give each layer the fewest PEs that hold it; what is asked for beyond that goes to the layers with the most bytes a PE."""
    layers = network.layers
    if request.pes is None or request.pes < len(layers):
        for pes in range(1, len(layers)) if request.pes is None else (request.pes,):
            shares = deal_whole_layers(network, pes)
            if request.pes is not None or all_fit(network, request, shares):
                return [shares]
    counts = {layer: fewest_pes(network, request, layer, even=EVEN) for layer in layers}
    if request.pes is not None and request.pes < sum(counts.values()):
        need = ", ".join(f"{n} for layer {layer}" for layer, n in counts.items())
        least = f"dealt by bytes, the layers need at least {sum(counts.values())} PEs ({need})"
        raise HostError(f"--pes {request.pes}: {least}", Exit.DOES_NOT_FIT)
    check_units(network, request.pes or 0)
    # A kernel's few bytes say nothing of how many units share it.
    roles = {layer: ("weights", "variables") if hears_by_kernel(network, layer) else ("weights",) for layer in layers}
    weights = {layer: layer_bytes(network, request, layer, roles=roles[layer]) for layer in layers}
    while request.pes is not None and sum(counts.values()) < request.pes:
        growing = [layer for layer in layers if counts[layer] < network.populations[layer].units]
        counts[max(growing, key=lambda layer: weights[layer] / counts[layer])] += 1
    return [[share for layer in layers for share in deal_layer(network, layer, counts[layer], even=EVEN)]]
