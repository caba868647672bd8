"""Runs on the workers of an engine, which stand for machines: one answer, and nothing left behind on any of them."""

from __future__ import annotations

import pytest
from processes import answer, children, gone, sockets
from workers import workers

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Four machines with two chips each."""
    with workers(tmp_path_factory.mktemp("dask"), a=2, b=2, c=2, d=2) as started:
        yield started


@pytest.mark.parametrize(("chips", "machines"), [(2, 2), (4, 4)])
def test_the_answer_is_that_of_one_machine(run, reference, cluster, chips, machines):
    outcome = run(pes=8, chips=chips, cluster=cluster.address)
    assert answer(outcome) == reference
    block = outcome.report["machines"]
    assert [machine["chips"] for machine in block["machines"]] == [[chip] for chip in range(chips)]
    assert len(block["machines"]) == machines
    assert set(block["refused"].values()) == {0}
    assert block["restarts"] == []
    assert gone(children)
    assert gone(sockets)
    assert gone(cluster.families)
