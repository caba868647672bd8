"""A scheduled network as it lies in DRAM: words of 32 bits that a scheduler and workers read, and where they stand.

Every part begins at a multiple of 16 bytes.

- The *program*: how many layers, passes (batches of samples) and workers there are, the address of the first header, bytes from the
  tensors of one pass to those of the next, and the ticks within which a layer ends.
- A *header* a layer, 128 bits, which the scheduler hands to the workers: `HEADER_TYPE` (the kind of operator, and the length of
  its blocks), how many workers it has, the address of the next header and that of its configuration. The last one leads to the
  first.
- A *configuration* a layer, which its workers share: the operator's numbers, and where the next layer's lies, which they fetch
  ahead.
- A *block* a tile; those of the workers' first tiles lie behind the configuration, in the order of the workers. `BLOCK_WORDS` of
  what it is and where its parts lie in the worker's memory, then `READ_WORDS` for each stretch of DRAM that it reads (ascending by
  where it lands), `MOVE_WORDS` for each move within the memory before and behind the step, `WRITE_WORDS` for each stretch that it
  writes, and `HAND_WORDS` for each that it hands on before and behind the step.

What a step does with them is `models/tile_steps`; who makes them is `host/mapping/dnn_image.py`.
"""

from __future__ import annotations

from models.dnn.integer import KINDS

WORD_BYTES, ALIGNMENT_BYTES = 4, 16
VERSION = 1

PROGRAM_WORDS = 12
P_VERSION, P_LAYERS, P_PASSES, P_WORKERS, P_HEADER, P_PASS_BYTES, P_LIMIT_TICKS = range(7)

HEADER_WORDS = 4
HEADER_TYPE, HEADER_WORKERS, HEADER_NEXT, HEADER_CONFIGURATION = range(4)
KIND_BITS = 8
"""Of a header's type; above them stands how many times 16 bytes a block of the layer has."""

START_WORDS = 8
"""What the scheduler tells a worker: a header, the step (pass * layers + layer), the layer, and where the pass's tensors begin."""
S_STEP, S_LAYER, S_PASS_AT, S_PASS = range(HEADER_WORDS, HEADER_WORDS + 4)

CONFIGURATION_WORDS = 64
C_KIND, C_LAYER, C_BLOCK_BYTES, C_NEXT, C_NEXT_LAYER, C_NEXT_BLOCK_BYTES, C_NEXT_WORKERS = range(7)
C_STEP = 16  # five: zero point, low, high, rounding, overflow (`models/compute/requantise.py`)
C_OFFSETS, C_SCALES, C_KERNEL, C_STRIDES, C_DILATIONS, C_PADS, C_FLAGS = 21, 23, 25, 27, 29, 31, 33  # two each
MULTIPLIED, CUT_DEPTH = 1, 2
"""Flags: the core scales the layer's sums, since their scale is no shift; its depth is cut, so that the core adds them up."""
C_FLOATS = 40  # float32: epsilon or factor

BLOCK_WORDS = 32
B_READS, B_MOVES, B_OUT_MOVES, B_WRITES, B_TILE, B_RECEIVED, B_HANDS, B_FOLLOWING = range(8)
B_OUT_HANDS, B_COUNTER = 27, 28
"""`B_FOLLOWING`: the address of the worker's next block of the layer, 0 for none. `B_RECEIVED`: how many stretches peers hand it,
which are counted in the worker's counter `B_COUNTER`. `B_HANDS`, `B_OUT_HANDS`: how many it hands on, before and behind the step.
"""
B_DIMS = 8  # eight
(B_INPUT, B_RIGHT, B_BIAS, B_MULTIPLIERS, B_SHIFTS, B_SUMS, B_OUTPUT, B_TABLE, B_MULTIPLIER_COUNT, B_ADD, B_LAST) = range(16, 27)
B_MASK = 29
"""Where parts of the tile lie in the memory; how many multipliers there are; whether sums go on from those of the tile before, and
whether they are complete.
"""

READ_WORDS = 4
R_ADDRESS, R_BYTES, R_LANDING, R_FLAGS = range(4)
WRITE_WORDS = 4
W_ADDRESS, W_BYTES, W_FROM, W_FLAGS = range(4)
OF_PASS = 1
"""Flag of a stretch: a tensor of the pass, in the DRAM of the scheduler's chip; else a constant in that of the worker's own."""
STAYS = 2
"""Flag of a stretch that is read: it stays in the memory from pass to pass, and is read in the first one alone."""
PROBED = 4
"""Flag of a stretch that is written: the tensor stays in the workers' memories, and only an observer sees it in DRAM."""

MOVE_WORDS = 9
M_FROM, M_TO, M_OUTER, M_INNER, M_BYTES, M_FROM_OUTER, M_FROM_INNER, M_TO_OUTER, M_TO_INNER = range(MOVE_WORDS)
FILL, ADD = -1, -2
"""As `M_FROM`: fill `M_BYTES` from `M_TO` on with the value in `M_OUTER`; add int32 sums at `M_OUTER` to those at `M_TO`."""

HAND_WORDS = 5
H_FROM, H_BYTES, H_TO, H_PEER, H_COUNTER = range(HAND_WORDS)
"""A stretch that is handed on to a peer, by its number, to an address of its memory; and the counter there that says so."""
MOST_COUNTERS = 64

NUMBER_OF_KIND = {kind: number for number, kind in enumerate(KINDS)}

# What a worker says that cannot go on: a SIGNAL to the host, four words: what, step, tile, and how many are missing or which word.
LOST_DATA, LOST_START, BEYOND_MEMORY, LATE_WORKER, BAD_PROGRAM, UNASKED = range(1, 7)
FAULT_WORDS = 4


def aligned(size: int) -> int:
    """Return the least multiple of the alignment that is not below `size`."""
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
