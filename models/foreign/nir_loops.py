"""Which edges of a loop come a step late: NIR says nothing of it, and a step cannot wait for itself.

Every framework that writes NIR feeds back what was sent at the step before. A population that hears itself hears it a step
late, always. In a loop over several the late edge is the one that leads back to where the loop is entered; a loop that is
entered in two places has no such edge, and is refused until one is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from models.foreign.nir_file import shown
from models.network import ModelError

Edge = tuple[str, str]


def late_edges(who: str, prompt: Iterable[Edge], inputs: Iterable[str]) -> dict[Edge, str]:
    """Return those of the edges without a delay that come one step late, each with the reason.

    `prompt` are edges between neurons, and from inputs. ModelError, beginning with `who`, for a loop with no single entry.
    """
    edges = set(prompt)
    late = {edge: f"{shown(edge[0])} hears itself" for edge in sorted(edges) if edge[0] == edge[1]}
    edges -= late.keys()
    entered = set(inputs)
    rest = [(edges, entered)]
    while rest:
        some, outside = rest.pop()
        for loop in _loops(some):
            entries = sorted(n for n in loop if n in outside or any(b == n and a not in loop for a, b in some))
            if len(entries) != 1:
                how = " and ".join(map(shown, entries)) if entries else "nowhere"
                names = sorted(loop)
                choice = " or ".join(f"--delay {shown(a)}>{shown(b)}=1" for a, b in sorted(some) if a in loop and b in loop)
                raise ModelError(
                    f"{who}: loop of {', '.join(map(shown, names))}: is entered at {how}, so which of its edges comes a step late "
                    f"is not in the file; choose with {choice}"
                )
            entry = entries[0]
            back = {(a, b) for a, b in some if b == entry and a in loop}
            late |= dict.fromkeys(sorted(back), f"it leads back to {shown(entry)}, where the loop is entered")
            inside = {(a, b) for a, b in some if a in loop and b in loop} - back
            rest.append((inside - {(a, b) for a, b in inside if a == entry}, {b for a, b in inside if a == entry}))
    return late


def chosen_delays(who: str, texts: Iterable[str]) -> dict[Edge, int]:
    """Return the steps of edges as `A>B=1` says; ModelError for anything else."""
    delays: dict[Edge, int] = {}
    for text in texts:
        ends, _, steps = text.rpartition("=")
        source, arrow, target = ends.partition(">")
        if not arrow or not source or not target or not steps.isdecimal() or not 0 < int(steps) <= 4096:
            raise ModelError(f"{who}: --delay {shown(text)!r}: needs SOURCE>TARGET=STEPS, as in lif2>lif1=1")
        delays[source, target] = int(steps)
    return delays


def _loops(edges: Iterable[Edge]) -> list[frozenset[str]]:
    """Return the strongly connected components of more than one node."""
    after: dict[str, set[str]] = {}
    for a, b in edges:
        after.setdefault(a, set()).add(b)
        after.setdefault(b, set())
    try:
        TopologicalSorter(after).prepare()
    except CycleError:
        pass
    else:
        return []
    from scipy import sparse

    names = sorted(after)
    number = {name: at for at, name in enumerate(names)}
    pairs = [(number[a], number[b]) for a, b in edges]
    matrix = sparse.csr_array(([1] * len(pairs), tuple(zip(*pairs, strict=True))), shape=(len(names), len(names)))
    _, labels = sparse.csgraph.connected_components(matrix, directed=True, connection="strong")
    groups: dict[int, set[str]] = {}
    for name, label in zip(names, labels.tolist(), strict=True):
        groups.setdefault(label, set()).add(name)
    return [frozenset(group) for group in groups.values() if len(group) > 1]
