"""What the emulation is meant to reach on two cores that are otherwise idle, and how a measured figure is held against it.

The chip: 170.25 ms a sequence of 70 tokens, Nazeer et al., arXiv:2312.09084, Table II.
"""

from __future__ import annotations

from typing import NamedTuple

CHIP_SEQUENCE_MS, CHIP_TOKENS = 170.25, 70
CHIP_TOKEN_MS = CHIP_SEQUENCE_MS / CHIP_TOKENS
SYSTEM_FLOOR_MS = 2.12
"""Of a token (`bench/tick.py`), on the day of whose pace the targets are meant (docs/performance.md, "Targets")."""


class Target(NamedTuple):
    """A figure's name, the most it may be, and its unit ("times" for a ratio)."""

    name: str
    most: float
    unit: str


TARGETS = {
    "zmq_floor": Target("a token against the ZeroMQ floor", 1.3, "times"),
    "system_floor": Target("a token against the system floor", 1.6, "times"),
    "token": Target("a token", 3.4, "ms"),
    "packed": Target("a token, packed, against csr", 1.0, "times"),
    "memory": Target("a token in one process", 3.5, "ms"),
    "batch": Target("a token and sequence, --batch 16 packed", 1.2, "ms"),
    "generation": Target("a generated token", 7.0, "ms"),
    "ready": Target("150 PEs ready", 1.5, "s"),
    "ready_8": Target("1,200 PEs on 8 chips ready", 7.0, "s"),
    "uss": Target("unshared memory of a PE", 3.0, "MB"),
    "growth": Target("a PE and tick at 1,200 PEs against 150", 1.1, "times"),
    "first_compile": Target("a first compile", 5.0, "s"),
    "monitor": Target("the live monitor, of the run's CPU time", 3.0, "%"),
    "trace": Target("a trace of every position, of the run's time", 15.0, "%"),
    "report": Target("the report", 1.0, "s"),
    "step_processes": Target("a step of a session, GRU 8 > 24 > 24, 8 PEs", 1.2, "ms"),
    "step_here": Target("the same in one process", 0.5, "ms"),
    "step_small": Target("a step, 16 units on one PE, one process", 0.25, "ms"),
    "control_tick": Target("a tick of a closed loop, 8 PEs", 0.4, "ms"),
    "control_action": Target("an action of 32 episodes side by side", 0.5, "ms"),
    "gesture_51": Target("a step of a spiking gesture network, 51 PEs", 2.0, "ms"),
    "gesture_147": Target("the same, 147 PEs", 4.6, "ms"),
    "gesture_batch": Target("a sample and step of it, 51 PEs, --batch 6", 1.0, "ms"),
    "dnn_barrier": Target("a layer's barrier of a DNN over 40 workers", 6.0, "ms"),
    "dnn_image": Target("an image of the shipped digits, batch 16", 2.0, "ms"),
    "vit_image": Target("an image of the shipped vision transformer, batch 16", 20.0, "ms"),
    "opt_block": Target("a decoder block of OPT-125M, 512 tokens, 128 PEs", 10.0, "s"),
}
Figures = dict[str, float]
"""Measured figures, by the key of `TARGETS`, in its unit; and the system floor of the run, in ms, by `tick.FLOOR`."""


def verdicts(figures: Figures, slowness: float = 1.0) -> str:
    """Return one line for each figure: what it is, what it may be, their ratio, and whether that is met.

    `slowness`: how many times as long as on that day the system floor takes. Where it is given, times stand there twice, the second
    time divided by it: what they would be on that day, which is derived, and no measurement.
    """
    lines = []
    for key, target in TARGETS.items():
        if key in figures:
            have, verdict = figures[key], "met" if figures[key] <= target.most else "missed"
            line = f"  {target.name:<53}{have:9.2f} {target.unit:<6}at most {target.most:5g}{have / target.most:8.2f}   {verdict}"
            if slowness != 1 and target.unit in ("ms", "s"):
                then = have / slowness
                line = f"{line:<97}{then:9.2f} {'met' if then <= target.most else 'missed'}"
            lines.append(line)
    return "\n".join(lines)
