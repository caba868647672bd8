"""A PE's shard without a neuron: in compiled code, as a run's, it compares what it hears and answers with the batch that is due.

It stands where a weight format and a neuron model stand in a run (`models/compute/bound_calls.py`), so that the emulator's own tick
(`pe/tick.py`) and loop (`pe/socket_loop.py`) carry the exchange. It takes the times of laps, too: Python hears of no tick.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from bench.peers.exchange import EVENT, PATTERNS, Part, WrongEventsError, lap_ticks
from models.compute.bound_calls import Call, call, carray, nothing, number, pointer, words, words_at
from models.compute.compiling import inlined
from models.network import Array
from pe.bound_tick import Tick
from pe.tick_records import Listener, Resident, Slot

FIFO_EVENTS = 256  # as in a run: 2 KiB
_MONOTONIC = 1  # CLOCK_MONOTONIC, as Python's time.monotonic
_POSITION, _HEARD, _WRONG, _LAPS = range(4)  # of `progress`; position: events of this tick compared so far
_clock_gettime: Any = types.ExternalFunction("clock_gettime", types.intc(types.intc, types.intp))
_longs_at = pointer(types.int64)


class Parrot:
    """A tick for `part`; `population` is the one that all processes' units make."""

    def __init__(self, part: Part, population: int, keys: int) -> None:
        self._part = part
        self._progress = np.zeros(4, np.int64)
        laps = 1 + part.size.ticks // lap_ticks(part.size)  # the first ends where the warm-up does
        self._times_ns = np.zeros((1 + laps, 2), np.int64)  # seconds and nanoseconds; when tick 0 was heard comes first
        running = np.zeros(1, np.int64)  # the address of the tick's own mark
        send_keys, send_values = np.zeros(FIFO_EVENTS, np.uint32), np.zeros(FIFO_EVENTS, np.float32)
        due = _columns([part.run(tick) for tick in range(PATTERNS)])
        columns = _columns([part.batch(tick) for tick in range(PATTERNS)])
        size = part.size
        step = Call(
            _step_at, self._progress, self._times_ns.ravel(), running, due[0], *columns, send_keys, send_values.view(np.uint32),
            size.warm_up, lap_ticks(size), size.all_ticks,
        )  # fmt: skip
        clear, receive = Call(_clear_at, self._progress), Call(_receive_at, self._progress, *due)
        slot = Slot(
            clear=clear, receive=receive, product=nothing, forget=nothing, more=nothing, add=nothing,
            counts=np.zeros((1, 2), np.uint32),
        )  # fmt: skip
        port = Listener(
            population=population, delay=0, keys=keys, item_bytes=4, dense=False, lanes=1, closes=False, adds=False,
            restart=nothing, slots=[slot],
        )  # fmt: skip
        shard = Resident(
            population=population, trigger=population, wait=0, ticks=1, lanes=1, copies=size.processes, reset=nothing, step=step,
            listeners=[port], send_keys=send_keys, send_values=send_values, ledger=np.zeros(3, np.uint32), probes=[],
            headers=None, marks=None,
        )  # fmt: skip
        fifo = np.zeros(FIFO_EVENTS, np.uint32), np.zeros(FIFO_EVENTS, np.float32)
        self.tick = Tick([shard], FIFO_EVENTS, *fifo)
        running[0] = self.tick.block  # its first word

    def tell(self) -> None:
        """Tell the part what was heard and when; WrongEventsError where that was not what was sent."""
        heard = int(self._progress[_HEARD])
        if self._progress[_WRONG]:
            raise WrongEventsError(f"process {self._part.rank} at tick {heard - 1}: heard events that are not what was sent")
        times_s = [seconds + 1e-9 * rest for seconds, rest in self._times_ns[: 1 + self._progress[_LAPS]].tolist()]
        self._part.followed(heard, times_s[0], times_s[1:])


def _columns(events: list[bytes]) -> tuple[Array, Array, Array]:
    """Return where each batch ends, and keys and values (as their bits) of all."""
    records = np.frombuffer(b"".join(events), EVENT)
    ends = np.cumsum([len(one) // EVENT.itemsize for one in events])
    return ends.astype(np.int64), records["key"].copy(), records["value"].copy().view(np.uint32)


# -- compiled -------------------------------------------------------------------------------------------------------------------


@inlined
def _longs(block: int, at: int, size: int) -> Array:
    return carray(_longs_at(number(block, at)), (size,))  # type: ignore[no-any-return]  # numba's array


@inlined
def _span(ends: Array, tick: int) -> tuple[int, int]:
    """Return where the events of `tick` begin and end."""
    pattern = tick % PATTERNS
    return (ends[pattern - 1] if pattern else 0), ends[pattern]


@call
def _clear_at(block: int, keys: int, values: int, count: int) -> int:  # noqa: ARG001 - a call's form
    _longs(block, 0, 4)[_POSITION] = 0
    return 0


@call
def _receive_at(block: int, keys: int, values: int, count: int) -> int:
    """Parts: progress, where what is due ends, its keys and values. Compare the next events with what is due."""
    progress, ends = _longs(block, 0, 4), _longs(block, 1, PATTERNS)
    due_keys, due_values = words(block, 2), words(block, 3)
    have_keys, have_values = carray(words_at(keys), (count,)), carray(words_at(values), (count,))
    begin, end = _span(ends, progress[_HEARD])
    at = begin + progress[_POSITION]
    progress[_POSITION] += count
    if at + count > end:
        progress[_WRONG] = 1
        return 0
    for i in range(count):
        if have_keys[i] != due_keys[at + i] or have_values[i] != due_values[at + i]:
            progress[_WRONG] = 1
    return 0


@call
def _step_at(block: int, keys: int, values: int, count: int) -> int:  # noqa: ARG001 - a call's form
    """Parts: progress, times, the tick's mark, where what is due ends, where what is said ends, its keys and values, the send
    buffer, ticks to warm up, of a lap, and all. Note the time, and say the next batch.
    """
    progress, mark = _longs(block, 0, 4), _longs(block, 2, 1)
    begin, end = _span(_longs(block, 3, PATTERNS), progress[_HEARD])
    if progress[_POSITION] != end - begin:
        progress[_WRONG] = 1
    progress[_HEARD] += 1
    heard = progress[_HEARD]
    timed, lap, all_ticks = heard - number(block, 9), number(block, 10), number(block, 11)
    if heard == 1:
        _clock_gettime(np.int32(_MONOTONIC), number(block, 1))
    if timed >= 0 and timed % lap == 0:
        progress[_LAPS] += 1
        _clock_gettime(np.int32(_MONOTONIC), number(block, 1) + 16 * progress[_LAPS])
    if progress[_WRONG] or heard == all_ticks:
        carray(_longs_at(mark[0]), (1,))[0] = 0  # the next bundle goes to Python
    first, last = _span(_longs(block, 4, PATTERNS), heard)
    said_keys, said_values = words(block, 5), words(block, 6)
    send_keys, send_values = words(block, 7), words(block, 8)
    for i in range(last - first):
        send_keys[i], send_values[i] = said_keys[first + i], said_values[first + i]
    return last - first
