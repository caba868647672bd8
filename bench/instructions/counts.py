"""Which constant of a price is which count: the counts themselves are kept in `counts.toml`, beside the loops.

A price adds the refill of so many branches (`refills`) to a constant. So a constant is what was counted at a refill of one cycle,
less these. `low` and `high`, where they differ, are the least and the most that was counted.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.instructions import compiled, convolutions, few_spikes, kernels, neurons, operators
from bench.instructions.kernels import Cost

FILE = Path(__file__).with_name("counts.toml")
Entry = dict[str, Any]

LOOPS = {
    "csr_weight_cycles": ("csr", "weight", 1), "csr_row_cycles": ("csr", "row", 0),
    "csr_test_active_cycles": ("csr_test", "active", 1), "csr_test_silent_cycles": ("csr_test", "silent", 1),
    "dense_weight_cycles": ("dense", "weight", 1), "dense_row_cycles": ("dense", "row", 0),
    "dense_event_weight_cycles": ("dense_event", "weight", 1), "dense_event_cycles": ("dense_event", "event", 0),
    "event_silent_cycles": ("dense_event", "silent", 0),
    "packed_weight_cycles": ("packed", "weight", 1), "packed_event_cycles": ("packed", "event", 0),
    "int8_csr_weight_cycles": ("int8_csr", "weight", 1), "int8_csr_test_active_cycles": ("int8_csr_test", "active", 1),
    "int8_csr_test_silent_cycles": ("int8_csr_test", "silent", 1), "int8_dense_weight_cycles": ("int8_dense", "weight", 1),
    "int8_dense_event_weight_cycles": ("int8_dense_event", "weight", 1), "int8_packed_weight_cycles": ("int8_packed", "weight", 1),
    **{
        f"int4_{of}_cycles": (f"int4_{loop}", thing, 1)
        for of, loop, thing in (
            ("csr_weight", "csr", "weight"), ("csr_test_active", "csr_test", "active"), ("csr_test_silent", "csr_test", "silent"),
            ("dense_weight", "dense", "weight"), ("dense_event_weight", "dense_event", "weight"),
            ("packed_weight", "packed", "weight"),
        )
    },
    "port_sum_cycles": ("port_sum", "element", 1), "trace_element_cycles": ("trace_element", "element", 1),
    "trace_decay_cycles": ("trace_decay", "element", 1), "trace_event_cycles": ("trace_event", "element", 1),
    "int8_trace_element_cycles": ("int8_trace_element", "element", 1),
    "int8_trace_event_cycles": ("int8_trace_event", "element", 1),
    "trace_number_cycles": ("trace_number", "element", 1),
    "unit_soft_cycles": ("egru", "unit", 30), "unit_hard_cycles": ("egru_unit", "unit", 0),
    "gate_soft_cycles": ("egru_gate", "unit", 8), "gate_hard_cycles": ("egru_gate_unit", "unit", 0),
    "cell_soft_cycles": ("egru_cell", "unit", 23), "cell_hard_cycles": ("egru_cell_unit", "unit", 0),
    "int8_unit_soft_cycles": ("egru_int8", "unit", 33), "int8_unit_hard_cycles": ("egru_int8_unit", "unit", 0),
    "int8_state_soft_cycles": ("egru_int8_state", "unit", 33), "int8_state_hard_cycles": ("egru_int8_state_unit", "unit", 0),
    "scatter_cycles": ("int8_scatter", "element", 1), "vector_scatter_cycles": ("int8_scatter", "element", 1),
    "gather_cycles": ("int8_gather", "element", 1),
    "packet_setup_cycles": ("packets", "message", 0), "packet_cycles": ("packets", "packet", 0),
    "chip.dma_setup_cycles": ("dma_list", "target", 0),
}  # fmt: skip
"""Constant -> the loop, what of it, and the refills that a price adds."""
OTHER_WAYS = {
    "packed_event_cycles": [("int8_packed", "event")],
    "packet_setup_cycles": [("packets_least", "message"), ("packets_library", "message")],
    "packet_cycles": [("packets_least", "packet"), ("packets_library", "packet")],
    "chip.dma_setup_cycles": [("dma_least", "target"), ("dma_library", "target")],
}
"""Constant -> other loops that do the same, which its band has too."""
BRANCHES = {
    "unit_soft_branches": "egru",
    "gate_soft_branches": "egru_gate",
    "cell_soft_branches": "egru_cell",
    "int8_unit_soft_branches": "egru_int8",
    "int8_state_soft_branches": "egru_int8_state",
}
WAYS = {
    "lif": "lif_decay_subtract_int8", "cuba_lif": "cuba_lif_decay_subtract_int8", "li": "li_decay_int8", "cuba_li": "cuba_li_decay",
    "iaf": "iaf_zero",
}  # fmt: skip
"""Spiking neuron -> the way to integrate, fire and reset whose count is the value; the band has all."""
OPERATORS = {
    "dnn_requantise_cycles": ("requantise", ("requantise_any",)), "dnn_partial_cycles": ("partial", ()),
    "dnn_table_cycles": ("table", ()), "dnn_add_cycles": ("add", ("add_any",)), "dnn_mean_cycles": ("mean", ("mean_in_words",)),
    "dnn_move_cycles": ("move", ("move_apart", "move_words")), "dnn_softmax_cycles": ("softmax", ()),
    "dnn_softmax_rest_cycles": ("softmax_rest", ()), "dnn_layer_norm_cycles": ("layer_norm", ()),
}  # fmt: skip
"""Constant of a DNN's operators -> the loop whose element is the value, and others; the band has all of them, and unrolled ones."""
WINDOWS = {"dnn_pool_cycles": ("largest", "sums_of_windows"), "dnn_depthwise_mac_cycles": ("depthwise",)}
"""Constant -> its loops over windows: the value is the mean of those of 3 x 3, the band has all sizes."""
_THIRD_PARTY_CYCLES = {"dnn_layer_norm_cycles": 111}  # SPL's 0.74 us at 150 MHz (host/cost/costs.toml)
_DIVIDE_CYCLES, _DIVISIONS = (2, 7, 12), 8  # of an event of conv: least, counted with, most


def count() -> dict[str, Entry]:
    """Return all counts by constant; MissingTool where they cannot be made here."""
    compiled.require_tools()
    neuron_counts = {**_of_neurons(), **_of_few_spikes(few_spikes.counted())}
    return {**_of_loops(kernels.counted()), **neuron_counts, **_of_convolutions(), **_of_operators(operators.counted())}


def read_counts() -> dict[str, Entry]:
    """Return the counts that are kept, by constant."""
    return dict(tomllib.loads(FILE.read_text(encoding="utf-8"))["counts"])


def write(counts: Mapping[str, Entry]) -> None:
    """Keep counts, with the compiler that they are of."""
    head = "# Made by `python -m bench.instructions --write`: what loops take, by constant of a price (counts.py).\n\n"
    lines = [
        f'{head}compiler = "{compiled.COMPILER} {compiled.compiler_version()}"',
        f"flags = {' '.join(compiled.TARGET)!r}",
        "",
        "[counts]",
    ]
    for name, entry in counts.items():
        lines.append(f'"{name}" = {{ {", ".join(f"{key} = {_toml(value)}" for key, value in entry.items())} }}')
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"


def _of_loops(costs: Mapping[str, Mapping[str, Cost]]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for name, (loop, thing, refills) in LOOPS.items():
        cost = costs[loop][thing]
        ends = [cost.least + cost.taken, cost.cycles + cost.taken]
        ends += [costs[other][part].cycles + costs[other][part].taken for other, part in OTHER_WAYS.get(name, ())]
        entries[name] = _entry(f"{loop}, {thing}", cost.cycles + cost.taken - refills, min(ends) - refills, max(ends) - refills)
    for name, loop in BRANCHES.items():
        taken = costs[loop]["unit"].taken
        entries[name] = _entry(f"{loop}, unit", taken, taken, taken)
    return entries


def _entry(of: str, value: float, low: float, high: float) -> Entry:
    return {"of": of, "value": round(value), "low": round(low), "high": round(high)}


def _of_neurons() -> dict[str, Entry]:
    core = neurons.Core()
    by_kernel: dict[str, dict[str, neurons.Cost]] = {}
    for way in neurons.WAYS:
        by_kernel.setdefault(way.kernel, {})[way.function] = neurons.cost_of(core, way)
    entries: dict[str, Entry] = {}
    for kernel, costs in by_kernel.items():
        one = costs[WAYS[kernel]]
        lows, highs = [cost.unit_low for cost in costs.values()], [cost.unit for cost in costs.values()]
        entries[f"{kernel}_unit_cycles"] = _entry(f"{WAYS[kernel]}, unit", one.unit, min(lows), max(highs))
        if any(cost.spike for cost in costs.values()):
            spikes = [cost.spike for cost in costs.values()]
            entries[f"{kernel}_spike_cycles"] = _entry(f"{WAYS[kernel]}, spike", one.spike, min(spikes), max(spikes))
    return entries


def _of_few_spikes(costs: Mapping[str, Mapping[str, Cost]]) -> dict[str, Entry]:
    """Return the entries of Few-Spikes neurons: the value is of int8 weights, the band has float32 ones.

    A price adds a refill to a tick and to a value, and two to a spike. The value of a part of a complex number is half of a pair's,
    the mean of pairs above their theta and below; a spike's is the mean of both signs.
    """

    def of(kernel: str, loop: str, things: tuple[str, ...], refills: int, parts: int = 1) -> Entry:
        of_one = [
            costs[f"{kernel}_{loop}{values if loop == 'values' else tick}"] for k, values, tick in few_spikes.WAYS if k == kernel
        ]
        every = [[(cost.cycles + cost.taken) / parts - refills for cost in (loops[thing] for thing in things)] for loops in of_one]
        least = [(loops[thing].least + loops[thing].taken) / parts - refills for loops in of_one for thing in things]
        name = f"{kernel}_{loop}, {' and '.join(things)}"
        return _entry(name, sum(every[0]) / len(things), min(least), max(map(max, every)))

    return {
        "fs_tick_cycles": of("fs", "tick", ("unit",), 1), "fs_value_cycles": of("fs", "values", ("unit",), 1),
        "fs_spike_cycles": of("fs", "tick", ("spike",), 2),
        "fs_complex_tick_cycles": of("fs_complex", "tick", ("unit",), 1),
        "fs_complex_value_cycles": of("fs_complex", "values", ("passing", "silent"), 1, parts=2),
        "fs_complex_spike_cycles": of("fs_complex", "tick", ("spike", "negative"), 2),
    }  # fmt: skip


def _of_convolutions() -> dict[str, Entry]:
    """Return the entries of `conv`: values are means over kernels, strides and, but for a weight, both numerics."""
    costs = {way: convolutions.cost_of(*way) for way in itertools.product(("float32", "int8"), (1, 2))}
    lows = {way: convolutions.cost_of(*way, store_cycles=1) for way in costs if way[0] == "float32"}
    event, place, weight = range(3)

    def of(thing: int, numerics: tuple[str, ...] = ("float32", "int8")) -> list[float]:
        return [float(cost[thing]) for (numeric, _), cost in costs.items() if numeric in numerics]

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    least, counted, most = _DIVIDE_CYCLES
    events, places, weights, int8 = of(event), of(place), of(weight, ("float32",)), of(weight, ("int8",))
    fast, slow = _DIVISIONS * (counted - least), _DIVISIONS * (most - counted)
    low_weight = min(float(cost[weight]) for cost in lows.values())
    return {
        "conv_event_cycles": _entry("conv, event", mean(events), min(events) - fast, max(events) + slow),
        "conv_place_cycles": _entry("conv, place", mean(places), min(places), max(places)),
        "conv_weight_cycles": _entry("conv, weight", mean(weights), low_weight, max(weights)),
        "int8_conv_weight_cycles": _entry("conv, weight", mean(int8), min(int8), max(int8)),
    }  # fmt: skip


def _of_operators(costs: Mapping[str, Mapping[str, Cost]]) -> dict[str, Entry]:
    """Return the entries of a DNN's operators, refills among them: no price adds any."""
    cycles = {name: of["element"].cycles + of["element"].taken for name, of in costs.items()}
    entries: dict[str, Entry] = {}
    for name, (loop, others) in OPERATORS.items():
        every = [cycles[of + unrolled] for of in (loop, *others) for unrolled in ("", "_unrolled")]
        entries[name] = _entry(f"{loop}, element", cycles[loop], min(every), max(*every, _THIRD_PARTY_CYCLES.get(name, 0)))
    for name, loops in WINDOWS.items():
        every = [number for of, number in cycles.items() if of.startswith(loops)]
        three = [number for of, number in cycles.items() if of.startswith(loops) and "_3x3_" in of]
        entries[name] = _entry(f"{' and '.join(loops)}, element", sum(three) / len(three), min(every), max(every))
    # A product is scaled in the same loop, and priced in two parts.
    plain, unrolled = (cycles[f"multiply{kind}"] - cycles[f"requantise{kind}"] for kind in ("", "_unrolled"))
    entries["dnn_multiply_cycles"] = _entry("multiply less requantise, element", plain, min(plain, unrolled), max(plain, unrolled))
    return entries


def differences(counts: Mapping[str, Entry]) -> list[str]:
    """Return a line for each count that is not the one kept."""
    before = read_counts()
    return [
        f"{name}: counted {counts.get(name)}, kept {before.get(name)}"
        for name in {**before, **counts}
        if counts.get(name) != before.get(name)
    ]
