"""The DRAM image of a scheduled network: program, headers, configurations, blocks of tiles, constants, and places of all tensors.

It is laid out as the published flow's: everything that the PEs will need, and every tensor of every pass, has its place before they
start. Whatever a layer's tiling is, its tensors lie where they lay before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from host.cost.program_price import LayerTerms
from host.errors import Exit, HostError
from host.mapping.depth_parts import deal_tiles
from host.mapping.dnn_constants import Constants, place_constant
from host.mapping.dnn_tensors import TensorPlace, pass_content, place_tensors
from host.mapping.image_layer import ImageLayer
from host.mapping.image_options import Room, may_hand_on, staying, taken, with_options
from host.mapping.layer_tiles import LayerTiles, work_of
from host.mapping.operators import tile_addresses
from host.mapping.tile_block import MOST_BLOCK_BYTES, Bases, TileBlock
from host.mapping.tile_order import Order, fastest_first
from models.compute.worker_rows import MOST_SLOTS
from models.dnn.integer import IntegerNetwork, IntegerOperation
from models.dnn.program import (
    C_BLOCK_BYTES,
    C_KIND,
    C_LAYER,
    C_NEXT,
    C_NEXT_BLOCK_BYTES,
    C_NEXT_LAYER,
    C_NEXT_WORKERS,
    CONFIGURATION_WORDS,
    HEADER_WORDS,
    KIND_BITS,
    NUMBER_OF_KIND,
    P_HEADER,
    P_LAYERS,
    P_LIMIT_TICKS,
    P_PASS_BYTES,
    P_PASSES,
    P_VERSION,
    P_WORKERS,
    PROGRAM_WORDS,
    VERSION,
    aligned,
)
from models.dnn.tiles import CoreTiling, Tiling, smallest
from models.dnn.work import Work
from models.kernels import sharing_worker
from models.kernels.worker import MEMORY_BYTES, tiles_at
from models.network import Array, ModelError
from noc.dram import INTERFACES, RESERVED_BYTES

_SLOTS_BYTES = 12 << 10  # of a worker's memory, for configurations that stay there
PROGRAM_AT = RESERVED_BYTES
MOST_SHARING = sharing_worker.TRANSFERS.most_peers - 3  # workers, each of which knows the scheduler, two DRAMs and the host, too
Choose = Callable[[Work, int, LayerTerms], Sequence[Tiling]]
"""(work, workers, terms) -> tilings to try, the best first."""


@dataclass(frozen=True, kw_only=True)
class DnnImage:
    """All layers of a network planned for `workers`, `samples` samples a pass and so many passes.

    `places`: tensors of the first pass, from 0 on. `constants`: what tiles read beside them, from `constants_at` on. `buffers`:
    tiles that have their place in a worker's memory at a time; `resident_bytes`: of tensors that stay there. `kernel`: the
    workers' neuron model.
    """

    network: IntegerNetwork
    samples: int
    passes: int
    workers: int
    layers: Sequence[ImageLayer]
    places: Mapping[str, TensorPlace]
    pass_bytes: int
    constants: bytes
    memory_bytes: int
    buffers: int
    resident_bytes: int
    kernel: str

    @cached_property
    def slots(self) -> int:
        """How many layers' configurations a worker keeps: all, where there is room, else two in turn."""
        every = len(self.layers)
        room = self.memory_bytes - taken(self.layers, self.workers) - self.resident_bytes
        block_bytes, buffers = self.largest_block, self.buffers
        fits = tiles_at(every, block_bytes, buffers) <= min(room, tiles_at(2, block_bytes, buffers) + _SLOTS_BYTES)
        return every if every <= MOST_SLOTS and fits else min(every, 2)

    @cached_property
    def largest_block(self) -> int:
        """Bytes of the largest block of all layers."""
        return max(layer.block_bytes for layer in self.layers)

    @property
    def kinds(self) -> int:
        """The kinds of operator that run, a bit each."""
        bits = 0
        for layer in self.layers:
            bits |= 1 << NUMBER_OF_KIND[layer.tiles.operation.kind]
        return bits

    @property
    def worker_params(self) -> dict[str, float]:
        """Parameters of the workers' neuron model."""
        return {
            "slots": float(self.slots), "block_bytes": float(self.largest_block), "buffers": float(self.buffers),
            "kinds": float(self.kinds),
        }  # fmt: skip

    @cached_property
    def addresses(self) -> Addresses:
        """Where everything lies in DRAM."""
        headers = aligned(PROGRAM_AT + 4 * PROGRAM_WORDS)
        constants = constants_at(len(self.layers))
        at, configurations = constants + aligned(len(self.constants)), []
        for layer in self.layers:
            configurations.append(at)
            at += 4 * CONFIGURATION_WORDS + layer.block_bytes * sum(map(len, layer.blocks))
        return Addresses(headers=headers, constants=constants, configurations=tuple(configurations), tensors=at)

    @property
    def dram_bytes(self) -> int:
        """Bytes that everything takes in the DRAM of the scheduler's chip."""
        return self.addresses.tensors + self.pass_bytes * self.passes

    def program(self, peers_of: Callable[[int], tuple[int, int]]) -> bytes:
        """Return the bytes from `PROGRAM_AT` on to the first tensor. `peers_of(worker)`: the numbers that the DRAM of its chip and
        that of the scheduler's have among its peers.
        """
        at, layers = self.addresses, self.layers
        head = np.zeros(PROGRAM_WORDS, np.int64)
        head[P_VERSION], head[P_LAYERS], head[P_PASSES], head[P_WORKERS] = VERSION, len(layers), self.passes, self.workers
        head[P_HEADER], head[P_PASS_BYTES] = at.headers, self.pass_bytes
        head[P_LIMIT_TICKS] = max(layer.most_ticks for layer in layers)
        out = bytearray(at.tensors - PROGRAM_AT)
        _put(out, PROGRAM_AT, _bytes_of(head))
        _put(out, at.constants, self.constants)
        for number, layer in enumerate(layers):
            after = (number + 1) % len(layers)
            kind = NUMBER_OF_KIND[layer.tiles.operation.kind] | layer.block_bytes // 16 << KIND_BITS
            header = [kind, layer.workers, at.headers + 16 * after, at.configurations[number]]
            _put(out, at.headers + 16 * number, _bytes_of(np.array(header, np.int64)))
            words = np.zeros(CONFIGURATION_WORDS, np.int64)
            for word, value in layer.words.items():
                words[word] = value
            words[C_KIND], words[C_LAYER] = NUMBER_OF_KIND[layer.tiles.operation.kind], number
            words[C_BLOCK_BYTES], words[C_NEXT], words[C_NEXT_LAYER] = layer.block_bytes, at.configurations[after], after
            words[C_NEXT_BLOCK_BYTES], words[C_NEXT_WORKERS] = layers[after].block_bytes, layers[after].workers
            _put(out, at.configurations[number], _bytes_of(words))
            self._put_blocks(out, layer, at.configurations[number] + 4 * CONFIGURATION_WORDS, peers_of)
        return bytes(out)

    def _put_blocks(self, out: bytearray, layer: ImageLayer, begin: int, peers_of: Callable[[int], tuple[int, int]]) -> None:
        size, rest = layer.block_bytes, begin + layer.block_bytes * layer.workers
        first = tiles_at(self.slots, self.largest_block, self.buffers)
        before = staying(self.layers[: self.layers.index(layer)], self.workers)
        resident = first + max(one.memory_bytes for one in self.layers)
        for worker, of_worker in enumerate(layer.blocks):
            at, stays_at = begin + worker * size, resident + self.resident_bytes + before[worker]
            for n, block in enumerate(of_worker):
                following = rest if n + 1 < len(of_worker) else 0
                tile = first + n % self.buffers * layer.span_bytes
                bases = Bases(tile=tile, held=first + layer.tiles_bytes, resident=resident, staying=stays_at, first=first)
                raw = block.encode(bases, size, following, self.addresses.tensors, peers_of(worker), worker)
                stays_at += block.staying_bytes
                _put(out, at, raw)
                if following:
                    at, rest = following, rest + size

    def input_fills(self, inputs: Mapping[str, Array]) -> list[tuple[int, bytes]]:
        """Return (address, bytes) of inputs int8 (passes * samples, *shape); the last pass is filled up with zeros."""
        fills = []
        for number in range(self.passes):
            part = {name: _padded(array[number * self.samples :][: self.samples], self.samples) for name, array in inputs.items()}
            begin = self.addresses.tensors + number * self.pass_bytes
            fills += [(begin + address, content) for address, content in pass_content(self.places, part)]
        return fills


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the parts of an image begin."""

    headers: int
    constants: int
    configurations: tuple[int, ...]
    tensors: int


def constants_at(layers: int) -> int:
    """Return where constants begin behind the headers of so many layers."""
    return aligned(PROGRAM_AT + 4 * PROGRAM_WORDS) + 4 * HEADER_WORDS * layers


def plan_image(
    network: IntegerNetwork, terms: LayerTerms, *, samples: int, passes: int,
    choose: Callable[[str, Work, LayerTerms], Sequence[Tiling]] | None = None, order: Order | None = None,
) -> DnnImage:  # fmt: skip
    """Return the image of a network on `terms.workers` workers, its layers cut as is expected to be fastest, or as `choose` says,
    or as comes first in another `order`.

    HostError, with DOES_NOT_FIT, for a layer of which no tile fits a worker's memory, or an image beyond a DRAM's interface;
    ModelError for an operator that does not run on PEs.
    """
    _check_inputs(network)
    places, pass_bytes = place_tensors(network, samples, 0)
    operations = [one for one in network.operations if one.kind != "reshape"]
    if not operations:
        raise ModelError("network: only reshapes; there is nothing to compute")
    constants = Constants(constants_at(len(operations)))
    places |= {name: place_constant(name, array, samples, constants) for name, array in network.constants.items()}
    shapes = {name: one.shape for name, one in network.tensors.items()}
    settings = terms.settings
    shares = may_hand_on(settings)
    if shares and terms.workers > MOST_SHARING:
        raise HostError(
            f"{terms.workers} workers: at most {MOST_SHARING} hand on to each other; use fewer PEs", Exit.DOES_NOT_FIT
        )  # fmt: skip
    memory_bytes, reserve = sharing_worker.MEMORY_BYTES if shares else MEMORY_BYTES, tiles_at(2, 1024)

    @cache
    def ranked(kind: str, work: Work) -> Sequence[Tiling]:
        return choose(kind, work, terms) if choose else fastest_first(work, terms, kind)

    planned = list[ImageLayer]()
    while True:
        # What fits a smaller room, too, is still the first of its tilings that does.
        planned = [
            planned[number]
            if planned and planned[number].memory_bytes + reserve <= memory_bytes
            else _plan_layer(number, one, network, places, shapes, terms, memory_bytes - reserve, constants, samples, ranked, order)
            for number, one in enumerate(operations)
        ]
        need = tiles_at(2, max(layer.block_bytes for layer in planned), settings.buffers)
        if all(layer.memory_bytes + need <= memory_bytes for layer in planned):
            break
        reserve = need
    room = Room(memory_bytes=memory_bytes, workers=terms.workers, buffers=settings.buffers)
    planned, resident_bytes = with_options(planned, settings, [places[name] for name in network.outputs], room)
    image = DnnImage(
        network=network, samples=samples, passes=passes, workers=terms.workers, layers=tuple(planned), places=places,
        pass_bytes=aligned(pass_bytes), constants=bytes(constants.content), memory_bytes=memory_bytes, buffers=settings.buffers,
        resident_bytes=resident_bytes, kernel="sharing_worker" if shares else "worker",
    )  # fmt: skip
    have = terms.chip.dram_bytes // INTERFACES
    if image.dram_bytes > have:
        least = image.addresses.tensors
        most = max((have - least) // max(image.pass_bytes, 1), 0) * samples
        raise HostError(
            f"DRAM: program and constants of {least:,} B and tensors of {passes} x {image.pass_bytes:,} B need "
            f"{image.dram_bytes:,} B, an interface has {have:,} B: enough for {most:,} samples at --batch {samples}",
            Exit.DOES_NOT_FIT,
        )  # fmt: skip
    return image


def _plan_layer(
    number: int, operation: IntegerOperation, network: IntegerNetwork, places: Mapping[str, TensorPlace],
    shapes: Mapping[str, tuple[int, ...]], terms: LayerTerms, room: int, constants: Constants, samples: int,
    ranked: Callable[[str, Work], Sequence[Tiling]], order: Order | None,
) -> ImageLayer:  # fmt: skip
    addresses, work = tile_addresses(operation.kind), work_of(operation, shapes, samples)
    layer = LayerTiles(
        operation=operation, tiling=_of_whole_rows(smallest(work), places[operation.output]),
        inputs=[places[name] for name in operation.inputs], output=places[operation.output],
        overflow=network.overflow, samples=samples, store=lambda *_: 0,
    )  # fmt: skip
    words = addresses.configuration(layer)
    buffers = terms.settings.buffers

    def first_blocks(tiling: Tiling) -> tuple[Tiling, Sequence[TileBlock]] | None:
        if sum(tiling.fetched) + tiling.results > room:
            return None
        trial = replace(layer, tiling=_of_whole_rows(tiling, layer.output))
        first = addresses.blocks(trial, 0)
        copies = buffers if trial.output_tiles > terms.workers or len(first) > 1 else 1
        if any(block.end * copies > room or block.size_bytes > MOST_BLOCK_BYTES for block in first):
            return None
        return trial.tiling, first

    given = ranked(operation.kind, work)
    for tiling in order(given, terms.workers, first_blocks) if order else given:
        trial = first_blocks(tiling)
        if trial is None:
            continue
        chosen, before = replace(layer, tiling=trial[0], store=constants.store), len(constants.content)
        blocks, held = deal_tiles(chosen, number, terms.workers, terms.settings)
        own = {**addresses.configuration(chosen), **words}
        made = ImageLayer(tiles=chosen, blocks=blocks, held=held, words=own, buffers=buffers)
        if made.memory_bytes <= room and made.block_bytes <= MOST_BLOCK_BYTES:
            return made
        constants.rewind(before)
    least = addresses.blocks(layer, 0)[0]
    twice = "twice " if terms.settings.buffers > 1 else ""
    need = f"{twice}{least.end:,} B, a worker has {room:,} B"
    if least.size_bytes > MOST_BLOCK_BYTES:
        need = f"{least.size_bytes:,} B to say what it reads, moves and writes, which may take {MOST_BLOCK_BYTES:,} B"
    raise HostError(
        f"layer {operation.name} ({operation.kind}, {work}): no tile fits: the smallest, {layer.tiling.shape}, needs {need}",
        Exit.DOES_NOT_FIT,
    )  # fmt: skip


def _of_whole_rows(tiling: Tiling, output: TensorPlace) -> Tiling:
    """Return a tiling whose tiles write whole rows, or strips of one, which begin where DRAM can be written."""
    if not isinstance(tiling, CoreTiling) or tiling.work.strips > 1:
        return tiling
    each = output.row // math.gcd(output.row, tiling.work.unit_output_bytes)
    return replace(tiling, units=-(-tiling.units // each) * each)


def _check_inputs(network: IntegerNetwork) -> None:
    for name in network.inputs:
        hearers = {one.kind for one in network.operations if name in one.inputs}
        if network.tensors[name].dtype != "int8" and hearers != {"gather"}:
            raise ModelError(
                f"input {name}: its whole numbers go to {', '.join(sorted(hearers)) or 'nothing'}; PEs take them as rows of "
                "a gather"
            )


def _bytes_of(words: Array) -> bytes:
    return words.astype("<i8").astype("<u4").tobytes()


def _put(out: bytearray, address: int, raw: bytes) -> None:
    out[address - PROGRAM_AT : address - PROGRAM_AT + len(raw)] = raw


def _padded(array: Array, samples: int) -> Array:
    missing = samples - len(array)
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)]) if missing else array
