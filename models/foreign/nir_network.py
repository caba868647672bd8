"""From a NIR file to a network: flattened, shapes checked, folded, loops cut, and neurons as populations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from models.convolution import Convolution
from models.foreign.nir_conventions import Choices, Reading, choose
from models.foreign.nir_file import NEURONS, NirFile, Node, shown
from models.foreign.nir_flat import THROUGH, Flat, flatten
from models.foreign.nir_fold import Folded, Source, Sum, fold, is_direct
from models.foreign.nir_loops import chosen_delays, late_edges
from models.foreign.nir_maps import Map, plus, weights_of
from models.foreign.nir_neurons import population_of, sum_population
from models.foreign.nir_shapes import Shapes, shapes_of, units_of
from models.network import ModelError, Network, Population, Projection, Weights

_MOST_NAME = 80  # of a population, in a checkpoint


@dataclass(frozen=True)
class Imported:
    """A network, the node that each population was (by their numbers), by what conventions, and notes for the user."""

    network: Network
    nodes: tuple[str, ...]
    reading: Reading
    notes: tuple[str, ...]


def network_of(file: NirFile, choices: Choices, delays: tuple[str, ...] = ()) -> Imported:
    """Return the network of a file; ModelError, in one line that names nodes, for what cannot be, or has to be chosen."""
    flat = flatten(file)
    shapes = shapes_of(flat)
    reading = choose(flat, choices, file.graph.metadata)
    between, on_edges = _split_delays(flat, chosen_delays(flat.who, delays))
    folded = fold(flat, shapes, reading.convention.dt, on_edges)
    notes = [*shapes.notes]
    sums = _late(folded, between, notes)
    order = _order(flat, sums)
    outputs, ends = _outputs(flat, folded)
    names = _names([*order, *(name for name, _ in ends)])
    number = {node: at for at, node in enumerate([*order, *(name for name, _ in ends)])}
    populations = [_population(flat, shapes, reading, node, sums.get(node), names, number) for node in order]
    for node, what in ends:
        projections = _projections(flat, node, what, number)
        populations.append(sum_population(flat.who, names[node], folded.units(node), projections, what.constant))
    notes += _unheard(flat)
    network = Network(tuple(populations), tuple(number[node] for node in outputs))
    return Imported(network, (*order, *(name for name, _ in ends)), reading, tuple(notes))


def _split_delays(
    flat: Flat, chosen: Mapping[tuple[str, str], int]
) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """Return the delays between populations, and those of other edges; ModelError for ends that are not there."""
    sources = {name for name, node in flat.nodes.items() if node.kind in (*NEURONS, "Input")}
    between, on_edges = {}, {}
    for (a, b), steps in chosen.items():
        if a in sources and b in sources and flat.nodes[b].kind != "Input":
            between[a, b] = steps
        elif (a, b) in flat.edges:
            on_edges[a, b] = steps
        else:
            missing = [shown(end) for end in (a, b) if end not in flat.nodes]
            why = f"no node {' and '.join(missing)}" if missing else "no edge, and not both are neurons"
            have = ", ".join(map(shown, sorted(sources)))
            raise ModelError(f"{flat.who}: --delay {shown(a)}>{shown(b)}: {why}; has neurons and inputs {have:.200}")
    return between, on_edges


def _late(folded: Folded, between: Mapping[tuple[str, str], int], notes: list[str]) -> dict[str, Sum]:
    """Return what each neuron gets with loops cut: chosen delays first, then those that follow from the graph."""
    who, flat = folded.flat.who, folded.flat
    sums = dict(folded.neurons)
    for (a, b), steps in between.items():
        if not any(source == a for source, _ in sums[b].parts):
            raise ModelError(f"{who}: --delay {shown(a)}>{shown(b)}: {shown(b)} does not hear {shown(a)}")
        sums[b] = _later(who, sums[b], {a: steps})
        notes.append(f"{shown(a)} to {shown(b)} comes {steps} step{'s' * (steps > 1)} late, as chosen")
    prompt = {(source, target) for target, what in sums.items() for source, delay in what.parts if not delay}
    heard_of_inputs = {b for a, b in prompt if flat.nodes[a].kind == "Input"}
    inner = {(a, b) for a, b in prompt if flat.nodes[a].kind != "Input"}
    delayed = {
        target for target, what in sums.items() for source, delay in what.parts if delay and flat.nodes[source].kind == "Input"
    }
    for (a, b), why in late_edges(who, inner, heard_of_inputs | delayed).items():
        sums[b] = _later(who, sums[b], {a: 1})
        other = "" if a == b else "; not in the file, other: --delay"
        notes.append(f"{shown(a)} to {shown(b)} comes 1 step late: {why}{other}")
    return sums


def _later(who: str, what: Sum, late: Mapping[str, int]) -> Sum:
    """Return a sum in which what some sources sent without a delay comes later."""
    parts: dict[Source, Map] = {}
    for (source, delay), part in what.parts.items():
        at = source, delay + (late.get(source, 0) if not delay else 0)
        parts[at] = plus(who, parts[at], part) if at in parts else part
    return Sum(parts, what.constant)


def _order(flat: Flat, sums: Mapping[str, Sum]) -> list[str]:
    """Return inputs, then neurons so that each comes after what it hears of the same step; ties by name, numbers as numbers."""
    inputs = sorted((name for name, node in flat.nodes.items() if node.kind == "Input"), key=_by_number)
    sorter = TopologicalSorter({
        name: {source for source, delay in what.parts if not delay and source in sums} for name, what in sums.items()
    })  # fmt: skip
    sorter.prepare()
    order = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=_by_number)
        order += ready
        sorter.done(*ready)
    return [*inputs, *order]


def _by_number(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def _outputs(flat: Flat, folded: Folded) -> tuple[list[str], list[tuple[str, Sum]]]:
    """Return the nodes whose populations are outputs, and those that need a population of their own: weights into an Output."""
    outputs: list[str] = []
    ends: list[tuple[str, Sum]] = []
    for name in sorted(folded.outputs, key=_by_number):
        what = folded.outputs[name]
        if not flat.before[name]:
            raise ModelError(f"{flat.who}: {flat.nodes[name]}: nothing feeds it")
        source = is_direct(what)
        if source is not None and flat.nodes[source].kind in NEURONS:
            outputs.append(source)
        else:
            ends.append((name, what))
            outputs.append(name)
    if not folded.outputs:
        outputs = sorted((n for n, node in flat.nodes.items() if node.kind in NEURONS and not flat.after[n]), key=_by_number)
    if not outputs:
        raise ModelError(f"{flat.who}: has no node of type Output, and no neuron that feeds nothing")
    return list(dict.fromkeys(outputs)), ends


def _names(nodes: list[str]) -> dict[str, str]:
    """Return the names of populations: those of nodes, printable, not too long, and each once."""
    names: dict[str, str] = {}
    for node in nodes:
        name = shown(node)[:_MOST_NAME] or "unnamed"
        again = 1
        while name in names.values():
            again += 1
            tail = f"#{again}"
            name = (shown(node) or "unnamed")[: _MOST_NAME - len(tail)] + tail
        names[node] = name
    return names


def _population(
    flat: Flat, shapes: Shapes, reading: Reading, name: str, what: Sum | None, names: Mapping[str, str], number: Mapping[str, int]
) -> Population:  # fmt: skip
    node: Node = flat.nodes[name]
    if what is None:
        return Population(name=names[name], units=units_of(shapes.gives[name]))
    projections = _projections(flat, name, what, number)
    return population_of(flat.who, node, names[name], shapes.gives[name], reading.convention, projections, what.constant)


def _projections(flat: Flat, name: str, what: Sum, number: Mapping[str, int]) -> tuple[Projection, ...]:
    return tuple(
        Projection(source=number[source], port="input", weights=_weights(flat, source, name, part), delay=delay)
        for (source, delay), part in what.parts.items()
    )


def _weights(flat: Flat, source: str, name: str, part: Map) -> Weights | Convolution:
    return weights_of(f"{flat.who}: {flat.nodes[source]} to {flat.nodes[name]}", part)


def _unheard(flat: Flat) -> list[str]:
    """Return notes on nodes whose numbers go nowhere."""
    ends = (*NEURONS, "Output", "Input", THROUGH)
    return [
        f"{node}: feeds nothing; left out" for name, node in flat.nodes.items() if not flat.after[name] and node.kind not in ends
    ]
