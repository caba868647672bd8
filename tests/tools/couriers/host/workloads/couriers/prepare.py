"""From the options of `couriers` to a job: bytes go to PEs, DRAMs and the host, beside events."""

import json

import numpy as np
from host.workloads.couriers import METRICS
from models.kernels.reader import BLOCK, BLOCKS, FIRST

from host.workloads.contract import Feed, Job, Progress, Source
from host.workloads.site import new_dram, place_for_run
from models.network import Network, Population, Projection, SparseRows
from noc.packet import FRESH, RESET, VALID, chip_of

ASKER, ANSWERER, READER = 1, 2, 3
CONTENT = bytes((7 * n + 3) % 256 for n in range(BLOCK * BLOCKS))


def network(units=4):
    """Return the network: an asker and an answerer that know each other, and a reader that knows nobody."""
    ones = SparseRows.from_dense(np.ones((units, 3), np.float32))

    def layer(name, peers):
        return Population(name, units, name, (Projection(0, "input", ones),), peers=peers)

    layers = layer("asker", (ANSWERER,)), layer("answerer", (ASKER,)), layer("reader", ())
    return Network((Population("input", 3), *layers), outputs=(ASKER, READER))


class Steps(Source):
    """Feeds nothing but positions, of one sequence that never begins anew."""

    def __init__(self, steps):
        self.positions = steps

    def feed_at(self, position):
        return Feed(position, VALID if position else VALID | FRESH | RESET, {})


class Sums:
    """Notes what the reader says."""

    def __init__(self, steps):
        self.steps, self.sums = steps, []

    def answer(self, position, outputs):
        (section,) = outputs[READER]
        self.sums.append(float(np.frombuffer(section.values, "<f4")[0]))

    def progress(self):
        return Progress(len(self.sums), self.steps)

    def result(self):
        return {"sums": self.sums}

    def metrics(self, cost):
        return [METRICS["sum"]._replace(value=self.sums[-1] if self.sums else None)]

    def snapshot(self):
        return json.dumps(self.sums).encode()

    def restore(self, snapshot):
        self.sums = json.loads(snapshot)


def prepare(options):
    """Return the job, with what the DRAMs hold."""
    placement = place_for_run(options, network())
    chips = [chip_of(name) for name in placement.transfers.drams]
    chips += [max(chips) + 1] * (options.stores - 1)
    return Job(
        options=options, placement=placement, source=Steps(options.steps), readout=Sums(options.steps),
        dram=new_dram(placement.chip), title="couriers", fills={chip: [(FIRST, CONTENT)] for chip in chips},
    )  # fmt: skip
