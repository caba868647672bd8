"""What links between chips cost: from packets to seconds and joules.

A packet of an event (40 bits with its key, 32 of value) takes `link_event_frames` frames of 96 bits. A link is busy for as
long as its frames last, and the first packet takes a router and a frame for each link of the longest route; a population's
streams take both, one after the other. The modes of a link, on a board and between boards, are published; the latency of a
router, how payloads are framed and every joule are not: those are assumed, with a band (`costs.toml`). Resent frames are left
out, and so are queues in routers beyond those of the busiest link.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.exchanges import Exchanges
from host.cost.link_traffic import LinkLoads, LinkTraffic
from models.network import F64, Array
from noc.chip import ChipSpec
from noc.machine import Machine

_CODED = 10 / 8  # bits on a cable for each of a frame (8b10b)


@dataclass(frozen=True)
class LinkCost:
    """`busy_s` (positions, layers' exchanges) how long the busiest link has packets of a layer, and `way_s` (layers'
    exchanges,) how long one of them takes to the last chip; `input_busy_s` (positions, inputs) and `input_way_s` (inputs,)
    the same of inputs.
    """

    busy_s: F64
    way_s: F64
    input_busy_s: F64
    input_way_s: F64


@dataclass(frozen=True)
class LinkUse:
    """Over a run: `energy_j` of all packets; `busy_s` (links,) how long each link is busy."""

    energy_j: float
    busy_s: F64


def link_cost(traffic: LinkTraffic, exchanges: Exchanges, chip: ChipSpec, table: CostTable) -> LinkCost:
    """Return what the packets of `traffic` take."""
    positions, inputs, layers = len(traffic.events), exchanges.inputs, exchanges.layers
    if not traffic.deepest.any():
        return LinkCost(*(part for one in (layers, inputs) for part in (np.zeros((positions, len(one))), np.zeros(len(one)))))
    on_board_s, cable_s, packet_s = _packet_s(traffic.cables, chip, table)
    router_s = table["link_router_cycles"] / chip.router_clock_hz
    cables, deepest = traffic.deepest_cables, traffic.deepest
    fill = (deepest + 1) * router_s + (deepest - cables) * on_board_s + cables * (cable_s + table["link_cable_s"])
    fill = np.where(deepest > 0, fill, 0.0)
    packets = traffic.packets
    busy = (packets * packet_s).max(axis=2, initial=0.0)
    of_layers = busy[:, layers]
    if table.settings["schedule"] == "pipelined" and positions:
        with_input = table.settings["dram"] != "waited"  # else it has come before
        of_tick = (exchanges.sum_by_tick(packets, with_input) * packet_s).max(axis=1, initial=0.0)
        of_layers = np.where(deepest[layers] > 0, exchanges.of_positions(of_tick, positions), 0.0)
    return LinkCost(of_layers, fill[layers], busy[:, inputs], fill[inputs])


def link_use(loads: LinkLoads, chip: ChipSpec, table: CostTable) -> LinkUse:
    """Return what the packets of a run cost; what links draw without packets is `idle_w`."""
    bits = table["link_event_frames"] * chip.link_frame_bits * loads.packets
    picojoules = np.where(loads.cables, _CODED * table["link_cable_bit_pj"], table["link_bit_pj"])
    return LinkUse(float((bits * picojoules).sum()) * 1e-12, loads.packets * _packet_s(loads.cables, chip, table)[2])


def _packet_s(cables: Array, chip: ChipSpec, table: CostTable) -> tuple[float, float, F64]:
    """Return how long a packet takes on a link of a board, on a cable, and on each link."""
    frames = table["link_event_frames"]
    on_board_s, cable_s = (frames * frame_s for frame_s in (chip.link_onboard_frame_s, chip.link_offboard_frame_s))
    return on_board_s, cable_s, np.where(cables, cable_s, on_board_s)


def idle_w(machine: Machine, table: CostTable) -> float:
    """Return what a machine's links draw without packets: those between boards stay active, those on a board are grounded."""
    return table["link_cable_idle_w"] * int(machine.cables.sum()) if machine.chips > 1 else 0.0


def links_block(loads: LinkLoads, use: LinkUse, chip: ChipSpec, table: CostTable, time_s: float) -> Mapping[str, Any] | None:
    """Return what a report says of the links, and of the one busy longest: packets, bytes of whole frames, and its share of the
    run; None where nothing crosses any.
    """
    if not loads.links:
        return None
    busiest, packets = int(np.argmax(use.busy_s)), loads.packets
    frame_bytes = table["link_event_frames"] * chip.link_frame_bits / 8
    return {
        "crossed": len(loads.links), "cables": int(loads.cables.sum()), "packets": int(packets.sum()),
        "busiest": str(loads.links[busiest]), "busiest_is_cable": bool(loads.cables[busiest]),
        "busiest_packets": int(packets[busiest]), "busiest_bytes": float(packets[busiest] * frame_bytes),
        "busiest_utilisation": float(use.busy_s[busiest] / time_s) if time_s else 0.0,
        "longest_route_links": loads.deepest, "sources_walked": loads.sampled,
    }  # fmt: skip
