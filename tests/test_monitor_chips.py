"""What a person sees of a run on several chips: each of them, what its links carry, and at once which of them is in trouble."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_monitor import LAYOUT, STATUS, fits, plain, seen, terminal  # noqa: F401 - fixtures

from host.show.mesh_view import LARGE, SCALES, MeshView
from host.show.monitor import open_monitor
from host.show.plain_monitor import machine_lines
from noc.chip import load_chip
from noc.machine import Machine
from tests.tools.grids import pairs
from tests.tools.work import count_calls

SIZES = [(80, 24), (120, 40), (200, 60)]
EACH = 140  # PEs in use of a chip
DEAD, STALLED = "×", "!"  # noqa: RUF001 - a cross


def machine(chips, each=EACH, down=()):
    """Return the layout of a run on this machine, and a status in which everything is known and well."""
    made, sites = Machine(chips, down), load_chip()
    pes = [str(pe) for chip in made.live for pe in sites.usable_pes(chip)[:each]]
    layout = LAYOUT | {
        "pes": [{"name": name, "layer": f"egru{1 + 3 * n // len(pes)}", "sram": 0.5} for n, name in enumerate(pes)],
        "chips": [{"number": chip, "position": list(made.positions[chip])} for chip in made.live],
        "links": [
            {"name": str(link), "ends": [link.chip, link.to], "cable": made.is_cable(link.chip, link.direction)}
            for link in made.links
        ],
    }
    loads = [100 + n for n in range(len(made.links))]
    return layout, STATUS | {"pe_activity": [0.07] * len(pes), "links": loads}


def drawn(chips, width, height, **changes):
    """Return the plan as the view of this size has it."""
    layout, status = machine(chips)
    return MeshView(layout).draw(status | changes, width - 42, height - 6)


def labels(plan):
    """Return {chip: (row, column, look)} of what names a chip."""
    found = {}
    for row, line in enumerate(plan.lines):
        column = 0
        for span in line:
            words = re.search(rf"(?:chip |[{DEAD}{STALLED}]|^ *)(\d+)", span.text)
            if words and (span.look in ("bold", "tile") or span.look == "fault"):
                number = int(words[1])
                assert number not in found
                found[number] = row, column + span.text.index(words[1]), span.look
            column += len(span.text)
    return found


def text(plan):
    return "\n".join("".join(span.text for span in line) for line in plan.lines)


def looking(plan, look):
    return [span.text for line in plan.lines for span in line if span.look == look]


# ---- every chip


@pytest.mark.few(2)
@pytest.mark.parametrize(("size", "chips"), pairs(SIZES, [2, 3, 4, 8, 17, 48]))
def test_every_chip_is_shown_with_its_number(seen, chips, size):  # noqa: F811
    width, height = size
    plan = drawn(chips, width, height)
    assert set(labels(plan)) == set(range(chips))
    assert plan.wide <= width - 42
    assert len(plan.lines) <= height - 6
    layout, status = machine(chips)
    lines = seen(status, width, height, layout)[1]
    assert fits(lines, width, height - 1)
    assert f"{chips * EACH:,} PEs · {chips} chips of spinnaker2 · 1:01" in lines[0]
    assert "no PE or router is stalled or dead" in lines[2]
    for line in text(plan).split("\n"):
        assert line.rstrip() in "\n".join(lines)


@pytest.mark.few(3)
@pytest.mark.parametrize(("width", "height", "chips", "wide"), [
    (200, 60, 2, 28), (200, 60, 8, 28), (120, 40, 4, 28), (120, 40, 8, 14), (80, 24, 2, 14), (80, 24, 4, 14), (80, 24, 8, 7),
    (120, 40, 48, 7), (200, 60, 48, 7), (80, 24, 48, 3),
])  # fmt: skip
def test_chips_are_as_large_as_all_of_them_fit(width, height, chips, wide):
    assert drawn(chips, width, height).scale.wide == wide


@pytest.mark.few(5)
@pytest.mark.parametrize("chips", [2, 4, 8, 48])
@pytest.mark.parametrize("scale", range(len(SCALES)))
def test_a_chip_s_neighbours_lie_around_it_as_on_the_mesh(scale, chips):
    layout, _ = machine(chips)
    scales = SCALES[scale]
    places = MeshView(layout)._on_mesh(scales)
    for link in layout["links"]:
        if link["cable"]:
            continue
        (row, column), (to_row, to_column) = (places[chip] for chip in link["ends"])
        aside, up = to_column - column, row - to_row
        assert (abs(aside), abs(up)) in ((scales.across, 0), (scales.across // 2, scales.down))
    assert min(row for row, _ in places.values()) == min(column for _, column in places.values()) == 0
    assert len(set(places.values())) == chips


@pytest.mark.wide
def test_without_positions_or_room_for_the_mesh_chips_stand_in_rows():
    layout, status = machine(48)
    narrow = MeshView(layout).draw(status, 24, 11)
    assert set(labels(narrow)) == set(range(48))
    places = [labels(narrow)[chip][:2] for chip in range(48)]
    assert places == sorted(places)
    unplaced = layout | {"chips": [{"number": chip} for chip in range(48)]}
    assert set(labels(MeshView(unplaced).draw(status, 100, 40))) == set(range(48))
    assert MeshView(layout).draw(status, 10, 11) is None


def test_a_chip_that_is_down_is_a_gap():
    layout, status = machine(8, down=[2])
    assert set(labels(MeshView(layout).draw(status, 150, 54))) == {0, 1, 3, 4, 5, 6, 7}


def test_one_chip_is_drawn_as_large_as_ever(seen):  # noqa: F811
    layout, status = machine(1)
    plain_layout = {key: value for key, value in layout.items() if key not in ("chips", "links")}
    for width, height in SIZES:
        assert seen(status, width, height, layout) == seen(status, width, height, plain_layout)


# ---- every PE


def test_every_pe_has_its_place_and_holes_are_gaps():
    layout, _ = machine(2)
    plan = MeshView(layout).draw({}, 150, 54)
    assert plan.scale is LARGE
    assert text(plan).count("░") == 2 * 2 * EACH
    assert text(plan).count("·") == 2 * (152 - EACH)
    medium = MeshView(layout).draw({}, 38, 18)
    assert medium.scale.wide == 14
    assert text(medium).count("░") + text(medium).count("·") == 2 * 152 / 2


@pytest.mark.parametrize("scale", range(3))
def test_a_pe_is_coloured_by_its_activity(scale):
    layout, status = machine(2)
    hot = [0.5 if pe["name"] in ("PE(1,1,0)@1", "PE(1,1,1)@1", "PE(1,1,2)@1", "PE(1,1,3)@1") else 0.0 for pe in layout["pes"]]
    room = [(150, 54), (38, 18), (20, 10)][scale]
    plan = MeshView(layout).draw(status | {"pe_activity": hot}, *room)
    assert plan.scale == SCALES[scale]
    lit = [(row, span) for row, line in enumerate(plan.lines) for span in line if span.look == "heat" and 5 in span[2:]]
    assert [row for row, _ in lit] == [1, 2][: 1 + (scale == 0)]  # chip 1 is the upper one, QPE 1,1 at its top
    assert [span.text for _, span in lit] == [["▇▇▇▇", "▇▇▇▇"], ["██"], ["▀"]][scale]
    assert all(span.ground == 0 for _, span in lit) == (scale == 2)  # the QPE below is cold


def test_a_tile_is_coloured_by_its_chip_s_mean_activity():
    layout, status = machine(48)
    shares = [0.5 if pe["name"].endswith("@17") else 0.02 for pe in layout["pes"]]
    plan = MeshView(layout).draw(status | {"pe_activity": shares}, 38, 18)
    tiles = {int(span.text): span.ground for line in plan.lines for span in line if span.look == "tile"}
    assert tiles == {chip: 5 if chip == 17 else 1 for chip in range(48)}


def test_a_chip_s_name_says_which_layers_it_runs_and_how_active_it_is():
    plan = drawn(3, 200, 60)
    assert [one.strip() for one in looking(plan, "bold")] == ["chip 1 L2 7.0%", "chip 0 L1 7.0%", "chip 2 L3 7.0%"]


# ---- what is wrong


@pytest.mark.few(1)
@pytest.mark.parametrize(("size", "chips", "kind"), pairs(SIZES, [2, 4, 8, 48], ["dead", "stalled"]))
def test_a_router_in_trouble_is_named_and_marked_on_its_chip(seen, chips, kind, size):  # noqa: F811
    width, height = size
    plan = drawn(chips, width, height, **{kind: ["router@1"]})
    found = labels(plan)
    assert set(found) == set(range(chips))
    assert {chip for chip, (_, _, look) in found.items() if look == "fault"} == {1}
    mark = DEAD if kind == "dead" else STALLED
    assert any(mark in span for span in looking(plan, "fault"))
    if not plan.scale.tile:  # it is in the middle of its chip too
        marks = sum(span.count(mark) for span in looking(plan, "fault")) - 1
        assert marks == {28: 16, 14: 4, 7: 1}[plan.scale.wide]
    layout, status = machine(chips)
    coded, lines = seen(status | {kind: ["router@1"]}, width, height, layout)
    assert f" 1 {kind}  router@1" in lines[2]
    assert re.search(r"\x1b\[[\d;]*41m[^\x1b]*1[^\x1b]*\x1b", "\n".join(coded.split("\n")[3:]))


@pytest.mark.few(1)
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("chips", [2, 8, 48])
def test_a_pe_in_trouble_is_named_and_marked_where_it_is(seen, chips, width, height):  # noqa: F811
    wrong = {"dead": ["PE(1,1,0)@1"], "stalled": ["PE(7,5,3)@0", "PE(1,1,1)@0"]}
    plan = drawn(chips, width, height, **wrong)
    assert {chip for chip, (_, _, look) in labels(plan).items() if look == "fault"} == {0, 1}
    faults = looking(plan, "fault")
    assert sum(DEAD in span for span in faults) == 1 + (not plan.scale.tile)
    assert sum(STALLED in span for span in faults) == 1 + 2 * (not plan.scale.tile)
    layout, status = machine(chips)
    assert " 1 dead  PE(1,1,0)@1" in seen(status | wrong, width, height, layout)[1][2]


@pytest.mark.wide
def test_nothing_is_marked_while_nothing_is_wrong():
    for chips in (2, 8, 48):
        for width, height in SIZES:
            assert looking(drawn(chips, width, height), "fault") == []


def test_where_there_is_no_room_for_chips_who_is_dead_is_named_still(seen):  # noqa: F811
    layout, status = machine(8)
    lines = seen(status | {"dead": ["router@3"]}, 44, 12, layout)[1]
    assert "router@3" in lines[2]
    assert fits(lines, 44, 11)


# ---- links


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_busiest_link_is_named_with_its_events(seen, width, height):  # noqa: F811
    layout, status = machine(8)
    loads = [0] * len(layout["links"])
    place = next(n for n, link in enumerate(layout["links"]) if link["name"] == "1>5")
    loads[place] = 1234
    view = "\n".join(seen(status | {"links": loads}, width, height, layout)[1])
    assert re.search(r"busiest link +1,234  1>5", view)
    if height > 30:
        assert re.search(r"1>5 +1,234 +█", view)
    plan = MeshView(layout).draw(status | {"links": loads}, width - 42, height - 6)
    assert [span.strip() for span in looking(plan, "busy")] == ["━" * len(looking(plan, "busy")[0])]  # 5 lies right of 1
    assert looking(plan, "accent") == []


@pytest.mark.wide
def test_a_link_between_boards_or_around_the_torus_is_called_a_cable(seen):  # noqa: F811
    layout, status = machine(48)
    loads = [1000 * link["cable"] + n for n, link in enumerate(layout["links"])]
    view = "\n".join(seen(status | {"links": loads}, 200, 60, layout)[1])
    assert len(re.findall(r"\d+>\d+ +1,\d+  cable", view)) == 8


@pytest.mark.parametrize(("chips", "drawn_links"), [(2, 1), (4, 5), (8, 14)])
def test_every_link_between_neighbours_is_drawn_once(chips, drawn_links):
    for width, height in SIZES:
        plan = drawn(chips, width, height)
        marks = len(re.findall("[╱╲]|[─━]+", text(plan)))  # noqa: RUF001 - lines
        assert marks == drawn_links == len(machine(chips)[0]["links"]) / 2


# ---- what is unknown


@pytest.mark.few(1)
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("chips", [2, 8, 48])
def test_what_is_unknown_is_shown_as_unknown(seen, chips, width, height):  # noqa: F811
    layout, _ = machine(chips)
    lines = seen({"phase": "running"}, width, height, layout)[1]
    assert any(re.search(r"busiest link +\?", line) for line in lines)
    plan = MeshView(layout).draw({"phase": "running"}, width - 42, height - 6)
    assert looking(plan, "heat") == []
    assert all(span.ground < 0 for line in plan.lines for span in line if span.look == "tile")
    assert looking(plan, "busy") == looking(plan, "accent") == []


ODD = [..., None, float("nan"), "text", -3, [None], [{}], [{"number": 1, "position": "x"}], {"a": 1}]


@pytest.mark.few(2)
@pytest.mark.parametrize(("key", "value"), pairs(["chips", "links", "pes", "pe_activity"], range(len(ODD))))
def test_any_part_may_be_missing_or_odd(seen, key, value):  # noqa: F811
    value = ODD[value]
    if isinstance(value, int | float | str | dict) or (key == "pes" and value == [None]):
        value = [value] if key == "pe_activity" else ...
    layout, status = machine(4)
    for whole in (layout, status):
        if key in whole:
            whole.pop(key) if value is ... else whole.update({key: value})
    for width, height in SIZES:
        assert fits(seen(status, width, height, layout)[1], width, height - 1)
    assert plain(status, layout).endswith("\n")


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(2, 48), st.integers(1, 220), st.integers(1, 70), st.lists(st.integers(0, 47), max_size=3))
def test_no_machine_at_any_size_breaks_the_frame(seen, chips, width, height, dead):  # noqa: F811
    layout, status = machine(chips, each=4)
    lines = seen(status | {"dead": [f"router@{chip}" for chip in dead]}, width, height, layout)[1]
    assert fits(lines, width, height)


# ---- plain lines, and what it costs


def test_plain_lines_say_how_many_chips_and_which_link_is_the_busiest():
    layout, status = machine(4)
    first, second = plain(status, layout).splitlines()
    assert first == "three layers on a text; 4 chips of spinnaker2; seeded network: its perplexity says nothing"
    assert "active 31 8.3 0.4 %; busiest link 3>0 109 events" in second
    assert "busiest" not in plain({key: value for key, value in status.items() if key != "links"}, layout)


@pytest.mark.few(1)
@pytest.mark.parametrize(("chips", "most_calls"), [(8, 150_000), (48, 400_000)])  # 83,000 and 240,000 with rich 14
def test_a_frame_of_many_chips_stays_cheap(terminal, chips, most_calls):  # noqa: F811
    layout, status = machine(chips, each=150)
    view = open_monitor(layout, live=True, stream=terminal(200, 60))
    noise = [(n * 37 % 101) / 200 for n in range(len(layout["pes"]))]
    view.update(status | {"pe_activity": noise})
    view._draw()  # what it keeps is there
    calls = count_calls(view._draw)
    view.close()
    assert calls < most_calls


MACHINES = [
    {"name": "n1", "chips": [0, 1], "pes": 300, "load": 7.5, "sent_bytes": 3.1e6, "refused": 0, "heard_s": 0.1, "state": "up"},
    {"name": "a-name-beyond-all-columns", "chips": [2], "pes": 150, "load": None, "heard_s": 4.2, "state": "up"},
    {"name": "n3", "chips": [3], "pes": 150, "load": 1.0, "refused": 2, "heard_s": 0.1, "state": "up"},
    {"name": "n4", "chips": [4], "state": "lost"},
]


def test_each_machine_has_a_row_and_those_in_trouble_come_first():
    head, *rows = ["".join(span.text for span in line).rstrip() for line in machine_lines({"machines": MACHINES})][1:]
    assert head == "machine      chips  PEs  cores  MB sent"
    assert rows == [
        "a-name-beyo…     2  150  silent 4 s", "n3               3  150  2 refused", "n4               4    ?  lost",
        "n1             0-1  300    7.5      3.1",
    ]  # fmt: skip
    assert machine_lines({}) == machine_lines({"machines": []}) == []
    assert len(machine_lines({"machines": 20 * MACHINES})) == 2 + 8


def test_machines_are_shown_live_and_named_in_plain_lines(seen):  # noqa: F811
    lines = seen({**STATUS, "machines": MACHINES}, 120, 40)[1]
    assert any(re.search(r"n1 +0-1 +300 +7\.5 +3\.1", line) for line in lines)
    stream = io.StringIO()
    open_monitor(LAYOUT, False, stream).update({**STATUS, "machines": MACHINES})
    assert "4 machines; a-name-beyond-all-columns: silent 4 s; n3: 2 refused; n4: lost" in stream.getvalue()


def test_a_stream_that_is_no_terminal_gets_no_codes():
    layout, status = machine(48)
    stream = io.StringIO()
    view = open_monitor(layout, True, stream)
    view.update(status | {"dead": ["router@47"]})
    view.close()
    assert "1 DEAD: router@47" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
