"""`python -m bench.instructions.neurons`: cycles of a unit's step of each spiking neuron, and of a spike, on a PE's core.

`neurons.c` is compiled by arm-none-eabi-gcc, run in Unicorn (`pip install unicorn`) instruction by instruction, and timed by
`cortex_m4.py`. Each function steps random units; its membranes and spikes must be the plain reference's bits.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.instructions.cortex_m4 import Instruction, parse, time_of
from models import kernels
from models.network import Population
from models.reference import neurons_of
from models.spiking import FORMS, RESETS, SYNAPSES, vectors_of

FLAGS = (
    "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-O2", "-ffp-contract=off", "-ffreestanding", "-nostdlib",
    "-Wall", "-Werror",
)  # fmt: skip
_SOURCE = Path(__file__).with_name("neurons.c")
_CODE, _UNITS, _SUMS, _OUT, _MORE, _STACK, _BACK = 0x10000, 0x100000, 0x200000, 0x300000, 0x400000, 0x600000, 0x700000
_FLOAT_UNIT = ("i", "v", "synapse_rate", "synapse_gain", "rate", "gain", "leak", "bias", "threshold", "reset")
_WHOLE_UNIT = ("v", "bias", "threshold", "reset")


class Way(NamedTuple):
    """A function of `neurons.c`, and the population whose step it is."""

    kernel: str
    function: str
    params: dict[str, float]
    sums: str = "float32"


class Cost(NamedTuple):
    """Cycles of a silent unit and what a spike takes more, without refills; taken branches of each; low: float stores take 1."""

    unit: float
    spike: float
    unit_taken: float
    spike_taken: float
    unit_low: float


def _way(name: str, **params: float) -> Way:
    whole = name.endswith("_int8") or name.startswith("iaf")
    kernel = next(k for k in ("cuba_lif", "cuba_li", "lif", "li", "iaf") if name.startswith(f"{k}_"))
    rest, settings = name.removeprefix(f"{kernel}_").removesuffix("_int8"), dict(params)
    if kernel.startswith("cuba"):
        settings["synapse"] = float(next(n for n, s in enumerate(SYNAPSES) if rest.startswith(s.replace("-", "_"))))
    if not rest.startswith("sum_first") and kernel != "iaf":
        form = max((f for f in FORMS if rest.startswith(f.replace("-", "_"))), key=len)
        settings["form"] = float(FORMS.index(form))
    for ending, reset in (("zero", "zero"), ("subtract", "subtract"), ("no_delay", "subtract-no-delay"), ("late", "subtract-late")):
        if rest.endswith(ending):
            settings["reset"] = float(RESETS.index(reset))
            break
    if "many" in rest:
        settings |= {"reset": float(RESETS.index("subtract")), "multi_spike": 1.0, "fire_at_threshold": 1.0}
    return Way(kernel, name, settings, "int32" if whole else "float32")


WAYS = [
    *map(_way, ("lif_decay_zero", "lif_decay_subtract", "lif_decay_late", "lif_decay_no_delay", "lif_decay_subtract_int8")),
    *map(_way, ("lif_decay_late_int8", "lif_decay_many", "lif_difference_zero")), _way("lif_decay_many_floor", floor=1.0),
    _way("lif_quotient_input_zero", fire_at_threshold=1.0), _way("lif_quotient_zero", fire_at_threshold=1.0),
    *map(_way, ("cuba_lif_decay_late", "cuba_lif_decay_subtract_int8", "cuba_lif_difference_zero")),
    *map(_way, ("cuba_lif_difference_subtract", "cuba_lif_sum_first_many")),
    *map(_way, ("li_decay", "li_decay_int8", "li_difference", "li_quotient", "cuba_li_decay", "cuba_li_difference")),
    *map(_way, ("iaf_zero", "iaf_subtract", "iaf_late", "iaf_many")),
]  # fmt: skip


class Core:
    """The compiled functions, on a core whose every instruction is noted."""

    def __init__(self) -> None:
        from unicorn import UC_ARCH_ARM, UC_HOOK_CODE, UC_MODE_MCLASS, UC_MODE_THUMB, Uc
        from unicorn.arm_const import UC_ARM_REG_C1_C0_2, UC_ARM_REG_FPEXC, UC_CPU_ARM_CORTEX_M4

        with tempfile.TemporaryDirectory() as folder:
            program, image = Path(folder) / "program", Path(folder) / "image"
            link = ["-Wl,--no-warn-rwx-segments", f"-Wl,-Ttext={_CODE:#x}", "-Wl,-e,lif_decay_zero"]
            subprocess.run(["arm-none-eabi-gcc", *FLAGS, *link, str(_SOURCE), "-o", str(program)], check=True)
            subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", str(program), str(image)], check=True)
            listing = _output("arm-none-eabi-objdump", "-d", str(program))
            symbols = [line.split() for line in _output("arm-none-eabi-nm", str(program)).splitlines()]
            code = image.read_bytes()
        self.instructions: dict[int, Instruction] = parse(listing)
        self.entries = {name: int(at, 16) & ~1 for at, _, name in symbols if name in {way.function for way in WAYS}}
        self._core = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        self._core.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_M4)
        for start in (_CODE, _UNITS, _SUMS, _OUT, _MORE, _STACK - 0x8000, _BACK):
            self._core.mem_map(start, 0x10000)
        self._core.reg_write(UC_ARM_REG_C1_C0_2, self._core.reg_read(UC_ARM_REG_C1_C0_2) | (0xF << 20))
        self._core.reg_write(UC_ARM_REG_FPEXC, 0x40000000)
        self._core.mem_write(_CODE, code)
        self._trace: list[int] = []
        self._core.hook_add(UC_HOOK_CODE, lambda _, address, *__: self._trace.append(address))

    def call(self, name: str, count: int, units: bytes, sums: bytes) -> tuple[list[Instruction], int]:
        """Run a function; return what it executed and its result."""
        from unicorn import arm_const as arm

        self._core.mem_write(_UNITS, units)
        self._core.mem_write(_SUMS, sums)
        registers = {"R0": count, "R1": _UNITS, "R2": _SUMS, "R3": _OUT, "SP": _STACK, "LR": _BACK | 1}
        for register, value in registers.items():
            self._core.reg_write(getattr(arm, f"UC_ARM_REG_{register}"), value)
        self._core.mem_write(_STACK, _MORE.to_bytes(4, "little"))  # the fifth argument
        self._trace.clear()
        self._core.emu_start(self.entries[name] | 1, _BACK)
        return [self.instructions[at] for at in self._trace], int(self._core.reg_read(arm.UC_ARM_REG_R0))

    def read(self, at: int, dtype: Any, count: int) -> Any:
        """Return numbers from the core's memory."""
        return np.frombuffer(bytes(self._core.mem_read(at, count * np.dtype(dtype).itemsize)), dtype)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def population_of(way: Way, units: int, rng: Any) -> Population:
    """Return random units of a way, and none that a spike of the step before weighs on."""
    kernel = kernels.named(way.kernel)
    if way.kernel == "iaf":
        drawn = {"bias": rng.integers(0, 9, units), "threshold": rng.integers(80, 90, units)}
    else:
        drawn = {name: rng.uniform(0.5, 0.9, units) for name in kernel.FILL if name not in ("reset", "threshold", "start")}
        drawn |= {"rate": rng.uniform(2, 3, units)} if FORMS[int(way.params.get("form", 0))].startswith("quotient") else {}
        drawn |= {"threshold": rng.uniform(20, 30, units)} if "threshold" in kernel.FILL else {}
    vectors = vectors_of(units, kernel.FILL, **drawn)
    payload = kernel.EMITS[1 if way.params.get("multi_spike") else 0]
    return Population("p", units, way.kernel, (), vectors, way.params, payload, kernels.is_dense(way.kernel))


def run_way(core: Core, way: Way, units: int, *, fire: bool) -> tuple[list[Instruction], int]:
    """Run a step of a way on random units; return what was executed, and how many spikes there were.

    AssertionError where membranes or spikes are not the plain reference's bits.
    """
    rng = np.random.default_rng(units + fire)
    population = population_of(way, units, rng)
    reference, values = neurons_of(population), population.vectors
    names = _WHOLE_UNIT if way.kernel == "iaf" else _FLOAT_UNIT
    record = np.dtype([*((name, "<i4" if way.kernel == "iaf" else "<f4") for name in names), ("key", "<u4")])
    state = np.zeros(units, record)
    for name in set(names) & values.keys():
        state[name] = values[name]
    state["key"] = np.arange(units) + 1000
    sums = rng.integers(500, 600, units) if fire else rng.integers(0, 4, units)
    sums = sums.astype(way.sums)
    run, sent = core.call(way.function, units, state.tobytes(), sums.tobytes())
    answer, after = np.asarray(reference.step({"input": sums}, 0)), core.read(_UNITS, record, units)
    assert after["v"].tolist() == np.asarray(reference._v).tolist(), way
    if population.dense:
        assert core.read(_OUT, "<f4", units).tobytes() == answer.astype("<f4").tobytes(), way
    else:
        assert (core.read(_OUT, "<u4", sent) - 1000).tolist() == np.flatnonzero(answer).tolist(), way
        if way.params.get("multi_spike"):
            assert core.read(_MORE, "<u2", sent).tolist() == answer[answer > 0].tolist(), way
    return run, int(np.count_nonzero(answer))


def cost_of(core: Core, way: Way) -> Cost:
    """Return what a unit's step and a spike take: differences between runs of 64 and of 128 units, silent and firing."""
    times = {}
    for units in (64, 128):
        for fire in (False, True):
            run, spikes = run_way(core, way, units, fire=fire)
            assert spikes in ({units} if fire or kernels.is_dense(way.kernel) else {0}), (way, spikes)
            times[units, fire] = [time_of(run), time_of(run, store_cycles=1)]
    silent, firing = ([b - a for a, b in zip(times[64, fire][0], times[128, fire][0], strict=True)] for fire in (False, True))
    low = times[128, False][1].cycles - times[64, False][1].cycles
    spike = [0.0, 0.0] if kernels.is_dense(way.kernel) else [(b - a) / 64 for a, b in zip(silent, firing, strict=True)]
    return Cost(silent[0] / 64, spike[0], silent[1] / 64, spike[1], low / 64)


def main(names: Sequence[str] = ()) -> None:
    """Print the table."""
    core = Core()
    print("| way | unit | branches | unit, stores of 1 | a spike more | branches |\n|---|---:|---:|---:|---:|---:|")
    for way in WAYS:
        if not names or way.function in names:
            cost = cost_of(core, way)
            figures = cost.unit, cost.unit_taken, cost.unit_low, cost.spike, cost.spike_taken
            print(f"| {way.function} | {' | '.join(f'{figure:g}' for figure in figures)} |")


if __name__ == "__main__":
    main()
