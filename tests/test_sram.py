"""SRAM is enforced to the byte: what fits, who is refused, where regions lie, and what guards the end."""

import mmap
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.network import Field
from noc.chip import load_chip
from pe.sram import ALIGNMENT_BYTES, DEBUG, PROGRAM, Arena, SramOverflow, SramSize, footprint, plan

ROOT = Path(__file__).resolve().parent.parent
CHIP = load_chip()
SIZE = SramSize(CHIP.sram_bytes, CHIP.bank_bytes, CHIP.program_bytes, CHIP.debug_bytes)
DATA_FREE = SIZE.data_bytes - SIZE.debug_bytes  # 93,184 B for weights and variables
PROGRAM_FREE = SIZE.bank_bytes - (SIZE.program_bytes + 2)  # behind the program, from the next word on
WHO = "PE(3,2,1)@0"


def data(size_bytes, name="weights", role="weights"):
    return Field(name, (size_bytes,), "|u1", role)


def scratch(size_bytes, name="vector"):
    return Field(name, (size_bytes,), "|u1", "variables", scratch=True)


def overflow(fields, size=SIZE):
    with pytest.raises(SramOverflow) as caught:
        plan(WHO, fields, size)
    return caught.value


def named(regions):
    return {region.name: region for region in regions}


fields = st.lists(
    st.tuples(
        st.sampled_from(["<f4", "<u4", "<u2", "|u1"]),
        st.integers(0, 3000) | st.just(0),
        st.sampled_from(["weights", "variables"]),
        st.booleans(),
    ),
    max_size=12,
).map(
    lambda rows: [
        Field(f"f{i}", (count,), dtype, role, scratch=free and role == "variables")
        for i, (dtype, count, role, free) in enumerate(rows)
    ]
)


# ---- limits


def test_the_chip_has_128_kib_of_which_three_banks_are_for_data():
    assert (SIZE.sram_bytes, SIZE.bank_bytes, SIZE.data_bytes) == (131_072, 32_768, 98_304)
    assert DATA_FREE == 93_184


def test_a_plan_that_fills_the_data_banks_to_the_last_byte_fits():
    regions = plan(WHO, [data(DATA_FREE)], SIZE)
    assert named(regions)["weights"].offset + DATA_FREE == SIZE.sram_bytes
    assert footprint(regions, SIZE)["free"] == 0


def test_one_byte_more_is_refused_with_who_region_need_and_free():
    error = overflow([data(DATA_FREE + 1)])
    assert str(error) == f"{WHO}: region 'weights' needs {DATA_FREE + 1} B, {DATA_FREE} B free of 98304 B"
    assert (error.region, error.need_bytes, error.free_bytes, error.total_bytes) == ("weights", DATA_FREE + 1, DATA_FREE, 98_304)


def test_the_first_region_that_does_not_fit_is_named_with_what_those_before_it_left():
    fits = [data(DATA_FREE - 8), data(4, "b")]
    plan(WHO, [*fits, data(4, "c")], SIZE)
    error = overflow([*fits, data(5, "c"), data(1, "d")])
    assert (error.region, error.need_bytes, error.free_bytes) == ("c", 5, 4)
    assert overflow([*fits, data(4, "c"), data(1, "d")]).free_bytes == 0


def test_alignment_counts():
    """A byte behind 3 odd ones begins a word later."""
    plan(WHO, [data(DATA_FREE - 4), data(4, "b")], SIZE)
    assert overflow([data(DATA_FREE - 5), data(6, "b")]).free_bytes == 4
    assert overflow([data(DATA_FREE - 1), data(1, "b")]).free_bytes == 0
    assert overflow([data(1)], SramSize(66, 16, 16, 49)).free_bytes == 0  # the next word begins past the end


def test_the_program_must_fit_its_bank_and_the_debug_area_the_data_banks():
    plan(WHO, [], SramSize(64, 16, 16, 48))
    assert overflow([], SramSize(64, 16, 17, 0)).region == PROGRAM
    assert overflow([], SramSize(64, 16, 16, 49)).region == DEBUG


# ---- where things lie


def test_scratch_goes_behind_the_program_while_there_is_room_and_then_to_the_data_banks():
    regions = named(plan(WHO, [scratch(PROGRAM_FREE - 8, "a"), scratch(12, "b"), scratch(8, "c"), scratch(1, "d")], SIZE))
    assert regions["a"].offset == 18_332  # the first word behind 18,330 bytes of program
    assert regions["b"].offset == SIZE.bank_bytes + SIZE.debug_bytes  # 8 bytes are left: too few
    assert regions["c"].offset + 8 == SIZE.bank_bytes  # but enough for the next
    assert regions["d"].offset == regions["b"].offset + 12


def test_weights_never_lie_in_the_programs_bank():
    regions = named(plan(WHO, [data(8)], SIZE))
    assert regions["weights"].offset >= SIZE.bank_bytes
    assert (regions[PROGRAM].offset, regions[PROGRAM].size_bytes) == (0, SIZE.program_bytes)
    assert (regions[DEBUG].offset, regions[DEBUG].size_bytes) == (SIZE.bank_bytes, SIZE.debug_bytes)


@given(fields)
def test_regions_are_aligned_in_order_apart_and_inside(items):
    regions = plan(WHO, items, SIZE)
    assert [r.field for r in regions if r.field] == items
    assert {r.name for r in regions} == {PROGRAM, DEBUG, *(f.name for f in items)}
    for region in regions:
        assert region.offset % ALIGNMENT_BYTES == 0
        assert 0 <= region.offset <= region.offset + region.size_bytes <= SIZE.sram_bytes
        assert region.field is None or region.size_bytes == region.field.size_bytes
        in_program_bank = region.offset < SIZE.bank_bytes
        assert not in_program_bank or region.offset + region.size_bytes <= SIZE.bank_bytes
        assert not in_program_bank or region.name == PROGRAM or region.field.scratch
    taken = sorted((r.offset, r.offset + r.size_bytes) for r in regions if r.size_bytes)
    assert all(end <= start for (_, end), (start, _) in pairwise(taken))


@given(fields)
def test_the_footprint_adds_up_to_the_sram(items):
    """Roles, what is free, the gaps that alignment leaves and the rest of the program's bank make 131,072 bytes."""
    regions = plan(WHO, items, SIZE)
    used = footprint(regions, SIZE)
    for role in ("weights", "variables"):
        assert used[role] == sum(f.size_bytes for f in items if f.role == role)
    assert (used["program"], used["debug"]) == (SIZE.program_bytes, SIZE.debug_bytes)
    assert used["spill"] == sum(r.size_bytes for r in regions if r.field and r.offset < SIZE.bank_bytes)
    ends = {r.offset + r.size_bytes for r in regions if r.offset >= SIZE.bank_bytes}
    assert used["free"] == SIZE.sram_bytes - max(ends)
    gaps = sum(-r.size_bytes % 4 for r in regions if r.offset >= SIZE.bank_bytes and r.offset + r.size_bytes != max(ends))
    in_data = used["debug"] + used["weights"] + used["variables"] - used["spill"]
    assert in_data + gaps + used["free"] == SIZE.data_bytes
    bank_rest = SIZE.bank_bytes - used["program"] - used["spill"]
    assert used["program"] + used["spill"] + bank_rest + in_data + gaps + used["free"] == SIZE.sram_bytes


@given(fields, st.integers(0, 200_000))
def test_a_plan_fits_or_says_by_how_much_it_does_not(items, more):
    """What it calls free is free: a last region of just that size fits where the refused one was."""
    try:
        plan(WHO, [*items, data(more, "last")], SIZE)
    except SramOverflow as error:
        assert (error.region, error.need_bytes) == ("last", more)
        assert error.free_bytes < more
        plan(WHO, [*items, data(error.free_bytes, "last")], SIZE)
        assert overflow([*items, data(error.free_bytes + 1, "last")]).free_bytes == error.free_bytes


# ---- the memory itself


def address(array):
    return array.__array_interface__["data"][0]


@given(fields)
@settings(max_examples=30, deadline=None)
def test_views_lie_at_their_addresses_are_writable_and_do_not_overlap(items):
    arena = Arena(plan(WHO, items, SIZE), SIZE)
    assert list(arena.views) == [f.name for f in items]
    for number, item in enumerate(items):
        view = arena.views[item.name]
        assert (view.shape, view.dtype) == (item.shape, np.dtype(item.dtype))
        assert view.flags.writeable
        assert view.flags.c_contiguous
        assert view.flags.aligned
        assert not view.any()  # nothing before it is written
        assert arena.holds(view)
        if view.size:
            assert address(view) - arena.base == named(arena.regions)[item.name].offset
        view[...] = number + 1
    for number, item in enumerate(items):
        assert (arena.views[item.name] == number + 1).all()


def test_an_arena_holds_only_what_lies_in_it():
    arena = Arena(plan(WHO, [data(DATA_FREE)], SIZE), SIZE)
    assert arena.holds(arena.views["weights"][-1:])
    assert not arena.holds(np.zeros(4, np.uint8))
    assert not arena.holds(arena.views["weights"].copy())
    over = np.ndarray((2,), np.uint8, arena._memory, SIZE.sram_bytes - 1)
    assert not arena.holds(over)


def test_two_arenas_share_nothing():
    first, second = (Arena(plan(WHO, [data(16)], SIZE), SIZE) for _ in range(2))
    first.views["weights"][...] = 7
    assert not second.views["weights"].any()


@pytest.mark.parametrize("sram_bytes", [131_072, 131_076, 4096, 100, 4])
def test_the_mapping_is_the_sram_in_whole_pages_and_one_page_more(sram_bytes):
    arena = Arena([], SramSize(sram_bytes, 4, 0, 0))
    pages = -(-sram_bytes // mmap.PAGESIZE) + 1
    assert len(arena._memory) == pages * mmap.PAGESIZE


# A child each, because it shall die: prints a line for what must work, then touches one byte where it must not.
_PAST_THE_END = """
import ctypes, resource, sys
import numpy as np
from models.network import Field
from pe.sram import Arena, SramSize, plan
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
sram, how = int(sys.argv[1]), sys.argv[2]
size = SramSize(sram, sram // 4, 8, 4)
count = sram - sram // 4 - 4
arena = Arena(plan("PE", [Field("last", (count,), "|u1", "weights")], size), size)
last = arena.views["last"]
last[-1] = 7
end = last.__array_interface__["data"][0] + last.nbytes
print("the last byte holds", last[-1], ctypes.string_at(end - 1, 1)[0], flush=True)
if how == "write":
    ctypes.memset(end, 1, 1)
elif how == "read":
    ctypes.string_at(end, 1)
else:
    import numba

    def fill(array, count):
        for i in range(count):
            array[i] = 1

    numba.njit(fill)(last, last.size + 1)
print("still here")
"""


@pytest.mark.few(1)
@pytest.mark.parametrize(("sram", "how"), [(131_072, "write"), (131_072, "read"), (131_088, "write"), (131_072, "kernel")])
def test_a_step_past_the_end_of_the_arena_is_the_end_of_the_process(sram, how):
    """SIGSEGV at the very next byte, also where the size is no whole number of pages, and also from a compiled kernel."""
    arguments = [sys.executable, "-c", _PAST_THE_END, str(sram), how]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=40, check=False)
    assert done.stdout == "the last byte holds 7 7\n", done.stderr
    assert done.returncode == -signal.SIGSEGV
