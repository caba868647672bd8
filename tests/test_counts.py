"""What a tick costs, in counts that are the same on any machine: messages, bytes, allocations, wake-ups and system calls.

A slower tick shows as a time only on a quiet machine; that it does more shows here.
"""

import gc
import os
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.proc_counters import Counts, Window, kind_of, threads_of
from bench.profilers import STAGES, place_of, stage_of
from host.faults import Faults
from host.run.run import MIN_WINDOW, Run
from host.workloads.lm.scoring import TextScore, TextSource
from noc.packet import HOST, Batch, Bundle, Letter
from noc.router import ChipRouter
from noc.transports.mem import MemNetwork
from noc.wire import decode, encode
from pe.core import Pe
from tests.tools.run_bench import CHIP, ROUTER, SEGMENT, WORDS, Bench, decoder, finished, store

ROOT = Path(__file__).resolve().parents[1]
PES, LAYERS = 5, 3
SECTION_BYTES = 40  # of a section beside its events and ledger: three numbers and five lengths, none of them near this
LEDGER_BYTES = 28
EVENT_BYTES = 8
SLOW = Faults({"PE(1,1,1)@0": 0.001})


class Counting(MemNetwork):
    """Keeps every message, as (sender, destination, bytes)."""

    def __init__(self):
        super().__init__()
        self.carried = []

    def post(self, sender, outgoing):
        packed = [(to, message if isinstance(message, bytes) else encode(message)) for to, message in outgoing]
        self.carried += [(sender, destination, raw) for to, raw in packed for destination in to]
        super().post(sender, packed)


def text(tokens):
    return np.random.default_rng(2).integers(0, WORDS, (1, tokens + 1), np.uint32)


def evaluation(tokens):
    streams = text(tokens)
    return TextSource(store(), streams, SEGMENT, 0), TextScore(decoder(), streams), len(streams)


def played(tokens):
    return finished(Bench(evaluation(tokens), pes=PES, network=Counting()).play())


@pytest.fixture(scope="module")
def short():
    return played(20)


@pytest.fixture(scope="module")
def long():
    return played(120)


def counted(bench, kind):
    """How many messages of a kind went from whom to whom."""
    return Counter((sender, to) for sender, to, raw in bench.network.carried if type(decode(raw)) is kind)


# ---- messages


def test_every_endpoint_gives_and_gets_one_message_a_tick(short, long):
    endpoints = [pe.name for pe in long.pes] + [HOST]
    # A position a tick, a tick a layer, and those in which the last events are heard.
    assert long.run.completed == 120 + LAYERS + MIN_WINDOW
    assert counted(long, Batch) - counted(short, Batch) == dict.fromkeys([(name, ROUTER) for name in endpoints], 100)
    assert counted(long, Bundle) - counted(short, Bundle) == dict.fromkeys([(ROUTER, name) for name in endpoints], 100)
    # None is more than a tick from the host's count: the network's layers end one after another.
    counts = [*counted(long, Batch).values(), *counted(long, Bundle).values()]
    assert max(counts) - min(counts) <= LAYERS


def test_nothing_else_is_said_while_ticks_run(short, long):
    assert counted(short, Letter) == counted(long, Letter)
    rest = [{type(decode(raw)) for _, _, raw in bench.network.carried} - {Batch, Bundle} for bench in (short, long)]
    assert rest[0] == rest[1]


# ---- bytes


def sections_of(bench, kind):
    for sender, to, raw in bench.network.carried:
        message = decode(raw)
        if type(message) is kind:
            yield sender, to, len(raw), message.sections


def test_a_message_is_its_events_and_a_few_bytes(long):
    for kind in (Batch, Bundle):
        for _, _, size, sections in sections_of(long, kind):
            carried = sum(EVENT_BYTES * (len(section.keys) // 4) + len(section.ledger) for section in sections)
            assert carried < size <= carried + SECTION_BYTES * (1 + len(sections))


def test_counts_travel_to_the_host_alone(long):
    shards = sum(len(placed.share) for placed in long.run.placement.pes)
    for _, to, _, sections in sections_of(long, Bundle):
        most = sum(len(section.ledger) for section in sections)
        assert most <= (LEDGER_BYTES * shards if to == HOST else 0)


def test_a_pe_hears_only_what_its_layers_listen_to(long):
    waits = long.run.placement.connectivity.waits
    for _, to, _, sections in sections_of(long, Bundle):
        assert [section.population for section in sections] == list(waits[to])


# ---- allocations


def replayed(bench, core, name, kind, first, last):
    """Give a new core what another one was sent; yield a message's bytes before each of `kind`, from the `first` to the `last`."""
    number = 0
    for sender, to, raw in bench.network.carried:
        if to != name:
            continue
        message = decode(raw)
        if type(message) is kind:
            number += 1
            if number >= first:
                yield len(raw)
            if number == last:
                return
        out = core.handle(sender, message)
        if isinstance(core, Run):
            out = out + core.settle()
        for _, answer in out:
            if not isinstance(answer, bytes):
                encode(answer)


def new_core(bench, name):
    """Return a core as new, and what a tick brings it: messages of which kind, and how many."""
    if name == "Pe":
        return Pe(bench.pes[0].name, ROUTER), bench.pes[0].name, Bundle, 1
    if name == "ChipRouter":
        return ChipRouter(ROUTER, CHIP.router_entries), ROUTER, Batch, PES + 1
    run = Run(bench.run.placement, *evaluation(120)[:2])
    run.begin()
    return run, HOST, Bundle, 1


# A run keeps the ledger: a position's counts of each layer, and how many input events it had.
each_core = pytest.mark.parametrize(("which", "kept"), [("Pe", 0), ("ChipRouter", 0), ("Run", LAYERS + 1)])


@pytest.mark.wide
@each_core
def test_a_core_keeps_no_more_after_a_tick_than_before_it(long, which, kept):
    def measured():
        core, name, kind, a_tick = new_core(long, which)
        replay = replayed(long, core, name, kind, 20 * a_tick, 101 * a_tick)

        def blocks(ticks):
            for _ in range(ticks * a_tick):
                next(replay)
            cycles = gc.collect()  # also gives back what the interpreter keeps for the next tuples
            return sys.getallocatedblocks(), cycles

        gc.disable()
        try:
            before, _ = blocks(1)
            after, cycles = blocks(80)
        finally:
            gc.enable()
        return max(after - before - kept * 80, 0), cycles

    gc.collect()
    gc.freeze()  # what is there already need not be looked through each time
    # The counts are the whole interpreter's, and threads that other tests' libraries left may work meanwhile.
    try:
        grown, cycles = zip(*(measured() for _ in range(3)), strict=True)
    finally:
        gc.unfreeze()
    assert min(grown) <= 20
    assert min(cycles) == 0  # PEs and routers never collect


@each_core
def test_a_tick_allocates_no_more_than_a_few_times_its_message(long, which, kept):
    """And so no dense vector, no copy of the weights and no new buffer of a packer (256 KiB)."""
    core, name, kind, a_tick = new_core(long, which)
    found = []
    tracemalloc.start()
    try:
        before = size = None
        for bytes_in in replayed(long, core, name, kind, 20 * a_tick, 101 * a_tick):
            if before is not None:
                found.append((tracemalloc.get_traced_memory()[1] - before, size))
            tracemalloc.reset_peak()
            before, size = tracemalloc.get_traced_memory()[0], bytes_in
    finally:
        tracemalloc.stop()
    assert len(found) >= 80 * a_tick
    assert all(peak <= 8_000 + 10 * size for peak, size in found), max(found)


# ---- stages


def name_of(value):
    """Return what every process calls a stage, a module or a function."""
    return getattr(value, "__qualname__", getattr(value, "__name__", str(value)))


@pytest.mark.parametrize(("stage", "code"), [(stage, code) for stage, rules in STAGES.items() for code in rules], ids=name_of)
def test_a_stage_names_code_that_is_there(stage, code):
    file, function = place_of(code)
    assert (ROOT / file).exists()
    assert stage_of([f"{function or 'anything'} ({ROOT / file})"]) == stage


def test_the_innermost_frame_that_a_rule_fits_decides():
    stack = ["run_pe (host/processes/child_main.py)", "serve (noc/serve.py)", "decode (noc/wire.py)", "unpackb (msgpack/x.py)"]
    assert stage_of(stack) == "decode"
    assert stage_of(stack[:2]) == "scheduling"
    assert stage_of(stack[:1]) == "other"


# ---- processes


def test_threads_are_told_apart_and_kinds_by_name():
    threads = threads_of(os.getpid())
    assert threads[True].on_cpu_s > 0
    assert [kind_of(name) for name in ("PE(1,2,3)@0", "router@11", "host", "launcher")] == ["PE", "router", "host", "launcher"]


@pytest.mark.timeout(40)
def test_wake_ups_and_system_calls_a_tick(run, tmp_path):
    """Real processes: each waits once for its bundle, and ZeroMQ's I/O thread of router and host for each way."""
    tokens = 500
    path = tmp_path / "text.txt"
    path.write_text(" ".join(f"w{n}" for n in np.random.default_rng(1).integers(0, 50, tokens + 10)))
    window = Window(30, 300)
    # A millisecond a tick in one PE, so that any machine has time to look twice; it costs this PE one more wait.
    outcome = run(text=str(path), tokens=tokens, pes=PES, started=window.started, observe=window.observe, faults=SLOW)
    assert outcome.report["result"]["tokens"] == tokens
    spent = {key: counts.over(window.ticks) for key, counts in window.by_kind().items()}
    others = {kind: spent.get((kind, False), Counts()) for kind in ("PE", "router", "host")}
    assert spent["PE", True].voluntary <= 1.5 * PES + 1  # one wait a tick
    assert spent["PE", True].calls == 0  # a packet is received and sent, not read and written: no signal between threads
    assert ("PE", False) not in spent  # a PE has one thread
    assert spent["host", True].voluntary <= 4
    assert others["host"].voluntary <= 6
    # At most one for each batch that comes, and as many again.
    assert spent["router", True].voluntary <= 2 * (PES + 1)
    assert others["router"].voluntary <= 4 * (PES + 1)
    assert spent["launcher", True].voluntary <= 1  # ten looks a second, whatever the ticks do
