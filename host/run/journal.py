"""`Journal`: all that the host of a run knows, in the run folder, so that another host process can go on from there.

It is written while ticks run, at most once a second, when the beginning from which routers and PEs would go on
(`host/run/recovery.py`) has moved. Who goes on from it feeds the positions since that beginning again, and leaves out what the
host had when it wrote. One that is damaged, or of another network, placement or input, is as none: the run begins anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from host.mapping.placement import Placement
from host.provenance import input_record
from host.run.plan_digest import plan_sha256
from host.run.run import Run
from host.run_folder import JOURNAL, part_of
from host.workloads.contract import Job
from noc.dram import Dram
from noc.wire import pack_status, unpack_status

_VERSION, _DIGEST_BYTES = 2, 32
_EVERY_S = 1.0


class Journal:
    """The journal of a run in `folder`, whose inputs are those files and lie in `dram`; the run is one that can be restarted."""

    def __init__(self, folder: Path, run: Run, inputs: dict[str, Path], dram: Dram) -> None:
        self._path, self._run, self._dram = folder / JOURNAL, run, dram
        self._identity = _identity(run.placement, inputs)
        self._position, self._next_at = 0, 0.0

    def look(self, now: float) -> None:
        """Write the journal, if that is due. Where it cannot be written, the one before stays."""
        if now < self._next_at or _beginning_of(self._run) <= self._position:
            return
        self._next_at = now + _EVERY_S
        try:
            self._write()
        except OSError:
            return  # a full disk is told of where the ledger is completed
        self._position = _beginning_of(self._run)

    def _write(self) -> None:
        run = self._run
        assert run.replay is not None
        record = {
            "version": _VERSION, "identity": self._identity, "ledger": run.recorder.record(), "replay": run.replay.record(),
            "events": run.events.record(), "counts": run.counts.record(), "answers": run.answers.record(),
            "late": run.inputs.late_feed.record(), "source": run.source.snapshot(), "readout": run.readout.snapshot(),
            "dram": [self._dram.read_bytes, self._dram.written_bytes],
        }  # fmt: skip
        raw, part = pack_status(record), part_of(self._path)
        with part.open("wb") as file:
            file.write(hashlib.sha256(raw).digest() + raw)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)  # whoever looks sees all of it or nothing

    def restore(self) -> None:
        """Let the run, which has just been made, go on from the journal, where there is one that is its own."""
        record = self._read()
        if record is None:
            return
        run = self._run
        assert run.replay is not None
        try:
            run.recorder.restore(record["ledger"])
        except (OSError, ValueError):
            return  # without its ledger a run begins anew
        run.events.restore(record["events"])
        run.counts.restore(record["counts"])
        run.inputs.late_feed.restore(record["late"])
        run.source.restore(record["source"])
        run.readout.restore(record["readout"])
        run.answers.restore(record["answers"])
        run.replay.restore(record["replay"])
        # What is read into it once more was counted in its time.
        self._dram.read_bytes, self._dram.written_bytes = record["dram"]
        run.prepare_restart()
        self._position = run.replay.position

    def _read(self) -> dict[str, Any] | None:
        try:
            content = self._path.read_bytes()
        except OSError:
            return None
        digest, raw = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(raw).digest() != digest:
            return None
        record = unpack_status(raw)
        return record if (record["version"], record["identity"]) == (_VERSION, self._identity) else None


def journal_for(job: Job, run: Run, folder: str | None, *, resume: bool) -> Journal | None:
    """Return the journal of a run that can be restarted; None where it begins anew in another host process, as does one that keeps
    more than a journal has. `resume`: let it go on from the journal that is there.
    """
    options = job.options
    if folder is None or not options.restart or options.verify or options.save or options.outputs:
        return None
    journal = Journal(Path(folder), run, dict(job.inputs), job.dram)
    if resume:
        journal.restore()
    return journal


def _beginning_of(run: Run) -> int:
    assert run.replay is not None
    return run.replay.position


def _identity(placement: Placement, inputs: dict[str, Path]) -> str:
    facts = [plan_sha256(placement), input_record(inputs)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
