"""An agent's lease: it ends without commands from the launcher, and not for being slow to carry one out."""

import os
import time

import pytest

from host.cluster import agent
from host.cluster.framing import frame_record

LEASE_S = 0.4


@pytest.fixture
def commands(monkeypatch):
    """A pipe in the place of the agent's stdin: what is written to it are commands."""
    monkeypatch.setattr(agent, "LEASE_S", LEASE_S)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as stdin:
        monkeypatch.setattr(agent.sys, "stdin", stdin)
        yield writing
        os.close(writing)


def test_starting_processes_may_take_longer_than_a_lease(commands, monkeypatch):
    began: list[float] = []
    subject = agent.Agent()

    def start_slowly():
        time.sleep(2 * LEASE_S)
        began.append(time.monotonic())

    monkeypatch.setattr(subject, "_start_pes", start_slowly)
    os.write(commands, frame_record({"kind": "pes"}))
    subject.run()
    assert time.monotonic() - began[0] >= LEASE_S  # and then without another command
    assert subject._ends


@pytest.mark.timeout(60)
def test_a_command_to_end_is_carried_out_long_before_the_lease_is_over(commands, monkeypatch):
    monkeypatch.setattr(agent, "LEASE_S", 1e6)
    os.write(commands, frame_record({"kind": "end"}))
    agent.Agent().run()
