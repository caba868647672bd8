"""Transfers as a neuron model sees them: bytes to and from other PEs, the DRAM and the host, beside events.

What arrives lies in an inbox, what is to be sent in an outbox: rows of `TRANSFER_WORDS` uint32, and their bytes behind each other.
"""

from __future__ import annotations

from typing import NamedTuple

READ, WRITE, DATA, SIGNAL, PROBE = range(5)
"""Kinds: ask a DRAM for bytes, write bytes, the DRAM's answer, anything else that one PE says to another, and bytes that only an
observer sees, at an address of a DRAM: they cost nothing.
"""
KIND, PEER, NUMBER, ADDRESS, SIZE, AT = range(6)
"""Columns of a row: kind, number of the peer, the sender's number, address, bytes, and where those begin in the box."""
TRANSFER_WORDS = 6
LANDING_BITS = 17
"""Of a number, where bytes lie in a `memory`: those above make a sender's numbers ascend."""
STANDS = 1 << 24
"""A kernel's exchange may add this to the number that it returns, for each tick behind this one in which neither it nor the step
sends, emits, counts or changes anything unless something comes for them. What hears traces, which fade, has no such ticks.
"""
MOST_STANDING = 63
"""For so many ticks at most."""
EXCHANGED_WORDS = 4
"""Of each peer, what was sent to it since the run began: messages and their bytes, READs and the bytes that those ask for."""
OWN_DRAM, HOST, OTHER_DRAM, NOBODY = range(0xFFFFFFFF, 0xFFFFFFFB, -1)
"""What a peer is that is no PE of a population: the DRAM of the PE's chip, the host, the DRAM of a peer's chip, or none."""


class TransferSpec(NamedTuple):
    """What a PE keeps for its transfers: the most that come and go in a tick, the bytes of all of those, and peers; `dram`: whether
    the DRAMs of its chip and of its peers' chips are among them.

    `memory`: a uint8 field of the kernel in which the bytes of all transfers lie, as a DMA moves them: a DATA's arrive at the place
    that the last `LANDING_BITS` of its READ's number say, a SIGNAL's where its address says, and what is sent begins at its row's
    `AT` there. Without one the boxes have bytes of their own, one transfer's behind the other's.
    """

    most_in: int
    bytes_in: int
    most_out: int
    bytes_out: int
    most_peers: int
    dram: bool = True
    memory: str = ""
