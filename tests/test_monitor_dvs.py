"""What a person sees while gestures are classified: the event frame as it streams, beside the floor plan and the scores."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_monitor import CODE, LAYOUT, STATUS, fits, seen, terminal  # noqa: F401 - fixtures

from host.show.monitor import open_monitor
from host.workloads.dvs.frame_glyphs import bars, cells, short
from host.workloads.dvs.panel import PANEL
from models.dvs.samples import CLASSES
from models.palette import BRIGHTNESS
from tests.tools.grids import pairs
from tests.tools.work import count_calls

DVS = LAYOUT | {"title": "gestures", "unit": "frame", "shown": {"classes": list(CLASSES)}, "layers": LAYOUT["layers"][:2]}
EDGE = bytes(255 if x == 5 else 90 if y == 9 else 0 for y in range(32) for x in range(32))
GESTURE = {
    "sample": 7,
    "name": "user24_led.aedat[3]#1",
    "label": 4,
    "frame": EDGE,
    "size": 32,
    "scores": [0.5, -1.0, 0.0, 0.25, 2.0, 1.0, 0.0, 0.0, 0.1, 0.2, float("-inf")],
    "top": 4.0,
    "samples": 44,
}
ACCURACY = {"name": "accuracy", "label": "accuracy", "value": 100 * 5 / 6, "unit": "%", "digits": 1, "better": "high"}
RUNNING = STATUS | {"shown": GESTURE, "metrics": [ACCURACY]}
WIDE = [(120, 40), (200, 60), (300, 100)]
NARROW = [(80, 24), (80, 40)]


# ---- the frame as characters


@given(st.binary(min_size=64, max_size=64))
def test_two_pixels_make_a_character_whose_colours_are_theirs(frame):
    rows = cells(frame, 8, 8)
    assert [len(row) for row in rows] == [8] * 4
    for y, row in enumerate(rows):
        for x, (glyph, _, ink, ground) in enumerate(row):
            above, below = (frame[8 * (2 * y + half) + x] for half in (0, 1))
            drawn = {"▀": (ink, ground), "▄": (ground, ink), "█": (ink, ink), " ": (ground, ground)}[glyph]
            assert drawn == tuple(-(-value * 8 // 255) for value in (above, below))


@given(st.binary(min_size=1024, max_size=1024), st.integers(0, 40))
def test_pixels_are_joined_by_their_maximum_where_there_is_no_room_for_all(frame, columns):
    rows = cells(frame, 32, columns)
    assert all(len(row) <= max(columns, 1) for row in rows)
    if rows:
        brightest = max(cell.ink for row in rows for cell in row)
        step = -(-32 // max(columns, 1))
        seen_to = 32 // step * step
        shown = max((frame[32 * y + x] for y in range(2 * len(rows) * step) for x in range(seen_to)), default=0)
        assert brightest == -(-shown * 8 // 255)


@pytest.mark.parametrize(("frame", "size"), [(None, 32), (b"", 32), (b"123", 2), ("text", 2), (b"1", 1), (b"1234", None)])
def test_what_is_no_frame_is_not_drawn(frame, size):
    assert cells(frame, size, 32) == []


def test_without_colours_the_brighter_half_is_seen():
    row = cells(bytes([255, 0, 255, 0, 0, 255, 255, 0]) * 2, 4, 4)[0]
    assert "".join(cell.text for cell in row) == "▀▄█ "


# ---- the scores as bars


def test_bars_grow_with_the_scores_and_name_the_true_and_the_leading_class():
    made = bars(CLASSES, GESTURE["scores"], 4, 4.0, 16, 20)
    assert [len(bar.bar) for bar in made] == [3, 0, 0, 2, 10, 5, 0, 0, 1, 1, 0]
    assert [place for place, bar in enumerate(made) if bar.true] == [4]
    assert [place for place, bar in enumerate(made) if bar.leads] == [4]
    assert not any(bar.leads or bar.bar for bar in bars(CLASSES, None, None, None, 16, 20))


@pytest.mark.parametrize("room", [12, 16])
def test_every_gesture_s_name_is_told_apart_in_little_room(room):
    names = {bar.name for bar in bars(CLASSES, (), 0, 1.0, room, 1)}
    assert len(names) == len(CLASSES)
    assert all(len(name) == room for name in names)
    assert all(len(short(name, room)) <= room for name in CLASSES)


# ---- the view


@pytest.mark.parametrize(("width", "height"), [*WIDE, *NARROW, (60, 20), (30, 8), (1, 1)])
def test_the_view_fits_the_terminal(seen, width, height):  # noqa: F811
    assert fits(seen(RUNNING, width, height, DVS, PANEL)[1], width, height - 1)


@pytest.mark.parametrize(("width", "height"), [*WIDE, *NARROW])
def test_it_shows_frame_plan_scores_and_accuracy_side_by_side(seen, width, height):  # noqa: F811
    coded, lines = seen(RUNNING, width, height, DVS, PANEL)
    view = "\n".join(lines)
    for words in (
        "sample 7 of 44",
        "700 of 1,400 frames",
        "▸R",
        "frames/s",
        "83.3 %",
        "guitar",
        "event router" if width > 199 else "ER",
    ):
        assert words in view
    assert "perplexity" not in "\n".join(lines[:-1])
    bright = re.findall(rf"38;5;{BRIGHTNESS[-1]};48;5;\d+m([█▀▄]+)\x1b", coded)
    # A column of 32 lit pixels, two a character, or of 16 where every second one is shown.
    assert sum(map(len, bright)) == (8 if width == 80 else 16)


def test_the_leading_class_is_green_where_it_is_the_true_one_and_orange_where_it_is_not(seen):  # noqa: F811
    def hue(label):
        coded = seen(RUNNING | {"shown": GESTURE | {"label": label}}, 200, 60, DVS, PANEL)[0]
        line = next(line for line in coded.split("\n") if "R hand ↺" in line)
        return re.findall(r"\x1b\[([\d;]+)m█", line[line.index("R hand ↺") :])[0]

    assert hue(4) == "1;38;5;34"
    assert hue(2) == "38;5;214"


@pytest.mark.parametrize("term", ["xterm", "xterm-256color"])
def test_brightness_has_steps_even_with_16_colours_and_none_is_red(terminal, term):  # noqa: F811
    stream = terminal(200, 60, term)
    ramp = bytes(8 * (x // 1) for _ in range(32) for x in range(32))
    view = open_monitor(DVS, True, stream, PANEL)
    view.update(RUNNING | {"shown": GESTURE | {"frame": ramp}})
    view.close()
    line = next(line for line in stream.getvalue().split("\x1b[2K")[-1].split("\n") if "L hand wave" in line)
    hues = set(re.findall(r"\x1b\[([\d;]+)m[█▀▄]+", line[: line.index("L hand")]))
    assert len(hues) >= 5
    assert not {"31", "41", "91", "101"} & {part for hue in hues for part in hue.split(";")}


@pytest.mark.few(2)
@pytest.mark.parametrize(("key", "value"), pairs([*GESTURE, "everything"], [..., None, float("nan"), "text", -3]))
def test_any_part_of_what_is_known_may_be_missing_or_odd(seen, key, value):  # noqa: F811
    gesture = {} if key == "everything" else dict(GESTURE)
    if key != "everything":
        gesture.pop(key) if value is ... else gesture.update({key: value})
    for known in (gesture, value):
        assert fits(seen(RUNNING | {"shown": known}, 200, 60, DVS, PANEL)[1], 200, 59)


def test_plain_lines_count_frames_and_say_how_many_were_right():
    stream = io.StringIO()
    view = open_monitor(DVS, False, stream)
    view.update(RUNNING)
    view.close()
    assert "running: 700 of 1,400 frames, 0:50 left; 14 frames/s; accuracy 83.3 %; active " in stream.getvalue()


def test_a_frame_with_noise_everywhere_costs_half_as_much_again_as_the_view_without_it(terminal):  # noqa: F811
    """In calls of functions, of which a fast machine and a slow one need the same number."""
    noise = bytes((37 * place) % 251 for place in range(1024))
    calls = {}
    for frame in (None, noise):
        view = open_monitor(DVS, True, terminal(200, 60), PANEL)
        view.update(RUNNING | {"shown": GESTURE | {"frame": frame}})
        calls[frame] = count_calls(view._draw)
        view.close()
    assert calls[None] < calls[noise] < 1.5 * calls[None]


def test_no_gesture_no_frame(seen):  # noqa: F811
    assert "sample" not in "\n".join(seen(STATUS, 200, 60)[1])
    assert CODE.sub("", seen(STATUS, 200, 60)[0]).count("tokens/s") == 1
