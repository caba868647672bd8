"""As few PEs as fit (or the number asked for), each with about the same bytes, whatever the number of units."""

from host.errors import Exit, HostError
from host.mapping.dealing import check_units, deal_group, deal_whole_layers, fewest_pes, hears_by_kernel, name_of, pieces_of
from host.mapping.request import Deal, Request
from host.mapping.sharding import all_fit, layer_bytes
from models import formats
from models.network import Network

EVEN = False
assign_chips = None


def deals(network: Network, request: Request) -> list[Deal]:
    """Give each layer the fewest PEs that hold it; what is asked for beyond that goes to the layers with the most bytes a PE."""
    groups = network.groups
    if request.pes is None or request.pes < len(groups):
        for pes in range(1, len(groups)) if request.pes is None else (request.pes,):
            shares = deal_whole_layers(network, pes)
            if request.pes is not None or all_fit(network, request, shares):
                return [shares]
    counts = {group: fewest_pes(network, request, group, even=EVEN) for group in groups}
    if request.pes is not None and request.pes < sum(counts.values()):
        need = ", ".join(f"{n} for {name_of(group)}" for group, n in counts.items())
        least = f"dealt by bytes, the layers need at least {sum(counts.values())} PEs ({need})"
        raise HostError(f"--pes {request.pes}: {least}", Exit.DOES_NOT_FIT)
    check_units(network, request.pes or 0)
    # A kernel's few bytes say nothing of how many units share it.
    roles = {n: ("weights", "variables") if hears_by_kernel(network, n) else ("weights",) for n in network.layers}
    weights = {group: sum(layer_bytes(network, request, n, roles=roles[n]) for n in group) for group in groups}
    while request.pes is not None and sum(counts.values()) < request.pes:
        growing = [group for group in groups if counts[group] < pieces_of(network, group)]
        counts[max(growing, key=lambda group: weights[group] / counts[group])] += 1
    runs = formats.wants_runs(request.format)
    return [[share for group in groups for share in deal_group(network, group, counts[group], even=EVEN, runs=runs)]]
