"""What batches that stand promise: a PE without work is spared bundles, and its router batches, and nothing else shows. The host
hears the same bytes, snapshots are the same, messages may be lost, and whoever stands for long is looked after.
"""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from host.faults import parse_fault
from host.launch.launcher import Launcher
from host.run.recovery import RestartLog
from host.run.run import Run
from host.workloads.dnn.options import Options
from host.workloads.registry import prepare
from models.transfers import MOST_STANDING
from noc.bad_links import LinkFaults
from noc.columns import Columns
from noc.memory_chip import MemoryChip
from noc.packet import DATA, HOST, Batch, Bundle
from noc.transports.mem import MemNetwork
from noc.wire import decode, encode, encode_sealed
from pe.compiled_columns import CompiledColumns
from pe.core import Pe
from pe.link import PeLink
from pe.msgpack_codec import BUNDLE
from tests.tools.small_cnn import save_small_cnn

pytestmark = pytest.mark.timeout(240)
RUNS = {
    "one at a time": {},
    "kept and shared": {"resident": "both", "share": "once", "pes": 9},
    "two buffers": {"overlap": "double", "tiles": "smallest"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_small_cnn(tmp_path_factory.mktemp("standing"), samples=3)


class Keeping(MemNetwork):
    """Keeps what each endpoint is sent."""

    def __init__(self, *how, lossy):
        super().__init__(*how)
        self.heard = defaultdict(list)
        self._data = 40 if lossy else 1 << 30  # the last of so many is lost

    def post(self, sender, outgoing):
        packed = [(to, message if isinstance(message, bytes) else encode(message)) for to, message in outgoing]
        packed = [(to, self._without_one(raw)) for to, raw in packed]
        for destinations, raw in packed:
            for destination in destinations:
                self.heard[destination].append(raw)
        super().post(sender, packed)

    def _without_one(self, raw):
        """Return a message without the DATA that is to be lost, if that is in it."""
        if raw[1] != BUNDLE or self._data <= 0 or type(message := decode(raw)) is not Bundle:
            return raw
        for transfer in message.transfers:
            self._data -= transfer.kind == DATA
            if not self._data:
                return encode_sealed(message._replace(transfers=tuple(one for one in message.transfers if one is not transfer)))
        return raw

    def of(self, endpoint, kind):
        """Return the messages of a kind that an endpoint was sent."""
        return [message for message in map(decode, self.heard[endpoint]) if type(message) is kind]


def options(folder, **chosen):
    made = Options(**{
        "checkpoint": str(folder / "cnn.safetensors"), "inputs": str(folder / "samples.npy"), "transport": "mem", "pes": 5,
        "batch": 2, "alone": True, **chosen,
    })  # fmt: skip
    made.check()
    return made


def ran(folder, columns, *how, snapshot=0, lossy=False, **chosen):
    """Run in one process, its routers with these columns; return the run, its job, and its network."""
    job = prepare(options(folder, **chosen))
    run = Run(job.placement, job.source, job.readout, repeatable=bool(snapshot), snapshot_positions=snapshot, fills=job.fills)
    placement, network = job.placement, Keeping(*how, lossy=lossy)
    chip = MemoryChip(
        host=run, machine=placement.machine, table_entries=placement.chip.router_entries,
        pes=[placed.name for placed in placement.pes], make_pe=Pe, network=network, link_pe=PeLink, make_columns=columns,
    )  # fmt: skip
    chip.boot_routers(run.begin(), run.settle)
    chip.boot_pes(run.settle)
    return run, job, network


def finished(folder, columns, *how, **chosen):
    run, job, network = ran(folder, columns, *how, **chosen)
    assert run.phase == "read", run.fault
    assert run.conservation()["wrong"] == []
    return run, job, network


@pytest.fixture(scope="module", params=RUNS)
def both(request, folder):
    """The same run of routers that spare nothing, and of those that do."""
    return [(*finished(folder, columns, **RUNS[request.param]), RUNS[request.param]) for columns in (Columns, CompiledColumns)]


@pytest.mark.few(1)
def test_the_host_hears_the_same_bytes(both):
    (plain, _, all_of_it, _), (sparing, _, spared, _) = both
    assert spared.of(HOST, Bundle) == all_of_it.of(HOST, Bundle)
    assert sparing.events.report() == plain.events.report()
    assert sparing.recorder.ledger().events.tobytes() == plain.recorder.ledger().events.tobytes()
    assert sparing.conservation() == plain.conservation()


def test_who_is_spared_a_bundle_would_have_heard_the_clock_alone(both):
    (_, job, all_of_it, _), (_, _, spared, _) = both
    saved = 0
    for placed in job.placement.pes:
        need, have = all_of_it.of(placed.name, Bundle), spared.of(placed.name, Bundle)
        assert [bundle.tick for bundle in need] == list(range(len(need)))
        due = 0
        for bundle in have:
            assert bundle.tick - bundle.passed == due
            assert bundle._replace(passed=0) == need[bundle.tick]
            for missed in need[due : bundle.tick]:
                assert missed.transfers == ()
                assert all(not section.keys and not section.values for section in missed.sections)
            due = bundle.tick + 1
        assert due == len(need)
        saved += len(need) - len(have)
    assert saved > 0


def test_nobody_stands_for_longer_than_it_may(folder):
    _, job, network = finished(folder, CompiledColumns, pes=9, tiles="fewest")
    passed = [bundle.passed for placed in job.placement.pes for bundle in network.of(placed.name, Bundle)]
    assert max(passed) == MOST_STANDING


@pytest.mark.few(1)
@pytest.mark.parametrize("chosen", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("every", [1, 9])
def test_snapshots_are_the_same(folder, every, chosen, monkeypatch):
    cuts = {Columns: [], CompiledColumns: []}
    add_cut = RestartLog.add_cut
    for columns, taken in cuts.items():

        def keep_cut(self, cut, taken=taken):
            taken.append(cut)
            add_cut(self, cut)

        monkeypatch.setattr(RestartLog, "add_cut", keep_cut)
        finished(folder, columns, snapshot=every, **chosen)
    plain, sparing = cuts.values()
    by_tick = {cut.tick: cut for cut in plain}
    assert len({cut.tick for cut in sparing} & by_tick.keys()) > 2
    for cut in sparing:
        if cut.tick in by_tick:
            assert {name: _without_stands(part) for name, part in cut.parts.items()} == {
                name: _without_stands(part) for name, part in by_tick[cut.tick].parts.items()
            }


def _without_stands(part):
    return part._replace(batch=encode(decode(part.batch)._replace(stands=0))) if type(decode(part.batch)) is Batch else part


@pytest.mark.few(1)
@pytest.mark.parametrize("seed", range(3))
def test_messages_may_be_lost_doubled_delayed_and_damaged(both, folder, seed):
    (plain, _, _, chosen), _ = both
    run, _, network = finished(folder, CompiledColumns, seed, LinkFaults(0.03, 0.03, 0.03, 0.03, seed), **chosen)
    assert run.events.report() == plain.events.report()
    assert any(bundle.passed for name in network.heard if name != HOST for bundle in network.of(name, Bundle))


@pytest.mark.wide
def test_and_so_they_may_between_processes(both, folder):
    (plain, _, _, chosen), _ = both
    faults = parse_fault(["drop=0.02,dup=0.02,reorder=0.02,corrupt=0.02,seed=4"])
    outcome = Launcher(options(folder, transport="zmq", faults=faults, **chosen), lambda _: None, lambda _: None).run()
    assert outcome.problem is None
    assert outcome.report["events"] == plain.events.report()
    assert outcome.report["counters"]["links"]


def test_a_lost_transfer_is_named_in_the_tick_in_which_it_is_missed(folder):
    faults = [ran(folder, columns, lossy=True)[0].fault for columns in (Columns, CompiledColumns)]
    assert faults[0] == faults[1]
    assert re.search(r"layer \w+, tile \d+: 1 of the DATA that it asked for did not come", faults[0])
