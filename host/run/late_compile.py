"""Compile what the PEs of a placed network call and few runs use: once, and for all of them."""

from __future__ import annotations

from host.mapping.placement import Placement
from host.mapping.sharding import share_sizes
from models.compute.late_variants import note_variants
from pe.compile_ahead import compile_ahead


def compile_late(placement: Placement, need: str) -> None:
    """Compile it, or find it in the cache, and note it for whoever next gets ready to fork for a run with this `need`."""
    network, request = placement.network, placement.request
    sizes = (size for placed in placement.pes for size in share_sizes(network, request, placed.share))
    compile_ahead(sizes, {n: network.populations[n].params for n in network.layers})
    note_variants(need)
