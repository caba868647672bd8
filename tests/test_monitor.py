"""What a person sees of a run: the live view at any size of terminal, what it says when something is wrong, and plain lines."""

import errno
import io
import os
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host.show import monitor, plain_monitor
from host.show.monitor import open_monitor
from host.show.terminal_style import Panel, Span
from host.workloads.lm.panel import PANEL
from noc.chip import load_chip
from tests.tools.grids import pairs
from tests.tools.work import count_calls

PES = [str(pe) for pe in load_chip().usable_pes()[:150]]
LAYOUT = {
    "title": "three layers on a text",
    "chip": "spinnaker2",
    "pes": [{"name": name, "layer": f"egru{1 + n // 50}", "sram": 0.95 - n / 300} for n, name in enumerate(PES)],
    "layers": [{"name": f"egru{n}", "units": 1350, "pes": 50} for n in (1, 2, 3)],
    "note": "seeded network: its perplexity says nothing",
    "unit": "token",
}
STATUS = {
    "phase": "running",
    "ready": 150,
    "tick": 706,
    "done": 700,
    "total": 1400,
    "per_s": 14.0,
    "metrics": [{"name": "perplexity", "label": "perplexity", "value": 87.62, "unit": "", "digits": 2, "better": "low"}],
    "shown": {"text": "once upon a time there was a chip " * 40 + "<end>"},
    "activity": [0.31, 0.083, 0.004],
    "events_per_tick": 1234.0,
    "packets_per_tick": 8123.0,
    "pe_activity": [n / 300 for n in range(150)],
    "sram_worst": 0.95,
    "modelled": {
        "time_s": 2.34e-3,
        "power_w": 0.422,
        "energy_j": 9.89e-4,
        "stages": [["input product W x", 0.4], ["recurrent product R y", 0.45], ["units' own steps", 0.15]],
        "links": [["4,1 to 3,1", 5731.0], ["4,2 to 3,2", 5411.0]],
        "links_unit": "flits",
    },
    "elapsed_s": 61.0,
    "stalled": [],
    "dead": [],
}
CHIP = "on the chip: 2.34 ms, 989 µJ a token, 422 mW"
SIZES = [(80, 24), (120, 40), (200, 60)]
CODE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Time as the test wants it; a frame takes `frame_s` of the processor."""

    def __init__(self):
        self.now, self.cpu, self.frame_s = 100.0, 0.0, 0.0

    def monotonic(self):
        return self.now

    def thread_time(self):
        self.cpu += self.frame_s
        return self.cpu


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(monitor, "monotonic", clock.monotonic)
    monkeypatch.setattr(plain_monitor, "monotonic", clock.monotonic)
    monkeypatch.setattr(monitor, "thread_time", clock.thread_time)
    return clock


@pytest.fixture
def terminal(monkeypatch):
    """Return a terminal of this size."""

    def of_size(width=80, height=24, term="xterm-256color"):
        monkeypatch.setenv("TERM", term)
        for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS", "LINES"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((width, height)))
        return Terminal()

    return of_size


@pytest.fixture
def seen(terminal):
    """Return what stands on a terminal of this size at the end: with its codes, and as lines of text."""

    def show(status, width=80, height=24, layout=LAYOUT, panel=PANEL):
        stream = terminal(width, height)
        view = open_monitor(layout, live=True, stream=stream, panel=panel)
        view.update(status)
        view.close()
        coded = stream.getvalue().split("\x1b[2K")[-1]  # after the frame before has been erased
        lines = CODE.sub("", coded).replace("\r", "").split("\n")
        assert lines.pop() == ""
        return coded, lines

    return show


def cells(line):
    """Return the columns of a line; marks, the spacing ones too, share the column of the character before."""
    marks = ("Mn", "Mc", "Me")
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else unicodedata.category(char) not in marks for char in line)


def fits(lines, width, height):
    return len(lines) <= height and all(cells(line) <= width for line in lines)


def plain(status=STATUS, layout=LAYOUT):
    stream = io.StringIO()
    view = open_monitor(layout, live=True, stream=stream)
    view.update(status)
    view.close()
    return stream.getvalue()


# ---- the live view


@pytest.mark.few(2)
@pytest.mark.parametrize(("width", "height"), [*SIZES, (300, 100), (80, 60), (200, 24), (60, 20), (30, 8), (7, 3), (1, 1)])
def test_the_view_fits_the_terminal_and_leaves_a_line_for_the_prompt(seen, width, height):
    wrong = {"dead": PES[3:40], "stalled": PES[50:90]}
    for status in (STATUS, STATUS | wrong, {"phase": "starting"}):
        assert fits(seen(status, width, height)[1], width, height - 1)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_shows_the_figures_of_the_run(seen, width, height):
    view = "\n".join(seen(STATUS, width, height)[1])
    for words in (
        "three layers on a text",
        "150 PEs · spinnaker2 · 1:01",
        "running",
        "700 of 1,400 tokens, 0:50 left",
        "no PE is stalled or dead",
        "on the chip: 2.34 ms, 989 µJ a token, 422 mW",
        "recurrent product R y 45 %",
        "seeded network: its perplexity says nothing",
        "<end>",
    ):
        assert words in view
    for name, value in (
        ("tokens/s", "14"),
        ("perplexity", "87.62"),
        ("events/tick", "1,234"),
        ("packets/tick", "8,123"),
        ("tick", "706"),
        ("fullest SRAM", "95 %"),
        ("L1  egru1 +1350 +50", "31 %"),
        ("L3  egru3 +1350 +50", "0.4 %"),
    ):
        assert re.search(f" {name} +{value}", view)


@pytest.mark.parametrize(("width", "height", "pe"), [(80, 24, 2), (120, 40, 8), (200, 60, 18)])
def test_the_floor_plan_has_152_pes_of_which_some_are_unused_and_the_event_router(seen, width, height, pe):
    lines = seen({"phase": "loading"}, width, height)[1]
    plan = "\n".join(line[: {80: 37, 120: 65, 200: 114}[width]] for line in lines[3:-2])
    named = 2 * 150 if pe == 18 else 0  # two characters of a large PE say its layer
    named += 2 * 150 if pe == 8 else 0
    assert plan.count("░") == 150 * pe - named
    assert plan.count("·") == 2
    assert plan.count("event router" if pe == 18 else "ER") == 2
    assert plan.count("╭") == (38 if pe == 18 else 0)


def test_a_pe_is_as_high_as_its_sram_is_full_and_coloured_by_its_activity(seen):
    def block(sram, activity):
        layout = LAYOUT | {"pes": [{"name": "PE(1,1,0)@0", "layer": "egru1", "sram": sram}]}
        coded = seen({"phase": "running", "pe_activity": [activity]}, layout=layout)[0]
        return re.search(r"\x1b\[38;5;(\d+)m(.)\2\x1b", coded.split("\n")[4]).groups()

    heights = [block(sram, 0.5)[1] for sram in (0.01, 0.1, 0.3, 0.5, 0.75, 1.0)]
    assert heights == ["▁", "▁", "▂", "▄", "▆", "█"]  # one in use is never empty
    hues = [block(0.5, activity)[0] for activity in (0.0, 0.001, 0.05, 0.1, 0.2, 0.4)]
    assert len(set(hues)) == 6
    assert block(0.5, 1.0)[0] == hues[-1]


@pytest.mark.parametrize("term", ["xterm", "xterm-256color"])
def test_the_steps_of_activity_differ_in_the_legend_even_with_16_colours_and_none_is_red(terminal, term):
    stream = terminal(term=term)
    open_monitor(LAYOUT, live=True, stream=stream).close()
    legend = next(line for line in stream.getvalue().split("\n") if "activity%" in line)
    hues = re.findall(r"\x1b\[([\d;]+)m ▇", legend)
    assert len(set(hues)) == len(hues) == 6
    assert not {"31", "91", "35", "95", "38;5;1", "38;5;9"} & set(hues)  # themes show magenta as a red


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_stalled_and_dead_pes_are_named_and_red(seen, width, height):
    coded, lines = seen(STATUS | {"stalled": [PES[0]], "dead": [PES[7], PES[8]]}, width, height)
    assert re.search(r"\x1b\[[\d;]*41m 1 stalled \x1b\[0m\x1b\[[\d;]*31m PE\(1,1,0\)@0 ", coded)
    assert re.search(r"\x1b\[[\d;]*41m 2 dead \x1b\[0m\x1b\[[\d;]*31m PE\(2,1,3\)@0", coded)
    assert "PE(3,1,0)@0" in lines[2] or "and 1 more" in lines[2]
    on_the_plan = re.findall(r"\x1b\[[\d;]*41m([!×]+|STALL!|×DEAD×)\x1b", "\n".join(coded.split("\n")[3:-2]))  # noqa: RUF001
    rows, wide = {80: (1, 2), 120: (2, 4), 200: (2, 6)}[width]
    assert on_the_plan.count("!" * wide) == rows
    assert on_the_plan.count("×" * wide) == 2 * rows  # noqa: RUF001
    assert "no PE is stalled" not in lines[2]
    assert on_the_plan.count("STALL!") == (width == 200)
    assert on_the_plan.count("×DEAD×") == 2 * (width == 200)  # noqa: RUF001


def test_nothing_is_red_while_nothing_is_wrong(seen):
    coded = seen(STATUS)[0]
    assert not re.search(r"[\[;][34]1m", "".join(line for line in coded.split("\n") if "activity%" not in line))


def test_names_that_find_no_room_are_counted(seen):
    for width, height in SIZES:
        named = seen(STATUS | {"dead": PES[:60], "stalled": PES[60:]}, width, height)[1][2]
        assert re.search(r" 60 dead  PE\(1,1,0\)@0.* and 5\d more", named)
        assert re.search(r" 90 stalled  PE.* and 8\d more", named)


def test_who_is_dead_may_be_no_pe_of_the_plan(seen):
    assert "host, PE(1,1,0)@7" in seen(STATUS | {"dead": ["host", "PE(1,1,0)@7"]})[1][2]


LAYOUTS = [LAYOUT, {}, {"pes": [{}], "layers": [{}]}, {"pes": [{"name": "PE(4,3,0)@0"}, {"name": "x"}]}]


@pytest.mark.few(1)
@pytest.mark.parametrize(("layout", "value"), pairs(range(len(LAYOUTS)), [..., None, float("nan"), float("inf")]))
def test_any_key_may_be_missing_or_without_a_number(seen, layout, value):
    for key, old in STATUS.items():
        status = STATUS | {key: [value] * 3 if isinstance(old, list) and old else value}
        if value is ...:
            del status[key]
        elif not isinstance(old, int | float | list) or old == []:
            continue
        assert fits(seen(status, 200, 60, LAYOUTS[layout])[1], 200, 60)
        assert plain(status, LAYOUTS[layout]).endswith("\n")
    seen(STATUS | {"a key of tomorrow": object()}, layout=LAYOUTS[layout])


def test_what_is_unknown_is_shown_as_unknown(seen):
    lines = seen({"phase": "running", "metrics": [{"label": "perplexity", "value": None}]})[1]
    assert "? of ? tokens" in lines[1]
    assert sum(bool(re.search(r" (tokens/s|perplexity|tick|L2  egru2 .*) +\?", line)) for line in lines) == 4
    assert lines[2].strip() == ""


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_what_no_number_holds_is_shown_as_overflow(seen, value):
    status = {"phase": "running", "metrics": [{"label": "perplexity", "value": value}]}
    assert any(re.search(r" perplexity +overflow", line) for line in seen(status)[1])
    assert "perplexity overflow" in plain(status, LAYOUT)


def test_while_the_processes_start_it_counts_those_that_are_ready(seen):
    assert "75 of 150 PEs ready" in seen({"phase": "loading", "ready": 75})[1][1]


@pytest.mark.parametrize("text", ["\x1b[31mred\x07\x9b2J", "a\rb\tc\x00", "\u202eright to left"])
def test_text_and_names_cannot_steer_the_terminal(seen, text):
    layout = LAYOUT | {"title": text, "note": text}
    coded, lines = seen(STATUS | {"shown": {"shown": {"text": text}}, "dead": [text]}, layout=layout)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1a\x7f-\x9f\u202e]", coded.replace("\r\x1b", "\x1b"))
    assert fits(lines, 80, 23)
    assert "\x1b" not in plain(STATUS | {"shown": {"shown": {"text": text}}, "dead": [text]}, layout)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text("ab \n日本語é", max_size=400) | st.text(max_size=100),
    st.integers(1, 220),
    st.integers(1, 70),
    st.dictionaries(st.sampled_from(sorted(STATUS)), st.none(), max_size=4),
)
def test_no_text_at_any_size_breaks_the_frame(seen, text, width, height, missing):
    lines = seen(STATUS | {"shown": {"text": text}} | missing | {"phase": "running"}, width, height)[1]
    assert len(lines) <= height
    assert all(cells(line) <= width for line in lines)


def test_wide_characters_stay_inside(seen):
    lines = seen(STATUS | {"shown": {"text": "日本語の文章" * 50 + " 終"}})[1]
    assert fits(lines, 80, 23)
    assert "終" in "".join(lines)


@pytest.mark.parametrize("count", [100, 101, 102, 103, 104])
def test_lines_stay_as_they_are_while_the_text_grows(seen, count):
    texts = (" ".join(f"word{n}" for n in range(words)) for words in (count, count + 1))
    views = (seen(STATUS | {"shown": {"text": text}})[1] for text in texts)
    before, after = ([line[38:].strip() for line in view if "word" in line] for view in views)
    if len(before[-1]) < 34:
        before[-1] += f" word{count}"
        assert after == before
    else:
        assert after == [*before[1:], f"word{count}"]


def test_layers_that_find_no_room_are_counted(seen):
    layers = [{"name": f"layer{n}", "units": 10, "pes": 1} for n in range(40)]
    lines = seen(STATUS, layout=LAYOUT | {"layers": layers})[1]
    assert sum("layer" in line for line in lines[4:]) == 1 + 5
    assert any("35 more" in line for line in lines)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_pe_that_is_hardly_full_is_a_field_all_the_same(seen, width, height):
    layout = LAYOUT | {"pes": [{"name": "PE(1,1,0)@0", "layer": "egru1", "sram": 0.02}]}
    coded = seen({"phase": "running", "pe_activity": [0.3]}, width, height, layout)[0]
    assert re.search(r"\x1b\[38;5;\d+m(▁+)\x1b", coded)
    assert bool(re.search(r"\x1b\[38;5;\d+;48;5;\d+m *30 *\x1b", coded)) == (width > 80)  # where there is room for its number


def test_a_wide_terminal_shows_the_busiest_links_and_fills_its_right_half(seen):
    lines = seen(STATUS, 200, 60)[1]
    assert any(re.search(r"4,1 to 3,1 +5,731 +█+", line) for line in lines)
    right = [bool(line[118:].strip()) for line in lines[3:-2]]
    assert sum(right) > 0.7 * len(right)


def test_before_the_chip_is_priced_nothing_is_said_of_it(seen):
    status = {key: value for key, value in STATUS.items() if key != "modelled"}
    for record in (status, status | {"modelled": {}}, status | {"modelled": {"time_s": None, "stages": [["x", None]]}}):
        assert "on the chip" not in "\n".join(seen(record, 200, 60)[1])
        assert "on the chip" not in plain(record)


# ---- the terminal it is shown on


def test_at_most_four_frames_a_second_however_often_it_is_told(terminal, clock):
    stream = terminal()
    view = open_monitor(LAYOUT, live=True, stream=stream)
    for _ in range(1000):
        view.update(STATUS)
        clock.now += 0.01
    assert stream.getvalue().count(LAYOUT["title"]) == pytest.approx(40, abs=2)
    view.close()


def test_where_a_frame_is_dear_there_are_fewer(terminal, clock):
    stream = terminal()
    view = open_monitor(LAYOUT, live=True, stream=stream)
    clock.frame_s = 0.03  # a second's worth at the share of a core it may have
    for _ in range(1000):
        view.update(STATUS)
        clock.now += 0.01
    assert stream.getvalue().count(LAYOUT["title"]) == pytest.approx(10, abs=1)
    view.close()


def test_a_frame_is_cheap(terminal):
    """In calls of functions, of which a fast machine and a slow one need the same number."""
    view = open_monitor(LAYOUT, live=True, stream=terminal(200, 60))
    view._draw()
    assert count_calls(view._draw) < 120_000  # some 10 ms; 68,000 with rich 14
    view.close()


def test_closing_shows_the_newest_figures_and_gives_the_cursor_back_once(terminal, clock):
    stream = terminal()
    before = sys.stdout
    view = open_monitor(LAYOUT, live=True, stream=stream)
    view.update(STATUS)
    view.update(STATUS | {"done": 1399})
    assert "1,399 of 1,400" not in stream.getvalue()
    view.close()
    first = stream.getvalue()
    assert "1,399 of 1,400" in first.split("\x1b[2K")[-1]
    assert first.rindex("\x1b[?25h") > first.rindex("\x1b[?25l")
    view.close()
    view.update(STATUS)
    view.note("too late")
    assert stream.getvalue() == first
    assert sys.stdout is before


def test_closing_gives_the_terminal_back_even_where_drawing_fails(terminal):
    stream = terminal()
    view = open_monitor(LAYOUT, live=True, stream=stream)
    with pytest.raises(TypeError):
        view.update({"phase": "running", "stalled": 7})
    with pytest.raises(TypeError):
        view.close()
    assert stream.getvalue().endswith("\x1b[?25h")
    view.close()


def test_a_note_stands_above_the_view_and_stays(terminal):
    stream = terminal()
    view = open_monitor(LAYOUT, live=True, stream=stream)
    view.update(STATUS)
    view.note("PE(1,1,0)@0 answered late [not markup]")
    view.update(STATUS)
    view.close()
    shown = stream.getvalue()
    assert shown.count("PE(1,1,0)@0 answered late [not markup]") == 1
    assert 0 < shown.index("answered late") < shown.rindex(LAYOUT["title"])


def test_a_resized_terminal_is_drawn_anew(terminal, clock):
    stream = terminal(200, 60)
    view = open_monitor(LAYOUT, live=True, stream=stream)
    view.update(STATUS)
    drawn = len(stream.getvalue())
    terminal(80, 24)
    clock.now += 1
    view.update(STATUS)
    view.close()
    assert "\x1b[2J" in stream.getvalue()[drawn:]
    lines = CODE.sub("", stream.getvalue().split("\x1b[2K")[-1]).split("\n")
    assert fits(lines[:-1], 80, 23)


@pytest.mark.parametrize("live", [True, False])
def test_a_reader_that_goes_away_ends_the_view_and_not_the_run(terminal, live):
    class Gone(Terminal):
        gone = False

        def write(self, text):
            if self.gone:
                raise OSError(errno.EIO, "Input/output error")  # what a terminal that has hung up answers
            return super().write(text)

    terminal()
    stream = Gone()
    view = open_monitor(LAYOUT, live, stream)
    stream.gone = True
    view.update(STATUS)
    view.note("nobody reads this")
    view.update(STATUS | {"phase": "stopping"})
    view.close()


# ---- plain lines


def test_plain_lines_where_there_is_no_terminal_or_it_is_told_so_or_the_terminal_can_do_no_more(terminal):
    latin = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    latin.isatty = lambda: True
    for live, stream in ((True, io.StringIO()), (False, terminal()), (True, terminal(term="dumb")), (True, latin)):
        if stream is latin:
            terminal()
        view = open_monitor(LAYOUT, live, stream)
        view.update(STATUS)
        view.note("a note")
        view.close()
        stream.seek(0)
        lines = stream.read().split("\n")
        assert lines[0] == "three layers on a text; spinnaker2; seeded network: its perplexity says nothing"
        assert max(map(len, lines)) <= (80 if stream.isatty() else 145)  # a terminal's are folded by words
        unfolded = "\n".join(lines[1:]).replace("\n     ", " ").split("\n")
        assert (
            unfolded[0]
            == "1:01 running: 700 of 1,400 tokens, 0:50 left; 14 tokens/s; perplexity 87.62; active 31 8.3 0.4 %; " + CHIP
        )
        assert unfolded[1:] == ["a note", ""]


def test_plain_lines_have_no_control_codes_and_name_who_is_stalled_or_dead():
    out = plain(STATUS | {"stalled": [PES[0]], "dead": PES[4:60]})
    assert all(char.isprintable() or char == "\n" for char in out)
    assert "56 DEAD: PE(2,1,0)@0" in out
    assert "1 STALLED: PE(1,1,0)@0" in out


def test_a_plain_line_every_two_seconds_and_one_when_the_phase_changes_and_one_at_the_end(clock):
    stream = io.StringIO()
    view = open_monitor(LAYOUT, live=True, stream=stream)

    def lines():
        return stream.getvalue().count("\n") - 1

    for _ in range(1000):
        view.update(STATUS)
        clock.now += 0.01
    assert lines() == pytest.approx(5, abs=1)
    before = lines()
    view.update(STATUS | {"phase": "stopping"})
    view.update(STATUS | {"phase": "stopping", "done": 1400})
    assert lines() == before + 1
    view.close()
    assert "1,400 of 1,400" in stream.getvalue()
    assert lines() == before + 2
    view.close()
    assert lines() == before + 2


# ---- the project


def test_nothing_but_the_monitor_knows_rich():
    root = Path(monitor.__file__).parents[2]
    parts = [path for folder in ("pe", "noc", "host", "models") for path in (root / folder).rglob("*.py")]
    assert [path.name for path in parts if re.search(r"^\s*(from|import) rich\b", path.read_text(), re.M)] == ["monitor.py"]


def test_what_shows_a_run_knows_no_workload_and_no_part_that_runs_one():
    folder = Path(monitor.__file__).parent
    imports = {
        name
        for path in folder.glob("*.py")
        for name in re.findall(r"^\s*(?:from|import) (host\.\w+|host import \w+)", path.read_text(), re.M)
    }
    assert imports <= {"host.show", "host.cost", "host.errors", "host.run_folder"}


# ---- figures and panels of a workload


def test_each_metric_has_a_line_with_its_digits_its_unit_and_its_course(seen):
    metrics = [
        {"label": "error", "value": -21.456, "unit": "dB", "digits": 1},
        {"label": "a name that is too long", "value": 1234567.891, "digits": 3},
        {"label": "joules", "value": None, "unit": "mJ"},
    ]
    for width, name in ((80, "a name that…"), (120, "a name that is too …")):
        lines = seen(STATUS | {"metrics": metrics}, width, 40)[1]
        for words in (r"error +-21\.5 dB", rf"{name} 1,234,568  █", r"joules +\?"):
            assert any(re.search(words, line) for line in lines), words
    assert "error -21.5 dB; a name that is too long 1,234,568; active" in plain(STATUS | {"metrics": metrics})


@pytest.mark.parametrize("above", [True, False])
def test_a_panel_stands_above_or_below_the_figures_and_gets_no_more_room_than_there_is(seen, above):
    rooms = []

    def lines(layout_shown, shown, columns, rows):
        rooms.append((columns, rows))
        return [[Span(f"{layout_shown['made']}{shown['of']} {n}\x1b[31m", "hit")] for n in range(100)]

    layout = LAYOUT | {"shown": {"made": "made of "}}
    view = seen(STATUS | {"shown": {"of": "spans"}}, 120, 40, layout, Panel(lines, above))
    assert fits(view[1], 120, 39)
    places = [place for place, line in enumerate(view[1]) if "made of spans" in line]
    figures = next((place for place, line in enumerate(view[1]) if "tokens/s" in line), 40)
    assert len(places) == rooms[-1][1]
    assert places[0] < figures if above else places[0] > figures
    assert "\x1b[1;38;5;34mmade of spans 0" in view[0]
    assert "\x1b[31m" not in view[0]


def test_a_panel_with_nothing_to_show_takes_no_room(seen):
    empty = seen(STATUS, 120, 40, LAYOUT, Panel(lambda *_: [], above=True))
    assert empty == seen(STATUS, 120, 40, LAYOUT, None)
