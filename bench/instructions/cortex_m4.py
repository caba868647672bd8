"""How long a Cortex-M4F takes over a run of instructions: a scoreboard without wait states.

Timings are those of TI SWCU192, tables 3-25 and 3-27 (TI's copy of the Cortex-M4 TRM's), and of GCC's cortex-m4.md: nothing was
measured on hardware. A taken branch takes 1 and refills the pipeline; the refills are counted beside. A multiply-accumulate
issues in 1 and keeps the FPU for 3: its sum is there after 4, for another one to add to after 3 (GCC's cortex-m4-fpu.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_DIVIDE = {"vdiv": 14, "vsqrt": 14, "sdiv": 7, "udiv": 7}
_FLOAT = ("vadd", "vsub", "vmul", "vcmp", "vcvt", "vabs", "vneg", "vnmul", "vsel", "vmaxnm")
_LOAD, _STORE = ("ldr",), ("str",)
_ACCUMULATE = ("vfma", "vmla", "vfms", "vmls", "vfnma", "vnmla", "vfnms", "vnmls")
_FPU_CYCLES, _SUM_CYCLES = 3, 4  # of a multiply-accumulate: until the FPU is free, until its sum is there
_BRANCH = re.compile(r"^(b|cb|bx|bl)")
_CONDITIONS = "eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le"


class Instruction(NamedTuple):
    """One instruction of a listing: where it lies, its mnemonic without width and type, and its operands."""

    address: int
    name: str
    operands: str


class Time(NamedTuple):
    """What a run took: cycles, with a store of a float of `store_cycles`, and taken branches, whose refill is not among them."""

    cycles: int
    taken: int


def parse(listing: str) -> dict[int, Instruction]:
    """Return the instructions of objdump's listing, by address."""
    instructions = {}
    for line in listing.splitlines():
        match = re.match(r"\s*([0-9a-f]+):\t[0-9a-f ]+\t(\S+)\s*([^@;<]*)", line)
        if match:
            address, name, operands = int(match[1], 16), match[2].split(".")[0], match[3].strip()
            instructions[address] = Instruction(address, name, operands)
    return instructions


def time_of(run: Sequence[Instruction], store_cycles: int = 2, sums_waited: bool = True) -> Time:
    """Return what the instructions took that were executed in this order.

    `store_cycles` are those of a store of a float: 2 by TI's table, 1 by GCC's. Without `sums_waited`, nothing waits for a
    multiply-accumulate, as some users report.
    """
    cycles = taken = 0
    free, sum_register, sum_ready = 0, "", 0  # of the FPU and the sum of the last multiply-accumulate: when
    for n, one in enumerate(run):
        before = run[n - 1] if n else None
        after = run[n + 1] if n + 1 < len(run) else None
        if before is not None:
            cycles += _interlock(before, one)
        accumulates = one.name.startswith(_ACCUMULATE)
        if accumulates or one.name.startswith((*_FLOAT, "vdiv", "vsqrt")):
            cycles = max(cycles, free)
        if one.name.startswith("v") and cycles < sum_ready and _reads(one, sum_register, accumulates):
            adds = accumulates and _target(one) == sum_register and not _reads(one, sum_register, accumulates=False)
            cycles = max(cycles, sum_ready - (1 if adds else 0))
        if accumulates and sums_waited:
            free, sum_register, sum_ready = cycles + _FPU_CYCLES, _target(one), cycles + _SUM_CYCLES
        cycles += _alone(one, store_cycles)
        if _BRANCH.match(one.name) and after is not None and after.address not in (one.address + 2, one.address + 4):
            taken += 1
    return Time(cycles, taken)


def _target(one: Instruction) -> str:
    return one.operands.split(",")[0].strip()


def _reads(one: Instruction, register: str, accumulates: bool) -> bool:
    """Tell whether an instruction of the FPU reads a register; a multiply-accumulate also what it adds to."""
    whole = accumulates or one.name.startswith(("vst", "vcmp", "vpush"))
    return re.search(rf"\b{register}\b", one.operands if whole else one.operands.partition(",")[2]) is not None


def _alone(one: Instruction, store_cycles: int) -> int:
    name = one.name
    stem = re.sub(f"({_CONDITIONS})$", "", name) if name.startswith("v") else name
    for head, cycles in _DIVIDE.items():
        if name.startswith(head):
            return cycles
    if name.startswith(("vldm", "vstm", "ldm", "stm", "push", "pop", "vpush", "vpop")):
        return 1 + len(one.operands[one.operands.index("{") :].split(","))
    if name.startswith("vldr"):
        return 2
    if name.startswith("vstr"):
        return store_cycles
    if name.startswith(("ldrd", "strd")):
        return 3
    if name.startswith(_LOAD):
        return 2
    if name.startswith(_STORE):
        return 2 if re.search(r"\[\w+, \w+", one.operands) and "#" not in one.operands.split("lsl")[0] else 1
    if stem.startswith("vmov"):
        return 2 if re.search(r"\br\d|\bip\b|\blr\b", one.operands) else 1
    return 1


def _interlock(before: Instruction, one: Instruction) -> int:
    """Return what an instruction takes more, or less, because of the one before it."""
    target = before.operands.split(",")[0].strip()
    is_load = one.name.startswith(("ldr", "vldr", "vldm"))
    is_store = one.name.startswith(("str", "vstr", "vstm"))
    address = re.search(r"\[([^\]]*)\]|^(\w+)!", one.operands)
    used = re.findall(r"\w+", (address[1] or address[2]) if address else "")
    if before.name.startswith("ldr") and not before.name.startswith("ldrd"):
        if (is_load or is_store) and one.name[0] != "v" and target not in used:
            return -1  # pipelined behind a load
        return 0
    if (is_load or is_store) and target in used and not before.name.startswith(("str", "vstr", "cmp", "v", "it", "b")):
        return 1  # an address that the arithmetic before it has just made
    if before.name.startswith(_FLOAT):
        if one.name.startswith("vmrs") and before.name.startswith("vcmp"):
            return 1
        sources = one.operands if one.name.startswith(("vstr", "vcmp")) else one.operands.partition(",")[2]
        if one.name.startswith("v") and re.search(rf"\b{target}\b", sources) and not before.name.startswith("vcmp"):
            return 1
    return 0
