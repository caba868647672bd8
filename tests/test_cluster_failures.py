"""What goes wrong on several machines: each is named within ten seconds, everything is cleaned up everywhere, a partial report is
written; and with `restart` the run goes on elsewhere and gives the same answer.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time

import psutil
import pytest
from processes import SLOW, answer, children, gone, sockets
from workers import ROOT, workers

from host.cluster import Cluster
from host.errors import Exit
from host.options import LmOptions

pytestmark = pytest.mark.timeout(150)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with workers(tmp_path_factory.mktemp("dask"), a=2, b=2) as started:
        yield started


def struck(run, strike, tick=10, **options):
    """Run slowly, strike once ticks run, and return (outcome, seconds from the strike to the end)."""
    at: list[float] = []

    def observe(status):
        if status["phase"] == "running" and status.get("tick", 0) > tick and not at:
            at.append(time.monotonic())
            strike()

    outcome = run(observe=observe, faults=SLOW, pes=4, chips=2, **options)
    assert at, outcome.problem
    return outcome, time.monotonic() - at[0]


def test_a_worker_that_dies_is_named_and_its_machine_is_left_clean(run, cluster):
    cluster.add("doomed", 2)
    cluster.add("zz", 2)
    # ...


def test_nobody_at_the_schedulers_address(run):
    began = time.monotonic()
    outcome = run(cluster="tcp://127.0.0.1:9")
    assert outcome.code is Exit.DIED
    assert outcome.problem.startswith("no scheduler answers at tcp://127.0.0.1:9")
    assert time.monotonic() - began < 10
