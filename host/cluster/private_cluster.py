"""`PrivateCluster`: Dask's scheduler and workers on this machine, which nobody but the run that started them can speak to.

Every connection has TLS with credentials that are made for this cluster and never leave it: Dask runs whatever a client sends,
so who could connect could run code as this user. There are no web pages, which Dask would serve in plain text.
"""

from typing import Any

from distributed import LocalCluster, Nanny, Scheduler, Worker
from distributed.security import Security
from tornado.httpserver import HTTPServer
from tornado.web import Application


class _WithoutPages:
    """A Dask node that has a web server, as Dask expects of it, which listens nowhere."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        self.http_application = Application()
        self.http_server = HTTPServer(self.http_application)


class PrivateScheduler(_WithoutPages, Scheduler):  # type: ignore[misc]
    """The scheduler."""


class PrivateWorker(_WithoutPages, Worker):  # type: ignore[misc]
    """A worker."""


class PrivateNanny(Nanny):
    """What starts a worker in a process of its own."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **{**named, "worker_class": PrivateWorker})


class PrivateCluster(LocalCluster):
    """A cluster on this machine; takes what `LocalCluster` takes."""

    def __init__(self, **named: Any) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            **{
                "security": Security.temporary(),  # type: ignore[no-untyped-call]
                "dashboard_address": None,
                "worker_class": PrivateNanny,
                "processes": True,
                **named,
            }
        )

    async def _start(self) -> None:
        self.scheduler_spec["cls"] = PrivateScheduler
        await super()._start()  # type: ignore[no-untyped-call]

    def abandon(self) -> None:
        """Replace no worker that dies from now on, and have Dask close nothing when this process ends: it would wait ten seconds
        for workers, which are this process's own children and can be killed.
        """
        for nanny in self.workers.values():
            nanny.auto_restart = False
        self._instances.discard(self)
