"""`pytest --workers N`: N processes, forked from one that has loaded what most tests need, each take one file after another.

A plugin for pytest in two halves. `Foreman` finds the files, but leaves it to who runs a file to import it: so no test is collected
twice, and what all of them load is loaded once. `Worker` collects and runs files, and sends what there is to report.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import SimpleNamespace
from typing import Any

import pytest
from _pytest.config import create_terminal_writer

_END_S = 20.0  # for a worker that is told to end to tear down what its tests have set up


class Foreman:
    """Gives files to workers, and reports what they send as if the tests had run here.

    Those come first for which `length` is greatest. `prepare` is called in each new worker.
    """

    def __init__(self, number: int, length: Callable[[pytest.File], Any], prepare: Callable[[], None]) -> None:
        self._number, self._length, self._prepare = number, length, prepare
        self._files: list[pytest.File] = []
        self._workers: dict[Connection, _Started] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> pytest.CollectReport | None:
        """Take down a file in place of importing it."""
        if not isinstance(collector, pytest.File):
            return None
        self._files.append(collector)
        return pytest.CollectReport(collector.nodeid, "passed", None, [])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Let workers run all files; fail where one of them ends before it is told to."""
        session.config.pluginmanager.unregister(self)  # who runs a file collects it
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # one for all
        waiting = sorted(self._files, key=self._length, reverse=True)
        gc.collect()
        gc.freeze()  # a collection in a worker would touch, and so copy, every page of what is loaded here
        try:
            for _ in range(min(self._number, len(waiting))):
                self._start(session, waiting.pop(0))
            while self._workers:
                for connection in wait(list(self._workers)):
                    assert isinstance(connection, Connection)
                    self._hear(session, connection, waiting)
                if session.shouldfail:
                    raise session.Failed(session.shouldfail)
                if session.shouldstop:
                    raise session.Interrupted(session.shouldstop)
        finally:
            self._end()
        return True

    def _start(self, session: pytest.Session, file: pytest.File, done: frozenset[str] = frozenset()) -> None:
        here, there = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: numpy's OpenBLAS has some, and gets over a fork
            pid = os.fork()
        if not pid:
            for connection in (here, *self._workers):
                connection.close()
            Worker(session, self._files, there).run(self._prepare)
        there.close()
        self._workers[here] = _Started(pid)
        self._give(here, file, done)

    def _give(self, connection: Connection, file: pytest.File | None, done: frozenset[str] = frozenset()) -> None:
        worker = self._workers[connection]
        worker.file, worker.done = file, set(done)
        with contextlib.suppress(BrokenPipeError):  # its end is heard of next
            connection.send((self._files.index(file), done) if file else None)

    def _hear(self, session: pytest.Session, connection: Connection, waiting: list[pytest.File]) -> None:
        """Report one thing that a worker says, or start another in place of one that has died."""
        worker, config = self._workers[connection], session.config
        kind, content = _receive(connection)
        if kind == "ended":
            self._replace(session, connection, waiting)
        elif kind == "done":
            self._give(connection, waiting.pop(0) if waiting else None)
        elif kind == "collected":
            session.testscollected += content
        elif kind == "deselected":
            config.hook.pytest_deselected(items=[SimpleNamespace()] * content)
        elif kind == "logstart":
            worker.test = content
            config.hook.pytest_runtest_logstart(**content)
        elif kind == "logfinish":
            worker.test = None
            worker.done.add(content["nodeid"])
            config.hook.pytest_runtest_logfinish(**content)
        elif kind == "error":
            raise RuntimeError(f"a worker ended in {worker.file}:\n{content}")
        else:
            report = config.hook.pytest_report_from_serializable(config=config, data=content)
            hooks = {"report": config.hook.pytest_runtest_logreport, "collectreport": config.hook.pytest_collectreport}
            hooks[kind](report=report)

    def _replace(self, session: pytest.Session, connection: Connection, waiting: list[pytest.File]) -> None:
        worker = self._workers.pop(connection)
        connection.close()
        code = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        if worker.file is None:
            return
        test = worker.test or {"nodeid": worker.file.nodeid, "location": (worker.file.nodeid, None, "")}
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        session.config.hook.pytest_runtest_logreport(report=pytest.TestReport(
            **test, keywords={}, outcome="failed", longrepr=f"the worker that ran this ended ({how})", when="call",
        ))  # fmt: skip
        if worker.test:
            self._start(session, worker.file, frozenset({*worker.done, test["nodeid"]}))
        elif waiting:
            self._start(session, waiting.pop(0))

    def _end(self) -> None:
        """Interrupt whoever still runs, as Ctrl-C does, and see to it that nobody stays."""
        deadline = time.monotonic() + _END_S
        for connection, worker in self._workers.items():
            connection.close()
            os.kill(worker.pid, signal.SIGINT)
        for worker in self._workers.values():
            while not os.waitpid(worker.pid, os.WNOHANG)[0]:
                if time.monotonic() > deadline:
                    os.kill(worker.pid, signal.SIGKILL)
                time.sleep(0.02)


def _receive(connection: Connection) -> tuple[str, Any]:
    """Return what kind of thing a worker says, and what; "ended" where it says nothing more."""
    try:
        return connection.recv()
    except (EOFError, ConnectionResetError):
        return "ended", None


class _Started:
    """A worker as the foreman knows it: its process, the file it has, the test it runs, and those of the file that it has run."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.file: pytest.File | None = None
        self.test: dict[str, Any] | None = None
        self.done: set[str] = set()


class Worker:
    """Runs the files that it is given, in a process of its own."""

    def __init__(self, session: pytest.Session, files: list[pytest.File], connection: Connection) -> None:
        self._session, self._files, self._connection = session, files, connection

    def run(self, prepare: Callable[[], None]) -> None:
        """Work until there is nothing left, tear down what lasts for a session, and end this process."""
        code = 1
        try:
            self._take_over()
            prepare()
            for file, done in self._given():
                self._run_file(file, done)
                self._say("done", None)
            self._session._setupstate.teardown_exact(None)  # type: ignore[attr-defined]  # as pytest does when a session ends
            code = 0
        except (EOFError, OSError, KeyboardInterrupt):  # the foreman has ended, or ends us
            with contextlib.suppress(BaseException):
                self._session._setupstate.teardown_exact(None)  # type: ignore[attr-defined]
        except BaseException:
            with contextlib.suppress(OSError):
                self._say("error", traceback.format_exc())
        finally:
            atexit._run_exitfuncs()
            os._exit(code)

    def _take_over(self) -> None:
        """Capture output, make temporary folders and print apart from all other workers."""
        config = self._session.config
        plugins = config.pluginmanager
        capture = plugins.getplugin("capturemanager")
        capture.stop_global_capturing()
        capture.start_global_capturing()
        capture.suspend_global_capture()
        plugins.unregister(name="terminalreporter")
        plugins.register(
            SimpleNamespace(_tw=create_terminal_writer(config, sys.stderr)), "terminalreporter"
        )  # for who asks for its writer
        plugins.register(self, "forked worker")
        folders = config._tmp_path_factory  # type: ignore[attr-defined]
        folders._basetemp = folders.getbasetemp() / f"worker-{os.getpid()}"
        folders._basetemp.mkdir()

    def _given(self) -> Iterator[tuple[pytest.File, frozenset[str]]]:
        while (given := self._connection.recv()) is not None:
            number, done = given
            yield self._files[number], done

    def _run_file(self, file: pytest.File, done: frozenset[str]) -> None:
        session, hook = self._session, self._session.config.hook
        session.items = list(session.genitems(file))
        hook.pytest_collection_modifyitems(session=session, config=session.config, items=session.items)
        items = [item for item in session.items if item.nodeid not in done]
        self._say("collected", len(items))
        for item, following in zip(items, [*items[1:], session], strict=False):  # what lasts for a session stays
            hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail or session.shouldstop:
                break

    def _say(self, kind: str, content: Any) -> None:
        self._connection.send((kind, content))

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self._say("deselected", len(items))

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._say("logstart", {"nodeid": nodeid, "location": location})

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        self._say("logfinish", {"nodeid": nodeid, "location": location})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._send_report("report", report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self._send_report("collectreport", report)

    def _send_report(self, kind: str, report: pytest.TestReport | pytest.CollectReport) -> None:
        config = self._session.config
        self._say(kind, config.hook.pytest_report_to_serializable(config=config, report=report))
