"""A worker of a scheduled network: what its scheduler starts, it fetches from DRAM, computes and writes back, and says so.

Its work is in its exchange; a step only lets the host read its counts. What it does lies in DRAM (`models/dnn/program.py`). Told to
start a layer, it reads the layer's configuration and the block of its first tile, unless they are there already; then whatever the
block names; when all of that has come, and what peers hand it, it hands on what others need of it, moves the rest into order, calls
the operator's step (`models/tile_steps`), moves the output into rows, writes those, and hands on what it made. While a tile's bytes
are under way it fetches the next block or, behind the last, the next layer's configuration. With two `buffers` it asks for the next
tile's bytes before it computes one. A DATA comes two exchanges after its READ: where one does not, it tells the host.

`memory` is where DMA reads and writes: the start, a fault, `slots` layers' configurations each with a first block, blocks of later
tiles, and the tiles' regions, as the host has laid them out. Parameters: `slots`, `block_bytes` (the largest block), `buffers`, and
`kinds`, the operators of the network, a bit each (`models/dnn/program.py: NUMBER_OF_KIND`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import (
    Arrived,
    Bytes,
    Lane,
    Number,
    Passed,
    WordRows,
    Words,
    bindable,
    carray,
    ints_at,
    nothing,
)
from models.compute.compiling import inlined
from models.compute.tile_blocks import compute_tile, is_whole
from models.compute.worker_rows import (
    AHEAD,
    ARRIVING,
    BEGUN,
    BLOCK,
    CAME,
    CARRIED,
    COMING,
    CONFIGURATION_BYTES,
    CONFIGURED,
    COUNTERS,
    CURSOR,
    DONE,
    EXPECTED,
    FAILED,
    FETCH,
    FIRST_PASS,
    HANDING,
    HELD,
    IDLE,
    LATER,
    LAYER,
    NEXT,
    NOBODY_ASKS,
    PASS_AT,
    PHASE,
    PRESENT,
    READY,
    SINCE,
    SLOT,
    SLOTS_AT,
    STAGE,
    START_AT,
    STATE_WORDS,
    STEP,
    TILE,
    WAITED,
    WORKING,
    WRITING,
    ask_for_configuration,
    fetch,
    fetch_block,
    hand_on,
    has_room,
    peer_of,
    row,
    say_fault,
    take_data,
    write,
)
from models.dnn.integer import KINDS
from models.dnn.program import (
    B_COUNTER,
    B_FOLLOWING,
    B_HANDS,
    B_OUT_HANDS,
    B_READS,
    B_RECEIVED,
    B_TILE,
    B_WRITES,
    BEYOND_MEMORY,
    HEADER_CONFIGURATION,
    HEADER_TYPE,
    KIND_BITS,
    LOST_DATA,
    MOST_COUNTERS,
    S_LAYER,
    S_PASS,
    S_PASS_AT,
    S_STEP,
    START_WORDS,
    UNASKED,
)
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field
from models.tile_steps import COUNTS as TILE_COUNTS
from models.tile_steps import SCRATCH_NUMBERS, step_of
from models.transfers import ADDRESS, DATA, KIND, MOST_STANDING, NUMBER, OWN_DRAM, SIGNAL, SIZE, STANDS, TransferSpec

MEMORY_BYTES = 88 << 10
MOST_ROWS = 64
PORTS = {"input": PortSpec(1)}
EMITS = ("float32",)
VECTORS: dict[str, Vector] = {}
DEFAULTS = {"slots": 2.0, "block_bytes": 1024.0, "buffers": 1.0, "kinds": 0.0}
COUNTS = ("units",)
PER_UNIT = {"units": 1}
EXCHANGE_COUNTS = TILE_COUNTS
TRANSFERS = TransferSpec(
    most_in=MOST_ROWS + 8, bytes_in=MEMORY_BYTES, most_out=MOST_ROWS, bytes_out=MEMORY_BYTES, most_peers=6, memory="memory"
)  # fmt: skip
_STEP_BYTES = 4 * START_WORDS
_MOST_WAIT = 512  # exchanges for what a peer hands on


def fields(units: int, lanes: int) -> list[Field]:  # noqa: ARG001 - one memory, whatever the number
    """Return its memory, its state, and scratch numbers."""
    return [
        Field("memory", (MEMORY_BYTES,), "|u1", "variables", "DMA's bytes"),
        Field("state", (STATE_WORDS,), "<u4", "variables", "state"),
        Field("scratch", (SCRATCH_NUMBERS,), "<i8", "variables", "numbers of a step"),
    ]


def tiles_at(slots: int, block_bytes: int, buffers: int = 1) -> int:
    """Return where the regions of tiles may begin in the memory."""
    return SLOTS_AT + slots * (CONFIGURATION_BYTES + block_bytes) + (1 + buffers) * block_bytes


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
        slots=int(params["slots"]), block_bytes=int(params["block_bytes"]), buffers=int(params["buffers"]),
    )  # fmt: skip
    return Stepper(reset=nothing, step=_step.bind(units=mem["units"], counts=mem["counts"]), exchange=exchange)


@bindable
def _step(units: Words, counts: Words, lane: Lane) -> int:
    counts[0] += units.size * (lane >= 0)
    return 0


@inlined
def _begin_tiles(state: Array) -> None:
    """Begin with the layer's first tile."""
    state[PHASE], state[STAGE], state[DONE], state[READY], state[WAITED] = WORKING, ARRIVING, 0, 0, 0
    state[FETCH], state[BEGUN] = PRESENT, 0


@inlined
def _begin_layer(
    words: Array, outbox: Array, sent: int, state: Array, peers: Array, units: Array, slots: int, block_bytes: int
) -> int:  # fmt: skip
    """Take what the scheduler says, and ask for the layer's configuration where it is not there."""
    start = START_AT // 4
    state[STEP], state[LAYER], state[PASS_AT] = words[start + S_STEP], words[start + S_LAYER], words[start + S_PASS_AT]
    state[FIRST_PASS] = words[start + S_PASS] == 0
    place = state[LAYER] % np.uint32(slots)
    state[SLOT] = SLOTS_AT + place * (CONFIGURATION_BYTES + block_bytes)
    state[BLOCK], state[EXPECTED], state[CAME] = state[SLOT] + CONFIGURATION_BYTES, 0, 0
    _begin_tiles(state)
    at = np.uint32(words[start + HEADER_CONFIGURATION])
    if state[HELD + place] != at:
        state[PHASE], state[HELD + place] = CONFIGURED, at
        size = (words[start + HEADER_TYPE] >> KIND_BITS) * 16
        sent = ask_for_configuration(outbox, sent, state, peer_of(peers, OWN_DRAM), units, at, size, state[SLOT])
    elif state[AHEAD]:
        state[PHASE] = CONFIGURED
    return sent


@inlined
def _is_here(words: Array, block: int, state: Array) -> bool:
    """Tell whether peers have handed on what the present tile has from them; the counter is free again then."""
    need, counter = words[block + B_RECEIVED], COUNTERS + words[block + B_COUNTER] % MOST_COUNTERS
    if not need:
        return True
    if state[counter] < need:
        state[WAITED] += 1
        return False
    state[counter] = 0
    return True


@inlined
def _end_tile(words: Array, block: int, outbox: Array, sent: int, state: Array) -> int:
    """Go on to the next tile, or tell the scheduler that there is none."""
    if not words[block + B_FOLLOWING]:
        state[PHASE] = IDLE
        return row(outbox, sent, SIGNAL, 0, 0, state[STEP] + 1, 0, 0)  # its first peer is its scheduler
    state[BLOCK], state[NEXT], state[STAGE], state[WAITED] = state[NEXT], state[LATER], ARRIVING, 0
    if state[FETCH] == COMING:
        state[FETCH] = PRESENT
    elif state[READY] == 0:
        state[FETCH], state[BEGUN] = PRESENT, 0
    return sent


@inlined
def _ticks_without_work(words: Array, state: Array, buffers: int) -> int:
    """Return in how many ticks it has nothing to do, unless something comes: it sleeps, it waits for what peers hand on, or it has
    asked just now, and DATA comes in the second exchange from now.
    """
    ticks = np.int64(0)
    if state[PHASE] == IDLE:
        ticks = np.int64(MOST_STANDING)
    elif state[PHASE] == CONFIGURED:
        ticks = np.int64(1)
    elif state[PHASE] == WORKING and state[STAGE] == ARRIVING and buffers == 1:
        if state[READY]:
            ticks = min(np.int64(MOST_STANDING), _MOST_WAIT - 1 - np.int64(state[WAITED]))
        elif state[BEGUN] and state[CURSOR] >= words[state[BLOCK] // 4 + B_READS]:
            ticks = np.int64(1)
    if state[PHASE] == CONFIGURED or state[FETCH] or state[AHEAD]:
        ticks = min(ticks, np.int64(1 if state[SINCE] == 0 else 0))
    return int(ticks)


@bindable
def _exchange(
    inbox: WordRows, outbox: WordRows, peers: Words, state: Words, memory: Bytes, exchange_counts: Words, scratch: Words,
    units: Words, steps: Words, slots: Number, block_bytes: Number, buffers: Number, arrived: Arrived, passed: Passed,
) -> int:  # fmt: skip
    words, sent, started = carray(ints_at(memory.ctypes.data), (memory.size // 4,)), 0, False
    has_computed = False
    if state[PHASE] == FAILED:
        return 0
    state[CARRIED] = 0
    if state[PHASE] != IDLE or state[AHEAD]:
        state[SINCE] += 1 + passed
    if state[PHASE] == WORKING and state[STAGE] == ARRIVING and state[READY]:
        state[WAITED] += passed
    for i in range(arrived):
        if inbox[i, KIND] == DATA:
            take_data(state, inbox[i, NUMBER], block_bytes)
        elif inbox[i, ADDRESS] == START_AT and inbox[i, SIZE] == _STEP_BYTES:
            started = True
        else:
            state[COUNTERS + inbox[i, NUMBER] % MOST_COUNTERS] += 1
    if started:
        if state[PHASE] != IDLE:
            return say_fault(outbox, sent, state, peers, words, UNASKED, words[START_AT // 4 + S_STEP])
        sent = _begin_layer(words, outbox, sent, state, peers, units, slots, block_bytes)
    if state[PHASE] == CONFIGURED and state[CAME] == state[EXPECTED] and not state[AHEAD]:
        _begin_tiles(state)
    while state[PHASE] == WORKING:
        slot, block = state[SLOT] // 4, state[BLOCK] // 4
        if state[FETCH]:
            asked = (state[BLOCK] if state[FETCH] == PRESENT else state[NEXT]) // 4
            if not state[BEGUN] and has_room(outbox, sent):
                state[BEGUN], state[CURSOR], state[EXPECTED], state[CAME] = 1, 0, 0, 0
                state[TILE] = words[asked + B_TILE]
                if not is_whole(words, asked, block_bytes):
                    return say_fault(outbox, sent, state, peers, words, BEYOND_MEMORY, B_READS)
                sent = fetch_block(words, slot, asked, outbox, sent, state, peers, units, slots, block_bytes, buffers)
            if state[BEGUN]:
                sent = fetch(words, asked, outbox, sent, state, exchange_counts)
                if state[CURSOR] >= words[asked + B_READS] and state[CAME] == state[EXPECTED]:
                    state[FETCH] = NOBODY_ASKS
                    state[READY] += 1
        may_fetch = buffers > 1 and state[FETCH] == NOBODY_ASKS and state[READY] == 1 and state[STAGE] == ARRIVING
        if may_fetch and words[block + B_FOLLOWING]:
            state[FETCH], state[BEGUN] = COMING, 0
            continue
        if state[STAGE] == ARRIVING:
            if state[READY] == 0 or not _is_here(words, block, state):
                break
            state[STAGE], state[DONE] = HANDING, 0
        if state[STAGE] == HANDING:
            if has_computed:  # what it has put out is taken from the memory behind the exchange
                break
            sent = hand_on(words, block, outbox, sent, state, False, memory.size)
            if state[DONE] < words[block + B_HANDS]:
                break
            state[TILE] = words[block + B_TILE]
            beyond = compute_tile(words, slot, block, memory, exchange_counts, steps, scratch)
            if beyond:
                return say_fault(outbox, sent, state, peers, words, BEYOND_MEMORY, beyond - 1)
            has_computed = True
            state[READY] -= 1
            state[STAGE], state[DONE] = WRITING, 0
        sent = write(words, block, outbox, sent, state, exchange_counts, memory.size, buffers)
        sent = hand_on(words, block, outbox, sent, state, True, memory.size)
        if state[DONE] < words[block + B_WRITES] + words[block + B_OUT_HANDS]:
            break
        sent = _end_tile(words, block, outbox, sent, state)
    is_waiting = (state[PHASE] == CONFIGURED or state[FETCH]) and state[CAME] < state[EXPECTED]
    if (is_waiting or state[AHEAD]) and state[SINCE] >= 2:
        if state[FETCH] and state[PHASE] == WORKING:
            state[TILE] = words[(state[BLOCK] if state[FETCH] == PRESENT else state[NEXT]) // 4 + B_TILE]
        return say_fault(outbox, sent, state, peers, words, LOST_DATA, state[EXPECTED] - state[CAME] + state[AHEAD])
    if state[WAITED] >= _MOST_WAIT:
        block = state[BLOCK] // 4
        state[TILE] = words[block + B_TILE]
        missing = words[block + B_RECEIVED] - np.int64(state[COUNTERS + words[block + B_COUNTER] % MOST_COUNTERS])
        return say_fault(outbox, sent, state, peers, words, LOST_DATA, missing)
    return sent + STANDS * _ticks_without_work(words, state, buffers)
