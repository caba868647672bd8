"""One answer: the same events, bits and classes for any number of PEs, any batch, either transport, every recoverable fault."""

from __future__ import annotations

import itertools

import pytest

from host.faults import Faults
from tests.tools.gestures import answer, run, save_paper_sized, save_small
from tests.tools.grids import some

pytestmark = pytest.mark.timeout(120)  # a hundred processes take seconds, on a machine that is busy a minute
SAMPLES = 7  # one more than the paper's batch: its last round is not full


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("gesture") / "small.safetensors")


@pytest.fixture(scope="module")
def paper_file(tmp_path_factory):
    return save_paper_sized(tmp_path_factory.mktemp("gesture") / "paper.safetensors")


@pytest.fixture(scope="module")
def small_answer(small_file):
    """One PE, one sample at a time, and every unit held against the reference."""
    done = run(small_file, samples=SAMPLES, pes=1, verify=True)
    assert done.mismatch["difference"] is None
    assert done.mismatch["compared"] == SAMPLES * 8 * 32
    return answer(done)


@pytest.fixture(scope="module")
def paper_answer(paper_file):
    done = run(paper_file, samples=SAMPLES, pes=128, verify=True)
    assert done.mismatch["difference"] is None
    assert done.report["events"]["count"] > 1000
    assert len(done.report["result"]["predictions"]) == SAMPLES
    return answer(done)


# The grid but for one is slow: it takes half a minute of a thousand processes. Any number of PEs is tried on the small network.
@pytest.mark.wide
@pytest.mark.parametrize(
    ("pes", "batch", "transport"),
    some(itertools.product((64, 96, 128), (1, 6), ("mem", "zmq")), (96, 6, "zmq").__eq__),
)
def test_the_paper_s_network(paper_file, paper_answer, pes, batch, transport):
    assert answer(run(paper_file, samples=SAMPLES, pes=pes, batch=batch, transport=transport)) == paper_answer


@pytest.mark.wide_but("3-packed")
@pytest.mark.parametrize(
    ("pes", "form"),
    some(itertools.product(range(1, 9), ("dense", "csr", "packed")), {(1, "dense"), (3, "packed"), (8, "csr")}.__contains__),
)
def test_a_small_dense_network_on_few_pes(small_file, small_answer, pes, form):
    assert answer(run(small_file, samples=SAMPLES, pes=pes, format=form)) == small_answer


@pytest.mark.few(1)
@pytest.mark.parametrize("batch", some([1, 2, 3, 4, 5, 7, 9], {4, 9}.__contains__))
def test_any_batch_gives_the_samples_one_by_one(small_file, small_answer, batch):
    done = run(small_file, samples=SAMPLES, pes=4, batch=batch, verify=True)
    assert done.mismatch["difference"] is None
    assert answer(done) == small_answer
    assert done.report["result"]["frames"] == SAMPLES * 8


@pytest.mark.wide
def test_fewer_samples_are_the_first_ones(small_file, small_answer):
    _, sequences, _, predictions = answer(run(small_file, samples=3, pes=3, batch=2))
    assert sequences == small_answer[1][:3]
    assert predictions == small_answer[3][:3]


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("transport", "faults"),
    [
        ("mem", Faults({}, (), 5)),
        ("mem", Faults({}, ((0, 3), (9, 4)))),
        ("zmq", Faults({"PE(1,1,1)@0": 0.002}, ((5, 2),))),
    ],
)
def test_no_recoverable_fault_changes_a_bit(small_file, small_answer, transport, faults):
    assert answer(run(small_file, samples=SAMPLES, pes=3, batch=2, transport=transport, faults=faults)) == small_answer
