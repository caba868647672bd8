"""Transfers of a PE, compiled: a bundle's go into its inbox, and what its kernel puts into the outbox goes with the batch.

The kernel's exchange runs once a tick, before the tick's step, whether or not a population steps. What it sent counts when the
next bundle is in: by then it has been delivered, so that sent and delivered are of the same ticks. Only a PE that exchanges
transfers loads this file; its tick calls these functions by address.
"""

from __future__ import annotations

from models.compute.bound_calls import bytes_at, call, call_at, carray, words_at
from models.transfers import AT, EXCHANGED_WORDS, KIND, PEER, PROBE, READ, SIZE, STANDS, TRANSFER_WORDS
from pe import msgpack_codec
from pe.msgpack_codec import MOST_KIND, NAME_BYTES, WRONG
from pe.tick_records import exchange_at, long_at

KINDS = MOST_KIND + 1


@call
def take_transfers(block: int, message: int, at: int, size: int) -> int:
    """Read the transfers that begin at `at` of a message into the inbox; return how many, or why not (`read_transfers`)."""
    box = carray(exchange_at(block), (1,))[0]
    rows = carray(words_at(box.inbox), (box.inbox_rows, TRANSFER_WORDS))
    names, own = carray(bytes_at(box.names), (box.peers, NAME_BYTES)), carray(bytes_at(box.own), (NAME_BYTES,))
    raw = carray(bytes_at(message), (size,))
    return msgpack_codec.read_transfers(raw, at, rows, names, box.peers, own, box.inbox_bytes, box.inbox_data, box.lands)


@call
def step_exchange(block: int, arrived: int, passed: int, _: int) -> int:
    """Let the kernel take the inbox and fill the outbox; return how many transfers it put there, and STANDS for each tick that it
    names; WRONG for what are none.
    """
    box = carray(exchange_at(block), (1,))[0]
    counts = carray(long_at(box.counts), (3, KINDS))
    inbox = carray(words_at(box.inbox), (box.inbox_rows, TRANSFER_WORDS))
    for i in range(arrived):
        counts[1, inbox[i, KIND]] += 1
    for kind in range(KINDS):
        counts[0, kind] += counts[2, kind]
        counts[2, kind] = 0
    done: int = call_at(box.step.address, box.step.block, arrived, passed, 0)
    sent = done % STANDS
    if not 0 <= sent <= box.outbox_rows:
        return WRONG
    rows = carray(words_at(box.outbox), (box.outbox_rows, TRANSFER_WORDS))
    exchanged = carray(words_at(box.exchanged), (box.peers, EXCHANGED_WORDS))
    carried = 0
    for i in range(sent):
        size = 0 if rows[i, KIND] == READ else int(rows[i, SIZE])
        carried += size
        if rows[i, KIND] > MOST_KIND or rows[i, PEER] >= box.peers or int(rows[i, AT]) + size > box.outbox_bytes:
            return WRONG
        counts[2, rows[i, KIND]] += 1
        if rows[i, KIND] == PROBE:
            continue
        place = 2 if rows[i, KIND] == READ else 0
        exchanged[rows[i, PEER], place] += 1
        exchanged[rows[i, PEER], place + 1] += rows[i, SIZE]
    return done if carried <= box.sent_bytes else WRONG


@call
def put_transfers(block: int, out_at: int, at: int, sent: int) -> int:
    """Write the first `sent` transfers of the outbox at `at` of a batch; return where it ends."""
    box = carray(exchange_at(block), (1,))[0]
    rows = carray(words_at(box.outbox), (box.outbox_rows, TRANSFER_WORDS))
    names, own = carray(bytes_at(box.names), (box.peers, NAME_BYTES)), carray(bytes_at(box.own), (NAME_BYTES,))
    out = carray(bytes_at(out_at), (1 << 30,))  # as long as `Tick` made it
    at = msgpack_codec.put_count(out, at, sent)
    for i in range(sent):
        at = msgpack_codec.put_transfer(out, at, rows[i], own, names[rows[i, PEER]], box.outbox_data + int(rows[i, AT]))
    return at
