"""Follows the scheduler's steps, reads the tensors of each pass out of DRAM, hashes them, and makes answers of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.ledger import RunLedger
from host.workloads.contract import DramRead, Metric, Outputs, Progress, SaveRow
from host.workloads.dnn import METRICS
from host.workloads.dnn.live_counts import LiveCounts
from host.workloads.dnn.scores import Scores, reported
from host.workloads.dnn.setting import Setting
from host.workloads.dnn.stream import TensorStream
from host.workloads.dnn.witness import TensorWitness
from models.dnn.program import BEYOND_MEMORY, FAULT_WORDS, LATE_WORKER, LOST_DATA, UNASKED
from models.network import Array
from noc.chip import ChipSpec
from noc.packet import SIGNAL, Section, Transfer

OUTPUTS = "outputs"
_WORKERS = 2  # their population
_MOST_SHOWN, _LONGEST_NAME = 12, 24  # samples, or places of the last ones, whose class the panel shows; characters of its name


class DnnReadout:
    """The answers of a network's run; `setting` says what was run. `witness` sees its tensors."""

    saves = (OUTPUTS,)

    def __init__(self, setting: Setting, witness: TensorWitness | None = None) -> None:
        self._setting, self._witness = setting, witness
        self.stream = TensorStream(2)
        self._steps = self._heard = 0  # that have been kept; that these processes have done
        self._is_step = False
        self._asked: set[int] = set()
        self._taken: set[int] = set()  # passes whose tensors are here
        network, count = setting.image.network, setting.count
        self._outputs = {name: np.zeros((count, *network.tensors[name].shape), np.int8) for name in network.outputs}
        self._scores = Scores(network, count, setting.labels)
        self._save: SaveRow | None = None
        self._live = LiveCounts(_WORKERS, setting.image.workers, setting.image.kernel)
        self._layers: list[dict[str, Any]] = []
        self._dram_bytes_per_s = 0.0

    # ---- what the scheduler says

    @property
    def has_ended(self) -> bool:
        """Whether these processes have done all steps."""
        return self._heard >= self._setting.steps

    @property
    def is_complete(self) -> bool:
        """Whether all tensors are here."""
        return self.has_ended and len(self._taken) == self._setting.image.passes

    def hear(self, transfers: Sequence[Transfer]) -> str | None:
        """Take what PEs tell the host in a tick; return the words that end the run, where one cannot go on."""
        self._is_step = False
        for transfer in transfers:
            if transfer.kind != SIGNAL:
                continue
            if transfer.data:
                return self._fault(transfer)
            self._heard = transfer.address
            if self._heard > self._steps:
                self._steps, self._is_step = self._heard, True
        return None

    def keeps(self, section: Section) -> bool:
        """Tell whether the ledger keeps a section: that of a tick at which a step ended."""
        self._live.see(section, is_barrier=self._is_step)
        return self._is_step

    def _fault(self, transfer: Transfer) -> str:
        words = np.frombuffer(transfer.data, "<u4")
        if len(words) != FAULT_WORDS:
            return f"{transfer.source}: {len(transfer.data)} B that mean nothing here"
        what, step, tile, detail = words.tolist()
        name = self._setting.layer_name(step)
        worker = self._setting.worker_of(transfer.source)
        who = f"{transfer.source} (scheduler)"
        if worker is not None:
            who = f"{transfer.source} (worker {worker}): layer {name}, tile {tile}"
        if what == LOST_DATA:
            return f"{who}: {detail} of the DATA that it asked for did not come" + (f"; step {step}" if worker is None else "")
        if what == LATE_WORKER:
            late = self._setting.worker_name(detail)
            return f"{who}: layer {name}: {late} has not answered within the program's ticks"
        if what == BEYOND_MEMORY:
            return f"{who}: word {detail} of its block leads beyond its memory; the image in DRAM is damaged"
        if what == UNASKED:
            return f"{who}: told to start another layer before it was done"
        return f"{who}: the program in DRAM is none (fault {what}, {detail})"

    # ---- tensors

    def wanted(self) -> list[DramRead]:
        """Return the places of the tensors of passes that are done."""
        image = self._setting.image
        done = self._heard // len(image.layers)
        new = [number for number in range(done) if number not in self._asked and number not in self._taken]
        self._asked.update(new)
        begin = image.addresses.tensors
        return [DramRead(self._setting.dram, begin + number * image.pass_bytes, image.pass_bytes) for number in new]

    def take_bytes(self, read: DramRead, content: bytes) -> None:
        """Take the tensors of a pass."""
        image, network = self._setting.image, self._setting.image.network
        number = (read.address - image.addresses.tensors) // image.pass_bytes
        if number in self._taken:
            return
        self._taken.add(number)
        tensors = {one.output: image.places[one.output].read(content, 0) for one in network.operations}
        first = number * image.samples
        for sample in range(min(image.samples, self._setting.count - first)):
            by_operation = {n: tensors[one.output][sample] for n, one in enumerate(network.operations)}
            self.stream.add_sample(first + sample, by_operation)
            if self._witness is not None:
                self._witness.see_tensors(first + sample, by_operation)
            self._scores.take(first + sample, tensors[network.outputs[0]][sample])
            for name, answers in self._outputs.items():
                answers[first + sample] = tensors[name][sample]
                if self._save is not None:
                    self._save(OUTPUTS, name, first + sample, 0, tensors[name][sample].reshape(-1))

    def save_rows_to(self, save: SaveRow) -> None:
        """Hand each sample's numbers of each output, int8 in the order of the tensor, to `save`, too."""
        self._save = save

    def forget_reads(self) -> None:
        """Want again what has not come, once new processes say that it is there."""
        self._asked.clear()
        self._heard = 0

    # ---- answers

    def answer(self, position: int, outputs: Outputs) -> None:
        """Take a tick's answer, which has no events."""

    @property
    def done(self) -> int:
        """Samples whose tensors are here."""
        return min(len(self._taken) * self._setting.image.samples, self._setting.count)

    def progress(self) -> Progress:
        """Return how far the run is, its accuracy so far, and the layer that runs."""
        setting, step = self._setting, self._heard
        layers = len(setting.image.layers)
        shown = {
            "layer": min(step, setting.steps - 1) % layers, "pass": min(step // layers, setting.image.passes - 1), "step": step,
            "tiles_done": int(self._live.tiles().sum()), "layer_bytes": self._live.layer_bytes,
            "classes": [self._name(n) for n in self._scores.classes[: self.done][-_MOST_SHOWN:].reshape(-1)[-_MOST_SHOWN:]],
        }  # fmt: skip
        return Progress(step, setting.steps, self._scores.metrics(self._finished()), shown)

    def pe_shares(self) -> list[float]:
        """Return for each PE what share of its tiles of the layer that runs is done, as the mapping has them."""
        setting = self._setting
        layer = setting.image.layers[min(self._heard, setting.steps - 1) % len(setting.image.layers)]
        done = self._live.tiles()
        shares = {
            name: min(float(done[number]) / len(layer.blocks[number]), 1.0) if number < layer.workers else 0.0
            for number, name in enumerate(setting.workers)
        }
        return [shares.get(name, 0.0) for name in setting.pes]

    def _name(self, number: int) -> str:
        names = self._setting.names
        return names[number][:_LONGEST_NAME] if number < len(names) else str(number)

    def _finished(self) -> Array:
        """Return the numbers of the samples whose tensors are here."""
        each = self._setting.image.samples
        numbers = [np.arange(n * each, min((n + 1) * each, self._setting.count)) for n in sorted(self._taken)]
        return np.concatenate(numbers) if numbers else np.zeros(0, np.int64)

    def see_ledger(self, ledger: RunLedger, chip: ChipSpec, table: CostTable, alive: Callable[[], None]) -> None:
        """Make a row of each layer of what its steps did and cost."""
        alive()
        self._layers, self._dram_bytes_per_s = self._setting.rows(ledger, chip, table), chip.dram_sustained_bytes_per_s

    def result(self) -> dict[str, Any]:
        """Return the layers, answers, and what the float network says."""
        setting = self._setting
        done = self._finished()
        return {
            "samples": len(done), "passes": setting.image.passes, "batch": setting.image.samples, "workers": setting.image.workers,
            "layers": self._layers, "classes": self._scores.classes[done].tolist(),
            "float": setting.float_result(self._scores.classes, done),
            "dram": {"program_bytes": setting.image.addresses.tensors, "pass_bytes": setting.image.pass_bytes,
                     "total_bytes": setting.image.dram_bytes},
            "data": setting.about, "dram_bytes_per_s": self._dram_bytes_per_s,
        }  # fmt: skip

    def metrics(self, cost: Mapping[str, Any] | None) -> list[Metric]:
        """Return accuracy, and modelled time and energy of a sample."""
        metrics, done = reported(self._scores.metrics(self._finished())), len(self._finished())
        if (accuracy := self._setting.float_accuracy(self._finished())) is not None:
            metrics.append(METRICS["float_accuracy"]._replace(value=accuracy))
        if cost is not None and done:
            metrics.append(METRICS["sample_time"]._replace(value=1e3 * cost["time_s"] / done))
            metrics.append(METRICS["sample_energy"]._replace(value=1e3 * cost["energy_j"] / done))
            macs = sum(row["macs"] for row in self._layers)
            if cost["energy_j"]:
                metrics.append(METRICS["tops_per_w"]._replace(value=2e-12 * macs / cost["energy_j"]))
            moved = sum(row["dram_bytes"] for row in self._layers)
            metrics.append(METRICS["dram_bytes"]._replace(value=1e-3 * moved / done))
        return metrics

    def snapshot(self) -> bytes:
        """Return the steps, the passes that are here, and the answers so far."""
        head = {"steps": self._steps, "taken": sorted(self._taken)}
        return json.dumps(head).encode() + b"\n" + b"".join(array.tobytes() for array in self._outputs.values())

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot."""
        head, _, raw = snapshot.partition(b"\n")
        record = json.loads(head)
        self._steps, self._taken, at = record["steps"], set(record["taken"]), 0
        for array in self._outputs.values():
            array[...] = np.frombuffer(raw, np.int8, array.size, at).reshape(array.shape)
            at += array.size
        for sample in self._finished():
            self._scores.take(int(sample), self._outputs[self._setting.image.network.outputs[0]][sample])
