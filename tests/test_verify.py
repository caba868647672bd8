"""`verify` names the first position, layer, unit, tick and sequence at which a run differs from the reference."""

from __future__ import annotations

import numpy as np

from host.run.verify import Witness
from host.workloads.contract import Feed
from host.workloads.lm.options import Options as LmOptions
from host.workloads.registry import prepare
from noc.packet import FRESH, RESET, VALID, Section


def test_one_bit_too_many_is_named(folder):
    job = prepare(
        LmOptions(checkpoint=str(folder / "tiny.safetensors"), text=str(folder / "text.txt"), tokens=5, pes=3, transport="mem")
    )
    witness = Witness(job.placement)
    feed = job.source.next()
    assert isinstance(feed, Feed)
    assert feed.flags == VALID | RESET | FRESH
    # What the first layer really does at position 0, computed by a witness that has seen nothing wrong.
    twin = Witness(job.placement)
    twin.see_input(feed)
    twin._step(twin._feeds.pop(0))
    y = twin._expected[0][0][1][0]
    keys = np.flatnonzero(y).astype("<u4")
    values = y[keys].astype("<f4")
    witness.see_input(feed)
    witness.see_events(Section(1, VALID, 0, keys.tobytes(), values.tobytes(), b""))
    assert witness.finish() == {"compared": 24, "difference": None}

    wrong = values.copy()
    wrong.view("<u4")[1] ^= 1  # the last bit of the second event
    other = Witness(job.placement)
    other.see_input(feed)
    other.see_events(Section(1, VALID, 0, keys.tobytes(), wrong.tobytes(), b""))
    difference = other.finish()["difference"]
    assert difference.startswith(f"first difference at position 0, egru1, unit {keys[1]}: run ")
    assert ", reference " in difference
