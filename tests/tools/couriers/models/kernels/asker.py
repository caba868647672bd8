"""A made-up kernel of the tests: every third tick it writes 16 bytes to its chip's DRAM, reads them back, sends them to every PE of
its peers, and adds up what those answer; at each position each unit sends the sum.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import Arrived, Bytes, EventsBefore, Floats, Lane, Number, WordRows, Words, bindable, nothing
from models.kernels import PortSpec, Stepper
from models.network import Array, Field
from models.transfers import (
    ADDRESS,
    AT,
    DATA,
    KIND,
    NOBODY,
    NUMBER,
    OWN_DRAM,
    PEER,
    READ,
    SIGNAL,
    SIZE,
    WRITE,
    TransferSpec,
)  # fmt: skip

PORTS = {"input": PortSpec(1)}
EMITS = ("float32",)
VECTORS: dict = {}
DEFAULTS: dict = {}
COUNTS = ("units",)
PER_UNIT = {"units": 1}
TRANSFERS = TransferSpec(most_in=16, bytes_in=512, most_out=12, bytes_out=64, most_peers=16)
FIRST, BLOCK = 0x400, 16  # of the DRAM, behind what is reserved
PERIOD = 3


def fields(units: int, lanes: int) -> list[Field]:
    """Return turn, the sum, and the next transfer's number."""
    return [Field("state", (3,), "<u4", "variables", "state")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step and the exchange."""
    boxes = {name: mem[name] for name in ("inbox", "inbox_data", "outbox", "outbox_data", "peers", "state")}
    step = _step.bind(
        units=mem["units"], state=mem["state"], counts=mem["counts"], keys=mem["send_keys"], values=mem["send_values"], width=width
    )
    return Stepper(reset=nothing, step=step, exchange=_exchange.bind(**boxes))


@bindable
def _step(
    units: Words, state: Words, counts: Words, keys: Words, values: Floats, width: Number, lane: Lane, before: EventsBefore
) -> int:
    for i in range(units.size):
        keys[before + i] = lane * width + units[i]
        values[before + i] = np.float32(state[1])
    counts[0] += units.size
    return units.size


@bindable
def _exchange(
    inbox: WordRows, inbox_data: Bytes, outbox: WordRows, outbox_data: Bytes, peers: Words, state: Words, arrived: Arrived
) -> int:
    sent = 0
    turn = state[0]
    for i in range(arrived):
        at = inbox[i, AT]
        if inbox[i, KIND] == SIGNAL:
            for j in range(inbox[i, SIZE]):
                state[1] += inbox_data[at + j]
        elif inbox[i, KIND] == DATA:
            for j in range(inbox[i, SIZE]):
                outbox_data[j] = inbox_data[at + j]
            for p in range(peers.size):
                if peers[p] < NOBODY:
                    outbox[sent, KIND], outbox[sent, PEER], outbox[sent, NUMBER] = SIGNAL, p, state[2]
                    outbox[sent, ADDRESS], outbox[sent, SIZE], outbox[sent, AT] = 0, inbox[i, SIZE], 0
                    sent += 1
                    state[2] += 1
    if turn % PERIOD < 2:
        store = 0
        while peers[store] != OWN_DRAM:
            store += 1
        outbox[sent, KIND] = WRITE if turn % PERIOD == 0 else READ
        outbox[sent, PEER], outbox[sent, NUMBER] = store, state[2]
        outbox[sent, ADDRESS] = FIRST + BLOCK * (turn // PERIOD % 8)
        outbox[sent, SIZE], outbox[sent, AT] = BLOCK, BLOCK
        for j in range(BLOCK):
            outbox_data[BLOCK + j] = (turn + j) & 255
        sent += 1
        state[2] += 1
    state[0] = turn + 1
    return sent
