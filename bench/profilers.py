"""Real profilers beside a run: `perf` for everything that the processes do, `py-spy` for the Python in a few of them.

Both are outside programs and may be missing or forbidden (perf needs root or a low `perf_event_paranoid`, py-spy root or ptrace
rights); then they say so in one line, and what they would have shown is left out.
"""

from __future__ import annotations

import inspect
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from host.processes.parent_death import die_with
from host.run import event_hash, host_process, recorder, run, snapshot
from host.workloads.lm.generation import Generation
from host.workloads.lm.scoring import TextScore, TextSource
from models import formats, kernels
from models.compute import lowpass
from models.heads import language
from noc import columns, dram, payload, router, serve, tick_join, wire
from noc.transports.zmq import DealerSocket, RouterSocket
from pe import compiled_columns, core, socket_loop, tick

_PROJECT = Path(__file__).resolve().parents[1]

PERF_HZ = 997  # of each core; a prime, so that it does not beat with the kernel's own clock
PYTHON_HZ, PE_HZ = 250, 1000  # of each process looked into; a PE runs a hundredth of the time
_LEAVE_S = 20.0

# What a sample was in, by the first rule that fits: of a kernel symbol how it begins, of a library what its path contains.
KERNEL = {
    "os: wake and switch": (
        "schedule", "__schedule", "try_to_wake", "ttwu", "finish_task", "pick_next", "put_prev", "set_next", "enqueue_", "dequeue_",
        "update_curr", "select_", "available_idle", "switch_", "context_switch", "__switch", "prepare_to",
        "do_epoll", "ep_", "__ep_", "eventfd", "poll", "do_poll", "do_sys_poll", "__pollwait", "futex", "__futex", "hrtimer",
        "wake_up", "__wake_up", "autoremove", "pollwake", "reweight", "place_entity", "avg_vruntime", "vruntime", "check_preempt",
        "wakeup_preempt", "pv_native_safe_halt", "__pick", "sched_", "psi_", "native_write_msr", "_raw_spin", "entity_",
        "finish_wait", "newidle", "sched", "update_", "yield", "native_load_tls", "load_new_mm", "flush_tlb", "leave_mm",
    ),
    "os: sockets": (
        "unix_", "sock_", "__sock", "skb_", "__skb", "sk_", "__sys_send", "__sys_recv", "____sys", "___sys", "sys_send", "sys_recv",
        "__x64_sys_send", "__x64_sys_recv", "consume_skb", "alloc_skb", "__alloc_skb", "kfree_skb", "import_iovec",
        "copy_msghdr", "wait_for_unix", "scm_", "simple_copy", "_copy_to_iter", "_copy_from_iter", "copyout", "__check_object",
        "rep_movs", "copy_user", "__copy", "_copy", "kmem_cache", "kmalloc", "__kmalloc", "kfree", "__slab", "___slab", "fdget",
        "__fdget", "sockfd", "memset",
    ),
    "os: memory": (
        "do_anonymous", "handle_mm", "__handle_mm", "clear_page", "do_user_addr", "exc_page", "asm_exc_page", "lock_vma", "wp_page",
        "do_wp", "copy_page", "__alloc_pages", "get_page", "free_pages", "unmap", "zap_", "mas_", "vma_", "do_fault", "filemap",
        "rmqueue", "lru_", "charge_", "mem_cgroup", "pte_", "__pte", "set_pte", "next_uptodate",
    ),
}  # fmt: skip
LIBRARIES = {
    "zeromq": ("libzmq", "/zmq/", "_zmq"),
    "msgpack": ("/msgpack/", "_cmsgpack"),
    "numpy": ("/numpy/", "openblas"),
    "numba dispatch": ("/numba/", "llvmlite"),
    "compiled kernels": ("//anon", "[anon", "jitted", "[JIT]", "/memfd:", "perf-"),
    "python": ("python",),
    "libc": ("libc.so", "libc-", "ld-linux", "libpthread", "libm.so", "libstdc++", "[vdso]"),
}


def start_child(command: list[str]) -> subprocess.Popen[str]:
    """Start a program that dies with this process, its output kept."""
    dying = partial(die_with, os.getpid())
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=dying)  # noqa: PLW1509 - it calls prctl and no more


def part_of(symbol: str, library: str) -> str:
    """Return what a sample was in: a part of the operating system, a library, or compiled kernels."""
    if "[kernel" in library or library == "[guest.kernel.kallsyms]":
        for part, beginnings in KERNEL.items():
            if symbol.startswith(beginnings):
                return part
        return "os: system calls and the rest"
    if not library or library == "[unknown]":
        return "compiled kernels"
    return next((part for part, names in LIBRARIES.items() if any(name in library for name in names)), "other")


class Perf:
    """`perf record` of the whole machine between `begin` and `end`; then samples by process, thread and part."""

    def __init__(self) -> None:
        self._program = shutil.which("perf")
        self._folder = tempfile.TemporaryDirectory(prefix="gennaker-profile-")
        self._file = Path(self._folder.name) / "perf.data"
        self._running: subprocess.Popen[str] | None = None
        self.problem = "" if self._program else "perf is not installed (Debian: linux-perf)"

    def begin(self) -> None:
        """Start sampling; sets `problem` where that is not possible."""
        if self._program:
            command = [self._program, "record", "-q", "-a", "-e", "cpu-clock", "-F", str(PERF_HZ), "-o", str(self._file)]
            self._running = start_child(command)

    def end(self) -> None:
        """Stop sampling."""
        if self._running is not None:
            self._running.send_signal(signal.SIGINT)
            _, complaint = self._running.communicate(timeout=_LEAVE_S)
            if not self._file.exists():
                self.problem = f"perf cannot sample here ({' '.join(complaint.split())[:120]})"

    def samples(self, pids: Mapping[str, int]) -> dict[tuple[str, bool], Counter[tuple[str, str]]]:
        """Return for each process in `pids`, its first thread (True) apart from others, samples by (part, symbol)."""
        names = {pid: name for name, pid in pids.items()}
        samples: dict[tuple[str, bool], Counter[tuple[str, str]]] = {}
        if not self._program or not self._file.exists():
            return samples
        chosen = ",".join(map(str, names))  # of others, symbols would be looked up too, for minutes
        command = [self._program, "script", "-i", str(self._file), "-F", "pid,tid,ip,sym,dso", "--pid", chosen]
        for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
            ids, _, rest = line.strip().partition(" ")
            pid, _, tid = ids.partition("/")
            if not tid or int(pid) not in names:
                continue
            where, _, library = rest.strip().rpartition(" (")
            symbol = where.partition(" ")[2]
            library = library.rstrip(")")
            key = names[int(pid)], pid == tid
            samples.setdefault(key, Counter())[part_of(symbol, library), symbol] += 1
        return samples

    def close(self) -> None:
        """Remove what was sampled."""
        self._folder.cleanup()


class PySpy:
    """`py-spy record` of a few processes between `begin` and `end`; then samples by stage and function.

    Sampled is what holds the interpreter, without stopping it: Python and kernels. What happens inside ZeroMQ, which lets go of
    the interpreter, and in ZeroMQ's own threads is not seen; `Perf` sees it.
    """

    def __init__(self) -> None:
        installed = Path(sys.executable).with_name("py-spy")
        self._program = str(installed) if installed.exists() else shutil.which("py-spy")
        self._folder = tempfile.TemporaryDirectory(prefix="gennaker-profile-")
        self._running: dict[str, subprocess.Popen[str]] = {}
        self.problem = "" if self._program else "py-spy is not installed (pip install '.[profile]')"

    def begin(self, pids: Mapping[str, int]) -> None:
        """Start sampling each process of `pids`, by name."""
        for number, (name, pid) in enumerate(pids.items() if self._program else ()):
            file = Path(self._folder.name) / str(number)
            # Longer than any run here, and ended by a signal: py-spy then writes what it has.
            rate = PE_HZ if name.startswith("PE(") else PYTHON_HZ
            flags = ["-d", "600", "-r", str(rate), "-f", "raw", "-o", str(file), "--gil", "--nonblocking"]
            command = [str(self._program), "record", "-p", str(pid), *flags]
            self._running[name] = start_child(command)

    def end(self) -> None:
        """Stop sampling."""
        for process in self._running.values():
            process.send_signal(signal.SIGINT)
        for process in self._running.values():
            complaint = " ".join(process.communicate(timeout=_LEAVE_S))
            if process.returncode and not self.problem:
                self.problem = f"py-spy cannot sample here ({' '.join(complaint.split())[:120]})"

    def samples(self) -> dict[str, Counter[tuple[str, ...]]]:
        """Return for each process its samples by stack, outermost first, as "function (path)"."""
        stacks: dict[str, Counter[tuple[str, ...]]] = {}
        for number, name in enumerate(self._running):
            file = Path(self._folder.name) / str(number)
            stacks[name] = Counter()
            for line in file.read_text("utf-8").splitlines() if file.exists() else ():
                stack, _, count = line.rpartition(" ")
                stacks[name][tuple(frame.rpartition(":")[0] + ")" for frame in stack.split(";"))] += int(count)
        return stacks

    def close(self) -> None:
        """Remove what was sampled."""
        self._folder.cleanup()


# Stage of a stack: of its innermost frame that a rule fits, the first that does. A rule is a function, or a module or package for
# all in it.
STAGES: dict[str, tuple[ModuleType | Callable[..., Any], ...]] = {
    "receive": (RouterSocket.receive, DealerSocket.receive),
    "send": (RouterSocket.send, DealerSocket.send),
    "decode": (wire.decode,),
    "encode": (wire.encode,),
    "monitor": (wire.pack_status, host_process.HostLoop._status, host_process.HostLoop._tend_run, snapshot),
    "decoder": (language, TextScore.answer, Generation.answer),
    "input": (TextSource.next, Generation.next, dram),
    "hash": (event_hash,),
    "ledger": (recorder,),
    "compiled tick": (socket_loop, tick),  # compiled code has no frame of its own
    "merge": (payload,),
    "join": (tick_join, columns, compiled_columns),
    "kernel": (formats, kernels, lowpass),
    "scheduling": (core, router, serve, run, host_process),
}


def place_of(code: ModuleType | Callable[..., Any]) -> tuple[str, str]:
    """Return the file of a function or module, or the folder of a package, below the project's, and the function's name or ""."""
    source = inspect.getsourcefile(code)
    assert source is not None
    path = Path(source).relative_to(_PROJECT)
    if not inspect.ismodule(code):
        return path.as_posix(), code.__name__
    return (path.parent if path.name == "__init__.py" else path).as_posix(), ""


_RULES = tuple((stage, *place_of(code)) for stage, rules in STAGES.items() for code in rules)


def stage_of(stack: Iterable[str]) -> str:
    """Return the stage that a stack of "function (path)" frames is in, "other" where no rule fits."""
    for frame in reversed(tuple(stack)):
        function, _, path = frame.partition(" (")
        function = function.rpartition(".")[2]
        for stage, file, named in _RULES:
            if file in path and named in ("", function):
                return stage
    return "other"
