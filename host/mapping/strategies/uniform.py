"""The paper's mapping: each layer over the same number of PEs, the same number of units to each."""

from host.mapping.dealing import check_units, deal_group, deal_whole_layers, pieces_of, split_pes
from host.mapping.request import Deal, Request
from host.mapping.sharding import all_fit
from models import formats
from models.network import Network

EVEN = True
assign_chips = None


def deals(network: Network, request: Request) -> list[Deal]:
    """Deal over as many PEs as asked for.

    Without a number each layer gets as many as there are for it, less those that would not spare the busiest PE of the
    smallest layer a unit: 50 each for the paper's three layers, 64 each for its two of 256 units. Layers that lie beside each
    other count as one. Units that a format wants together count as one unit, where so many fit a PE.
    """
    together = formats.units_together(request.format)
    if together > 1 and not request.pes:
        shares = _deal(network, _spread(network, request, together), together)
        if all_fit(network, request, shares):
            return [shares]
        together = 1
    return [_deal(network, request.pes or _spread(network, request, 1), together)]


def _spread(network: Network, request: Request, together: int) -> int:
    """Return over how many PEs a network is dealt where no number is asked for."""
    groups, smallest = len(network.groups), min(-(-pieces_of(network, group) // together) for group in network.groups)
    each = min(request.available // groups, smallest)
    return -(-smallest // -(-smallest // each)) * groups if each else max(request.available, 1)


def _deal(network: Network, pes: int, together: int) -> Deal:
    if pes < len(network.groups):
        return deal_whole_layers(network, pes)
    check_units(network, pes)
    counts = split_pes(network, pes)
    return [share for group, count in counts.items() for share in deal_group(network, group, count, even=EVEN, block=together)]
