"""What a worker of a scheduled network puts into its outbox, as its blocks say: what it asks for, writes and hands on.

Beside it, the words of its state, and where things lie in its memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.compute.compiling import inlined
from models.compute.tile_blocks import behind_moves, behind_writes
from models.dnn.program import (
    B_FOLLOWING,
    B_HANDS,
    B_OUT_HANDS,
    B_READS,
    B_WRITES,
    BLOCK_WORDS,
    C_BLOCK_BYTES,
    C_NEXT,
    C_NEXT_BLOCK_BYTES,
    C_NEXT_LAYER,
    C_NEXT_WORKERS,
    CONFIGURATION_WORDS,
    FAULT_WORDS,
    H_BYTES,
    H_COUNTER,
    H_FROM,
    H_PEER,
    H_TO,
    HAND_WORDS,
    MOST_COUNTERS,
    OF_PASS,
    PROBED,
    R_ADDRESS,
    R_BYTES,
    R_FLAGS,
    R_LANDING,
    READ_WORDS,
    STAYS,
    W_ADDRESS,
    W_BYTES,
    W_FLAGS,
    W_FROM,
    WRITE_WORDS,
)
from models.network import Array
from models.tile_steps import COUNTS
from models.transfers import (
    ADDRESS,
    AT,
    HOST,
    KIND,
    LANDING_BITS,
    NUMBER,
    OWN_DRAM,
    PEER,
    PROBE,
    READ,
    SIGNAL,
    SIZE,
    WRITE,
)

START_AT, FAULT_AT, SLOTS_AT = 0, 32, 64
MOST_SLOTS = 64
IDLE, CONFIGURED, WORKING, FAILED = range(4)
"""A worker's phases: it waits for its scheduler; for a layer's configuration; has tiles to do; has said what went wrong."""
ARRIVING, HANDING, WRITING = range(3)
"""Stages of its present tile: bytes are to come; it hands some of them on; it writes its output and hands that on."""
NOBODY_ASKS, PRESENT, COMING = range(3)
"""Whose bytes it asks DRAM for: no tile's, the present one's, or those of the one behind it."""
(
    PHASE, STEP, PASS_AT, SLOT, LAYER, FIRST_PASS, SPARE, EXPECTED, CAME, SINCE, BLOCK, NEXT, LATER, FETCH, CURSOR, BEGUN, READY,
    STAGE, DONE, WAITED, CARRIED, TILE, AHEAD_AT, AHEAD,
) = range(24)  # fmt: skip
"""Words of the state. `EXPECTED`, `CAME`: of what it asked DRAM for; `SINCE`: exchanges since it asked last. `BLOCK`, `NEXT`,
`LATER`: where the blocks of the present tile and the two behind it lie; `FETCH`: whose bytes it asks for, from stretch `CURSOR` on,
`BEGUN` whether it has looked into that block; `READY`: how many tiles have come and are not computed. `STAGE`: of the present tile,
`DONE`: what it has written and handed on in it, `WAITED`: exchanges for what peers hand it. `CARRIED`: bytes that it sends in this
exchange. `AHEAD`: how many stretches of the next layer's configuration, from `AHEAD_AT` on in its memory, are to come; no tile of
the present layer waits for them, and `EXPECTED` and `CAME` are without them.
"""
HELD = 24
"""From here on: the address of the configuration that each slot has."""
COUNTERS = HELD + MOST_SLOTS
"""From here on: how many stretches peers have handed it, by what they are for."""
STATE_WORDS = COUNTERS + MOST_COUNTERS
CONFIGURATION_BYTES = 4 * CONFIGURATION_WORDS
_AHEAD = COUNTS.index("ahead")
_FETCHED_AHEAD = 3  # rows that a tile's beginning may take


@inlined
def peer_of(peers: Array, which: int) -> int:
    """Return the number of a peer that is no PE."""
    for p in range(peers.size):
        if peers[p] == which:
            return p
    return 0


@inlined
def row(outbox: Array, sent: int, kind: int, peer: int, low: Any, address: Any, size: Any, at: Any) -> int:
    """Put a transfer into the outbox, with `low` as the last bits of its number; return how many it has."""
    outbox[sent, KIND], outbox[sent, PEER], outbox[sent, NUMBER] = kind, peer, (sent << LANDING_BITS) + np.int64(low)
    outbox[sent, ADDRESS], outbox[sent, SIZE], outbox[sent, AT] = address, size, at
    return sent + 1


@inlined
def ask(outbox: Array, sent: int, state: Array, peer: Any, address: Any, size: Any, landing: Any) -> int:
    """Read a stretch of DRAM."""
    state[EXPECTED] += 1
    state[SINCE] = 0
    return row(outbox, sent, READ, peer, landing, address, size, 0)


@inlined
def say_fault(outbox: Array, sent: int, state: Array, peers: Array, words: Array, what: Any, detail: Any) -> int:
    """Tell the host what went wrong, and do nothing more."""
    state[PHASE] = FAILED
    words[FAULT_AT // 4], words[FAULT_AT // 4 + 1] = what, state[STEP]
    words[FAULT_AT // 4 + 2], words[FAULT_AT // 4 + 3] = state[TILE], detail
    return row(outbox, sent, SIGNAL, peer_of(peers, HOST), 0, what, 4 * FAULT_WORDS, FAULT_AT)


@inlined
def ask_for_configuration(
    outbox: Array, sent: int, state: Array, own: int, units: Array, at: Any, block_bytes: Any, landing: Any
) -> int:  # fmt: skip
    """Read a layer's configuration, and behind it this worker's first block: they lie there in the order of the workers."""
    sent = ask(outbox, sent, state, own, at, CONFIGURATION_BYTES, landing)
    first = np.uint32(at) + np.uint32(CONFIGURATION_BYTES) + units[0] * np.uint32(block_bytes)
    return ask(outbox, sent, state, own, first, block_bytes, landing + CONFIGURATION_BYTES)


@inlined
def take_data(state: Array, number: Any, block_bytes: int) -> None:
    """Count a DATA: of the next layer's configuration, by where it landed, or of what is waited for."""
    landed = np.int64(number) % (1 << LANDING_BITS)
    begin = np.int64(state[AHEAD_AT])
    if state[AHEAD] and begin <= landed < begin + CONFIGURATION_BYTES + block_bytes:
        state[AHEAD] -= 1
    else:
        state[CAME] += 1


@inlined
def has_room(outbox: Array, sent: int) -> bool:
    """Tell whether a tile's bytes may begin to be asked for in this exchange."""
    return bool(sent + _FETCHED_AHEAD < outbox.shape[0])


@inlined
def fetch_block(
    words: Array, slot: int, block: int, outbox: Array, sent: int, state: Array, peers: Array, units: Array, slots: int,
    block_bytes: int, buffers: int,
) -> int:  # fmt: skip
    """Read the block behind a tile's, or, behind the last, the next layer's configuration where it is not there."""
    own, following = peer_of(peers, OWN_DRAM), words[block + B_FOLLOWING]
    if following:
        landing = SLOTS_AT + slots * (CONFIGURATION_BYTES + block_bytes) + state[SPARE] * block_bytes
        state[SPARE] = (state[SPARE] + 1) % (1 + buffers)
        if state[FETCH] == PRESENT:
            state[NEXT] = landing
        else:
            state[LATER] = landing
        return ask(outbox, sent, state, own, following, words[slot + C_BLOCK_BYTES], landing)
    number, at = np.uint32(words[slot + C_NEXT_LAYER]), np.uint32(words[slot + C_NEXT])
    place = number % np.uint32(slots)
    if state[HELD + place] == at or place == state[LAYER] % np.uint32(slots) or units[0] >= np.uint32(words[slot + C_NEXT_WORKERS]):
        return sent
    landing = SLOTS_AT + place * (CONFIGURATION_BYTES + block_bytes)
    state[HELD + place], state[AHEAD_AT] = at, landing
    before = state[EXPECTED]
    sent = ask_for_configuration(outbox, sent, state, own, units, at, words[slot + C_NEXT_BLOCK_BYTES], landing)
    state[AHEAD], state[EXPECTED] = state[EXPECTED] - before, before
    return sent


@inlined
def fetch(words: Array, block: int, outbox: Array, sent: int, state: Array, counts: Array) -> int:
    """Ask for as many of a tile's stretches as there is room for in the outbox."""
    most = outbox.shape[0] - 1
    while state[CURSOR] < words[block + B_READS] and sent < most:
        at = block + BLOCK_WORDS + READ_WORDS * state[CURSOR]
        flags = words[at + R_FLAGS]
        if not flags & STAYS or state[FIRST_PASS]:
            address = np.uint32(words[at + R_ADDRESS]) + (state[PASS_AT] if flags & OF_PASS else np.uint32(0))
            sent = ask(outbox, sent, state, flags >> 4, address, words[at + R_BYTES], words[at + R_LANDING])
            if state[FETCH] == COMING:
                counts[_AHEAD] += words[at + R_BYTES]
        state[CURSOR] += 1
    return sent


@inlined
def write(words: Array, block: int, outbox: Array, sent: int, state: Array, counts: Array, most_bytes: int, buffers: int) -> int:
    """Write as much of the output as there is room for in the outbox."""
    first = behind_moves(words, block)
    while state[DONE] < words[block + B_WRITES] and sent < outbox.shape[0] - 1:
        at = first + WRITE_WORDS * state[DONE]
        flags, size = words[at + W_FLAGS], words[at + W_BYTES]
        if state[CARRIED] and state[CARRIED] + size > most_bytes:
            return sent
        state[CARRIED] += size
        address = np.uint32(words[at + W_ADDRESS]) + (state[PASS_AT] if flags & OF_PASS else np.uint32(0))
        sent = row(outbox, sent, PROBE if flags & PROBED else WRITE, flags >> 4, 0, address, size, words[at + W_FROM])
        state[DONE] += 1
        if buffers > 1 and words[block + B_FOLLOWING] and not flags & PROBED:
            counts[_AHEAD] += size
    return sent


@inlined
def hand_on(words: Array, block: int, outbox: Array, sent: int, state: Array, behind_step: bool, most_bytes: int) -> int:
    """Hand on to others what has arrived for them, too, or what was made, as much as there is room for in the outbox."""
    first, count, before = behind_writes(words, block), words[block + B_HANDS], np.int64(0)
    if behind_step:
        first, count, before = first + HAND_WORDS * count, words[block + B_OUT_HANDS], np.int64(words[block + B_WRITES])
    if state[DONE] < before:
        return sent
    while state[DONE] < before + count and sent < outbox.shape[0] - 1:
        at = first + HAND_WORDS * (state[DONE] - before)
        size = words[at + H_BYTES]
        if state[CARRIED] and state[CARRIED] + size > most_bytes:
            return sent
        state[CARRIED] += size
        counter = words[at + H_COUNTER] % MOST_COUNTERS
        sent = row(outbox, sent, SIGNAL, words[at + H_PEER], counter, words[at + H_TO], size, words[at + H_FROM])
        state[DONE] += 1
    return sent
