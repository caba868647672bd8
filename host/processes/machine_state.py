"""What psutil knows of this machine and of processes: memory, tasks, processor time, addresses. The only file that knows psutil."""

import contextlib
import os
import socket

import psutil


def free_memory_bytes() -> int:
    """Return the bytes of memory that this machine can still give."""
    return int(psutil.virtual_memory().available)


def count_tasks() -> int:
    """Return how many processes and threads of this user there are, which is what the limit on them counts."""
    user, tasks = os.getuid(), 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            tasks += process.num_threads() if process.uids().real == user else 0
    return tasks


def uss_bytes(pid: int) -> int:
    """Return what would be freed if a process ended, in bytes; 0 where that cannot be read."""
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_full_info().uss)
    return 0


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used; 0 where it is gone."""
    with contextlib.suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0


def interface_addresses() -> dict[str, list[str]]:
    """Return this machine's IP addresses by device, those of version 4 first."""
    by_device: dict[str, list[str]] = {}
    numbers = {socket.AF_INET: 0, socket.AF_INET6: 1}
    for device, entries in psutil.net_if_addrs().items():
        addresses = sorted((numbers[entry.family], entry.address) for entry in entries if entry.family in numbers)
        by_device[device] = [address for _, address in addresses if "%" not in address]  # those of one link alone need its name
    return by_device
