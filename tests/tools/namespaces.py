"""Several hosts on one machine: network namespaces joined by veth links to a bridge, in a namespace of its own.

The one with the bridge, `hub`, is the launcher's and the scheduler's host. Needs root and iproute2.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence


def _ip(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)


def refusal() -> str | None:
    """Why this machine has no network namespaces for us; None where it has."""
    if shutil.which("ip") is None:
        return "network namespaces: no iproute2 here"
    name = f"gnk-try-{os.getpid()}"
    made = _ip("netns", "add", name)
    if made.returncode:
        return f"network namespaces: {made.stderr.strip() or 'refused'}"
    link = _ip("-n", name, "link", "add", "br0", "type", "bridge")
    _ip("netns", "del", name)
    return f"network namespaces: {link.stderr.strip()}" if link.returncode else None


class Hosts:
    """The hub and as many hosts as there are names."""

    def __init__(self, names: Sequence[str]) -> None:
        self._prefix = f"gnk{os.getpid() % 100_000}"
        self._names = list(names)
        self._do("netns", "add", self._of("hub"))
        self._do("-n", self._of("hub"), "link", "set", "lo", "up")
        self._do("-n", self._of("hub"), "link", "add", "br0", "type", "bridge")
        self._do("-n", self._of("hub"), "addr", "add", f"{self.address('hub')}/24", "dev", "br0")
        self._do("-n", self._of("hub"), "link", "set", "br0", "up")
        for name in names:
            self._do("netns", "add", self._of(name))
            self._do("-n", self._of(name), "link", "set", "lo", "up")
            self._do("-n", self._of("hub"), "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", self._of(name))
            self._do("-n", self._of("hub"), "link", "set", name, "master", "br0", "up")
            self._do("-n", self._of(name), "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
            self._do("-n", self._of(name), "link", "set", "eth0", "up")

    def address(self, name: str) -> str:
        """A host's address."""
        return f"10.77.0.{1 if name == 'hub' else 11 + self._names.index(name)}"

    def inside(self, name: str) -> tuple[str, ...]:
        """What to put before a command that is to run on a host."""
        return ("ip", "netns", "exec", self._of(name))

    def part(self, *names: str) -> None:
        """Cut the network between hosts; each still reaches the hub."""
        for name in names:
            self._do("-n", self._of("hub"), "link", "set", name, "type", "bridge_slave", "isolated", "on")

    def join(self, *names: str) -> None:
        """Undo `part`."""
        for name in names:
            self._do("-n", self._of("hub"), "link", "set", name, "type", "bridge_slave", "isolated", "off")

    def unplug(self, name: str) -> None:
        """Cut a host off from all others."""
        self._do("-n", self._of("hub"), "link", "set", name, "down")

    def close(self) -> None:
        """Take everything down."""
        for name in [*self._names, "hub"]:
            _ip("netns", "del", self._of(name))

    def _of(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    @staticmethod
    def _do(*words: str) -> None:
        done = _ip(*words)
        assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
