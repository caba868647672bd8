"""Chips linked to each other, as real processes: one answer on any number of them, whatever is slow or down; and nothing hangs
or is left behind when a router among many dies or stands still.
"""

from __future__ import annotations

import os
import re
import signal

import pytest

from host.errors import Exit
from host.faults import Faults
from host.mapping import strategies
from noc.machine import Machine
from noc.packet import chip_of
from tests.tools.grids import some
from tests.tools.processes import SLOW, answer, children, gone, hit, sockets

pytestmark = pytest.mark.timeout(60)


def chips_used(outcome):
    return {chip_of(row["pe"]) for row in outcome.mapping}


# --- one answer -------------------------------------------------------------------------------------------------------


ALL = [(8, mapping) for mapping in strategies.names()]


@pytest.mark.few(1)
@pytest.mark.parametrize(("chips", "mapping"), [(2, "uniform"), (3, "uniform"), *ALL, (48, "uniform")], ids=str)
@pytest.mark.slow_but("3-uniform", "8-balanced", "8-clustered", "48-uniform")
def test_any_number_of_chips_in_one_process(run, reference, chips, mapping):
    outcome = run(pes=48, chips=chips, mapping=mapping, transport="mem")
    assert answer(outcome) == reference
    assert chips_used(outcome) == ({0} if mapping == "clustered" else set(range(chips)))  # which leaves chips empty where it can


@pytest.mark.wide_but("4-uniform")
@pytest.mark.parametrize(("chips", "mapping"), [(1, "uniform"), (2, "uniform"), (4, "uniform"), *ALL], ids=str)
@pytest.mark.slow_but("4-uniform", "8-clustered")
def test_any_number_of_chips_over_processes(run, reference, chips, mapping):
    outcome = run(pes=16, chips=chips, mapping=mapping)
    assert answer(outcome) == reference
    assert outcome.report["emulation"]["processes"] == 16 + chips + 1
    assert chips_used(outcome) == ({0} if mapping == "clustered" else set(range(chips)))


@pytest.mark.wide
def test_what_links_carry_is_the_same_over_processes_as_in_one(run):
    links = [run(pes=16, chips=4, transport=transport).report["conservation"]["links"] for transport in ("zmq", "mem")]
    assert links[0] == links[1]
    assert set(links[0]) == {str(link) for link in Machine(4).links}
    assert any(links[0].values())


@pytest.mark.few(1)
@pytest.mark.parametrize("transport", ["mem", "zmq"])
def test_chips_and_links_that_are_down(run, reference, tmp_path, transport):
    """The host's chip is the first that is there; letters and events go round what is not."""
    path = tmp_path / "chip.toml"
    path.write_text("down_chips = [0, 3]\ndown_links = [[1, 0], [6, 3]]\n")
    outcome = run(pes=16, chips=8, chip_file=str(path), transport=transport)
    assert answer(outcome) == reference
    assert chips_used(outcome) == {1, 2, 4, 5, 6, 7}
    links = outcome.report["conservation"]["links"]
    assert not {"1>2", "2>1", "0>1", "3>1"} & {
        link for link in links if link not in map(str, Machine(8, [0, 3], [(1, 0), (6, 3)]).links)
    }


@pytest.mark.parametrize(("chips", "seed"), some([(4, 0), (8, 1), (8, 2)], (4, 0).__eq__))
def test_any_order_of_arrival(run, reference, chips, seed):
    assert answer(run(pes=24, chips=chips, transport="mem", faults=Faults({}, shuffle=seed))) == reference


@pytest.mark.wide
@pytest.mark.parametrize(
    "slow",
    [{"0>1": 0.02}, {"router@1": 0.01}, {"PE(1,1,0)@3": 0.02}, {"1>0": 0.01, "2>1": 0.02, "PE(1,1,0)@1": 0.01}],
    ids=lambda slow: ",".join(slow),
)
@pytest.mark.slow_but("router@1", "1>0,2>1,PE(1,1,0)@1")
def test_whoever_is_slow(run, reference, slow):
    assert answer(run(pes=8, chips=4, faults=Faults(slow))) == reference


@pytest.mark.wide
def test_a_late_dram_on_several_chips(run, reference):
    assert answer(run(pes=8, chips=4, faults=Faults({}, late=((0, 3), (7, 2))))) == reference


def test_generated_text_is_the_same_on_several_chips(run):
    texts = [run(prompt="w3 w4", generate=12, pes=pes, chips=chips).report["result"]["text"] for pes, chips in ((1, 1), (8, 4))]
    assert texts[0] == texts[1]


# --- who is not there, or not in use ----------------------------------------------------------------------------------


@pytest.mark.few(2)
@pytest.mark.parametrize("name", ["router@4", "0>4", "2>3", "PE(1,1,0)@4", "0>", "router@x"])
def test_a_slow_router_or_link_that_is_not_in_use_is_refused_by_name(run, name):
    outcome = run(pes=8, chips=4, faults=Faults({name: 0.1}))
    assert outcome.code is Exit.USAGE
    assert f"{name} is not in use" in outcome.problem
    assert "\n" not in outcome.problem
    assert "router@0 to router@3" in outcome.problem


# --- who dies, or stands still ----------------------------------------------------------------------------------------


@pytest.mark.wide_but("router@3-starting")
@pytest.mark.parametrize(("name", "phase"), [("router@1", "running"), ("router@3", "starting"), ("PE(1,1,0)@3", "running")])
def test_a_process_of_another_chip_that_is_killed_is_named_and_the_run_ends(run, name, phase):
    outcome, seconds = hit(run, name, signal.SIGKILL, phase, chips=4)
    assert outcome.code is Exit.DIED
    state = "RUNNING" if phase == "running" else r"\w+"
    assert re.fullmatch(rf"{re.escape(name)} died \(SIGKILL\) while {state}, at tick \d+; with .*", outcome.problem), (
        outcome.problem
    )
    assert seconds < 10
    assert gone(children)
    assert gone(sockets)


@pytest.mark.wide
@pytest.mark.parametrize("name", ["router@1", "router@3"])
@pytest.mark.slow_but("router@1")
def test_a_router_that_stands_still_is_named_and_nobody_else(run, name):
    outcome, seconds = hit(run, name, signal.SIGSTOP, chips=4, stall_s=2.0)
    assert outcome.code is Exit.STALLED
    assert re.fullmatch(rf"stalled: {name} did not pass on tick \d+ for 2 s; with .*", outcome.problem), outcome.problem
    assert seconds < 5
    assert gone(children)


@pytest.mark.wide
def test_a_pe_of_another_chip_that_stands_still_is_named_and_nobody_else(run):
    outcome, _ = hit(run, "PE(1,1,0)@3", signal.SIGSTOP, chips=4, stall_s=2.0)
    assert outcome.code is Exit.STALLED
    line = r"stalled: PE\(1,1,0\)@3 did not send the batch of tick \d+ for 2 s; with --restart a run goes on"
    assert re.fullmatch(line, outcome.problem), outcome.problem
    assert gone(children)


@pytest.mark.wide
def test_ctrl_c_on_several_chips_ends_the_run_in_order_with_a_partial_report(run):
    sent: list[int] = []

    def observe(status) -> None:
        if status["phase"] == "running" and status["tick"] > 3 and not sent:
            sent.append(status["tick"])
            os.kill(os.getpid(), signal.SIGINT)

    outcome = run(observe=observe, pes=8, chips=4, tokens=150, faults=SLOW)
    assert outcome.code is Exit.INTERRUPTED
    assert outcome.problem == "interrupted"
    assert outcome.report["partial"] is True
    assert 0 < outcome.report["result"]["tokens"] < 150
    assert outcome.report["conservation"]["wrong"] == []  # even then no packet is lost, on any link
    assert gone(children)
    assert gone(sockets)
