"""A run that a stranger attacks from its first moment on, in a network namespace of its own.

    unshare --net python -m tests.tools.strangers CHECKPOINT TEXT

Prints JSON: for each stranger (of another user, and of the same one) what became of the run and what the stranger got. Needs
root: the stranger becomes another user, whose connections the router's socket must not take, and the router has 1,024
descriptors, as `ulimit -n` often says.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import resource
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import zmq

from host.faults import Faults
from host.launch.launcher import Launcher
from host.workloads.lm.options import Options
from noc import packet
from noc.wire import MAX_MESSAGE_BYTES, WireError, decode, encode

ANOTHER_USER = 64998
DESCRIPTORS = 1024
CROWD = {True: 2000, False: 300}  # connections held: as another user, and as the same one, who could as well kill all
NAMES = ("host", "router@0", "router@1", "PE(1,1,0)@0", "PE(1,1,1)@0", "PE(1,1,2)@0")
BOMB = b"\x92\x0b\xdd" + (24 << 20).to_bytes(4, "big") + b"\x90" * (24 << 20)  # unpacked, 1.8 GB of empty lists
EVIL = "PE(1,1,0)@0: \x1b[31mgone\nand more"
CONNECTED, GREETED, HANDED = range(3)  # connections made, answered by a greeting, and messages that were for somebody else


class Stranger:
    """A process that waits for routers' sockets, and does to each what it can."""

    def __init__(self, another: bool) -> None:
        self._board = mmap.mmap(-1, 4096)
        self.counts = memoryview(self._board).cast("q")[:3]
        self._another = another
        self._pid = os.fork()
        if not self._pid:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
                if another:
                    os.setresgid(ANOTHER_USER, ANOTHER_USER, ANOTHER_USER)
                    os.setresuid(ANOTHER_USER, ANOTHER_USER, ANOTHER_USER)
                self._lurk()
            finally:
                os._exit(0)

    def end(self) -> list[int]:
        """End it; return what it got."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        return self.counts.tolist()

    def _lurk(self) -> None:
        known: set[str] = set()
        context = zmq.Context()
        context.set(zmq.MAX_SOCKETS, 4000)
        liars: list[zmq.Socket] = []
        crowd: list[socket.socket] = []
        while True:
            listening = {line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if "@gennaker-" in line}
            for address in listening - known:
                known.add(address)
                liars += self._lie(context, address)
                threading.Thread(target=self._bomb, args=(context, address), daemon=True).start()
                self._crowd(address, crowd)
            for liar in liars:
                with contextlib.suppress(zmq.Again):
                    raw = liar.recv(zmq.NOBLOCK)
                    self.counts[HANDED] += 1
                    with contextlib.suppress(WireError):
                        if isinstance(decode(raw), packet.Load):
                            liar.send(encode(packet.Fault(EVIL)), zmq.NOBLOCK)
            time.sleep(0.001)

    def _lie(self, context: zmq.Context, address: str) -> list[zmq.Socket]:
        """Take names."""
        liars = []
        for name in NAMES:
            liar = context.socket(zmq.DEALER)
            liar.setsockopt(zmq.ROUTING_ID, name.encode())
            liar.setsockopt(zmq.LINGER, 0)
            liar.connect(f"ipc://{address}")
            for message in (
                packet.Hello(1),
                packet.Fault(EVIL),
                packet.Letter("router@0", encode(packet.Stop())),
                packet.Stopped(),
            ):
                with contextlib.suppress(zmq.Again):
                    liar.send(encode(message), zmq.NOBLOCK)
            liars.append(liar)
        return liars

    def _bomb(self, context: zmq.Context, address: str) -> None:
        """Send what is large, or becomes so."""
        with context.socket(zmq.DEALER) as bomber:
            bomber.setsockopt(zmq.SNDTIMEO, 2000)
            bomber.setsockopt(zmq.LINGER, 0)
            bomber.connect(f"ipc://{address}")
            for raw in (BOMB[: 1 << 21], bytes(1 << 21), *([b"\xc1"] * 5000), BOMB, bytes(MAX_MESSAGE_BYTES // 4)):
                with contextlib.suppress(zmq.Again):
                    bomber.send(raw)
            time.sleep(3600)

    def _crowd(self, address: str, crowd: list[socket.socket]) -> None:
        """Hold many connections."""
        for _ in range(CROWD[self._another]):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(1.0)
            with contextlib.suppress(OSError):
                client.connect("\0" + address[1:])
                self.counts[CONNECTED] += 1
            crowd.append(client)
        for client in crowd[-CROWD[self._another] :: 20]:
            with contextlib.suppress(OSError):
                self.counts[GREETED] += bool(client.recv(1))


def attacked(options: Options, another: bool) -> dict[str, object]:
    """Run under attack; return what became of it."""
    peak_kb, ended = [0], threading.Event()

    def watch(name: str, pid: int) -> None:
        def look() -> None:
            while not ended.wait(0.02):
                with contextlib.suppress(OSError, ValueError):  # it has ended
                    words = Path(f"/proc/{pid}/status").read_text().split()
                    peak_kb[0] = max(peak_kb[0], int(words[words.index("VmHWM:") + 1]))

        if name == "router@0":
            threading.Thread(target=look, daemon=True).start()

    stranger = Stranger(another)
    try:
        outcome = Launcher(options, lambda _: None, lambda _: None, watch).run()
    finally:
        ended.set()
        connected, greeted, handed = stranger.end()
    return {
        "code": int(outcome.code), "problem": outcome.problem, "sha256": outcome.report and outcome.report["events"]["sha256"],
        "malformed": outcome.report and outcome.report["counters"]["malformed"], "router_mb": peak_kb[0] / 1e3,
        "connected": connected, "greeted": greeted, "handed": handed,
    }  # fmt: skip


def main(checkpoint: str, text: str) -> None:
    """Print what became of a quiet run and of two that were attacked."""
    options = Options(checkpoint=checkpoint, text=text, tokens=60, pes=5, faults=Faults({"PE(1,1,1)@0": 0.01}))
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    another, same = attacked(_within(options), True), attacked(options, False)
    quiet = Launcher(options, lambda _: None, lambda _: None).run()
    json.dump({"another": another, "same": same, "quiet": quiet.report["events"]["sha256"]}, sys.stdout)


def _within(options: Options) -> Options:
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, 8192))
    return options


if __name__ == "__main__":
    main(*sys.argv[1:])
