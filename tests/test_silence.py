"""How long a host may say nothing: as `--stall` says where it is stopped or waits, and by its own work where it works."""

import pytest

from host.launch.silence import WORK_S, Silence

STALL_S = 30.0


class Host:
    """A host that does one thing for ever, seen every half second by a clock of its own; `at_work` in turn at each look."""

    def __init__(self, *, stopped: bool = False, at_work: tuple[bool, ...] = (False,), share: float = 0.0) -> None:
        self.stopped, self.at_work, self.share, self.time_s = stopped, at_work, share, 1000.0

    def now(self) -> float:
        return self.time_s

    def is_stopped(self, _: str) -> bool:
        return self.stopped

    def is_at_work(self, _: str) -> bool:
        return self.at_work[int(2 * self.time_s) % len(self.at_work)]

    def worked_s(self, _: str) -> float:
        return self.share * self.time_s

    def silent_s(self, *, is_prepared: bool, most_s: float) -> float:
        """Return after how many seconds its silence is too long; infinite where it never is, within so many."""
        silence, begin = Silence(self, self.now, STALL_S), self.time_s
        while self.time_s < begin + most_s:
            self.time_s += 0.5
            if silent_s := silence.too_long_s(begin, is_prepared):
                assert silent_s == self.time_s - begin
                return silent_s
        return float("inf")


WORKS, WAITS = (True,), (False,)


@pytest.mark.parametrize(
    ("host", "is_prepared", "after_s"),
    [
        (Host(), True, STALL_S), (Host(), False, WORK_S), (Host(stopped=True), True, STALL_S), (Host(stopped=True), False, STALL_S),
        (Host(at_work=WORKS, share=1.0), True, WORK_S), (Host(at_work=WORKS, share=1.0), False, WORK_S),
        (Host(at_work=WORKS, share=0.25), True, 4 * WORK_S), (Host(at_work=WORKS, share=0.1), False, 10 * WORK_S),
        (Host(at_work=WORKS), True, WORK_S),  # a disk that does not answer
        (Host(at_work=WAITS, share=1.0), True, WORK_S),  # another thread, or a child, works
        (Host(at_work=(True, *20 * WAITS), share=0.01), False, WORK_S / 0.95),  # it looks up now and then
    ],
)  # fmt: skip
def test_who_works_is_judged_by_its_work_and_who_waits_by_the_time(host, is_prepared, after_s):
    assert after_s - 1 < host.silent_s(is_prepared=is_prepared, most_s=2e3) <= after_s + 2.5


def test_a_longer_stall_is_a_longer_bound_for_work_too():
    host = Host(at_work=WORKS, share=1.0)
    silence, begin = Silence(host, host.now, 300.0), host.time_s
    while not silence.too_long_s(begin, True):
        host.time_s += 0.5
    assert 300 <= host.time_s - begin <= 302.5


def test_a_word_begins_anew():
    host = Host(at_work=WORKS, share=1.0)
    silence, heard_at = Silence(host, host.now, STALL_S), host.time_s
    for step in range(2000):
        host.time_s += 0.5
        if step % 200 == 199:  # every 100 s
            heard_at = host.time_s
        assert silence.too_long_s(heard_at, True) == 0.0
