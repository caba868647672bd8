"""Every head, of whatever kind: an answer's bits follow from the stated order of its sums, and from nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from host.workloads.registry import workloads
from models import families, heads
from models.compute import compiling
from models.families import member_names


@pytest.fixture(params=member_names(heads))
def head(request):
    return families.member(heads, request.param, "head")


def test_a_head_is_the_sums_in_their_order_bit_for_bit(head):
    answer, plainly, rows = head.example()
    assert not rows[0].any()
    assert len({answer(row).tobytes() for row in rows}) == len(rows)
    for row in rows:
        assert answer(row).dtype == np.float32
        assert answer(row).tobytes() == plainly(row).tobytes()


def test_an_answer_follows_from_its_row_alone(head):
    """Not from what was asked before, nor from where the row lies; and the row stays as it is."""
    answer, _, rows = head.example()
    first = [answer(row).tobytes() for row in rows]
    assert [answer(row).tobytes() for row in rows[::-1]] == first[::-1]
    wide = np.zeros((len(rows), 3 * rows.shape[1]), np.float32)
    wide[:, ::3] = rows
    for want, row, strided in zip(first, rows, wide[:, ::3], strict=True):
        frozen = row.copy()
        frozen.setflags(write=False)
        assert answer(frozen).tobytes() == answer(strided).tobytes() == want
        np.testing.assert_array_equal(frozen, row)


def test_silence_has_no_sign(head):
    answer, _, rows = head.example()
    for row in rows:
        assert answer(np.where(row == 0, np.float32(-0.0), row)).tobytes() == answer(row).tobytes()


def test_what_is_warm_compiles_nothing_more(head):
    head.warm()
    own = [function for function in compiling._dispatchers if function.py_func.__module__.startswith("models.heads")]
    before = [list(function.signatures) for function in own]
    answer, _, rows = head.example()
    for row in rows:
        answer(row)
    assert [list(function.signatures) for function in own] == before


@pytest.mark.parametrize("name", tuple(workloads()))
def test_a_workload_says_which_heads_its_host_calls(name):
    """They are compiled before processes start, and no others are."""
    about = workloads()[name].about
    sources = "".join(path.read_text() for path in Path(about.__file__).parent.glob("*.py"))
    assert sorted(getattr(about, "HEADS", ())) == sorted({*re.findall(r"models\.heads\.(\w+)", sources)})
