"""Failures on a cluster: dead processes, lost machines, cut links; and the error they lead to."""

from host.errors import Exit
from host.run.clock import SYSTEM_CLOCK, Clock

MACHINE_LOSS_S = 1.5  # after a link is cut or a process has failed: time for the loss of a machine that explains it to be noticed


class Failures:
    """Failures since the last start."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self.died: dict[str, str] = {}  # how each process ended that an agent reported
        self._lost_machines: list[tuple[str, Exit]] = []  # an error line and its code each
        self._no_machine_left = False
        self._cut = ""
        self._cut_at = 0.0

    def note_lost_machine(self, problem: str, *, for_good: bool, code: int = Exit.DIED) -> None:
        """Note a machine that is lost; `for_good` where no other can take over."""
        self._lost_machines.append((problem, Exit(code)))
        self._no_machine_left |= for_good

    def note_cut(self, problem: str) -> None:
        """Note a link that cannot be used; the first one is reported."""
        if not self._cut:
            self._cut, self._cut_at = problem, self._clock.now()

    def verdict(self, at_once: bool = False) -> tuple[str, Exit] | None:
        """Return the error line and exit code that end the run, or None. Unless `at_once`, a cut waits for a lost machine."""
        if self._lost_machines:
            (problem, code), *others = self._lost_machines
            return problem + (f"; {len(others)} more are lost" if others else ""), code
        if self._cut and (at_once or self._clock.now() - self._cut_at > MACHINE_LOSS_S):
            return self._cut, Exit.STALLED
        return None

    @property
    def lost_machine(self) -> bool:
        """Whether a machine is lost."""
        return bool(self._lost_machines)

    @property
    def is_final(self) -> bool:
        """Whether no machine is left to go on with."""
        return self._no_machine_left

    def forget(self) -> None:
        """Forget what failed: the run goes on without it."""
        self._lost_machines, self._cut, self.died = [], "", {}
