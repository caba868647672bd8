"""What the emulated DRAM promises: named, aligned regions within two interfaces, each byte counted, no file left behind."""

import os
import re
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.workloads.rows_in_dram import RowsInDram
from noc.chip import load_chip
from noc.dram import INTERFACES, RESERVED_BYTES, Dram, DramError, DramOverflow

ROOT = Path(__file__).resolve().parents[1]
CAPACITY, ALIGNMENT = 1 << 16, 16
INTERFACE = CAPACITY // INTERFACES
ROOM = INTERFACE - RESERVED_BYTES
patient = settings(deadline=None, max_examples=60)


@pytest.fixture
def dram():
    return Dram(CAPACITY, ALIGNMENT)


def refused(kind, call, *arguments):
    """The call is refused in one line with exactly this kind of error; return the line."""
    with pytest.raises(ValueError, match="DRAM") as caught:
        call(*arguments)
    assert type(caught.value) is kind
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# --- regions ----------------------------------------------------------------------------------------------------------


def in_one_interface(region):
    """The region lies in one interface, behind what is reserved at its start."""
    interface, start = divmod(region.offset, INTERFACE)
    return interface < INTERFACES and start >= RESERVED_BYTES and start + region.size_bytes <= INTERFACE


@patient
@given(st.lists(st.integers(1, ROOM // 3), max_size=12))
def test_regions_are_aligned_disjoint_and_within_one_interface(sizes):
    dram, regions = Dram(CAPACITY, ALIGNMENT), []
    for number, size in enumerate(sizes):
        try:
            regions.append(dram.allocate(str(number), size))
        except DramOverflow:
            break
    for region in regions:
        assert region.size_bytes == sizes[int(region.name)]
        assert region.offset % ALIGNMENT == 0
        assert in_one_interface(region)
    for one, other in pairwise(regions):
        assert one.offset + one.size_bytes <= other.offset


@pytest.mark.parametrize("left", [0, 8])
def test_the_reserved_range_of_the_second_interface_stays_free(dram, left):
    dram.allocate("fills the first", ROOM - left)
    assert in_one_interface(dram.allocate("second", 64))


def test_the_first_bytes_are_reserved(dram):
    assert dram.allocate("first", 1).offset == RESERVED_BYTES == 0x400


def test_a_region_does_not_cross_from_one_interface_to_the_other(dram):
    dram.allocate("most of the first", ROOM - 160)
    assert dram.allocate("small", 96).offset < INTERFACE
    assert dram.allocate("does not fit the rest", 200).offset == INTERFACE + RESERVED_BYTES


def test_an_interface_can_be_filled_to_its_end(dram):
    assert dram.allocate("whole", ROOM).offset + ROOM == INTERFACE
    assert "needs" in refused(DramOverflow, dram.allocate, "more", ROOM + 1)


def test_what_does_not_fit_is_refused_with_its_name_its_need_and_what_is_free(dram):
    text = refused(DramOverflow, dram.allocate, "embedding", ROOM + 1)
    for word in ("'embedding'", f"needs {ROOM + 1} B", f"B free of {CAPACITY} B", f"{ROOM} B an interface"):
        assert word in text


def test_what_is_free_is_told_of_a_store_that_is_nearly_full(dram):
    for name in ("first", "second"):
        dram.allocate(name, ROOM - 1600)
    assert " 1600 B free" in refused(DramOverflow, dram.allocate, "third", 1601)
    dram.allocate("the rest", 1600)


def test_what_was_refused_takes_nothing(dram):
    refused(DramOverflow, dram.allocate, "too large", CAPACITY)
    assert dram.allocate("too large", 16).offset == RESERVED_BYTES


def test_a_name_is_given_once(dram):
    dram.allocate("embedding", 16)
    assert "'embedding'" in refused(ValueError, dram.allocate, "embedding", 16)


@patient
@given(st.integers(0, 10_000), st.sampled_from([1, 4, 16, 64]))
def test_a_row_stride_is_the_next_aligned_size(row_bytes, alignment):
    stride = Dram(1 << 12, alignment).row_stride(row_bytes)
    assert stride % alignment == 0
    assert row_bytes <= stride < row_bytes + alignment


def test_a_store_that_cannot_be_made_is_refused():
    assert "needs more than 2048 B" in refused(DramError, Dram, 2048, 16)
    assert "cannot be made here" in refused(DramError, Dram, 1 << 70, 16)


def test_the_chips_own_store_has_2_gb():
    chip = load_chip()
    dram = Dram(chip.dram_bytes, chip.dram_alignment_bytes)
    assert dram.allocate("half", chip.dram_bytes // 2 - RESERVED_BYTES).offset == RESERVED_BYTES
    assert chip.dram_alignment_bytes == 16


# --- bytes ------------------------------------------------------------------------------------------------------------


@patient
@given(st.lists(st.tuples(st.integers(0, 60), st.binary(max_size=60)), max_size=10))
def test_what_is_read_is_what_was_written_and_all_of_it_is_counted(writes):
    dram, model, written = Dram(CAPACITY, ALIGNMENT), bytearray(1024), 0
    before, region, behind = dram.allocate("before", 16), dram.allocate("region", 1024), dram.allocate("behind", 16)
    for slot, data in writes:
        dram.write(region, slot * ALIGNMENT, data)
        model[slot * ALIGNMENT : slot * ALIGNMENT + len(data)] = data
        written += len(data)
    assert dram.read(region, 0, 1024) == bytes(model)
    assert dram.read(before, 0, 16) == dram.read(behind, 0, 16) == bytes(16)
    assert (dram.written_bytes, dram.read_bytes) == (written, 1024 + 32)


@pytest.mark.parametrize(("offset", "size"), [(-16, 16), (0, 65), (48, 17), (64, 1), (1 << 40, 16)])
def test_a_region_is_not_left(dram, offset, size):
    region = dram.allocate("weights", 64)
    dram.allocate("behind", 64)
    for call, what in ((dram.read, size), (dram.write, bytes(size))):
        assert "'weights'" in refused(ValueError, call, region, offset, what)
    assert (dram.written_bytes, dram.read_bytes) == (0, 0)


@pytest.mark.parametrize("offset", [1, 4, 8, 17])
def test_an_access_begins_aligned(dram, offset):
    region = dram.allocate("weights", 64)
    for call, what in ((dram.read, 4), (dram.write, bytes(4))):
        text = refused(ValueError, call, region, offset, what)
        assert f"not aligned to {ALIGNMENT} B" in text
        assert "'weights'" in text


@patient
@given(st.integers(1, 9), st.integers(1, 9))
def test_rows_lie_a_stride_apart(rows, columns):
    dram = Dram(CAPACITY, ALIGNMENT)
    stride = dram.row_stride(4 * columns)
    region = dram.allocate("embedding", stride * rows)
    table = np.arange(1, rows * columns + 1, dtype=np.float32).reshape(rows, columns)
    dram.write_rows(region, table)
    assert dram.written_bytes == table.nbytes  # and not the padding
    for number, row in enumerate(table):
        assert dram.read(region, number * stride, 4 * columns) == row.tobytes()
    assert dram.read_bytes == table.nbytes


def test_rows_that_do_not_fit_their_region_are_refused(dram):
    region = dram.allocate("embedding", 64)
    assert "'embedding'" in refused(ValueError, dram.write_rows, region, np.ones((5, 3), np.float32))


def test_rows_of_a_view_are_written_as_the_view_shows_them(dram):
    table = np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]
    dram.write_rows(region := dram.allocate("embedding", 64), table)
    assert dram.read(region, 16, 8) == table[1].tobytes()


# --- the embedding ----------------------------------------------------------------------------------------------------


@patient
@given(st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_a_position_reads_one_row_a_lane(words):
    table = np.arange(1, 36, dtype=np.float32).reshape(5, 7)
    table[2, 3] = 0.0
    table[4] = 0.0
    dram = Dram(CAPACITY, ALIGNMENT)
    keys, values = RowsInDram.of(dram, "table", table).feed(words)
    assert dram.read_bytes == len(words) * 7 * 4
    expected = [(lane * 7 + unit, x) for lane, word in enumerate(words) for unit, x in enumerate(table[word]) if x]
    assert np.frombuffer(keys, "<u4").tolist() == [key for key, _ in expected]  # a zero is no event
    assert np.frombuffer(values, "<f4").tolist() == [value for _, value in expected]


# --- the file ---------------------------------------------------------------------------------------------------------


def open_store():
    """Return (number, size, bytes used on disk) of the files that this process holds open and that no folder names."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_symlink() and "(deleted)" in str(entry.readlink()):
            status = entry.stat()
            found.append((status.st_ino, status.st_size, 512 * status.st_blocks))
    return found


def test_no_folder_ever_shows_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = open_store()
    dram = Dram(CAPACITY, ALIGNMENT)
    dram.write(dram.allocate("weights", 64), 0, b"x" * 64)
    assert list(tmp_path.iterdir()) == []
    assert sorted(open_store()) != sorted(before)
    del dram
    assert list(tmp_path.iterdir()) == []
    assert sorted(open_store()) == sorted(before)


def test_the_file_costs_what_is_written_to_it():
    before = open_store()
    dram = Dram(1 << 31, ALIGNMENT)
    dram.write(dram.allocate("weights", 1 << 20), 0, b"x" * 64)
    (mine,) = {found for found in open_store() if found not in before}  # twice: the map's descriptor, and the one that reserves
    assert mine[1] == 1 << 31
    assert mine[2] < 1 << 20


@pytest.mark.few(1)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system of 128 KiB")
@pytest.mark.parametrize("write", ["write(region, at, ", "write_at(region.offset + at, "])
def test_a_disk_without_room_is_an_error_and_no_signal(tmp_path, write):
    """A page of a mapped file that finds no room on the disk would end the process (SIGBUS)."""
    fills = (
        "import tempfile; from noc.dram import Dram, DramFull; dram = Dram(1 << 24, 16); region = dram.allocate('rows', 1 << 20)\n"
        "for at in range(0, 1 << 20, 1 << 14):\n"
        f"  try: dram.{write}b'x' * (1 << 14))\n"
        "  except DramFull as error: print(at, error); break"
    )
    mounted = f'mount -t tmpfs -o size=128k none {tmp_path} && exec {sys.executable} -c "{fills}"'
    inside = ["unshare", "-m", "sh", "-c", mounted]
    done = subprocess.run(
        inside, cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    if done.returncode and "mount" in done.stderr:
        pytest.skip("no mount namespaces here")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\d+ DRAM: 16,384 B cannot be stored in \S+ \(No space left on device\); set TMPDIR .*\n", done.stdout)
