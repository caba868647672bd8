"""The paper's mapping: each layer over the same number of PEs, the same number of units to each."""

from host.mapping.dealing import check_units, deal_group, deal_whole_layers, pieces_of, split_pes
from host.mapping.request import Deal, Request
from models import formats
from models.network import Network

EVEN = True
assign_chips = None


def deals(network: Network, request: Request) -> list[Deal]:
    """Deal over as many PEs as asked for.

    Without a number each layer gets as many as there are for it, less those that would not spare the busiest PE of the
    smallest layer a unit: 50 each for the paper's three layers, 64 each for its two of 256 units. Layers that lie beside each
    other count as one.
    """
    groups, smallest = len(network.groups), min(pieces_of(network, group) for group in network.groups)
    each = min(request.available // groups, smallest)
    spread = -(-smallest // -(-smallest // each)) * groups if each else max(request.available, 1)
    pes = request.pes or spread
    if pes < groups:
        return [deal_whole_layers(network, pes)]
    check_units(network, pes)
    runs, counts = formats.wants_runs(request.format), split_pes(network, pes)
    return [[share for group, count in counts.items() for share in deal_group(network, group, count, even=EVEN, runs=runs)]]
