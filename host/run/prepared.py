"""The job of a run, and what refuses one."""

from __future__ import annotations

from typing import Any

from host.errors import Exit, HostError
from host.workloads.contract import Job
from host.workloads.registry import prepare, restore_options
from models.network import ModelError
from models.text.tokeniser import TextError
from noc.chip import ChipError

MOST_CHIPS = 48  # a board: with more, names and processes are beyond one machine
REFUSALS = (HostError, ModelError, TextError, ChipError)


def prepared(options: dict[str, Any]) -> Job:
    """Return the job that `options` (`RunOptions.resolved`) ask for; one of `REFUSALS`, in one line, for what cannot be run."""
    job = prepare(restore_options(options))
    if (chips := len(job.placement.machine.live)) > MOST_CHIPS:
        raise HostError(f"--chips {chips}: at most {MOST_CHIPS} run; price more with `fit` and `scale`")
    return job


def code_of(refusal: Exception) -> Exit:
    """Return the exit code of a run that is refused."""
    return refusal.code if isinstance(refusal, HostError) else Exit.USAGE
