"""A line between two machines: each message is taken once and in order, whatever a broken connection loses or brings twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noc.resumable_line import ACKNOWLEDGE_EVERY, HEAD_BYTES, Line, LineError


class Pair:
    """Two ends, and what is under way between them."""

    def __init__(self, most: int = 1000) -> None:
        self.ends = Line(most), Line(most)
        self.way: tuple[list[tuple[bytes, bytes]], ...] = ([], [])  # towards each end
        self.taken: tuple[list[bytes], ...] = ([], [])

    def send(self, end: int, payload: bytes) -> None:
        self.way[1 - end].append((self.ends[end].outgoing(payload), payload))

    def deliver(self, end: int) -> None:
        """Let everything that is under way to `end` arrive."""
        frames, self.way[end][:] = list(self.way[end]), []
        for head, payload in frames:
            message, replies = self.ends[end].incoming(head, payload)
            self.way[1 - end].extend(replies)
            if message is not None:
                self.taken[end].append(message)

    def settle(self) -> None:
        while self.way[0] or self.way[1]:
            self.deliver(0)
            self.deliver(1)

    def break_and_call_again(self) -> None:
        """Lose what is under way; end 0 calls again."""
        for way in self.way:
            way.clear()
        self.way[1].append((self.ends[0].resume(), b""))


steps = st.lists(st.sampled_from(["send 0", "send 1", "deliver 0", "deliver 1", "break", "twice"]), max_size=80)


@given(steps)
def test_whatever_happens_all_arrives_once_and_in_order(steps):
    pair, sent = Pair(), ([], [])
    for number, step in enumerate(steps):
        what, _, end = step.partition(" ")
        if what == "send":
            payload = str(number).encode()
            pair.send(int(end), payload)
            sent[int(end)].append(payload)
        elif what == "deliver":
            pair.deliver(int(end))
        elif what == "twice":
            for way in pair.way:
                way.extend(way)
        else:
            pair.break_and_call_again()
    pair.break_and_call_again()
    pair.settle()
    assert pair.taken == (sent[1], sent[0])


def test_what_has_arrived_is_not_kept_even_where_nothing_goes_back():
    pair = Pair()
    for number in range(10 * ACKNOWLEDGE_EVERY):
        pair.send(0, bytes(number % 7))
        pair.settle()
    assert pair.ends[0].kept < ACKNOWLEDGE_EVERY
    assert len(pair.taken[1]) == 10 * ACKNOWLEDGE_EVERY


def test_what_waits_is_bounded():
    line = Line(10)
    with pytest.raises(LineError, match=r"^74 messages wait for the other side$"):
        for _ in range(100):
            line.outgoing(b"")


@pytest.mark.parametrize("head", [b"", b"\0" * (HEAD_BYTES - 1), b"\0" * (HEAD_BYTES + 1), b"\x04" + bytes(HEAD_BYTES - 1)])
def test_a_header_that_is_none_is_refused(head):
    with pytest.raises(LineError, match="a header of"):
        Line(10).incoming(head, b"")
