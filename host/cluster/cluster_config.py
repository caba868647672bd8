"""The Dask cluster that `--cluster` names: `tcp://...` for a running scheduler, `local:N` for workers that we start on this
machine, or a TOML file (docs/cluster.md).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host.errors import HostError, need_file

KINDS = ("scheduler", "local", "ssh", "jobqueue")
SCHEMES = ("tcp://", "tls://", "ucx://")
_WAIT_S = {"scheduler": 5.0, "local": 60.0, "ssh": 60.0, "jobqueue": 600.0}
_NEEDS = {"scheduler": ("address",), "local": ("workers",), "ssh": ("hosts", "chips"), "jobqueue": ("class", "workers", "chips")}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "kind": str, "address": str, "workers": int, "chips": int, "hosts": list, "class": str, "wait_s": (int, float),
    "options": dict, "transport": dict,
}  # fmt: skip
_MOST_PORT = 65_535


@dataclass(frozen=True)
class ListenConfig:
    """Where routers listen: `interface`, an address, a network (10.0.0.0/16) or a device's name, "" for the one that the worker
    itself listens on; `ports`, first and last, 0 and 0 for any free one; `public`: allow an address that is not private.
    """

    interface: str = ""
    ports: tuple[int, int] = (0, 0)
    public: bool = False


@dataclass(frozen=True)
class ClusterConfig:
    """A kind of cluster and what it needs.

    `chips`: a worker's, where we start it; 0 for as many as a run needs. `wait_s`: for workers to come. `options`: handed to
    the cluster's class as they are.
    """

    kind: str
    address: str = ""
    workers: int = 0
    chips: int = 0
    hosts: tuple[str, ...] = ()
    class_name: str = ""
    wait_s: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    transport: ListenConfig = ListenConfig()


def parse_cluster(text: str) -> ClusterConfig:
    """Read `--cluster`; HostError, one line, for what names no cluster."""
    if text.startswith(SCHEMES):
        return ClusterConfig(kind="scheduler", address=text, wait_s=_WAIT_S["scheduler"])
    kind, colon, rest = text.partition(":")
    if colon and kind == "local":
        if not rest.isascii() or not rest.isdecimal() or not 1 <= int(rest) <= 1000:
            raise HostError(f"--cluster {text}: local needs a number of workers, as in local:4")
        return ClusterConfig(kind="local", workers=int(rest), wait_s=_WAIT_S["local"])
    path = Path(text)
    if path.suffix != ".toml":
        raise HostError(f"--cluster {text}: needs a scheduler's address (tcp://HOST:8786), local:N, or a .toml file")
    return _read(path)


def _read(path: Path) -> ClusterConfig:
    need_file(path, f"--cluster {path}")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise HostError(f"--cluster {path}: {getattr(error, 'strerror', None) or error}") from error
    for name, value in content.items():
        if name not in _TYPES:
            raise HostError(f"--cluster {path}: unknown {name!r}; have {', '.join(_TYPES)}")
        if not isinstance(value, _TYPES[name]) or isinstance(value, bool):
            raise HostError(f"--cluster {path}: {name} is {value!r}; needs another type")
    kind = content.get("kind", "scheduler")
    if kind not in KINDS:
        raise HostError(f"--cluster {path}: kind {kind!r}; have {', '.join(KINDS)}")
    for name in _NEEDS[kind]:
        if not content.get(name):
            raise HostError(f"--cluster {path}: kind {kind!r} needs {name}")
    if kind == "scheduler" and not content["address"].startswith(SCHEMES):
        raise HostError(f"--cluster {path}: address {content['address']!r}; needs tcp://HOST:PORT")
    if any(content.get(name, 1) < 1 for name in ("workers", "chips")) or content.get("wait_s", 1) <= 0:
        raise HostError(f"--cluster {path}: workers and chips need at least 1, wait_s more than 0")
    hosts = content.get("hosts", [])
    if kind == "ssh" and (len(hosts) < 2 or not all(isinstance(host, str) for host in hosts)):
        raise HostError(f"--cluster {path}: hosts needs a scheduler's host and at least one worker's")
    return ClusterConfig(
        kind=kind, hosts=tuple(hosts), class_name=content.get("class", ""), wait_s=float(content.get("wait_s", _WAIT_S[kind])),
        transport=_listen_config(path, content.get("transport", {})),
        **{name: content[name] for name in ("address", "workers", "chips", "options") if name in content},
    )  # fmt: skip


def _listen_config(path: Path, content: Mapping[str, Any]) -> ListenConfig:
    for name in content:
        if name not in ("interface", "ports", "public"):
            raise HostError(f"--cluster {path}: unknown transport.{name}; have interface, ports, public")
    interface, ports, public = content.get("interface", ""), content.get("ports", [0, 0]), content.get("public", False)
    good = isinstance(ports, list) and len(ports) == 2 and all(type(port) is int for port in ports)
    if not good or not (ports == [0, 0] or 1024 <= ports[0] <= ports[1] <= _MOST_PORT):
        raise HostError(f"--cluster {path}: transport.ports {ports!r}; needs first and last, 1024 to {_MOST_PORT}")
    if not isinstance(interface, str) or not isinstance(public, bool):
        raise HostError(f"--cluster {path}: transport.interface needs text and transport.public true or false")
    return ListenConfig(interface=interface, ports=(ports[0], ports[1]), public=public)
