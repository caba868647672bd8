"""Memory of the emulator's own: what is small lies together, and nothing lies on anything else."""

import errno
import gc
import os
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.compute import working_room as rooms
from models.compute.working_room import begin_chunk, records, working_room


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20_000), st.sampled_from(["u1", "u2", "f4", "i8"])), max_size=40))
@settings(deadline=None, max_examples=50)
def test_arrays_are_zero_aligned_and_apart(wanted):
    arrays = [(working_room if is_room else records)(size, kind) for is_room, size, kind in wanted]
    for number, ((is_room, size, kind), array) in enumerate(zip(wanted, arrays, strict=True)):
        assert (array.shape, array.dtype, array.any()) == ((size,), np.dtype(kind), False)
        assert array.ctypes.data % (64 if is_room else 8) == 0 or not size
        array.view("u1")[:] = 1 + number % 255
    begin_chunk()
    gc.collect()  # an array keeps what it lies on
    for number, array in enumerate(arrays):
        assert (array.view("u1") == 1 + number % 255).all()


def test_what_is_large_does_not_part_what_is_small():
    first, _, last = records(1, np.int64), working_room(100_000, np.uint8), records(1, np.int64)
    assert last.ctypes.data - first.ctypes.data == 8 or last.ctypes.data % (1 << 12) == 0  # or a chunk began there


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_writes_to_memory_of_its_own():
    shared = records(1, np.int64)
    pid = os.fork()
    if pid == 0:
        shared[0] = 1
        os._exit(int(shared[0]))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert shared[0] == 0


def test_threads_get_memory_apart():
    arrays, began = [], threading.Barrier(4)

    def take():
        began.wait()
        for _ in range(500):
            arrays.append(records(2, np.int64))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    places = sorted(array.ctypes.data for array in arrays)
    assert min(np.diff(places)) >= 16


def test_a_lack_of_memory_is_one(monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(rooms.mmap, "mmap", refuse)
    with pytest.raises(MemoryError):
        begin_chunk()
