"""A host that dies leaves a journal, from which another one goes on to the same hash, ledger and answer."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest

from host.run.journal import Journal
from host.run.recorder import Recorder
from host.run.resumable_sha256 import ResumableSha256
from host.run.run import Run
from host.run_folder import JOURNAL
from host.workloads.registry import prepare, restore_options, workloads
from noc.transports.mem import MemNetwork
from tests.tools.losses import Lost, _live, report_of, run_with_losses


def test_the_resumable_digest_is_sha_256_wherever_it_is_cut():
    chance = random.Random(1)
    for size in (0, 1, 55, 56, 63, 64, 65, 127, 1000, 5000):
        raw, cut = chance.randbytes(size), chance.randint(0, size)
        first = ResumableSha256()
        first.update(raw[:cut])
        assert first.digest() == hashlib.sha256(raw[:cut]).digest()
        again = ResumableSha256(first.state)
        for at in range(cut, size, 37):
            again.update(raw[at : min(at + 37, size)])
        assert again.hexdigest() == hashlib.sha256(raw).hexdigest()


def options_of(name, folder):
    """Return a record of options for a short run of each kind."""
    if name == "generation":
        prompt = {"prompt": "w3 w4", "generate": 25, "temperature": 0.8}
        return {"workload": "lm", "checkpoint": str(folder / "tiny.safetensors"), "pes": 5, **prompt}
    if name == "text":
        text = {"text": str(folder / "text.txt"), "tokens": 30}
        return {"workload": "lm", "checkpoint": str(folder / "tiny.safetensors"), "pes": 5, **text}
    return {"workload": name, **workloads()[name].part("example", "smallest")(folder)}


CASES = [
    ("text", {}),
    ("text", {"batch": 3, "tokens": 20}),
    ("text", {"state": "carried"}),
    ("generation", {}),
    ("dvs", {}),
    ("arrays", {}),
    *(pytest.param(name, {}, marks=pytest.mark.slow) for name in workloads() if name not in ("lm", "dvs", "arrays")),
]


@pytest.mark.wide_but("dvs-{}")
@pytest.mark.slow_but("text-{}", "dvs-{}")
@pytest.mark.parametrize(("name", "more"), CASES, ids=str)
def test_another_host_goes_on_from_the_journal(folder, tmp_path, name, more):
    record = {**options_of(name, folder if name in ("text", "generation") else tmp_path), "transport": "mem", "snapshot": 8, **more}

    def run_into(place, losses=None):
        job = prepare(restore_options(record))
        place.mkdir(exist_ok=True)
        run = Run(
            job.placement, job.source, job.readout, repeatable=True, probes=job.probes, fills=job.fills,
            snapshot_positions=job.options.snapshot, recorder=Recorder(job.placement, place),
        )  # fmt: skip
        return job, run, Journal(place, run, dict(job.inputs), job.dram)

    def outcome(job, run):
        report, ledger = report_of(job, run), run.recorder.run_ledger()
        whole = ledger.part(0, ledger.positions)
        arrays = [np.asarray(array).tobytes() for array in (whole.events, whole.input_events, whole.port_counts, whole.stepped)]
        return report, arrays

    job, run, _ = run_into(tmp_path / "whole")
    run_with_losses(run)
    whole, positions = outcome(job, run), []
    for messages in (18, 30, 44):
        place = tmp_path / str(messages)
        job, run, journal = run_into(place)
        try:
            _live(run, messages, MemNetwork(3))
        except Lost:
            run.settle()
        else:
            break  # a run with fewer messages
        journal._write()
        job, run, journal = run_into(place)
        journal.restore()
        positions.append(run.replay.position)
        run_with_losses(run, (9,))
        assert outcome(job, run) == whole
    assert positions
    assert max(positions) > 0 or more.get("state") == "carried" or name in ("arrays", "snn"), positions


def test_a_journal_that_is_damaged_or_of_another_network_is_as_none(folder, tmp_path):
    record = {**options_of("text", folder), "transport": "mem"}

    def fresh(**other):
        job = prepare(restore_options({**record, **other}))
        run = Run(job.placement, job.source, job.readout, repeatable=True, recorder=Recorder(job.placement, tmp_path))
        return run, Journal(tmp_path, run, dict(job.inputs), job.dram)

    run, journal = fresh()
    with pytest.raises(Lost):
        _live(run, 44, MemNetwork(3))
    journal._write()
    run, journal = fresh(pes=4)
    journal.restore()
    assert run.replay.position == 0
    whole = (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(whole[:-9] + b"x" + whole[-8:])
    run, journal = fresh()
    journal.restore()
    assert run.replay.position == 0
    (tmp_path / JOURNAL).write_bytes(whole)
    run, journal = fresh()
    journal.restore()
    assert run.replay.position > 0
