"""A router's columns as compiled code reads them (`pe/compiled_columns.py`): records of addresses and numbers."""

from __future__ import annotations

import numba
import numpy as np

from models.compute.bound_calls import pointer

SENDER = np.dtype(
    [
        ("next", "i8"), ("first", "i8"), ("sections", "i8"), ("source", "i8"),
        ("may_stand", "i8"), ("stands", "i8"), ("ticks", "i8"), ("asked", "i8"), ("last", "i8"), ("page", "i8"),
        ("room", "i8"), ("used", "i8"),
    ]
)  # fmt: skip
"""Who sends batches here: the tick that is due, its first part, and how many it has, -1 for who sends none; which source of
transfers it is, or -1; whether it may be spared bundles. Then the tick of its batch that stands, or -1, and for how many
ticks; the ticks of bundles that it must hear, to be saved and to be read; where the bytes of its batch that stands lie.
"""
PART = np.dtype([("population", "i8"), ("place", "i8"), ("values", "i8"), ("events", "i8")])
"""A section of a sender's batch: its population (a row) and place, its values where that is dense, and its events so far."""
POPULATION = np.dtype(
    [
        ("number", "i8"), ("dense", "i8"), ("item_bytes", "i8"), ("mask_bytes", "i8"), ("keys", "i8"), ("place", "i8"),
        ("places", "i8"), ("order", "i8"),
    ]
)  # fmt: skip
"""`place` is that of its first sender, `order` the address of where each value of a dense one stands (int64), or 0."""
GROUP = np.dtype(
    [
        ("first", "i8"), ("count", "i8"), ("is_plain", "i8"), ("box", "i8"), ("is_dram", "i8"), ("member", "i8"), ("members", "i8"),
        ("passed", "i8"),
    ]
)  # fmt: skip
"""Who waits for the same populations: where those begin among all `waits`, and how many; whether they hear
ledgers and no checksum, as the host does; the box of their transfers, or -1; whether it is the chip's DRAM, for which nothing is
written; where its senders begin among all that are a `member`, and how many, none where they may not be spared bundles; how many
they were spared since the last that was written.
"""
WAIT = np.dtype([("row", "i8"), ("is_heard", "i8")])
"""A population that a group waits for, and whether its events go to the group, or no more than that it has come."""
RUN = np.dtype(
    [
        ("at", "i8"), ("numbers_bytes", "i8"), ("head_bytes", "i8"), ("ledger_bytes", "i8"), ("lanes_bytes", "i8"),
        ("position", "i8"), ("is_plain", "i8"), ("is_silent", "i8"), ("is_bubble", "i8"),
    ]
)  # fmt: skip
"""A population's events of a tick, as a section on the wire: where it begins; the bytes before its keys, those before its
ledger, and those of its ledger and of its lanes; its position, whether it is a position like others, whether it has no events,
and whether the population did not step.
"""
SPARED = np.dtype([("sender", "i8"), ("position", "i8")])
"""Whose bundle was not written, since nothing is in it but the clock's position, and that; 0 where not even that is in it."""
PAGE = np.dtype([("address", "i8"), ("room", "i8"), ("used", "i8")])
"""Where a tick's runs lie, one behind the other."""
READY = np.dtype([("group", "i8"), ("begin", "i8"), ("size", "i8")])
"""A bundle that is written: whose, and where it lies."""
DELIVERY = np.dtype(
    [
        ("columns", "i8"), ("group", "i8"), ("groups", "i8"), ("waits", "i8"), ("hearer", "i8"), ("hearers", "i8"),
        ("waiting", "i8"), ("all_waiting", "i8"), ("left", "i8"), ("run", "i8"), ("page", "i8"), ("events", "i8"), ("ready", "i8"),
        ("done", "i8"), ("pending", "i8"), ("written", "i8"), ("out", "i8"), ("room", "i8"), ("used", "i8"), ("need", "i8"),
        ("parts", "i8"), ("group_of", "i8"), ("member", "i8"), ("write_box", "i8"),
        ("settles", "i8"), ("is_dram_due", "i8"), ("is_closed", "i8"), ("spared", "i8"), ("spares", "i8"), ("standing", "i8"),
        ("stand", "i8"), ("settle", "i8"),
    ]
)  # fmt: skip
"""Bundles that columns write by themselves. Of each population (row), `hearers` (first, number) are the groups, among all of
`hearer`, that wait for it; of each tick that is open, `waiting` says for how much each group waits, populations and transfers,
`left` how much is missing, of `parts` in all, `run` where each population lies in its `page`. `events`: of each population.
`group_of`: each box's group. Of the call that goes on, `done`, `pending`, `written`:
columns joined, bundles that may be written, and those that are, in `out`, which has `room` where `need` bytes are needed;
`settles`: whether what waited for transfers last is to be let go, too; `is_dram_due`, `is_closed`: what else came of it.
`spared`: the `spares` bundles that were not written; `member`: senders of all groups, one behind the other; `standing`: the
`stand` of the tick before, for which batches stand in this one; `settle`: what settles their transfers.
"""
OPEN = np.dtype([("tick", "i8"), ("page", "i8"), ("room", "i8"), ("used", "i8"), ("missing", "i8"), ("cells", "i8")])
"""A tick that may be open: its messages one behind the other, what each population misses, and a cell a place."""
ANSWERING = np.dtype([("tick", "i8"), ("block", "i8"), ("reply", "i8"), ("sender", "i8")])
"""A PE in this process: its compiled tick, where that writes, and who it is here."""
COLUMNS = np.dtype(
    [
        ("sender", "i8"), ("part", "i8"), ("population", "i8"), ("populations", "i8"), ("open", "i8"), ("ring", "i8"),
        ("places", "i8"), ("sections", "i8"), ("most", "i8"), ("full", "i8"), ("need", "i8"), ("out", "i8"), ("room", "i8"),
        ("histogram", "i8"), ("keys", "i8"), ("values", "i8"), ("ledger", "i8"), ("keys_bytes", "i8"), ("values_bytes", "i8"),
        ("ledger_bytes", "i8"), ("take", "i8"), ("answering", "i8"), ("group", "i8"), ("turn", "i8"), ("reply_bytes", "i8"),
        ("filled", "i8"), ("source", "i8"), ("boxes", "i8"), ("read", "i8"), ("put", "i8"),  # of transfers, where there are any
        ("all_missing", "i8"), ("join", "i8"), ("delivery", "i8"), ("opens", "i8"), ("standing", "i8"),
    ]
)  # fmt: skip
sender_at, part_at, population_at, open_at, answering_at, columns_at = (
    pointer(numba.from_dtype(kind)) for kind in (SENDER, PART, POPULATION, OPEN, ANSWERING, COLUMNS)
)
group_at, wait_at, run_at, page_at, ready_at, spared_at, delivery_at = (
    pointer(numba.from_dtype(kind)) for kind in (GROUP, WAIT, RUN, PAGE, READY, SPARED, DELIVERY)
)
long_at = pointer(numba.int64)
