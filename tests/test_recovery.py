"""A run that loses its routers and PEs goes on from its last segment boundary in others, and nobody could tell by its answer."""

from __future__ import annotations

import pytest

from host.run.recovery import RestartLog
from host.run.run import Run
from host.workloads.contract import Feed
from host.workloads.lm.options import Options as LmOptions
from host.workloads.registry import prepare
from models.seeded import seeded_egru
from noc.packet import FRESH, RESET, VALID, Section
from tests.tools.losses import run_with_losses

SEGMENT = 7  # positions, in the models of these tests


def answer(folder, losses=(), **options):
    """Run in one process, losing all routers and PEs after each number of messages in `losses`; return (what must be the same
    everywhere, the positions that the run went on from).
    """
    chosen = {"checkpoint": str(folder / "tiny.safetensors"), "tokens": 30, "pes": 5, "transport": "mem"}
    if "prompt" not in options:
        chosen["text"] = str(folder / "text.txt")
    else:
        chosen["tokens"] = None
    job = prepare(LmOptions(**(chosen | options)))
    run = Run(job.placement, job.source, job.readout, repeatable=True)
    went_on = run_with_losses(run, losses, shuffle=3)
    assert run.conservation()["wrong"] == []
    counts = [(run.counts.events(n), run.counts.macs(n), run.counts.visited(n)) for n in job.placement.network.layers]
    same = run.events.report(), counts, run.counts.of_kernels(), job.readout.result(), run.recorder.ledger().port_counts.tobytes()
    return same, went_on


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "options",
    [
        {}, {"chips": 4, "pes": 8}, pytest.param({"pes": 1}, marks=pytest.mark.slow), {"pes": 2, "format": "packed"},
        pytest.param({"format": "dense"}, marks=pytest.mark.slow), {"batch": 3, "tokens": 20},
        pytest.param({"state": "carried"}, marks=pytest.mark.slow), {"prompt": "w3 w4", "generate": 25, "temperature": 0.8},
    ],
    ids=str,
)  # fmt: skip
def test_the_answer_is_the_same_wherever_it_was_lost(folder, options):
    whole, _ = answer(folder, **options)
    for first in (13, 30, 45, 52):
        again, went_on = answer(folder, (first, 40), **options)
        assert again == whole
        if options.get("state") != "carried":
            assert all(position % SEGMENT == 0 for position in went_on)


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["zoneout", "all", "none"])
def test_other_networks(folder, name):
    checkpoint = str(folder / f"{name}.safetensors")
    assert answer(folder, (48,), checkpoint=checkpoint)[0] == answer(folder, checkpoint=checkpoint)[0]


def test_a_run_goes_on_from_the_last_boundary_that_all_layers_came_to(folder):
    *_, went_on = answer(folder, (25, 40, 45))
    assert went_on == sorted(went_on)
    assert went_on[-1] >= SEGMENT


def test_where_states_are_carried_a_run_begins_again_with_its_sequence(folder):
    assert set(answer(folder, (40, 45), state="carried")[1]) == {0}


def test_what_is_kept_is_a_segment_and_what_came_before_it():
    replay = RestartLog(seeded_egru(2, (3, 3), 1.0), 1)
    for position in range(20):
        flags = VALID | (RESET if position % 5 == 0 else 0) | (FRESH if position == 0 else 0)
        replay.add_input(Feed(position, flags, {}))
        for layer in (1, 2):
            section = Section(layer, flags, position, bytes(4), bytes(4), b"")
            assert replay.add_output(section) is True
            assert replay.add_output(section) is False  # the same again, after a restart
    assert replay.position == 15
    assert [feed.position for _, feed in replay.feeds()] == [15, 16, 17, 18, 19]
    assert [(recall.population, recall.position, recall.lanes) for recall in replay.recalls()] == [(1, 14, b"\0"), (2, 14, b"\0")]
