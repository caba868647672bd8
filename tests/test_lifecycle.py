"""The life of a PE: one table, which allows a message in a state or refuses it by name."""

import pytest

from noc import packet as p
from pe.lifecycle import LIFECYCLE, LifecycleError, State, advance

KINDS = p.Message.__args__
PAIRS = [(state, kind) for state in State for kind in KINDS]
LIFE = [p.Hello, p.Load, p.Loaded, p.Start, p.Bundle, p.Bundle, p.Read, p.Reading, p.Stop, p.Stopped]


def reachable(start):
    seen, new = set(), {start}
    while new:
        seen |= new
        new = {after for state in new for after in LIFECYCLE[state].values()} - seen
    return seen


def test_every_state_has_a_row_and_can_be_reached_from_boot():
    assert LIFECYCLE.keys() == set(State)
    assert reachable(State.BOOT) == set(State)


def test_stopped_is_the_end_and_can_be_reached_from_everywhere():
    assert LIFECYCLE[State.STOPPED] == {}
    assert [state for state in State if not LIFECYCLE[state]] == [State.STOPPED]
    assert all(State.STOPPED in reachable(state) for state in State)


def test_no_way_leads_back_to_life_from_fault():
    assert reachable(State.FAULT) == {State.FAULT, State.STOPPING, State.STOPPED}


@pytest.mark.few(12)
@pytest.mark.parametrize(("state", "kind"), PAIRS, ids=lambda value: getattr(value, "value", None) or value.__name__)
def test_every_message_is_allowed_or_refused_by_name_state_and_kind(state, kind):
    if kind in LIFECYCLE[state]:
        assert advance("PE(1,2,3)@0", state, kind) is LIFECYCLE[state][kind]
        return
    with pytest.raises(LifecycleError) as caught:
        advance("PE(1,2,3)@0", state, kind)
    text = str(caught.value)
    assert text.startswith("PE(1,2,3)@0: ")
    assert f"{kind.__name__} in state {state.value}" in text
    for allowed in LIFECYCLE[state]:
        assert allowed.__name__ in text
    assert len(text.splitlines()) == 1


def test_the_papers_algorithm_is_a_walk_through_the_table():
    """Check for input, process it, wait for the host to read the output, stop."""
    state, walk = State.BOOT, []
    for kind in LIFE:
        state = advance("PE", state, kind)
        walk.append(state.value)
    assert walk == ["IDLE", "LOADING", "LOADED", "RUNNING", "RUNNING", "RUNNING", "READ", "WAITING", "STOPPING", "STOPPED"]


def test_a_pe_that_waits_may_be_read_again_or_run_again():
    assert advance("PE", State.WAITING, p.Read) is State.READ
    assert advance("PE", State.WAITING, p.Start) is State.RUNNING
    assert advance("PE", State.WAITING, p.Bundle) is State.WAITING


def test_a_pe_that_is_read_takes_part_in_the_ticks_it_still_owes():
    assert advance("PE", State.READ, p.Bundle) is State.READ
    assert advance("PE", State.READ, p.Reading) is State.WAITING


def test_a_fault_or_a_stop_may_come_at_any_time_of_a_life():
    alive = set(State) - {State.FAULT, State.STOPPED}
    assert {state for state in State if LIFECYCLE[state].get(p.Fault) is State.FAULT} == alive
    assert {state for state in State if LIFECYCLE[state].get(p.Stop) is State.STOPPING} == alive | {State.FAULT}


def test_what_is_not_for_a_pe_has_no_row_in_any_state():
    named = {kind for row in LIFECYCLE.values() for kind in row}
    of_counters, of_states = {p.Read, p.Reading}, {p.Recall, p.Save, p.Snapshot}
    assert named == of_counters | of_states | {p.Hello, p.Load, p.Loaded, p.Start, p.Bundle, p.Stop, p.Stopped, p.Fault}
    assert not {p.Batch, p.Query, p.Relay, p.Linked} & named  # a batch is judged by its bundle: it has no row of its own


def test_a_message_is_judged_by_its_kind():
    assert advance("PE", State.BOOT, p.Hello(17)) is advance("PE", State.BOOT, p.Hello) is State.IDLE
    with pytest.raises(LifecycleError, match="Hello in state RUNNING"):
        advance("PE", State.RUNNING, p.Hello(17))
