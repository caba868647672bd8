"""A NIR graph without subgraphs: nodes of subgraphs under their path, and edges between nodes that are there.

An edge that names a subgraph means its only port, or `G.port` the port of that name. A subgraph's ports are left as nodes that
hand on what they get.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from models.foreign.nir_file import Graph, NirFile, Node, shown
from models.network import ModelError

PORTS = {"Input": "Input", "Output": "Output"}
THROUGH = "Port"  # the kind of a subgraph's Input or Output


@dataclass(frozen=True)
class Flat:
    """Nodes by their path, and edges; `who` begins every complaint."""

    who: str
    nodes: Mapping[str, Node]
    edges: tuple[tuple[str, str], ...]

    @cached_property
    def before(self) -> Mapping[str, list[str]]:
        """The nodes that feed each node, in the order of the edges."""
        return {name: [a for a, b in self.edges if b == name] for name in self.nodes}

    @cached_property
    def after(self) -> Mapping[str, list[str]]:
        """The nodes that each node feeds, in the order of the edges."""
        return {name: [b for a, b in self.edges if a == name] for name in self.nodes}

    def of_kind(self, kind: str) -> list[Node]:
        """Return the nodes of a kind, in the order of their names in the file."""
        return [node for node in self.nodes.values() if node.kind == kind]


def flatten(file: NirFile) -> Flat:
    """Return the file's graph without subgraphs; ModelError for edges that lead nowhere or stand twice, and for names that do."""
    nodes: dict[str, Node] = {}
    edges = tuple(_sorted(_edges(file, file.graph, "", nodes)))
    return Flat(file.who, nodes, edges)


def _sorted(edges: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(edges)  # a file has them in any order; what is said of them shall not depend on it


def _edges(file: NirFile, graph: Graph, path: str, nodes: dict[str, Node]) -> list[tuple[str, str]]:
    prefix = f"{path}." if path else ""
    edges: list[tuple[str, str]] = []
    for name, node in graph.nodes.items():
        if isinstance(node, Graph):
            edges += _edges(file, node, prefix + name, nodes)
            continue
        kind = THROUGH if path and node.kind in PORTS else node.kind
        if prefix + name in nodes:
            raise ModelError(f"{file.who}: two nodes are called {shown(prefix + name)}, one of them in a subgraph")
        nodes[prefix + name] = Node(prefix + name, kind, node.params)
    where = f"subgraph {shown(path)}: " if path else ""
    for edge, count in Counter(graph.edges).items():
        if count > 1:
            raise ModelError(f"{file.who}: {where}edge {_edge(edge)} stands {count} times; needs it once")
    for edge in graph.edges:
        source = _end(file, graph, prefix, edge, 0)
        target = _end(file, graph, prefix, edge, 1)
        edges.append((source, target))
    return edges


def _edge(edge: tuple[str, str]) -> str:
    return f"{shown(edge[0])} to {shown(edge[1])}"


def _end(file: NirFile, graph: Graph, prefix: str, edge: tuple[str, str], end: int) -> str:
    """Return the path of an edge's source (end 0) or target (end 1)."""
    name, port_kind = edge[end], ("Output", "Input")[end]
    node = graph.nodes.get(name)
    if isinstance(node, Node):
        return prefix + name
    graph_name, port = name, ""
    if node is None:  # perhaps `G.port`, where the name of G may hold dots
        for at in range(len(name) - 1, 0, -1):
            if name[at] == "." and isinstance(graph.nodes.get(name[:at]), Graph):
                graph_name, port = name[:at], name[at + 1 :]
                break
        node = graph.nodes.get(graph_name)
    if not isinstance(node, Graph):
        inside = [f"{shown(n)}.{shown(name)}" for n, g in graph.nodes.items() if isinstance(g, Graph) and name in g.nodes]
        hint = f"; there is {inside[0]} within a subgraph" if inside else f"; has {_some(graph)}"
        raise ModelError(f"{file.who}: edge {_edge(edge)}: no node {shown(prefix + name)}{hint}")
    ports = [n for n, inner in node.nodes.items() if isinstance(inner, Node) and inner.kind == port_kind]
    if port and port in ports:
        return f"{prefix}{graph_name}.{port}"
    if port or len(ports) != 1:
        have = ", ".join(map(shown, ports)) or "none"
        several = f"has {len(ports)} nodes {port_kind}; needs one, or {shown(name)}.PORT"
        which = f"has no {port_kind} {shown(port)}" if port else several
        raise ModelError(f"{file.who}: edge {_edge(edge)}: subgraph {shown(graph_name)} {which}; has {have}")
    return f"{prefix}{graph_name}.{ports[0]}"


def _some(graph: Graph) -> str:
    names = list(map(shown, graph.nodes))
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
