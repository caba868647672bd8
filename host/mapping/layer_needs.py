"""What each layer of a placement needs: kernels, rows, state and rings on its fullest PE, and the fewest PEs that hold it."""

from __future__ import annotations

from typing import NamedTuple

from host.errors import HostError
from host.mapping.dealing import fewest_pes
from host.mapping.request import Request, Share
from host.mapping.sharding import share_sizes
from models.network import Network
from pe.layout import ShardSize, pe_fields, place_ports


class LayerNeed(NamedTuple):
    """Bytes of a share: kernels and other weights; rings, which hold several positions of a port; and all else that varies.

    `pes` is the smallest number of PEs over which the layer fits, by itself; 0: a single unit is too large for a PE.
    """

    kernels_bytes: int
    rows_bytes: int
    state_bytes: int
    rings_bytes: int
    pes: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes of all that."""
        return self.kernels_bytes + self.rows_bytes + self.state_bytes + self.rings_bytes


def layer_needs(network: Network, request: Request, shares: list[Share]) -> dict[int, LayerNeed]:
    """Return what each layer needs that does not share a PE with another: of its fullest share."""
    needs = {}
    for layer in network.layers:
        own = [share for share in shares if [units.population for units in share] == [layer]]
        if not own:
            continue
        fullest = max((_bytes_of(share_sizes(network, request, share)[0]) for share in own), key=lambda need: need.size_bytes)
        try:
            pes = fewest_pes(network, request, network.group_of(layer), even=False)
        except HostError:
            pes = 0
        needs[layer] = fullest._replace(pes=pes)
    return needs


def _bytes_of(shard: ShardSize) -> LayerNeed:
    kernels, rings = set[str](), set[str]()
    for port, place in zip(shard.ports, place_ports(shard), strict=True):
        kernels |= {place.head} if port.shape.window else set()
        rings |= {place.sums} if place.rings > 1 else set()
        rings |= {f"{place.head}.vector"} if place.vectors > 1 else set()
    sizes = {"kernels": 0, "rows": 0, "state": 0, "rings": 0}
    for field in pe_fields([shard]):
        part = "rings" if field.name in rings else "state"
        if field.role == "weights":
            part = "kernels" if field.name.rpartition(".")[0] in kernels else "rows"
        sizes[part] += field.size_bytes
    return LayerNeed(**{f"{part}_bytes": size for part, size in sizes.items()})
