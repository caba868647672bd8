"""What a user may ask of `launch.py dvs`: its own defaults, and what is refused in one line."""

from __future__ import annotations

import pytest
from test_options import refused

from host.faults import Faults
from host.options import RunOptions
from host.workloads.dvs.options import Options


def test_gestures_take_dense_weights_unless_told_otherwise():
    assert (Options().format, RunOptions().format) == ("dense", "csr")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"samples": 0}, ["--samples 0", "at least 1"]),
        ({"batch": 0}, ["--batch 0", "at least 1"]),
        ({"split": "valid"}, ["--split 'valid'", "train, test"]),
        ({"format": "dens"}, ["did you mean 'dense'"]),
        ({"faults": Faults({}, (), 3)}, ["--transport mem"]),
    ],
    ids=str,
)
def test_gestures_that_cannot_be_are_refused_by_name(bad, words):
    refused(Options(**bad).check, *words)
