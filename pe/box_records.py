"""The transfers in a router as compiled code reads them (`pe/compiled_exchange.py`): records of addresses and numbers.

A *box* is what goes to one target, or over one link, in one tick: a chain of rows, each of which says where a transfer lies in the
tick's page, as it is on the wire. Names have numbers.
"""

from __future__ import annotations

import numba
import numpy as np

from models.compute.bound_calls import pointer

SOURCE = np.dtype([("name", "i8"), ("first", "i8"), ("allowed", "i8"), ("settle", "i8"), ("settles", "i8")])
"""Whose transfers are waited for: its name, or -1 where its batches are not read here; whom it may send to; what waits for it."""
ALLOWED = np.dtype([("name", "i8"), ("box", "i8"), ("dram", "i8")])
"""Whom a source may send to, the box that this goes into, and whether it is a DRAM."""
ROW = 10  # words of a transfer's row
NEXT, SOURCE_NAME, TARGET_NAME, KIND, NUMBER, ADDRESS, SIZE, AT, BYTES, DATA_AT = range(ROW)
CHAIN = 4  # words of a box: first row, last row, how many, and their bytes on the wire
FIRST, LAST, ROWS, WIRE_BYTES = range(CHAIN)
OPEN = np.dtype(
    [
        ("tick", "i8"), ("page", "i8"), ("room", "i8"), ("used", "i8"), ("rows", "i8"), ("most", "i8"), ("count", "i8"),
        ("chains", "i8"), ("left", "i8"), ("counts", "i8"),
    ]
)  # fmt: skip
"""A tick that may be open: bytes, rows, and of each box its chain and how many sources it waits for; counts by kind, of each
source, of each box, and of each neighbour.
"""
BOXES = np.dtype(
    [
        ("source", "i8"), ("sources", "i8"), ("allowed", "i8"), ("settle", "i8"), ("names", "i8"), ("ranks", "i8"), ("named", "i8"),
        ("open", "i8"), ("ring", "i8"), ("boxes", "i8"), ("settled", "i8"), ("ready", "i8"),
        ("sender", "i8"), ("tick", "i8"), ("slot", "i8"), ("begin", "i8"), ("number", "i8"), ("need_rows", "i8"), ("need", "i8"),
        ("out", "i8"), ("room", "i8"), ("order", "i8"), ("other", "i8"),
        # The DRAM's.
        ("memory", "i8"), ("capacity", "i8"), ("alignment", "i8"), ("blocks", "i8"), ("changed", "i8"), ("answers", "i8"),
        ("dram", "i8"), ("done", "i8"), ("read_bytes", "i8"), ("written_bytes", "i8"),
    ]
)  # fmt: skip
source_at, allowed_at, open_at, boxes_at, long_at = (
    pointer(kind) for kind in (*map(numba.from_dtype, (SOURCE, ALLOWED, OPEN, BOXES)), numba.int64)
)
