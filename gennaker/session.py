"""`Session`: a closed loop. The network stays on its PEs, and takes a vector at a time; its state is theirs."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from gennaker.bands import Band
from gennaker.costs import Cost, settings_of
from gennaker.errors import Error, RunError, WrongInput, explained
from gennaker.networks import NetworkHere, NetworkOfProcesses
from gennaker.placing import PlacedModel, placed
from gennaker.saved_session import SavedSession
from gennaker.step_records import StepHash, StepLedger
from gennaker.steps import InputEvents, StepReadout, StepSource
from models.network import Array

_NOTHING = Band(0.0, 0.0, 0.0)


class Session:
    """A network that waits on its PEs for the next step; `Plan.session` opens one.

    With `batch` several sequences run side by side, one a lane; a lane may begin anew while others go on. Memory does not grow with
    the steps: of each only its counts are kept, which go to a temporary file, and the hash of its events.

    >>> with plan.session(transport="mem") as chip:
    ...     y = [chip.step(vector) for vector in x[0]]
    ...     chip.steps, chip.energy_j.value > 0
    (20, True)
    >>> bool((np.array(y) == plan.run(x[0], transport="mem").outputs).all())
    True
    """

    def __init__(
        self, plan: PlacedModel, *, batch: int | None = None, transport: str = "zmq", stall_s: float = 30.0,
        restore: str | os.PathLike[str] | None = None,
    ) -> None:  # fmt: skip
        from host.workloads.section_events import sending_of
        from models.event_numbers import is_scaled

        if batch is not None and (type(batch) is not int or batch < 1):
            raise WrongInput(f"batch {batch!r}: needs a whole number of at least 1")
        self._lanes = batch or plan.options.batch or 1
        self._batched = (batch or plan.options.batch) is not None
        with explained():
            replace(plan.options, transport=transport, stall_s=stall_s).check()
        same = self._lanes == plan.placement.request.lanes
        self._placement = plan.placement if same else placed(plan.model, plan.options, self._lanes)
        self._plan, self._transport, self._stall_s, self._problem = plan, transport, stall_s, ""
        original, network = plan.model.checkpoint.network, self._placement.network
        self._inputs = {
            original.populations[n].name: (n, InputEvents(original.populations[n].payload, original.populations[n].dense))
            for n in original.inputs
        }
        self._scaled = {n: original.populations[n] for n in original.inputs if is_scaled(original.populations[n])}
        self._expected = {one.name: one for one in plan.model.expected}
        self._sending = {n: sending_of(network.populations[n], self._lanes) for n in network.outputs}
        self._output_names = {n: network.populations[n].name for n in network.outputs}
        self._has_front = bool(plan.model.checkpoint.front)
        self._open(None if restore is None else SavedSession.read(Path(restore), self._placement))

    def _open(self, saved: SavedSession | None) -> None:
        """Start the network, new or from where it was saved."""
        from host.options import transport_named
        from host.run.run import Run

        placement = self._placement
        self._readout = StepReadout()
        self._source = StepSource(self._lanes)
        if saved is not None:
            self._source.go_on_from(saved.source)
            self._readout.position = self._source.position - 1
        self._first_step = self._source.position
        self._ledger = StepLedger(placement)
        self._hash = StepHash(placement.network, self._lanes, self._source.sequence_at)
        self._run = Run(
            placement, self._source, self._readout, snapshot=saved.cut if saved else None, recorder=self._ledger, events=self._hash,
        )  # fmt: skip
        if saved is not None:
            self._run.inputs.late_feed.restore(saved.late)
        self._source.close_after(self._run.window + 1, self._hash.close)
        self._network: NetworkHere | NetworkOfProcesses
        if transport_named(self._transport).PROCESSES:
            self._network = NetworkOfProcesses(self._run, _plan_for(self._run), self._transport, self._stall_s)
        else:
            self._network = NetworkHere(self._run, self._transport)
        self._end = weakref.finalize(self, self._network.close)
        self._check_fault()

    # --- steps ---

    @property
    def steps(self) -> int:
        """How many steps were taken, by all lanes together, since the session began or was restored."""
        return self._source.position - self._first_step

    def step(self, observation: Any) -> Any:
        """Feed one vector to each lane, and return what the network answers to it.

        Args:
            observation: (features,) numbers, or (batch, features) of a session with a batch; a dict of such by input, for several.

        Returns:
            float32 (outputs,) or (batch, outputs), behind the head where the model has one; zeros for idle lanes; a dict by output
            of a network with several.

        Raises:
            WrongInput: another shape, width or type, or a number that is not finite; nothing was stepped.
            RunError: a process died or stood still; the session is over.

        """
        self._need_open()
        self._source.put(self._events_of(observation))
        position = self._source.position
        try:
            self._network.drive(self._run.pump(), lambda: self._readout.position == position, self._stall_s)
            self._check_fault()
        except BaseException as error:
            self._give_up("it was interrupted" if isinstance(error, KeyboardInterrupt) else str(error))
            raise
        return self._answer()

    def reset(self, lane: int | None = None) -> None:
        """Let a lane, or all, begin a new sequence with the next step: its states are zero, and it hears nothing from before.

        >>> with plan.session(transport="mem") as chip:
        ...     first = chip.step(x[0, 0])
        ...     second = chip.step(x[0, 0])
        ...     chip.reset()
        ...     again = chip.step(x[0, 0])
        >>> bool((first == again).all()), bool((first == second).all())
        (True, False)
        """
        for one in self._chosen(lane):
            self._source.begin(one)

    def rest(self, lane: int) -> None:
        """Let a lane take no part in steps until it is `reset`: an episode that ended before the others. Its input is not
        looked at.

        >>> with plan.session(batch=2, transport="mem") as chip:
        ...     _ = chip.step(x[:2, 0])
        ...     chip.rest(1)
        ...     float(abs(chip.step(x[:2, 1])[1]).sum())
        0.0
        """
        for one in self._chosen(lane):
            self._source.rest(one)

    def _chosen(self, lane: int | None) -> range:
        if lane is None:
            return range(self._lanes)
        if type(lane) is not int or not 0 <= lane < self._lanes:
            raise WrongInput(f"lane {lane!r}: needs 0 to {self._lanes - 1}")
        return range(lane, lane + 1)

    def _events_of(self, observation: Any) -> dict[int, tuple[bytes, bytes]]:
        from models.event_numbers import numbers_of

        resting = self._source.resting
        if resting == self._lanes:
            raise WrongInput("step: every lane rests; reset one")
        idle = self._source.idle if resting else None
        if not isinstance(observation, Mapping):
            if len(self._inputs) > 1:
                raise WrongInput(f"step: needs a dict with numbers for each of {', '.join(self._inputs)}")
            observation = {next(iter(self._inputs)): observation}
        elif observation.keys() != self._inputs.keys():
            have = ", ".join(map(str, observation)) or "none"
            raise WrongInput(f"step: needs numbers for {', '.join(self._inputs)}, has {have}")
        events = {}
        for name, value in observation.items():
            number, encode = self._inputs[name]
            rows = self._checked(name, value, idle)
            events[number] = encode(numbers_of(self._scaled[number], rows) if number in self._scaled else rows, idle)
        return events

    def _checked(self, name: str, value: Any, idle: Array | None) -> Array:
        """Return one input's numbers, (lanes, units) of what it sends."""
        expected = self._expected[name]
        rows = value if isinstance(value, np.ndarray) else np.asarray(value)
        shape = (self._lanes, expected.units) if self._batched else (expected.units,)
        if rows.shape != shape:
            raise WrongInput(f"step: {name} needs numbers of shape {shape}, has {rows.shape}")
        rows = rows.reshape(self._lanes, expected.units)
        if idle is not None and rows.dtype.kind in "fiub":
            rows = rows.copy()
            rows[idle] = 0
        if not expected.takes(rows):
            from host.workloads.arrays.expected_input import check_inputs

            with explained():
                rows = check_inputs("step", [expected], {name: [rows]})[name][0]
        if self._has_front:
            from models.heads.affine import front_of

            return front_of(self._plan.model.checkpoint, rows)
        return rows

    def _answer(self) -> Any:
        from models.event_numbers import values_of
        from models.heads.affine import answer_of

        out = {}
        for n, sections in self._readout.outputs.items():
            sending = self._sending[n]
            if sending.ticks == 1:
                rows = sending.spread(sections[0], self._lanes)
            else:
                rows = np.stack([sending.spread(section, self._lanes) for section in sections], axis=1)
            rows = values_of(self._placement.network.populations[n], rows)
            if len(self._sending) == 1:
                rows = answer_of(self._plan.model.checkpoint, rows)
            if self._source.resting:
                rows[self._source.idle] = 0
            out[self._output_names[n]] = rows if self._batched else rows[0]
        return out if len(out) > 1 else next(iter(out.values()))

    # --- what it has come to ---

    def price(self, **settings: Any) -> Cost:
        """Return what all steps so far would have cost with other settings, as `Run.price`."""
        self._finish_ticks()
        with explained():
            cost = self._ledger.cost(settings_of(settings))
        if cost is None:
            raise Error("session: no step was taken yet, so that there is nothing to price")
        return cost

    @property
    def cost(self) -> Cost:
        """What all steps so far would have cost on the chip."""
        return self.price()

    @property
    def time_s(self) -> Band:
        """Modelled seconds of all steps so far on the chip; zeros before the first."""
        return self.cost.time_s if self.steps else _NOTHING

    @property
    def energy_j(self) -> Band:
        """Modelled joules of all steps so far on the chip; zeros before the first."""
        return self.cost.energy_j if self.steps else _NOTHING

    @property
    def sha256(self) -> str:
        """The SHA-256 of all events so far: what `Plan.run` gives for the same sequences, in the order in which they began."""
        self._finish_ticks()
        return self._hash.sha256()

    def _finish_ticks(self) -> None:
        """Wait until all that was fed has gone through every layer."""
        if not self._problem and not self._source.ended and not self._run.quiet:
            self._network.drive([], lambda: self._run.quiet, self._stall_s)

    # --- save and restore ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state of every PE to a file, from which this session, or another one of the same plan, can go on.

        Raises:
            WrongInput: the file exists, or cannot be written.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, plan.session(transport="mem") as chip:
        ...     _ = chip.step(x[0, 0])
        ...     chip.save(f"{folder}/after-one")
        ...     there = chip.step(x[0, 1])
        ...     chip.restore(f"{folder}/after-one")
        ...     again = chip.step(x[0, 1])
        >>> bool((there == again).all())
        True

        """
        target, run = Path(path).expanduser(), self._run
        if os.path.lexists(target):
            raise WrongInput(f"save {target}: exists already; nothing is overwritten")
        self._need_open()
        try:
            self._finish_ticks()
            self._network.drive(run.ask_snapshot(), lambda: run.whole_snapshot() is not None and run.quiet, self._stall_s)
            self._check_fault()
        except BaseException as error:
            self._give_up("it was interrupted" if isinstance(error, KeyboardInterrupt) else str(error))
            raise
        cut = run.whole_snapshot()
        assert cut is not None
        SavedSession(cut, self._source.record(), run.inputs.late_feed.record()).write(target, self._placement)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go on from a file that `save` has written, with new routers and PEs. Steps, cost and hash begin anew: they are of what
        comes now.

        Raises:
            WrongInput: the file is missing or damaged, or of another model, plan or batch; the session goes on as it was.

        """
        self._need_open()
        saved = SavedSession.read(Path(path).expanduser(), self._placement)
        self._end()
        self._open(saved)

    def _need_open(self) -> None:
        if self._problem or self._source.ended:
            raise Error(f"session: is over{f' ({self._problem})' if self._problem else ''}; open another with plan.session()")

    # --- the end ---

    def close(self) -> None:
        """End the session: its processes leave, once every packet is accounted for. RunError where one was lost."""
        if self._problem or self._source.ended:
            return
        run, source = self._run, self._source
        try:
            self._finish_ticks()
            source.ended = True
            self._network.drive(run.pump(), lambda: run.phase == "read", self._stall_s)
            self._check_fault()
            wrong = run.conservation()["wrong"]
            self._network.drive(run.stop(), lambda: run.done, self._stall_s)
        except BaseException as error:
            self._give_up(str(error))
            raise
        self._end()
        if wrong:
            self._problem = f"conservation: {wrong[0]}"
            raise RunError(self._problem, 7)

    def _check_fault(self) -> None:
        if self._run.fault is not None:
            raise RunError(self._run.fault, 8)

    def _give_up(self, problem: str) -> None:
        self._problem = problem or "it failed"
        self._end()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        elif not self._source.ended:
            self._give_up(f"it ended with {kind.__name__}")

    def __repr__(self) -> str:
        state = "over" if self._problem or self._source.ended else "open"
        return f"<gennaker.Session of {self._plan.model.name}: {self.steps:,} step{'' if self.steps == 1 else 's'}, {state}>"


def _plan_for(run: Any) -> dict[str, Any]:
    """Return what a helper must know of the mapping."""
    from host.run.launch_plan import processes_of

    return {"layout": {"pes": [{"name": placed.name} for placed in run.placement.pes]}, **processes_of(run)}
