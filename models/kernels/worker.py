"""A worker of a scheduled network: what its scheduler starts, it fetches from DRAM, computes and writes back, and says so.

Its work is in its exchange; a step only lets the host read its counts. What it does lies in DRAM (`models/dnn/program.py`). Told to
start a layer, it reads the layer's configuration and the block of its first tile, unless they are there already; then whatever the
block names; when all of that has come, it moves it into order, calls the operator's step (`models/tile_steps`), moves the output
into rows and writes those. While a tile's bytes are under way it fetches the next block or, behind the last, the next layer's
configuration. A DATA comes two exchanges after its READ: where one does not, it tells the host.

`memory` is where DMA reads and writes: the start, a fault, `slots` layers' configurations each with a first block, two blocks of
later tiles, and the tiles' regions, as the host has laid them out. Parameters: `slots`, `block_bytes` (the largest block), and
`kinds`, the operators of the network, a bit each (`models/dnn/program.py: NUMBER_OF_KIND`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.compute.bound_calls import (
    Arrived,
    Bytes,
    Lane,
    Number,
    WordRows,
    Words,
    bindable,
    carray,
    ints_at,
    nothing,
)
from models.compute.compiling import inlined
from models.compute.tile_blocks import behind_moves, compute_tile, is_whole
from models.dnn.integer import KINDS
from models.dnn.program import (
    B_FOLLOWING,
    B_HANDS,
    B_READS,
    B_RECEIVED,
    B_TILE,
    B_WRITES,
    BEYOND_MEMORY,
    BLOCK_WORDS,
    C_BLOCK_BYTES,
    C_NEXT,
    C_NEXT_BLOCK_BYTES,
    C_NEXT_LAYER,
    C_NEXT_WORKERS,
    CONFIGURATION_WORDS,
    FAULT_WORDS,
    H_BYTES,
    H_FROM,
    H_PEER,
    H_TO,
    HAND_WORDS,
    HEADER_CONFIGURATION,
    HEADER_TYPE,
    KIND_BITS,
    LOST_DATA,
    OF_PASS,
    R_ADDRESS,
    R_BYTES,
    R_FLAGS,
    R_LANDING,
    READ_WORDS,
    S_LAYER,
    S_PASS,
    S_PASS_AT,
    S_STEP,
    START_WORDS,
    STAYS,
    UNASKED,
    W_ADDRESS,
    W_BYTES,
    W_FLAGS,
    W_FROM,
    WRITE_WORDS,
)
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field
from models.tile_steps import COUNTS as TILE_COUNTS
from models.tile_steps import SCRATCH_NUMBERS, step_of
from models.transfers import (
    ADDRESS,
    AT,
    HOST,
    KIND,
    NUMBER,
    OWN_DRAM,
    PEER,
    READ,
    SIGNAL,
    SIZE,
    WRITE,
    TransferSpec,
)

MEMORY_BYTES = 88 << 10
MOST_ROWS = 64
PORTS = {"input": PortSpec(1)}
EMITS = ("float32",)
VECTORS: dict[str, Vector] = {}
DEFAULTS = {"slots": 2.0, "block_bytes": 1024.0, "kinds": 0.0}
COUNTS = ("units",)
PER_UNIT = {"units": 1}
EXCHANGE_COUNTS = TILE_COUNTS
TRANSFERS = TransferSpec(
    most_in=MOST_ROWS + 8, bytes_in=MEMORY_BYTES, most_out=MOST_ROWS, bytes_out=MEMORY_BYTES, most_peers=6, memory="memory"
)  # fmt: skip
START_AT, FAULT_AT, SLOTS_AT = 0, 32, 64
MOST_SLOTS = 64
IDLE, CONFIGURED, FETCHING, WRITING, FAILED = range(5)
"""Waits for its scheduler; for a layer's configuration; for a tile's bytes; has an output to write; has said what went wrong."""
(
    PHASE, STEP, PASS_AT, SLOT, BLOCK, TILE, CURSOR, EXPECTED, CAME, SINCE, LAYER, FIRST_PASS, SPARE, OWN, BEGUN,
) = range(15)  # fmt: skip
"""Words of the state. `OWN`: how many of what is expected it has asked DRAM for; `SINCE`: exchanges since it asked last; `BEGUN`:
whether it has looked into the tile's block.
"""
HELD = 16
"""From here on: the address of the configuration that each slot has."""
STATE_WORDS = HELD + MOST_SLOTS
_STEP_BYTES, _CONFIGURATION_BYTES, _BLOCK_BYTES = 4 * START_WORDS, 4 * CONFIGURATION_WORDS, 4 * BLOCK_WORDS
_MOST_WAIT = 512  # exchanges for what a peer hands on
_NO_LAYER = 0xFFFFFFFF


def fields(units: int, lanes: int) -> list[Field]:  # noqa: ARG001 - one memory, whatever the number
    """Return its memory, its state, and scratch numbers."""
    return [
        Field("memory", (MEMORY_BYTES,), "|u1", "variables", "DMA's bytes"),
        Field("state", (STATE_WORDS,), "<u4", "variables", "state"),
        Field("scratch", (SCRATCH_NUMBERS,), "<i8", "variables", "numbers of a step"),
    ]


def tiles_at(slots: int, block_bytes: int) -> int:
    """Return where the regions of tiles may begin in the memory."""
    return SLOTS_AT + slots * (_CONFIGURATION_BYTES + block_bytes) + 2 * block_bytes


_tables: dict[int, Array] = {}  # by kinds: addresses of their steps, which stay for good


def steps_of(kinds: int) -> Array:
    """Return the addresses of the steps of operators, int64 by number of kind; 0 of a kind that is not among them."""
    if kinds not in _tables:
        table = np.zeros(len(KINDS), np.int64)
        for number, kind in enumerate(KINDS):
            if kinds >> number & 1:
                table[number] = int(step_of(kind).address)
        _tables[kinds] = table
    return _tables[kinds]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:  # noqa: ARG001 - it sends no keys
    """Bind step and exchange; ModelError for an operator that no worker can do."""
    arrays = {name: mem[name] for name in ("inbox", "outbox", "peers", "state", "memory", "exchange_counts")}
    exchange = _exchange.bind(
        **arrays, scratch=mem["scratch"].view(np.uint32), units=mem["units"], steps=steps_of(int(params["kinds"])).view(np.uint32),
        slots=int(params["slots"]), block_bytes=int(params["block_bytes"]),
    )  # fmt: skip
    return Stepper(reset=nothing, step=_step.bind(units=mem["units"], counts=mem["counts"]), exchange=exchange)


@bindable
def _step(units: Words, counts: Words, lane: Lane) -> int:
    counts[0] += units.size * (lane >= 0)
    return 0


@inlined
def _peer_of(peers: Array, which: int) -> int:
    for p in range(peers.size):
        if peers[p] == which:
            return p
    return 0


@inlined
def _row(outbox: Array, sent: int, kind: int, peer: int, number: Any, address: Any, size: Any, at: Any) -> int:
    """Put a transfer into the outbox; return how many it has."""
    outbox[sent, KIND], outbox[sent, PEER], outbox[sent, NUMBER] = kind, peer, number
    outbox[sent, ADDRESS], outbox[sent, SIZE], outbox[sent, AT] = address, size, at
    return sent + 1


@inlined
def _ask(outbox: Array, sent: int, state: Array, peer: Any, address: Any, size: Any, landing: Any) -> int:
    """Read a stretch of DRAM."""
    state[EXPECTED] += 1
    state[OWN] += 1
    state[SINCE] = 0
    return _row(outbox, sent, READ, peer, landing, address, size, 0)


@inlined
def _say_fault(outbox: Array, sent: int, state: Array, peers: Array, words: Array, what: Any, detail: Any) -> int:
    """Tell the host what went wrong, and do nothing more."""
    state[PHASE] = FAILED
    words[FAULT_AT // 4], words[FAULT_AT // 4 + 1] = what, state[STEP]
    words[FAULT_AT // 4 + 2], words[FAULT_AT // 4 + 3] = state[TILE], detail
    return _row(outbox, sent, SIGNAL, _peer_of(peers, HOST), sent, what, 4 * FAULT_WORDS, FAULT_AT)


@inlined
def _fetch(words: Array, block: int, outbox: Array, sent: int, state: Array) -> int:
    """Ask for as many of a tile's stretches as there is room for in the outbox."""
    most = outbox.shape[0] - 1
    while state[CURSOR] < words[block + B_READS] and sent < most:
        at = block + BLOCK_WORDS + READ_WORDS * state[CURSOR]
        flags = words[at + R_FLAGS]
        if not flags & STAYS or state[FIRST_PASS]:
            address = np.uint32(words[at + R_ADDRESS]) + (state[PASS_AT] if flags & OF_PASS else np.uint32(0))
            sent = _ask(outbox, sent, state, flags >> 4, address, words[at + R_BYTES], words[at + R_LANDING])
        state[CURSOR] += 1
    return sent


@inlined
def _fetch_ahead(
    words: Array, slot: int, block: int, outbox: Array, sent: int, state: Array, peers: Array, units: Array, slots: int,
    block_bytes: int,
) -> int:  # fmt: skip
    """Ask for what comes behind this tile: the next one's block, or the next layer's configuration and first block."""
    own = _peer_of(peers, OWN_DRAM)
    following = np.uint32(words[block + B_FOLLOWING])
    if following:
        spare = SLOTS_AT + slots * (_CONFIGURATION_BYTES + block_bytes) + state[SPARE] * block_bytes
        return _ask(outbox, sent, state, own, following, words[slot + C_BLOCK_BYTES], spare)
    number, at = np.uint32(words[slot + C_NEXT_LAYER]), np.uint32(words[slot + C_NEXT])
    place = number % np.uint32(slots)
    if state[HELD + place] == at or place == state[LAYER] % np.uint32(slots) or units[0] >= np.uint32(words[slot + C_NEXT_WORKERS]):
        return sent
    landing = SLOTS_AT + place * (_CONFIGURATION_BYTES + block_bytes)
    size = words[slot + C_NEXT_BLOCK_BYTES]
    state[HELD + place] = at
    sent = _ask(outbox, sent, state, own, at, _CONFIGURATION_BYTES, landing)
    # Blocks lie behind the configuration, the first of each worker in their order.
    first = at + np.uint32(_CONFIGURATION_BYTES) + units[0] * np.uint32(size)
    return _ask(outbox, sent, state, own, first, size, landing + _CONFIGURATION_BYTES)


@inlined
def _begin_tile(state: Array, block: Any) -> None:
    state[PHASE], state[BLOCK], state[CURSOR] = FETCHING, block, 0
    state[EXPECTED], state[CAME], state[OWN], state[BEGUN] = 0, 0, 0, 0


@inlined
def _begin_layer(
    words: Array, outbox: Array, sent: int, state: Array, peers: Array, units: Array, slots: int, block_bytes: int
) -> int:  # fmt: skip
    """Take what the scheduler says, and ask for the layer's configuration where it is not there."""
    start = START_AT // 4
    state[STEP], state[LAYER], state[PASS_AT] = words[start + S_STEP], words[start + S_LAYER], words[start + S_PASS_AT]
    state[FIRST_PASS] = words[start + S_PASS] == 0
    place = state[LAYER] % np.uint32(slots)
    state[SLOT] = SLOTS_AT + place * (_CONFIGURATION_BYTES + block_bytes)
    _begin_tile(state, state[SLOT] + _CONFIGURATION_BYTES)
    at = np.uint32(words[start + HEADER_CONFIGURATION])
    if state[HELD + place] != at:
        own, size = _peer_of(peers, OWN_DRAM), (words[start + HEADER_TYPE] >> KIND_BITS) * 16
        state[PHASE], state[HELD + place] = CONFIGURED, at
        sent = _ask(outbox, sent, state, own, at, _CONFIGURATION_BYTES, state[SLOT])
        # Blocks lie behind the configuration, the first of each worker in their order.
        sent = _ask(outbox, sent, state, own, at + _CONFIGURATION_BYTES + units[0] * np.uint32(size), size, state[BLOCK])
    return sent


@inlined
def _write(words: Array, outbox: Array, sent: int, state: Array) -> int:
    """Write as much of the output as there is room for in the outbox."""
    block = state[BLOCK] // 4
    first = behind_moves(words, block)
    while state[CURSOR] < words[block + B_WRITES] and sent < outbox.shape[0] - 1:
        at = first + WRITE_WORDS * state[CURSOR]
        flags = words[at + W_FLAGS]
        address = np.uint32(words[at + W_ADDRESS]) + (state[PASS_AT] if flags & OF_PASS else np.uint32(0))
        sent = _row(outbox, sent, WRITE, flags >> 4, sent, address, words[at + W_BYTES], words[at + W_FROM])
        state[CURSOR] += 1
    return sent


@inlined
def _hand_on(words: Array, outbox: Array, sent: int, state: Array) -> int:
    """Hand on to others what has arrived for them, too."""
    block = state[BLOCK] // 4
    first = behind_moves(words, block)
    first += WRITE_WORDS * words[block + B_WRITES]
    for n in range(words[block + B_HANDS]):
        at = first + HAND_WORDS * n
        sent = _row(outbox, sent, SIGNAL, words[at + H_PEER], sent, words[at + H_TO], words[at + H_BYTES], words[at + H_FROM])
    return sent


@bindable
def _exchange(
    inbox: WordRows, outbox: WordRows, peers: Words, state: Words, memory: Bytes, exchange_counts: Words, scratch: Words,
    units: Words, steps: Words, slots: Number, block_bytes: Number, arrived: Arrived,
) -> int:  # fmt: skip
    words, sent, started = carray(ints_at(memory.ctypes.data), (memory.size // 4,)), 0, False
    if state[PHASE] == FAILED:
        return 0
    for i in range(arrived):
        if inbox[i, KIND] == SIGNAL and inbox[i, ADDRESS] == START_AT and inbox[i, SIZE] == _STEP_BYTES:
            started = True
        else:
            state[CAME] += 1
    state[SINCE] += 1
    if started:
        if state[PHASE] != IDLE:
            return _say_fault(outbox, sent, state, peers, words, UNASKED, words[START_AT // 4 + S_STEP])
        sent = _begin_layer(words, outbox, sent, state, peers, units, slots, block_bytes)
    if state[PHASE] == CONFIGURED and state[CAME] == state[EXPECTED]:
        _begin_tile(state, state[BLOCK])
    while state[PHASE] == FETCHING or state[PHASE] == WRITING:
        slot, block = state[SLOT] // 4, state[BLOCK] // 4
        if state[PHASE] == FETCHING:
            if not state[BEGUN]:
                state[BEGUN], state[TILE] = 1, words[block + B_TILE]
                if not is_whole(words, block, block_bytes):
                    return _say_fault(outbox, sent, state, peers, words, BEYOND_MEMORY, B_READS)
                state[EXPECTED] = words[block + B_RECEIVED]
                sent = _fetch_ahead(words, slot, block, outbox, sent, state, peers, units, slots, block_bytes)
            sent = _fetch(words, block, outbox, sent, state)
            if state[CURSOR] < words[block + B_READS] or state[CAME] < state[EXPECTED]:
                break
            sent = _hand_on(words, outbox, sent, state)
            beyond = compute_tile(words, slot, block, memory, exchange_counts, steps, scratch)
            if beyond:
                return _say_fault(outbox, sent, state, peers, words, BEYOND_MEMORY, beyond - 1)
            state[PHASE], state[CURSOR] = WRITING, 0
        sent = _write(words, outbox, sent, state)
        if state[CURSOR] < words[block + B_WRITES]:
            break
        if words[block + B_FOLLOWING]:
            spare = SLOTS_AT + slots * (_CONFIGURATION_BYTES + block_bytes) + state[SPARE] * block_bytes
            state[SPARE] = 1 - state[SPARE]
            _begin_tile(state, spare)
        else:
            state[PHASE] = IDLE
            sent = _row(outbox, sent, SIGNAL, 0, sent, state[STEP] + 1, 0, 0)  # its first peer is its scheduler
    waits = state[PHASE] == CONFIGURED or state[PHASE] == FETCHING
    if waits and state[CAME] < state[EXPECTED]:
        handed = state[EXPECTED] - state[OWN]
        if (state[SINCE] >= 2 and handed == 0) or state[SINCE] >= _MOST_WAIT:
            return _say_fault(outbox, sent, state, peers, words, LOST_DATA, state[EXPECTED] - state[CAME])
    return sent
