"""How a plan is run: its arrays and options go to the very code behind `launch.py run`, here or in a process of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gennaker.errors import RunError, WrongInput, explained, in_python
from gennaker.placing import PlacedModel, placed
from gennaker.progress import Progress
from gennaker.results import Run
from gennaker.sequences import Sequences, sequences_of
from gennaker.temporary_folder import TemporaryFolder

if TYPE_CHECKING:
    from host.launch.outcome import Outcome
    from host.workloads.arrays.options import Options

SAVED = ("outputs", "events", "states")


def run_plan(
    plan: PlacedModel, x: Any, *, save: tuple[str, ...], transport: str, verify: bool, progress: bool | None, stall_s: float
) -> Run:
    """Run arrays through a plan; what `Plan.run` says."""
    for name in save:
        if name not in SAVED:
            raise WrongInput(f"save {name!r}: needs any of {', '.join(SAVED)}")
    sequences = sequences_of(plan.model, x)
    lanes = plan.options.batch or sequences.count
    if sequences.count < lanes:
        raise WrongInput(
            f"x: has {sequences.count} sequences, the plan was fit for a batch of {lanes}; fit(batch={sequences.count})"
        )
    if lanes != plan.placement.request.lanes:
        placed(plan.model, plan.options, lanes)  # refused here, with its numbers
    folder = TemporaryFolder("run")
    try:
        inputs = folder.path / "inputs.npz"
        with explained():
            options = replace(
                plan.options, batch=lanes, inputs=str(inputs), save=tuple(dict.fromkeys(save)) or None, transport=transport,
                verify=verify, stall_s=stall_s,
            )  # fmt: skip
            options.check()
            _write(inputs, sequences)
            (folder.path / "run").mkdir()
        bar = Progress(plan.model.name, progress)
        try:
            outcome = _execute(options, folder.path / "run", bar)
        finally:
            bar.close()
        _raise_problem(outcome)
        return Run(plan.model.name, folder, sequences, tuple(dict.fromkeys(save)))
    except BaseException:
        folder.remove()
        raise


def _write(path: Path, sequences: Sequences) -> None:
    """Write sequences as `--inputs` takes them."""
    arrays = {f"{name}.{number}": array for name, of in sequences.inputs.items() for number, array in enumerate(of)}
    try:
        np.savez(path, **arrays)  # type: ignore[arg-type] # none of them is called as its own flag
    except OSError as error:
        raise WrongInput(f"x: cannot be written to {path.parent} ({error.strerror}); make room where TMPDIR is") from None


def _execute(options: Options, folder: Path, bar: Progress) -> Outcome:
    from host.launch.recorded_run import start_time, write_outcome
    from host.options import transport_named

    with explained():
        if transport_named(options.transport).PROCESSES:
            from gennaker.helper import run_in_helper

            return run_in_helper(options, folder, bar.update)
        from host.launch.in_process import run_here

        began = start_time()
        outcome = run_here(options, folder, lambda _: None, bar.update)
        write_outcome(folder, options, outcome, began)
        return outcome


def _raise_problem(outcome: Outcome) -> None:
    from host.errors import Exit, HostError

    if outcome.problem is None:
        return
    if outcome.code in (Exit.USAGE, Exit.DOES_NOT_FIT):
        with explained():
            raise HostError(outcome.problem, outcome.code)
    raise RunError(in_python(outcome.problem), int(outcome.code), outcome.report)
