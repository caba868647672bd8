"""The scheduler of a network that runs layer by layer on workers: it reads what to do from DRAM, and holds the barriers.

Its first step is the one signal that the host gives it. From then on it works in its exchange (`models/dnn/program.py` has what it
reads): it reads the program and its first header, tells the layer's workers to start, meanwhile reads the next header, and when all
workers of the layer have said that they are done it tells the host, and starts the next layer. Behind the last layer of a pass
comes the first one of the next, until all passes are through; then it tells the host at every tick how many steps there were.

A layer that takes more ticks than the program allows has a worker that never answers: the host is told which one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.compute.bound_calls import (
    Arrived,
    Bytes,
    Lane,
    WordRows,
    Words,
    bindable,
    carray,
    nothing,
    words_at,
)
from models.compute.compiling import inlined
from models.dnn.program import (
    ALIGNMENT_BYTES,
    BAD_PROGRAM,
    FAULT_WORDS,
    HEADER_NEXT,
    HEADER_WORDS,
    HEADER_WORKERS,
    LATE_WORKER,
    LOST_DATA,
    P_HEADER,
    P_LAYERS,
    P_LIMIT_TICKS,
    P_PASS_BYTES,
    P_PASSES,
    P_VERSION,
    P_WORKERS,
    PROGRAM_WORDS,
    S_LAYER,
    S_PASS,
    S_PASS_AT,
    S_STEP,
    START_WORDS,
    VERSION,
)
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field
from models.transfers import (
    ADDRESS,
    AT,
    DATA,
    HOST,
    KIND,
    NOBODY,
    NUMBER,
    OWN_DRAM,
    PEER,
    READ,
    SIGNAL,
    SIZE,
    TransferSpec,
)

MOST_PEERS = 616  # the PEs of four chips, their DRAMs, and the host
MEMORY_BYTES = 512
PORTS = {"input": PortSpec(1)}
EMITS = ("float32",)
VECTORS: dict[str, Vector] = {}
DEFAULTS = {"program": float(0x400)}
COUNTS = ("units",)
PER_UNIT = {"units": 1}
EXCHANGE_COUNTS = ("layers", "passes", "starts", "ends")
TRANSFERS = TransferSpec(
    most_in=MOST_PEERS, bytes_in=MEMORY_BYTES, most_out=MOST_PEERS, bytes_out=MOST_PEERS * 4 * START_WORDS,
    most_peers=MOST_PEERS, memory="memory",
)  # fmt: skip
FAULT_AT, PROGRAM_AT, HEADERS_AT, START_AT = 0, 64, 128, 192
"""In its memory: what it says of a fault, the program, two headers in turn, and what it tells the workers."""
ASLEEP, READING, HEADED, RUNNING, ENDED, FAILED = range(6)
"""Waits for the host; for the program; for the first header; for workers; has been through; has said what went wrong."""
PHASE, BEGUN, STEP, PASS, LAYER, ANSWERED, TICKS, CURRENT, EXPECTED, SINCE = range(10)
STATE_WORDS = 16


def fields(units: int, lanes: int) -> list[Field]:  # noqa: ARG001 - one memory, whatever the number
    """Return its memory, its state, and who has answered."""
    return [
        Field("memory", (MEMORY_BYTES,), "|u1", "variables", "DMA's bytes"),
        Field("state", (STATE_WORDS,), "<u4", "variables", "state"),
        Field("answered", (MOST_PEERS,), "|u1", "variables", "peers that have answered"),
    ]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:  # noqa: ARG001 - it sends no keys
    """Bind step and exchange. Parameter `program`: the program's address in DRAM."""
    arrays = {name: mem[name] for name in ("inbox", "outbox", "peers", "state", "memory", "answered", "exchange_counts")}
    program = np.array([int(params["program"])], np.uint32)
    exchange = _exchange.bind(**arrays, program=program)
    return Stepper(reset=nothing, step=_step.bind(state=mem["state"], counts=mem["counts"]), exchange=exchange)


@bindable
def _step(state: Words, counts: Words, lane: Lane) -> int:
    state[BEGUN] = 1
    counts[0] += 1 * (lane >= 0)
    return 0


@inlined
def _row(outbox: Array, sent: int, kind: int, peer: int, number: Any, address: Any, size: Any, at: Any) -> int:
    outbox[sent, KIND], outbox[sent, PEER], outbox[sent, NUMBER] = kind, peer, number
    outbox[sent, ADDRESS], outbox[sent, SIZE], outbox[sent, AT] = address, size, at
    return sent + 1


@inlined
def _peer_of(peers: Array, which: int) -> int:
    for p in range(peers.size):
        if peers[p] == which:
            return p
    return 0


@inlined
def _read(outbox: Array, sent: int, state: Array, peers: Array, address: Any, size: int, landing: Any) -> int:
    state[EXPECTED], state[SINCE] = state[EXPECTED] + 1, 0
    return _row(outbox, sent, READ, _peer_of(peers, OWN_DRAM), landing, address, size, 0)


@inlined
def _fail(outbox: Array, sent: int, state: Array, peers: Array, words: Array, what: int, detail: Any) -> int:
    state[PHASE] = FAILED
    words[FAULT_AT // 4], words[FAULT_AT // 4 + 1], words[FAULT_AT // 4 + 2] = what, state[STEP], 0
    words[FAULT_AT // 4 + 3] = detail
    return _row(outbox, sent, SIGNAL, _peer_of(peers, HOST), MEMORY_BYTES + sent, what, 4 * FAULT_WORDS, FAULT_AT)


@inlined
def _start_layer(words: Array, outbox: Array, sent: int, state: Array, peers: Array, answered: Array) -> int:
    """Read the next header, and tell the workers of this one to start."""
    program, header = PROGRAM_AT // 4, (HEADERS_AT + ALIGNMENT_BYTES * state[CURRENT]) // 4
    following = HEADERS_AT + ALIGNMENT_BYTES * (1 - state[CURRENT])
    sent = _read(outbox, sent, state, peers, words[header + HEADER_NEXT], 4 * HEADER_WORDS, following)
    start = START_AT // 4
    for n in range(HEADER_WORDS):
        words[start + n] = words[header + n]
    words[start + S_STEP], words[start + S_LAYER], words[start + S_PASS] = state[STEP], state[LAYER], state[PASS]
    words[start + S_PASS_AT] = state[PASS] * words[program + P_PASS_BYTES]
    state[ANSWERED], state[TICKS], told = 0, 0, np.uint32(0)
    for p in range(peers.size):
        answered[p] = 1
        if peers[p] < NOBODY and told < words[header + HEADER_WORKERS]:
            sent = _row(outbox, sent, SIGNAL, p, MEMORY_BYTES + sent, 0, 4 * START_WORDS, START_AT)
            told += np.uint32(1)
            answered[p] = 0
    state[PHASE] = RUNNING
    return sent


@inlined
def _end_layer(words: Array, state: Array, counts: Array) -> bool:
    """Go on to the next layer; return whether there is one."""
    state[STEP], state[LAYER], state[CURRENT] = state[STEP] + 1, state[LAYER] + 1, 1 - state[CURRENT]
    counts[0] += 1
    if state[LAYER] == words[PROGRAM_AT // 4 + P_LAYERS]:
        state[LAYER], state[PASS] = 0, state[PASS] + 1
        counts[1] += 1
    return bool(state[PASS] < words[PROGRAM_AT // 4 + P_PASSES])


@bindable
def _exchange(
    inbox: WordRows, outbox: WordRows, peers: Words, state: Words, memory: Bytes, answered: Bytes, exchange_counts: Words,
    program: Words, arrived: Arrived,
) -> int:  # fmt: skip
    words, sent = carray(words_at(memory.ctypes.data), (MEMORY_BYTES // 4,)), 0
    head, host = PROGRAM_AT // 4, _peer_of(peers, HOST)
    state[SINCE] += 1
    state[TICKS] += 1
    for i in range(arrived):
        if inbox[i, KIND] == DATA:
            state[EXPECTED] -= 1
        elif inbox[i, KIND] == SIGNAL and state[PHASE] == RUNNING and inbox[i, ADDRESS] == state[STEP] + 1:
            peer = inbox[i, PEER]
            if answered[peer] == 0:
                answered[peer] = 1
                state[ANSWERED] += 1
    if state[EXPECTED] and state[SINCE] >= 2 and state[PHASE] != FAILED:
        return _fail(outbox, sent, state, peers, words, LOST_DATA, state[EXPECTED])
    if state[PHASE] == ASLEEP and state[BEGUN]:
        state[PHASE], exchange_counts[2] = READING, 1
        return _read(outbox, sent, state, peers, program[0], 4 * PROGRAM_WORDS, PROGRAM_AT)
    if state[PHASE] == READING and state[EXPECTED] == 0:
        if words[head + P_VERSION] != VERSION or words[head + P_LAYERS] == 0 or words[head + P_PASSES] == 0:
            return _fail(outbox, sent, state, peers, words, BAD_PROGRAM, words[head + P_VERSION])
        state[PHASE] = HEADED
        return _read(outbox, sent, state, peers, words[head + P_HEADER], 4 * HEADER_WORDS, HEADERS_AT)
    if state[PHASE] == HEADED and state[EXPECTED] == 0:
        return _start_layer(words, outbox, sent, state, peers, answered)
    if state[PHASE] == RUNNING:
        workers = words[(HEADERS_AT + ALIGNMENT_BYTES * state[CURRENT]) // 4 + HEADER_WORKERS]
        if state[ANSWERED] == workers and state[EXPECTED] == 0:
            goes_on = _end_layer(words, state, exchange_counts)
            if goes_on:
                sent = _start_layer(words, outbox, sent, state, peers, answered)
            else:
                state[PHASE], exchange_counts[3] = ENDED, 1
            return _row(outbox, sent, SIGNAL, host, 2 * MEMORY_BYTES + sent, state[STEP], 0, 0)
        if state[TICKS] > words[head + P_LIMIT_TICKS] or workers > words[head + P_WORKERS]:
            late = np.uint32(0)
            while late < peers.size - 1 and answered[late]:
                late += np.uint32(1)
            return _fail(outbox, sent, state, peers, words, LATE_WORKER, late)
    if state[PHASE] == ENDED:
        return _row(outbox, sent, SIGNAL, host, MEMORY_BYTES, state[STEP], 0, 0)
    return sent
