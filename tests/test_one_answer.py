"""One answer: the event stream and the model counters do not depend on how a network is spread over processes.

Real processes throughout. `GOLDEN` must hold on any machine: nothing in the run uses a library's transcendental function,
a BLAS or an unordered sum.
"""

from __future__ import annotations

import os
import signal
import threading

import pytest

from host.errors import Exit
from host.faults import Faults
from models import formats
from tests.tools.grids import in_turn, pairs, some
from tests.tools.processes import answer

pytestmark = pytest.mark.timeout(60)

GOLDEN = "cd81f2b3ef29bd931ca024def42ff85e984bc8d5013179b186925f7d41385201"


def test_the_hash_is_the_same_on_any_machine(reference):
    assert reference[0] == GOLDEN


@pytest.mark.parametrize(("pes", "mapping"), in_turn((1, 2, 3, 7, 20, 60), ("uniform", "balanced")))
def test_any_number_of_pes(run, reference, pes, mapping):
    assert answer(run(pes=pes, mapping=mapping, transport="mem")) == reference


@pytest.mark.wide
@pytest.mark.parametrize(("form", "pes"), pairs(formats.names(), (1, 3, 24)))
@pytest.mark.slow_but("csr-24", "dense-1", "packed-3")
def test_any_format_over_processes(run, reference, pes, form):
    outcome = run(pes=pes, format=form, transport="zmq")
    assert answer(outcome) == reference
    assert outcome.report["emulation"]["processes"] == pes + 2


def test_one_pe_sends_no_packets(run, reference):
    outcome = run(pes=1)
    counters = outcome.report["counters"]
    assert (counters["packets_sent"], counters["packets_delivered"], counters["packets_dropped"]) == (0, 0, 0)


@pytest.mark.wide
def test_packets_equal_a_closed_form_of_events_and_placement(run):
    """Each event of a layer reaches the other PEs of its layer and all PEs of the next one."""
    report = run(pes=9).report
    first, second, last = report["events"]["by_layer"]
    assert report["mapping"]["layers"] == [3, 3, 3]
    assert report["counters"]["packets_sent"] == (2 + 3) * (first + second) + 2 * last


@pytest.mark.few(1)
@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_arrival(run, reference, seed):
    assert answer(run(pes=9, transport="mem", faults=Faults({}, shuffle=seed))) == reference


@pytest.mark.wide
def test_a_slow_pe(run, reference):
    assert answer(run(pes=5, faults=Faults({"PE(1,1,1)@0": 0.01}))) == reference


@pytest.mark.parametrize("late", [((0, 3),), ((4, 1), (9, 6)), ((24, 5),)])
@pytest.mark.slow_but("late1")
def test_a_late_dram(run, reference, late):
    assert answer(run(pes=5, faults=Faults({}, late=late))) == reference
    assert answer(run(pes=1, transport="mem", faults=Faults({}, late=late))) == reference


@pytest.mark.wide
def test_a_pause(run, reference):
    """A PE stands still for a while in the middle of the run and goes on."""
    pids = {}
    paused = []

    def observe(status):
        if status["phase"] == "running" and status["tick"] > 3 and not paused:
            paused.append(status["tick"])
            os.kill(pids["PE(1,1,0)@0"], signal.SIGSTOP)
            threading.Timer(0.6, os.kill, (pids["PE(1,1,0)@0"], signal.SIGCONT)).start()

    slow = Faults({"PE(1,1,2)@0": 0.02})  # so that the run is still going when the status comes
    assert answer(run(pes=5, started=pids.__setitem__, observe=observe, faults=slow)) == reference
    assert paused


@pytest.mark.wide
@pytest.mark.parametrize(("form", "name"), pairs(formats.names(), ("none", "all")))
@pytest.mark.slow_but("csr-none", "dense-all", "array-none")
def test_at_no_activity_and_at_full_activity(run, folder, form, name):
    share = {"none": 0.0, "all": 1.0}[name]
    checkpoint = str(folder / f"{name}.safetensors")
    answers = [answer(run(checkpoint=checkpoint, pes=pes, format=form, transport=t)) for pes, t in ((1, "mem"), (7, "zmq"))]
    assert answers[0] == answers[1]
    report = run(checkpoint=checkpoint, pes=7, format=form, transport="mem").report
    assert report["events"]["sparsity_by_layer"] == [1.0 - share] * 3


@pytest.mark.wide
def test_a_sequence_of_a_batch_answers_as_it_does_alone(run, folder, tmp_path):
    batch = run(batch=3, tokens=20, pes=6).report
    from models.text.tokeniser import tokenise

    tokens = tokenise((folder / "text.txt").read_text())
    length = len(tokens) // 3
    for lane in range(3):
        alone = tmp_path / f"{lane}.txt"
        # One paragraph a file would end in <eos>; the run stops before it.
        alone.write_text(_as_text(tokens[lane * length : lane * length + 22]))
        report = run(text=str(alone), tokens=20, pes=2, transport="mem").report
        assert report["events"]["sequences"] == [batch["events"]["sequences"][lane]]


def _as_text(tokens):
    return "".join("\n\n" if token == "<eos>" else f"{token} " for token in tokens)


@pytest.mark.wide
@pytest.mark.parametrize("name", ["tiny", "all", "none", "zoneout"])
def test_agreement_with_the_independent_reference(run, folder, name):
    outcome = run(checkpoint=str(folder / f"{name}.safetensors"), verify=True, pes=7)
    assert outcome.code is Exit.OK, outcome.problem
    assert outcome.mismatch == {"compared": 24 * (24 + 24 + 20), "difference": None}


@pytest.mark.wide
def test_generated_text_is_the_same_for_a_seed(run):
    texts = [
        run(prompt="w3 w4", generate=12, temperature=0.8, top_k=10, seed=seed, pes=pes, transport=how).report["result"]["text"]
        for seed, pes, how in ((1, 1, "mem"), (1, 6, "zmq"), (2, 1, "mem"))
    ]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.wide
@pytest.mark.timeout(120)
@pytest.mark.parametrize("ends", some(("mem", "zmq"), "mem".__eq__))
def test_the_papers_model_from_the_fewest_pes_that_fit_to_150(run, ends):
    """Seeded, with the paper's sizes and sparsity; on 150 real processes, and where they are fewest on such, too, which is slow."""
    common = {"checkpoint": "seeded", "text": None, "tokens": 8}
    cases = [
        ("balanced", "csr", None, "mem"),
        ("uniform", "csr", 150, "zmq"),
        ("balanced", "packed", None, ends),
        ("uniform", "packed", 120, "mem"),
    ]
    outcomes = [run(**common, mapping=mapping, format=form, pes=pes, transport=how) for mapping, form, pes, how in cases]
    assert len({str(answer(outcome)) for outcome in outcomes}) == 1
    used = [outcome.report["mapping"]["pes"] for outcome in outcomes]
    assert used[1] == 150
    assert used[0] < 120
    assert used[2] < 80
    worst = outcomes[1].report["mapping"]["sram"]["worst"]
    assert abs(worst["weights"] - 88_300) < 0.025 * 88_300  # the paper's Table I
    assert worst["free"] > 0
