"""A router's columns as compiled code reads them (`pe/compiled_columns.py`): records of addresses and numbers."""

from __future__ import annotations

import numba
import numpy as np

from models.compute.bound_calls import pointer

SENDER = np.dtype([("next", "i8"), ("first", "i8"), ("sections", "i8"), ("source", "i8")])
"""Who sends batches here: the tick that is due, its first part, and how many it has, -1 for who sends none; which source of
transfers it is, or -1.
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
    ]
)  # fmt: skip
sender_at, part_at, population_at, open_at, answering_at, columns_at, long_at = (
    pointer(kind) for kind in (*map(numba.from_dtype, (SENDER, PART, POPULATION, OPEN, ANSWERING, COLUMNS)), numba.int64)
)
