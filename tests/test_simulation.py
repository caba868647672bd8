"""The launcher's decisions over pretended processes and time: whatever dies, pauses or is lost, the right hash or the right line.

`python -m tests.tools.simulation --schedules 10000 --seed 3` is the long form; `--only N` plays one again.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from host.launch.course import Course
from host.launch.restarts import Restarts
from noc.link_end import LinkEnd
from tests.tools.simulation.schedule import Ending, Schedule, Stage, Strike, draw, judge

QUIET = Schedule(seed=1, number=0, restart=True, chips=1, delay_s=1e-3, links=None, strikes=())


@pytest.fixture(scope="module")
def stage(folder):
    return Stage(folder / "tiny.safetensors", folder / "text.txt")


def violations(stage, seed, numbers):
    wrong = {}
    for number in numbers:
        schedule = draw(seed, number)
        if what := judge(schedule, stage.play(schedule), stage.whole(schedule.chips)):
            wrong[number] = what
    return wrong


@pytest.mark.wide
@pytest.mark.timeout(300)
def test_three_hundred_schedules_end_in_the_right_hash_or_the_right_line(stage):
    assert violations(stage, 1, range(300)) == {}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_ten_thousand_more(stage):
    assert violations(stage, 2, range(10_000)) == {}


def test_a_schedule_is_drawn_and_played_from_its_seed_and_number_alone(stage):
    assert draw(1, 7) == draw(1, 7) != draw(2, 7)
    drawn = [draw(1, number) for number in range(300)]
    assert {strike.victim for schedule in drawn for strike in schedule.strikes} == {
        "PE", "router", "host", "the fork server", "the PE server", "the launcher",
    }  # fmt: skip
    assert {strike.kind for schedule in drawn for strike in schedule.strikes} == {"kill", "stop", "pause"}
    eventful = next(schedule for schedule in drawn if schedule.strikes and schedule.links)
    assert stage.play(eventful) == stage.play(eventful)


def struck(victim, kind, at_s=0.385, **more):
    return replace(QUIET, strikes=(Strike(at_s, victim, kind, 0.5, 0.5),), **more)


@pytest.mark.parametrize(
    ("victim", "kind", "part"),
    [
        ("PE", "kill", "PE("), ("router", "kill", "router@0"), ("host", "kill", "host"),
        ("the fork server", "kill", "the fork server"), ("the PE server", "kill", "the PE server"),
        ("PE", "stop", "PE("), ("router", "stop", "router@0"),
        ("host", "stop", "host"),
    ],
)  # fmt: skip
def test_who_is_hit_while_ticks_run_is_named_and_replaced(stage, victim, kind, part):
    ending = stage.play(struck(victim, kind))
    assert (ending.code, ending.sha256) == (0, stage.whole(1))
    assert [row["part"].startswith(part) for row in ending.restarts] == [True], ending
    assert ending.took_s < 1.5 + 2 * 3.5 * (kind == "stop")


def test_a_launcher_that_is_killed_is_gone_on_for_by_another(stage):
    ending = stage.play(struck("the launcher", "kill"))
    assert (ending.code, ending.sha256) == (0, stage.whole(1))
    assert [row["part"] for row in ending.restarts] == ["the launcher"]


@pytest.mark.parametrize(("kind", "least_s", "most_s"), [("pause", 0.0, 5.0), ("stop", 5.0, 7.0)])
def test_ctrl_c_waits_for_what_is_under_way_but_not_for_ever_and_always_gives_a_report(stage, monkeypatch, kind, least_s, most_s):
    monkeypatch.setattr(stage, "_options", replace(stage._options, stall_s=60.0))  # whoever is stopped is no matter of its
    strikes = Strike(0.38, "PE", kind, 0.5, 0.5), Strike(0.385, "the launcher", "interrupt", 0.5, 0.5)
    ending = stage.play(replace(QUIET, strikes=strikes))
    assert (ending.code, ending.problem) == (130, "interrupted")
    assert ending.sha256  # of what the host knew
    assert least_s <= ending.took_s < most_s


# --- what it would notice ---


def test_a_launcher_that_forgets_to_replace_is_noticed(stage, monkeypatch):
    monkeypatch.setattr(Restarts, "allows", lambda self, part: False)
    schedule = struck("PE", "kill")
    (wrong,) = judge(schedule, stage.play(schedule), stage.whole(1))
    assert wrong.startswith("end: 4 PE(")


def test_a_launcher_that_blames_another_is_noticed(stage, monkeypatch):
    monkeypatch.setattr(
        Course, "_describe_death", lambda self, tick: real(self, tick)._replace(problem="host died (SIGKILL) while RUNNING")
    )
    schedule = struck("PE", "kill", restart=False)
    (wrong,) = judge(schedule, stage.play(schedule), stage.whole(1))
    assert wrong.startswith("misnamed: 4 host died")


real = Course._describe_death


def test_links_that_do_not_mend_are_noticed(stage, monkeypatch):
    monkeypatch.setattr(LinkEnd, "ask", lambda self, peer, tick: None)
    bad = [schedule for schedule in (draw(1, number) for number in range(60)) if schedule.links and not schedule.strikes]
    bad += [replace(QUIET, links=bad[0].links._replace(drop=0.2))]
    assert any(judge(schedule, stage.play(schedule), stage.whole(schedule.chips)) for schedule in bad)


def test_a_wrong_hash_and_what_is_left_are_violations():
    assert judge(QUIET, Ending(code=0, problem="", sha256="abc"), "abc") == []
    assert judge(QUIET, Ending(code=0, problem="", sha256="abd", left=["host"]), "abc") == ["left: host", "hash: abd"]
