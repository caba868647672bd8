"""The DRAMs in a run's timeline, where a scheduler runs a network layer by layer: how long each is busy with a layer's bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from host.cost.ledger import RunLedger
from host.cost.scheduled import dram_bytes, is_scheduled, worker_turns
from host.cost.timeline import layer_exchange_of
from host.cost.windows import Window
from models.network import F64, I64
from noc.chip import PES_PER_QPE, QPES, ChipSpec

_THREAD = 2 + PES_PER_QPE * len(QPES)  # behind the PEs'


def thread_names(run: RunLedger) -> list[str]:
    """Return the entries that name a thread for each chip's DRAM; none where no DRAM is priced by the layer."""
    if not is_scheduled(run):
        return []
    chips = sorted({pe.chip for pe in run.pes})
    return [_json(ph="M", name="thread_name", pid=chip + 1, tid=_THREAD, args={"name": f"DRAM@{chip}"}) for chip in chips]


def busy_slices(window: Window, chip: ChipSpec) -> Iterator[tuple[int, int, F64, F64, I64]]:
    """Yield for each DRAM of a window's own positions: process, thread, when it begins and ends with each, in s, and bytes."""
    ledger, own = window.ledger, window.own
    if not is_scheduled(ledger):
        return
    peers = ledger.peers
    moved, chips = dram_bytes(ledger), np.unique(peers["chip"][peers["chip"] >= 0])
    column = layer_exchange_of(ledger)[worker_turns(ledger)[0]]
    began = window.priced.began_s[own, column]
    for place, number in enumerate(chips.tolist()):
        size = moved[own, place]
        yield number + 1, _THREAD, began, began + size / chip.dram_sustained_bytes_per_s, size


def _json(**content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))
