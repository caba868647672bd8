"""Cycles that a price reckons with are those that were counted from compiled loops, and can be counted again."""

from __future__ import annotations

import shutil

import pytest

from bench.instructions import compiled, counts
from bench.instructions.__main__ import main as recount
from bench.instructions.cortex_m4 import parse, time_of
from host.cost.cost_table import load_table
from noc.chip import load_chip


def test_prices_reckon_with_the_counts_that_are_kept():
    table, chip = load_table(), load_chip()
    for name, entry in counts.read_counts().items():
        one = chip.facts[name.removeprefix("chip.")] if name.startswith("chip.") else table.constants[name]
        assert (one.value, one.low, one.high) == (entry["value"], entry["low"], entry["high"]), name


def test_whatever_is_counted_in_cycles_of_the_core_is_kept():
    """So that no constant of a loop is a number that nobody can make again."""
    by_count = counts.read_counts()
    # Of the core, of the chip's unit, and a library's as a third party has it: no loop's.
    other = {"branch_refill_cycles", "exp_unit_cycles", "dnn_softmax_library_cycles"}
    for name, one in load_table().constants.items():
        if one.unit == "cycle" and one.grade != "NF" and name not in other:
            assert name in by_count, name
    assert {*counts.LOOPS, *counts.BRANCHES, *counts.OPERATORS, *counts.WINDOWS} <= by_count.keys()


@pytest.mark.parametrize(
    ("lines", "cycles"),
    [
        (["vfma.f32\ts0, s1, s2", "vadd.f32\ts3, s4, s5"], 4),  # the FPU is busy for 3
        (["vfma.f32\ts0, s1, s2", "vadd.f32\ts3, s0, s5"], 5),  # the sum is there after 4
        (["vfma.f32\ts0, s1, s2", "vfma.f32\ts0, s4, s5"], 4),  # or after 3, for another to add to
        (["vfma.f32\ts0, s1, s2", "adds\tr0, #1", "subs\tr1, #1", "vadd.f32\ts3, s4, s5"], 4),  # integers go on
        (["vfma.f32\ts0, s1, s2", "vstr\ts0, [r1, #4]"], 6),
    ],
)
def test_what_waits_for_a_multiply_accumulate(lines, cycles):
    listing = "\n".join(f"  {4 * n:x}:\t0000 0000 \t{line}" for n, line in enumerate(lines))
    run = list(parse(listing).values())
    assert time_of(run).cycles == cycles
    assert time_of(run, sums_waited=False).cycles <= cycles


def test_a_machine_without_the_tools_is_told_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(compiled.shutil, "which", lambda _: None)
    assert recount([]) == 2
    assert "arm-none-eabi-gcc: not installed; on Debian and Ubuntu: apt install gcc-arm-none-eabi" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not shutil.which(compiled.COMPILER), reason=f"{compiled.COMPILER} is not installed")
def test_counted_again_they_are_as_kept(capsys):
    pytest.importorskip("unicorn")
    assert recount([]) == 0, capsys.readouterr().out
