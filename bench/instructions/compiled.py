"""C compiled as for a PE's core, and run in Unicorn with every instruction noted; says in one line what is not installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.instructions.cortex_m4 import Instruction, parse

COMPILER = "arm-none-eabi-gcc"
TARGET = ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-O2", "-Wall", "-Werror")
CODE, DATA, REGISTERS, STACK, _BACK = 0x10000, 0x100000, 0x800000, 0x700000, 0x780000
_CODE_BYTES, _DATA_BYTES = 0x20000, 0x200000


class MissingTool(RuntimeError):
    """The compiler or the emulator is not there; one line that says which, and what to install."""


def require_tools() -> None:
    """Raise MissingTool where nothing can be counted here."""
    if shutil.which(COMPILER) is None:
        raise MissingTool(f"{COMPILER}: not installed; on Debian and Ubuntu: apt install gcc-arm-none-eabi")
    try:
        import unicorn  # noqa: F401
    except ModuleNotFoundError:
        raise MissingTool("unicorn: not installed; run `pip install unicorn`") from None


def compiler_version() -> str:
    """Return the compiler's version."""
    return _output(COMPILER, "-dumpfullversion").strip()


class Compiled:
    """The functions of a C file. `flags` are beside `TARGET`; with `libm`, newlib's functions are linked in."""

    def __init__(self, source: str, *flags: str, libm: bool = False) -> None:
        require_tools()
        from unicorn import UC_ARCH_ARM, UC_HOOK_CODE, UC_MODE_MCLASS, UC_MODE_THUMB, Uc
        from unicorn.arm_const import UC_ARM_REG_C1_C0_2, UC_ARM_REG_FPEXC, UC_CPU_ARM_CORTEX_M4

        link = ["-nostartfiles", "-Wl,--no-warn-rwx-segments", f"-Wl,-Ttext={CODE:#x}", "-Wl,-e,0"]
        libraries = ["-lm", "-lc", "-lgcc"] if libm else ["-nostdlib"]
        with tempfile.TemporaryDirectory() as folder:
            program, image = Path(folder) / "program", Path(folder) / "image"
            path = str(Path(__file__).with_name(source))
            subprocess.run([COMPILER, *TARGET, *flags, *link, path, "-o", str(program), *libraries], check=True)
            subprocess.run(
                ["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", "-j", ".rodata", str(program), str(image)], check=True
            )
            self.instructions: dict[int, Instruction] = parse(_output("arm-none-eabi-objdump", "-d", str(program)))
            symbols = [line.split() for line in _output("arm-none-eabi-nm", str(program)).splitlines()]
            code = image.read_bytes()
        self.entries = {name: int(at, 16) & ~1 for at, kind, name in (line for line in symbols if len(line) == 3) if kind in "Tt"}
        self.core = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        self.core.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_M4)
        for start, size in (
            (CODE, _CODE_BYTES),
            (DATA, _DATA_BYTES),
            (STACK - 0x8000, 0x10000),
            (_BACK, 0x1000),
            (REGISTERS, 0x1000),
        ):
            self.core.mem_map(start, size)
        self.core.reg_write(UC_ARM_REG_C1_C0_2, self.core.reg_read(UC_ARM_REG_C1_C0_2) | (0xF << 20))
        self.core.reg_write(UC_ARM_REG_FPEXC, 0x40000000)
        self.core.mem_write(CODE, code)
        self.core.mem_write(REGISTERS, np.ones(64, "<u4").tobytes())
        self._trace: list[int] = []
        self.core.hook_add(UC_HOOK_CODE, lambda _, address, *__: self._trace.append(address))

    def call(self, name: str, *arguments: int | float | Any) -> tuple[list[Instruction], list[Any]]:
        """Run a function on integers, floats and arrays; return what was executed, and the arrays as they are then."""
        from unicorn import arm_const as arm

        words, floats, places, at = [], [], [], DATA
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                data = np.ascontiguousarray(argument)
                self.core.mem_write(at, data.tobytes())
                places.append((at, data.dtype, data.shape))
                words.append(at)
                at += (data.nbytes + 31) & ~15
            elif isinstance(argument, float):
                floats.append(argument)
            else:
                words.append(argument)
        for number, word in enumerate(words[:4]):
            self.core.reg_write(getattr(arm, f"UC_ARM_REG_R{number}"), word)
        for number, value in enumerate(floats):
            self.core.reg_write(getattr(arm, f"UC_ARM_REG_S{number}"), int(np.float32(value).view(np.uint32)))
        self.core.mem_write(STACK, np.array([*words[4:], 0], "<u4").tobytes())
        self.core.reg_write(arm.UC_ARM_REG_SP, STACK)
        self.core.reg_write(arm.UC_ARM_REG_LR, _BACK | 1)
        self._trace.clear()
        self.core.emu_start(self.entries[name] | 1, _BACK)
        run = [self.instructions[address] for address in self._trace]
        return run, [
            np.frombuffer(bytes(self.core.mem_read(place, int(np.prod(shape)) * dtype.itemsize)), dtype).reshape(shape)
            for place, dtype, shape in places
        ]


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def divide(counts: Sequence[Sequence[float]], figures: Sequence[float]) -> tuple[Any, float]:
    """Return what of each figure each count takes, by least squares in shares of the figure, and the largest error as a share."""
    rows, all_of = np.array(counts, np.float64), np.array(figures, np.float64)
    scale = np.maximum(np.abs(all_of), 1)
    of_each = np.linalg.lstsq(rows / scale[:, None], all_of / scale, rcond=None)[0]
    return of_each, float((np.abs(rows @ of_each - all_of) / scale).max())
