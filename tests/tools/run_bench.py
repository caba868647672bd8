"""A run with its routers and PEs in one process, message by message, for the tests of what a run promises."""

from __future__ import annotations

import numpy as np

from host.mapping.placement import place
from host.run.run import Run
from host.workloads.lm.decoder import Decoder
from host.workloads.lm.generation import Choice, Generation
from host.workloads.lm.scoring import TextScore, TextSource
from host.workloads.rows_in_dram import RowsInDram
from models.seeded import seeded_egru, seeded_embedding
from noc.chip import load_chip
from noc.columns import Columns
from noc.dram import Dram
from noc.memory_chip import MemoryChip
from noc.packet import HOST, Batch, Bundle, Letter, Read, chip_of
from noc.transports.mem import MemNetwork
from noc.wire import decode, encode
from pe.core import Pe

CHIP = load_chip()
NETWORK = seeded_egru(12, (10, 9, 12), 0.4)
WORDS = 20
EMBEDDING = seeded_embedding(WORDS, 12)
ROUTER, PE = "router@0", "PE(1,1,0)@0"
SEGMENT = 4
TEXT = np.random.default_rng(3).integers(0, WORDS, (3, 13), np.uint32)


def store():
    return RowsInDram.of(Dram(1 << 16, 16), "embedding", EMBEDDING)


def decoder():
    return Decoder(np.ascontiguousarray(EMBEDDING.T), np.zeros(WORDS, np.float32))


def evaluation(streams=TEXT[:1]):
    """Return the source and the readout of a text, and how many sequences it has."""
    return TextSource(store(), streams, SEGMENT, 0), TextScore(decoder(), streams), len(streams)


def generation(seed=1, words=8, temperature=1.0, forbidden=0, prompt=(3, 1, 4)):
    """Return a source that is its readout, too, and that it is one sequence."""
    both = Generation(
        store(),
        decoder(),
        prompt=np.array(prompt, np.uint32),
        words=words,
        choice=Choice(temperature=temperature, top_k=0, seed=seed, forbidden=forbidden),
        segment=SEGMENT,
        into=0,
        detokenise=lambda ids: " ".join(map(str, ids)),
    )
    return both, both, 1


class Bench:
    """A run with its routers and PEs in one process. `play` takes it to its end, or to where nothing moves any more.

    `configure` changes what the router of each chip is told (what it is told, the chip); `after` is called with the bench
    after each message the host got; `network` carries the messages; `make_columns` is the routers', `link_pe` what stands between a
    PE and its link.
    """

    def __init__(
        self,
        workload,
        pes=5,
        mapping="uniform",
        form="csr",
        shuffle=None,
        configure=None,
        after=None,
        chips=1,
        chip=CHIP,
        network=None,
        graph=NETWORK,
        make_columns=Columns,
        link_pe=None,
        **run,
    ):
        source, self.readout, lanes = workload
        self.run = Run(place(graph, chip, mapping, form, pes, lanes, chips), source, self.readout, **run)
        self.network, self.after, placement = network or MemNetwork(shuffle), after, self.run.placement
        self.memory = MemoryChip(
            host=self, machine=placement.machine, table_entries=chip.router_entries,
            pes=[placed.name for placed in placement.pes], make_pe=Pe, network=self.network,
            make_columns=make_columns, link_pe=link_pe,
        )  # fmt: skip
        self.routers, self.pes = self.memory.routers, [*self.memory.pes.values()]
        self.fed = []  # the sections that the host sent
        self.read = 0  # the bundles that it read
        self.batches = 0  # that the host sent
        self.ahead = []  # how many ticks were in flight after each batch
        self.in_flight_at_the_end = None  # and when the counters were asked for
        begin = [
            (to, Letter(peer, encode(configure(decode(told), chip_of(peer))) if configure else told))
            for to, (peer, told) in self.run.begin()
        ]
        self.memory.boot_routers(begin, self.settle)

    def play(self):
        self.memory.boot_pes(self.settle)
        return self

    def stop(self):
        self.post(self.run.stop())
        self.network.run(self.settle)
        return self

    # The host's core, with an eye on what passes.

    @property
    def done(self):
        return self.run.done

    def handle(self, sender, message):
        self.read += isinstance(message, Bundle)
        return self.seen(self.run.handle(sender, message))

    def malformed(self, sender, why):
        return self.run.malformed(sender, why)

    def settle(self):
        out = self.seen(self.run.settle())
        return out + self.seen(self.after(self) or []) if self.after else out

    def post(self, outgoing):
        self.network.post(HOST, self.seen(outgoing))

    def seen(self, outgoing):
        for _, message in outgoing:
            if isinstance(message, Batch):
                self.fed += message.sections
                self.batches += 1
                self.ahead.append(self.batches - self.read)
            elif isinstance(message, Letter) and isinstance(decode(message.body), Read):
                self.in_flight_at_the_end = self.batches - self.read
        return outgoing

    @property
    def answer(self):
        """What no schedule, placement or fault may change."""
        counts, layers = self.run.counts, self.run.placement.network.layers
        totals = {f"events of {n}": counts.events(n) for n in layers} | {f"macs of {n}": counts.macs(n) for n in layers}
        totals |= counts.of_kernels()
        return self.run.events.report(), totals, self.readout.result()


def finished(bench):
    """The run has read its counters, they balance, and then every PE leaves."""
    assert (bench.run.phase, bench.run.fault) == ("read", None)
    assert bench.run.conservation()["wrong"] == []
    assert not bench.run.done
    assert bench.stop().run.done
    assert all(router.done for router in bench.routers.values())
    assert all(pe.done for pe in bench.pes)
    return bench
