"""What spiking networks cost: counted loops, the price of a step, NeuroBench's accumulates, and ledgers without processes."""

from __future__ import annotations

import numpy as np
import pytest

from bench.instructions.cortex_m4 import parse, time_of
from host.cost.cost_table import load_table
from host.cost.cycles import UNITS, shard_cycles, stages_of
from host.cost.moves import moves_of
from host.cost.neurobench import neurobench_metrics
from host.cost.price import price_positions as price
from host.mapping.placement import place
from host.run.offline import record
from models.network import Network
from noc.chip import load_chip
from tests.test_offline import Ignored, same
from tests.test_quantise_spiking import in_8_bits
from tests.test_spiking_neurons import spiking
from tests.tools.graph_runs import RandomInput, run_graph

CHIP = load_chip()
CSR = """
   0:\tf854 3b04 \tldr.w\tr3, [r4], #4
   4:\tecb2 7a01 \tvldmia\tr2!, {s14}
   8:\teb01 0383 \tadd.w\tr3, r1, r3, lsl #2
   c:\tedd3 6a00 \tvldr\ts13, [r3]
  10:\t42a2      \tcmp\tr2, r4
  12:\teee7 7a26 \tvfma.f32\ts15, s14, s13
  16:\td1f3      \tbne.n\t0 <csr>
"""
DENSE = """
   0:\tecb2 7a01 \tvldmia\tr2!, {s14}
   4:\tecf1 6a01 \tvldmia\tr1!, {s13}
   8:\t42a2      \tcmp\tr2, r4
   a:\teee7 7a26 \tvfma.f32\ts15, s14, s13
   e:\td1f7      \tbne.n\t0 <dense>
"""


@pytest.mark.parametrize(("listing", "constant"), [(CSR, "csr_weight_cycles"), (DENSE, "dense_weight_cycles")])
def test_the_scoreboard_gives_the_egru_s_loops_what_their_price_has(listing, constant):
    turn = list(parse(listing).values())
    once, twice = time_of(turn), time_of(turn * 2)
    assert twice.cycles - once.cycles == load_table()[constant]
    assert twice.taken - once.taken == 1


@pytest.mark.parametrize(
    ("lines", "cycles"),
    [
        (["vadd.f32\ts0, s1, s2", "vmul.f32\ts3, s0, s4"], 3),  # waits for what is added
        (["vadd.f32\ts0, s1, s2", "vmul.f32\ts3, s5, s4"], 2),
        (["vcmpe.f32\ts0, s1", "vmrs\tAPSR_nzcv, fpscr"], 3),
        (["vdiv.f32\ts0, s1, s2"], 14),
        (["ldr\tr0, [r1, #4]", "ldr\tr2, [r1, #8]"], 3),  # pipelined
        (["ldr\tr0, [r1, #4]", "ldr\tr2, [r0, #8]"], 4),
        (["str\tr0, [r1, #4]", "str.w\tr0, [r1, r2, lsl #2]"], 3),
        (["vstr\ts0, [r1, #4]", "vmov\tr0, s1", "vmov.f32\ts0, s1"], 5),
        (["ldmia.w\tr0, {r1, r2, r3}"], 4),
    ],
)
def test_single_instructions_take_what_the_tables_say(lines, cycles):
    listing = "\n".join(f"  {4 * n:x}:\t0000 0000 \t{line}" for n, line in enumerate(lines))
    assert time_of(list(parse(listing).values())).cycles == cycles


# ---- of runs


def run_of(network, form="packed", lanes=1):
    placement = place(network, CHIP, "uniform", form, 9, lanes, 1)
    run, _, _ = run_graph(placement, RandomInput(network, lanes, 20, active=0.3))
    return placement, run.recorder.ledger()


@pytest.mark.few(1)
@pytest.mark.parametrize("payload", ["spike", "count"])
@pytest.mark.parametrize("form", ["csr", "packed", "conv"])
def test_spikes_are_recorded_without_processes_to_the_last_integer(payload, form):
    for network, lanes in ((spiking(payload, reset=1.0), 2), (in_8_bits("int32", payload), 1)):
        placement, ledger = run_of(network, form, lanes)
        recorded = record(placement, RandomInput(network, lanes, 20, active=0.3), Ignored())
        same(recorded.ledger(placement), ledger)


def test_units_and_spikes_are_paid_for():
    network = in_8_bits()
    _, ledger = run_of(network)
    table = load_table()
    cycles = shard_cycles(ledger, moves_of(ledger, CHIP, table), CHIP, table)[:, :, stages_of(ledger).index(UNITS)]
    assert stages_of(ledger) == ("synapses", "pointwise", "broadcast", "wait")
    population = ledger.shards["population"][ledger.turns.shard]
    units, spikes = ledger.units_stepped.sum(axis=0), ledger.events.sum(axis=0)
    assert spikes[population == 1].sum() > 50
    for number, kernel in ((1, "lif"), (3, "li")):
        of = population == number
        spike_cycles = table["lif_spike_cycles"] + 2 * table["branch_refill_cycles"] if kernel == "lif" else 0
        expected = units[of] * (table[f"{kernel}_unit_cycles"] + table["branch_refill_cycles"]) + spikes[of] * spike_cycles
        np.testing.assert_allclose(cycles[:, of].sum(axis=0), expected)
    priced = price(ledger, CHIP, table)
    for value, (low, high) in (
        (priced.time_s, priced.time_band_s), (priced.power_w, priced.power_band_w), (priced.energy_j, priced.energy_band_j),
    ):  # fmt: skip
        assert 0 < low < value < high


def test_spikes_are_accumulates_and_counts_are_multiply_accumulates():
    for payload in ("spike", "count"):
        network = in_8_bits(payload=payload)
        _, ledger = run_of(network)
        synaptic = neurobench_metrics(network, ledger, 0)["SynapticOperations"]
        of_input = ledger.ports["source"] == 0
        macs = ledger.port_counts[:, :, 0].sum(axis=0, dtype=np.int64)
        counted = macs.sum() if payload == "spike" else macs[of_input].sum()
        assert synaptic["Effective_ACs"] == counted / 20
        assert synaptic["Effective_MACs"] == (macs.sum() - counted) / 20
        assert isinstance(network, Network)
