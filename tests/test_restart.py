"""Whatever dies or stands still under `--restart`, the run goes on in other processes, to the same hash."""

from __future__ import annotations

import signal

import pytest

from host.workloads.lm.options import Options as LmOptions
from tests.tools.processes import answer, children, gone, hit, sockets

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def undisturbed(folder):
    """What a run gives that nobody hits: `hit`'s, in one process."""
    from host.launch.launcher import Launcher

    options = LmOptions(
        checkpoint=str(folder / "tiny.safetensors"), text=str(folder / "text.txt"), pes=25, tokens=150
    )  # fmt: skip
    return answer(Launcher(options, lambda _: None, lambda _: None).run())


@pytest.mark.parametrize(
    ("name", "number", "phase"),
    [
        ("PE(1,1,2)@0", signal.SIGKILL, "running"), ("router@0", signal.SIGKILL, "running"),
        ("PE(1,1,2)@0", signal.SIGKILL, "starting"), ("host", signal.SIGKILL, "running"),
        ("PE(1,1,2)@0", signal.SIGSTOP, "running"), ("host", signal.SIGSTOP, "running"),
    ],
)  # fmt: skip
def test_a_part_that_dies_or_stands_still_is_named_and_replaced(run, undisturbed, name, number, phase):
    outcome, _ = hit(run, name, number, phase, restart=True, stall_s=2.0)
    assert answer(outcome) == undisturbed
    (restart,) = outcome.report["recovery"]["restarts"]
    assert restart["part"] == name
    how = "died (SIGKILL)" if number == signal.SIGKILL else ""
    assert name in restart["problem"]
    assert how in restart["problem"]
    assert restart["back_s"] > 0
    assert outcome.report["recovery"]["counts_of_set"] == 2
    assert gone(children)
    assert gone(sockets)
