"""Chips on Dask workers: the same run, spread over several machines."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from host.options import RunOptions
from host.processes.backend import Backend, ConnectBackend
from host.processes.process_group import ProcessGroup


def remote_backend(options: RunOptions) -> ConnectBackend | None:
    """Return what makes the backend of a run on a cluster, for the launcher; None where all of it stays on this machine."""
    if options.cluster is None:
        return None

    def connect(processes: ProcessGroup, started: Callable[[str, int], None]) -> Backend:
        from host.cluster.dask_backend import DaskBackend  # not above: Dask is heavy, and an extra

        return DaskBackend(options, processes.make_folder(f"stock-{secrets.token_hex(4)}"), started)

    return connect
