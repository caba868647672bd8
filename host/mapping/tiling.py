"""The tiles of each layer of a scheduled network: of all that fit a PE's SRAM, those that take the least time; refused where
none fits.

`plan_program` makes a plan of an integer network, or of shapes alone. What of a tile lies where is `pe/sram.py`'s plan of its
fields: the same that a worker makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from host.cost.program_price import LayerCost, LayerTerms, layer_cost
from host.errors import Exit, HostError
from host.mapping.request import sram_size
from models.dnn.integer import IntegerNetwork
from models.dnn.tiles import Tiling, smallest, tilings
from models.dnn.work import Work
from models.network import Field
from models.operators import operator
from noc.chip import ChipSpec
from pe.sram import DEBUG, PROGRAM, Region, SramOverflow, SramSize, plan

SCHEDULERS = 1  # PEs of a chip that work no tiles
RESIDENT = "resident"


@dataclass(frozen=True, kw_only=True)
class LayerWork:
    """A layer: an operation's name and kind, and what it asks of PEs.

    `times`: how often a program has it (blocks of a transformer).
    """

    name: str
    kind: str
    work: Work
    times: int = 1


@dataclass(frozen=True, kw_only=True)
class PlannedLayer:
    """A layer with its tiles, its regions on a PE, and what it is expected to cost."""

    layer: LayerWork
    tiling: Tiling
    regions: tuple[Region, ...]
    cost: LayerCost

    @property
    def sram_bytes(self) -> int:
        """Bytes of a PE's SRAM that the layer takes, without program and debug area."""
        return sum(region.size_bytes for region in self.regions if region.name not in (PROGRAM, DEBUG))


@dataclass(frozen=True, kw_only=True)
class Program:
    """All layers in order, planned; `dram_bytes` is what weights and tensors take there, `resident_bytes` what stays on each PE."""

    layers: tuple[PlannedLayer, ...]
    terms: LayerTerms
    parameter_bytes: int
    dram_bytes: int
    resident_bytes: int

    def executed(self) -> list[tuple[str, Tiling]]:
        """Return kind and tiling of every layer, as often as it runs."""
        return [(one.layer.kind, one.tiling) for one in self.layers for _ in range(one.layer.times)]


def network_works(network: IntegerNetwork) -> list[LayerWork]:
    """Return what the operations of a network ask of PEs."""
    works = []
    for one in network.operations:
        shapes = [network.tensors[name].shape for name in one.inputs]
        work = operator(one.kind).work(one, shapes, network.tensors[one.output].shape)
        works.append(LayerWork(name=one.name, kind=one.kind, work=work))
    return works


def plan_program(works: Sequence[LayerWork], terms: LayerTerms) -> Program:
    """Plan every layer; HostError, DOES_NOT_FIT, that names the layer and its bytes where no tiling fits, or what exceeds DRAM."""
    parameters = sum(one.times * one.work.parameter_bytes for one in works)
    tensors = sum(one.times * one.work.output_bytes for one in works) + (works[0].work.input_bytes if works else 0)
    dram_bytes = parameters + tensors
    if dram_bytes > terms.chip.dram_bytes:
        raise HostError(
            f"DRAM: weights of {parameters:,} B and tensors of {tensors:,} B need {dram_bytes:,} B, the chip has "
            f"{terms.chip.dram_bytes:,} B (--set chip.dram_bytes=N for another)", Exit.DOES_NOT_FIT,
        )  # fmt: skip
    resident = _resident_bytes(works, parameters, terms)
    layers = tuple(_plan_layer(one, terms, resident) for one in works)
    return Program(layers=layers, terms=terms, parameter_bytes=parameters, dram_bytes=dram_bytes, resident_bytes=resident)


def plan_tiling(layer: LayerWork, tiling: Tiling, terms: LayerTerms, resident_bytes: int = 0) -> PlannedLayer | None:
    """Return a layer that is cut as given; None where its tile does not fit."""
    cost = layer_cost(layer.kind, tiling, terms)
    buffers = terms.settings.buffers if cost.rounds > 1 else 1
    fields = _with_resident(tiling.fields(buffers), resident_bytes)
    try:
        regions = plan(layer.name, fields, sram_size(terms.chip))
    except SramOverflow:
        return None
    return PlannedLayer(layer=layer, tiling=tiling, regions=tuple(regions), cost=cost)


def _plan_layer(layer: LayerWork, terms: LayerTerms, resident_bytes: int) -> PlannedLayer:
    """Return the layer with the tiles that take the least time, then the fewest PEs, rounds and bytes."""
    tiling = _fastest(layer.kind, layer.work, _Hashed(terms), resident_bytes)
    if tiling is None:
        raise _refusal(layer, terms, resident_bytes)
    planned = plan_tiling(layer, tiling, terms, resident_bytes)
    assert planned is not None, "a tiling that was chosen fits"
    return planned


class _Hashed:
    """Terms as the key of what is remembered: layers of one shape are searched once."""

    def __init__(self, terms: LayerTerms) -> None:
        self.terms = terms

    def __hash__(self) -> int:
        return hash((self.terms.settings, self.terms.workers))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashed) and self.terms == other.terms


@lru_cache(maxsize=512)
def _fastest(kind: str, work: Work, key: _Hashed, resident_bytes: int) -> Tiling | None:
    terms = key.terms
    size, best, choice = sram_size(terms.chip), None, None
    room = size.sram_bytes - size.program_bytes - size.debug_bytes - resident_bytes
    for tiling in _candidates(work, terms):
        if sum(field.size_bytes for field in tiling.fields(1)) > room:
            continue
        cost = layer_cost(kind, tiling, terms)
        rank = (cost.time_s, cost.pes, cost.rounds, tiling.parts, tiling.results)
        if best is not None and rank >= best:
            continue
        buffers = terms.settings.buffers if cost.rounds > 1 else 1
        if _fits(tiling.fields(buffers), size, resident_bytes):
            best, choice = rank, tiling
    return choice


def _candidates(work: Work, terms: LayerTerms) -> Iterable[Tiling]:
    whole = terms.settings.tiles == "whole_depth"
    return (one for one in tilings(work, terms.workers) if one.parts == 1 or not whole)


def _fits(fields: Sequence[Field], size: SramSize, resident_bytes: int) -> bool:
    try:
        plan("", _with_resident(fields, resident_bytes), size)
    except SramOverflow:
        return False
    return True


def _with_resident(fields: Sequence[Field], resident_bytes: int) -> list[Field]:
    """Return the fields behind what stays on the PE."""
    stays = [Field(name=RESIDENT, shape=(resident_bytes,), dtype="|i1", role="weights")] if resident_bytes else []
    return [*stays, *fields]


def _refusal(layer: LayerWork, terms: LayerTerms, resident_bytes: int) -> HostError:
    """Return the error of a layer of which no tile fits, with what the smallest one needs."""
    least = smallest(layer.work)
    if terms.settings.tiles == "whole_depth":
        least = replace(least, parts=1)
    need = sum(field.size_bytes for field in least.fields(1))
    size = sram_size(terms.chip)
    have = size.sram_bytes - size.bank_bytes - size.debug_bytes - resident_bytes
    stays = f" beside {resident_bytes:,} B that stay (--set resident=no)" if resident_bytes else ""
    return HostError(
        f"layer {layer.name} ({layer.kind}, {layer.work}): no tiling fits: the smallest tile, {least.shape}, needs {need:,} B, "
        f"a PE has {have:,} B of data{stays}", Exit.DOES_NOT_FIT,
    )  # fmt: skip


def _resident_bytes(works: Sequence[LayerWork], parameters: int, terms: LayerTerms) -> int:
    """Return what stays on each PE; HostError where the chip has no room for it."""
    what, whole = "weights", parameters
    if terms.settings.resident == "no":
        return 0
    if terms.settings.resident == "activations":
        what, whole = "activations", max((one.work.input_bytes + one.work.output_bytes for one in works), default=0)
    each = -(-whole // terms.workers)
    size = sram_size(terms.chip)
    have = size.data_bytes - size.debug_bytes
    if each >= have:
        raise HostError(
            f"--set resident={what}: {whole:,} B are {each:,} B on each of {terms.workers} PEs, a PE has {have:,} B of data; "
            "use resident=no", Exit.DOES_NOT_FIT,
        )  # fmt: skip
    return each


def workers_of(chip: ChipSpec, pes: int | None = None) -> int:
    """Return the workers of a chip, or so many of its PEs less the scheduler; HostError where there are too few or too many."""
    there = len(chip.usable_pes())
    if pes is not None and not SCHEDULERS < pes <= there:
        raise HostError(f"--pes {pes}: needs {SCHEDULERS + 1} to {there}, a scheduler and workers")
    return (pes or there) - SCHEDULERS
