"""Shares on chips so that few packets cross links between chips."""

from dataclasses import replace

from host.errors import HostError
from host.mapping.chip_assignment import assign_chips
from host.mapping.request import Deal, Request
from host.mapping.sharding import all_fit
from host.mapping.strategies import balanced, uniform
from models.network import Network

EVEN = False
__all__ = ["EVEN", "assign_chips", "deals"]


def deals(network: Network, request: Request) -> list[Deal]:
    """Deal as `balanced` does, over as many PEs as `uniform` takes where no number is asked for, or as few more as fit; and, on
    several chips, as `uniform` deals over as many, where that fits.
    """
    shares = _balanced(network, request)
    if request.chips == 1:
        return [shares]
    (others,) = uniform.deals(network, replace(request, pes=len(shares)))
    return [shares, others] if all_fit(network, request, others) else [shares]


def _balanced(network: Network, request: Request) -> Deal:
    if request.pes is None:
        like_uniform = min(len(uniform.deals(network, request)[0]), request.available)
        try:
            return balanced.deals(network, replace(request, pes=like_uniform))[0]
        except HostError:
            pass  # it needs more, or more than there are
    return balanced.deals(network, request)[0]
