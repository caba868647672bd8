"""What the wiring promises: two routers agree on who calls whom, and letters find every chip and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noc.machine import BOARD_CHIPS, Machine, MachineError
from noc.packet import HOST, chip_of, router_name
from noc.wiring import Wiring, deepest_first, wiring_of
from tests.tools.linked import machines

patient = settings(deadline=None, max_examples=60)
WHOLE = [1, 2, 4, 8, BOARD_CHIPS, 144]


def wirings(machine):
    return {chip: wiring_of(machine, chip) for chip in machine.live}


def neighbours(machine, chip):
    return {int(to) for to in machine.neighbours[chip] if to >= 0}


def check_calls(machine, wired):
    for chip, wiring in wired.items():
        name = router_name(chip)
        calls, called_by = set(map(chip_of, wiring.calls)), set(map(chip_of, wiring.called_by))
        assert calls | called_by == neighbours(machine, chip)
        assert not calls & called_by
        assert len(wiring.calls) + len(wiring.called_by) == len(
            neighbours(machine, chip)
        )  # once each, though two links may join them
        assert all(name in wired[other].called_by for other in calls)
        assert all(name in wired[other].calls for other in called_by)


def check_letters(machine, wired):
    """Follow the ways from router to router; each step is a link that is there, and no way is longer than it need be."""
    depth = machine.tree(machine.host_chip).depth
    for chip in machine.live:
        at, way = machine.host_chip, [machine.host_chip]
        while at != chip:
            at = chip_of(wired[at].down[chip])
            assert at in neighbours(machine, way[-1])
            way.append(at)
        assert len(way) - 1 == depth[chip]
        back = [chip]
        while wired[back[-1]].up != HOST:
            back.append(chip_of(wired[back[-1]].up))
        assert back == way[::-1]  # answers come back the same way


def check_below(machine, wired):
    """A router knows a way to exactly those that hear from the host through it."""
    for chip, wiring in wired.items():
        below = {other for other in machine.live if other != chip and chip in through(wired, machine.host_chip, other)}
        assert set(wiring.down) == below


def through(wired, host_chip, chip):
    at = chip
    while at != host_chip:
        at = chip_of(wired[at].up)
        yield at


@pytest.mark.parametrize("chips", WHOLE)
def test_calls_are_mutual_on_a_whole_machine(chips):
    machine = Machine(chips)
    check_calls(machine, wirings(machine))


@patient
@given(machines(12))
def test_calls_are_mutual_whatever_is_down(machine):
    check_calls(machine, wirings(machine))


@patient
@given(machines(12))
def test_the_later_chip_calls_the_earlier_one(machine):
    """Routers start in an order in which whoever is called may be up already; nobody calls itself."""
    for chip, wiring in wirings(machine).items():
        assert all(chip_of(name) < chip for name in wiring.calls)
        assert all(chip_of(name) > chip for name in wiring.called_by)


@pytest.mark.parametrize("chips", [1, 8, BOARD_CHIPS])
def test_letters_reach_every_chip_and_come_back_on_a_whole_machine(chips):
    machine = Machine(chips)
    check_letters(machine, wirings(machine))
    check_below(machine, wirings(machine))


@patient
@given(machines(12))
def test_letters_reach_every_chip_and_come_back_whatever_is_down(machine):
    wired = wirings(machine)
    check_letters(machine, wired)
    check_below(machine, wired)


def test_the_host_may_sit_on_another_chip_than_the_first():
    machine = Machine(8, down_chips=[0, 1])
    assert machine.host_chip == 2
    wired = wirings(machine)
    assert wired[2].up == HOST
    assert all(wiring.up != HOST for chip, wiring in wired.items() if chip != 2)
    check_letters(machine, wired)


def test_a_chip_alone_has_no_neighbours():
    assert wiring_of(Machine(1), 0) == Wiring()


@patient
@given(machines(12))
def test_no_chip_comes_before_one_whose_letters_pass_through_it(machine):
    order = deepest_first(machine)
    assert sorted(order) == list(machine.live)
    assert order[-1] == machine.host_chip
    wired = wirings(machine)
    for chip in machine.live:
        assert all(order.index(chip) < order.index(before) for before in through(wired, machine.host_chip, chip))


@patient
@given(st.data())
def test_a_machine_that_falls_apart_is_refused_and_not_wired(data):
    """Every link of one chip down: nobody can reach it, unless it is the host's own and alone."""
    chips = data.draw(st.integers(2, 8))
    lost = data.draw(st.integers(0, chips - 1))
    with pytest.raises(MachineError, match="no link leads there from chip 0"):
        Machine(chips, (), [(lost, way) for way in range(6)])
