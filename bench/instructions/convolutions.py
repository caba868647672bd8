"""`python -m bench.instructions.convolutions`: cycles of the format `conv`: of an event, of a place that it meets, and of a weight.

`conv.c` is compiled by arm-none-eabi-gcc, run in Unicorn (`pip install unicorn`) instruction by instruction, and timed by
`cortex_m4.py`. Cycles are divided among events, places and weights by least squares over shards with kernels of several sizes and
one to 16 output channels. The sums must be the plain reference's bits.
"""

from __future__ import annotations

import itertools
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.instructions.cortex_m4 import Instruction, parse, time_of
from models.convolution import Convolution
from models.kernel_window import window_of
from models.plain_convolution import PlainConvolution

FLAGS = (
    "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-O2", "-ffp-contract=off", "-ffreestanding", "-nostdlib",
    "-Wall", "-Werror",
)  # fmt: skip
_CODE, _VALUES, _WINDOW, _CHANNELS, _SUMS = 0x10000, 0x100000, 0x200000, 0x210000, 0x300000
_KEYS, _EVENTS, _STACK, _BACK = 0x400000, 0x500000, 0x600000, 0x700000
_EVENT_COUNT = 24
_NUMBERS = (
    *("height", "width", "of_group", "pool_rows", "pool_columns", "kernel_rows", "kernel_columns", "stride_rows"),
    *("stride_columns", "top", "left", "channels", "first_row", "rows", "first_column", "columns", "skip"),
)  # of a window, in the order of conv.c


class Run(NamedTuple):
    """What a shard did with its events, and how long it took; taken branches are beside."""

    places: int
    weights: int
    cycles: int
    taken: int


class Core:
    """The loop for weights of one type, on a core whose every instruction is noted."""

    def __init__(self, numeric: str, store_cycles: int = 2) -> None:
        from unicorn import UC_ARCH_ARM, UC_HOOK_CODE, UC_MODE_MCLASS, UC_MODE_THUMB, Uc
        from unicorn.arm_const import UC_ARM_REG_C1_C0_2, UC_ARM_REG_FPEXC, UC_CPU_ARM_CORTEX_M4

        with tempfile.TemporaryDirectory() as folder:
            program, image = Path(folder) / "program", Path(folder) / "image"
            source, define = Path(__file__).with_name("conv.c"), ["-DINT8"] if numeric == "int8" else []
            link = ["-Wl,--no-warn-rwx-segments", f"-Wl,-Ttext={_CODE:#x}", "-Wl,-e,conv_events"]
            subprocess.run(["arm-none-eabi-gcc", *FLAGS, *define, *link, str(source), "-o", str(program)], check=True)
            subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", str(program), str(image)], check=True)
            listing = subprocess.run(
                ["arm-none-eabi-objdump", "-d", str(program)], check=True, capture_output=True, text=True
            ).stdout
            code = image.read_bytes()
        self._instructions: dict[int, Instruction] = parse(listing)
        self._numeric, self._store_cycles = numeric, store_cycles
        self._core = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        self._core.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_M4)
        for start in (_CODE, _VALUES, _WINDOW, _SUMS, _KEYS, _EVENTS, _STACK - 0x10000, _STACK, _BACK):
            self._core.mem_map(start, 0x20000 if start != _STACK - 0x10000 else 0x10000)
        self._core.reg_write(UC_ARM_REG_C1_C0_2, self._core.reg_read(UC_ARM_REG_C1_C0_2) | (0xF << 20))
        self._core.reg_write(UC_ARM_REG_FPEXC, 0x40000000)
        self._core.mem_write(_CODE, code)
        self._trace: list[int] = []
        self._core.hook_add(UC_HOOK_CODE, lambda _, address, *__: self._trace.append(address))

    def run(self, weights: Convolution, heard: Any) -> Run:
        """Scatter what a source of (units,) sends into all outputs; AssertionError where the sums are not the reference's bits."""
        from unicorn import arm_const as arm

        outputs, keys = np.arange(weights.shape[0]), np.flatnonzero(heard).astype("<u4")
        window = window_of(weights, outputs)
        numbers = [*(getattr(window, name) for name in _NUMBERS), len(outputs)]
        sums_type = "<i4" if self._numeric == "int8" else "<f4"
        firsts = np.arange(weights.groups + 1) * (window.channels // weights.groups)
        for at, array in (
            (_VALUES, np.ascontiguousarray(weights.kernel.reshape(window.channels, -1).T)), (_WINDOW, np.array(numbers, "<i4")),
            (_CHANNELS, firsts.astype("<u2")), (_SUMS, np.zeros(len(outputs), sums_type)), (_KEYS, keys),
            (_EVENTS, heard[keys].astype(sums_type)), (_STACK - 64, np.array([_KEYS, _EVENTS, len(keys)], "<u4")),
        ):  # fmt: skip
            self._core.mem_write(at, array.tobytes())
        registers = {"R0": _VALUES, "R1": _WINDOW, "R2": _CHANNELS, "R3": _SUMS, "SP": _STACK - 64, "LR": _BACK | 1}
        for register, value in registers.items():
            self._core.reg_write(getattr(arm, f"UC_ARM_REG_{register}"), value)
        self._trace.clear()
        self._core.emu_start(_CODE | 1, _BACK)
        sums = bytes(self._core.mem_read(_SUMS, 4 * len(outputs)))
        assert sums == PlainConvolution(weights, self._numeric != "int8").of(heard[None]).tobytes(), "not the reference's sums"
        weights_visited, time = (
            int(weights.meetings(heard != 0).sum()),
            time_of([self._instructions[at] for at in self._trace], self._store_cycles),
        )
        return Run(weights_visited // window.channels, weights_visited, time.cycles, time.taken)


def shards(numeric: str, stride: int) -> list[Convolution]:
    """Return convolutions with kernels of 2 to 5 rows and columns and 1 to 16 output channels."""
    rng = np.random.default_rng(1)
    convolutions = []
    for channels, side in itertools.product((1, 2, 4, 16), (2, 3, 5)):
        kernel = rng.integers(1, 100, (channels, 2, side, side)).astype(numeric)
        convolutions.append(Convolution(kernel, (2, 16, 16), stride=(stride, stride), padding=(1, 1, 1, 1)))
    return convolutions


def divide(runs: list[Run]) -> tuple[Any, Any, float]:
    """Return cycles and taken branches of an event, a place and a weight, (3,) each, and the largest error of a run, as a share."""
    counts = np.array([[_EVENT_COUNT, run.places, run.weights] for run in runs], np.float64)
    cycles, taken = (np.array([getattr(run, name) for run in runs], np.float64) for name in ("cycles", "taken"))
    # In shares of each run, so that long ones do not decide alone.
    of_cycles, of_taken = (np.linalg.lstsq(counts / cycles[:, None], all_of / cycles, rcond=None)[0] for all_of in (cycles, taken))
    return of_cycles, of_taken, float(np.abs(counts @ of_cycles / cycles - 1).max())


def cost_of(numeric: str, stride: int, store_cycles: int = 2) -> Any:
    """Return the cycles of an event, a place and a weight, (3,), refills apart."""
    return divide(_runs(numeric, stride, store_cycles))[0]


def _runs(numeric: str, stride: int, store_cycles: int = 2) -> list[Run]:
    core, rng = Core(numeric, store_cycles), np.random.default_rng(2)
    runs = []
    for weights in shards(numeric, stride):
        heard = np.zeros(weights.shape[1], np.float32 if numeric == "float32" else np.int64)
        heard[rng.choice(len(heard), _EVENT_COUNT, replace=False)] = rng.integers(1, 5, _EVENT_COUNT)
        runs.append(core.run(weights, heard))
    return runs


def main() -> None:
    """Print the table."""
    print("| weights | stride | event | place | weight | branches of each | largest error |\n|---|---:|---:|---:|---:|---|---:|")
    for numeric, stride in itertools.product(("float32", "int8"), (1, 2)):
        cycles, taken, error = divide(_runs(numeric, stride))
        figures = " | ".join(f"{figure:.1f}" for figure in cycles)
        print(f"| {numeric} | {stride} | {figures} | {', '.join(f'{n:.1f}' for n in taken)} | {error:.1%} |")


if __name__ == "__main__":
    main()
