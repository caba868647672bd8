"""A made-up kernel of the tests: at each tick it reads 16 bytes of what the host has put into its chip's DRAM, adds them up, and
tells the host the sum so far; at each position each unit sends it.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import Arrived, Bytes, EventsBefore, Floats, Lane, Number, WordRows, Words, bindable, nothing
from models.kernels import PortSpec, Stepper
from models.network import Array, Field
from models.transfers import ADDRESS, AT, DATA, HOST, KIND, NUMBER, OWN_DRAM, PEER, READ, SIGNAL, SIZE, TransferSpec

PORTS = {"input": PortSpec(1)}
EMITS = ("float32",)
VECTORS: dict = {}
DEFAULTS: dict = {}
COUNTS = ("units",)
PER_UNIT = {"units": 1}
TRANSFERS = TransferSpec(most_in=2, bytes_in=32, most_out=2, bytes_out=4, most_peers=4)
FIRST, BLOCK, BLOCKS = 0x2000, 16, 64


def fields(units: int, lanes: int) -> list[Field]:
    """Return turn, and the sum."""
    return [Field("state", (2,), "<u4", "variables", "state")]


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
    for i in range(arrived):
        if inbox[i, KIND] == DATA:
            for j in range(inbox[i, SIZE]):
                state[1] += inbox_data[inbox[i, AT] + j]
    for j in range(4):
        outbox_data[j] = state[1] >> (8 * j) & 255
    for p in range(peers.size):
        if peers[p] == OWN_DRAM:
            outbox[sent, KIND], outbox[sent, PEER], outbox[sent, NUMBER] = READ, p, sent
            outbox[sent, ADDRESS], outbox[sent, SIZE], outbox[sent, AT] = FIRST + BLOCK * (state[0] % BLOCKS), BLOCK, 0
            sent += 1
        elif peers[p] == HOST:
            outbox[sent, KIND], outbox[sent, PEER], outbox[sent, NUMBER] = SIGNAL, p, sent
            outbox[sent, ADDRESS], outbox[sent, SIZE], outbox[sent, AT] = 0, 4, 0
            sent += 1
    state[0] += 1
    return sent
