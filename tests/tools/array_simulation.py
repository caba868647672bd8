"""The MAC array cycle by cycle: one shared port to the PE's SRAM, operand buffers that a tile begins with empty, and write-out.

The oracle of `host/cost/mac_array.py`, written apart from it and with no formula of it. What it does is what a public pre-
silicon simulator does, as facts, not code: 4 rows by 16 columns of accumulators; each step multiplies 4 numbers of A with 16 of
B; the SRAM serves one 128-bit read a cycle, in order, and a read is there in the next cycle; both buffers hold two reads, and B
goes before A. B needs a read a step in a matrix product; in a convolution 128 bits begin a kernel's row, and the shift register
takes 32 more with each fourth step. A read of A lasts four steps, since its four rows lie interleaved. A tile's results leave
when all its steps are done, 4 a cycle.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ROWS, COLUMNS = 4, 16


@dataclass
class _Port:
    """One port of the SRAM: at most one read a cycle."""

    free: bool = True

    def take(self) -> bool:
        was, self.free = self.free, False
        return was


@dataclass
class _Operand:
    """A buffer of reads of which each lasts some steps: `lasts[n]` those of read n; the list's end is the last that exists."""

    lasts: list[int]
    places: int
    issued: int = 0
    there: list[int] = field(default_factory=list)
    coming: int | None = None

    def ask(self, port: _Port) -> None:
        """Ask for the next read, where there is one and a place for it, and the port is free."""
        if self.issued < len(self.lasts) and len(self.there) + (self.coming is not None) < self.places and port.take():
            self.coming = self.lasts[self.issued]
            self.issued += 1

    def arrive(self) -> None:
        if self.coming is not None:
            self.there.append(self.coming)
            self.coming = None

    def use(self) -> None:
        self.there[0] -= 1
        if not self.there[0]:
            self.there.pop(0)


def tile_cycles(steps: int, b_lasts: list[int], rows: int, columns: int, ports: int) -> int:
    """Return the cycles of one tile: its `steps`, and the write-out of `rows` x `columns` results."""
    a, b = _Operand([4] * -(-steps // 4), places=2), _Operand(b_lasts, places=2)
    cycle = done = 0
    while done < steps:
        shared = _Port()
        ready = bool(a.there and b.there)
        if ready:  # the array works on what had arrived before this cycle
            a.use()
            b.use()
            done += 1
        b.ask(shared)
        a.ask(shared if ports == 1 else _Port())
        a.arrive()
        b.arrive()
        cycle += 1
    return cycle + rows * -(-columns // 4)


def matmul_cycles(m: int, depth: int, n: int, ports: int = 1) -> int:
    """Return the cycles of (m, depth) times (depth, n), tile after tile."""
    total = 0
    for first in range(0, m, ROWS):
        for left in range(0, n, COLUMNS):
            total += tile_cycles(depth, [1] * depth, min(ROWS, m - first), min(COLUMNS, n - left), ports)
    return total


def conv2d_cycles(
    in_channels: int, kernel: tuple[int, int], out_channels: int, out_rows: int, out_columns: int, ports: int = 1
) -> int:
    """Return the cycles of a convolution with stride 1: 16 columns of 1 row of 4 channels out are a tile."""
    high, wide = kernel
    steps = in_channels * high * wide
    # A kernel's row: 128 bits hold the first steps' numbers; then 32 bits with each fourth step.
    row = [min(4, wide - first) for first in range(0, wide, 4)] if wide > 1 else [1]
    b_lasts = row * (in_channels * high)
    total = 0
    for first in range(0, out_channels, ROWS):
        for _ in range(out_rows):
            for left in range(0, out_columns, COLUMNS):
                total += tile_cycles(steps, b_lasts, min(ROWS, out_channels - first), min(COLUMNS, out_columns - left), ports)
    return total
