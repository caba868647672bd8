"""A made-up kernel of the tests: it answers each SIGNAL with its bytes plus one, and writes those to every DRAM that it knows."""

from collections.abc import Mapping

from models.compute.bound_calls import Arrived, Bytes, WordRows, Words, bindable, nothing
from models.kernels import PortSpec, Stepper
from models.network import Array, Field
from models.transfers import (
    ADDRESS,
    AT,
    KIND,
    NUMBER,
    OTHER_DRAM,
    OWN_DRAM,
    PEER,
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
EXCHANGE_COUNTS = ("additions",)
TRANSFERS = TransferSpec(most_in=4, bytes_in=64, most_out=20, bytes_out=64, most_peers=16)
ADDRESS_OF_COPY = 0x800


def fields(units: int, lanes: int) -> list[Field]:
    """Return the next transfer's number."""
    return [Field("state", (1,), "<u4", "variables", "state")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the exchange; the step sends nothing."""
    boxes = {name: mem[name] for name in ("inbox", "inbox_data", "outbox", "outbox_data", "peers", "state", "exchange_counts")}
    return Stepper(reset=nothing, step=_step.bind(units=mem["units"], counts=mem["counts"]), exchange=_exchange.bind(**boxes))


@bindable
def _step(units: Words, counts: Words) -> int:
    counts[0] += units.size
    return 0


@bindable
def _exchange(
    inbox: WordRows,
    inbox_data: Bytes,
    outbox: WordRows,
    outbox_data: Bytes,
    peers: Words,
    state: Words,
    exchange_counts: Words,
    arrived: Arrived,
) -> int:
    sent = 0
    for i in range(arrived):
        if inbox[i, KIND] != SIGNAL:
            continue
        begin = inbox[i, AT]
        for j in range(inbox[i, SIZE]):
            outbox_data[begin + j] = (inbox_data[begin + j] + 1) & 255
        exchange_counts[0] += inbox[i, SIZE]
        for p in range(peers.size):
            store = peers[p] == OWN_DRAM or peers[p] == OTHER_DRAM
            if store or p == inbox[i, PEER]:
                outbox[sent, KIND], outbox[sent, PEER], outbox[sent, NUMBER] = WRITE if store else SIGNAL, p, state[0]
                outbox[sent, ADDRESS], outbox[sent, SIZE], outbox[sent, AT] = ADDRESS_OF_COPY, inbox[i, SIZE], begin
                sent += 1
                state[0] += 1
    return sent
