"""Starts the subject of a trial, waits for its moment, strikes, and gathers what came of it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.tools.nemesis.subject import TALK
from tests.tools.nemesis.trial import SETUPS, Trial

ROOT = Path(__file__).resolve().parents[3]
MARK = "GENNAKER_NEMESIS_MARK"
PATIENCE_S, _START_S, _GONE_S = 90.0, 120.0, 10.0
_PES, _TOKENS = 24, 40


@dataclass
class Evidence:
    """What a trial left to be judged. `struck` is who was hit, "" where nobody of that kind lived."""

    struck: str = ""
    last_moment: str = ""
    code: int | None = None
    said: str = ""
    complained: str = ""
    report: dict[str, Any] | None = None
    report_is_damaged: bool = False
    to_end_s: float = 0.0
    total_s: float = 0.0
    to_clean_s: float = 0.0
    hung: bool = False
    resumed: bool = False  # the launcher was killed before its report was written, and another went on
    left: list[str] = field(default_factory=list)
    struck_s: float = 0.0  # since the start, as `moments` are
    moments: dict[str, float] = field(default_factory=dict)


class Stage:
    """Files that all trials read, in a folder that goes with it."""

    def __init__(self) -> None:
        import numpy as np

        from tests.tools.tiny import WORDS, save_tiny, tiny_network

        self.folder = Path(tempfile.mkdtemp(prefix="nemesis-", dir="/tmp"))
        save_tiny(self.folder / "tiny.safetensors", tiny_network())
        words = np.random.default_rng(5).integers(0, WORDS, 400)
        (self.folder / "text.txt").write_text(" ".join(f"w{n}" for n in words))

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, trial: Trial, out: Path, own: Path) -> list[str]:
        """Return what starts the subject of a trial."""
        setup = SETUPS[trial.setup]
        if setup.program:
            shutil.copy(self.folder / "tiny.safetensors", own / "model.safetensors")
            arguments = [setup.program, str(own / "model.safetensors"), str(setup.stall_s)]
            return [sys.executable, "-m", "tests.tools.nemesis.program", *arguments]
        command = [sys.executable, "-m", "tests.tools.nemesis.subject", "lm", "--no-monitor", "--out", str(out)]
        command += ["--stall", f"{setup.stall_s:g}"] + ([] if trial.moment == "ended" else ["--no-pictures"])
        command += ["--restart"] * trial.restart
        if trial.setup == "full":
            return [*command, "--tokens", "16"]
        command += ["--checkpoint", str(self.folder / "tiny.safetensors"), "--text", str(self.folder / "text.txt")]
        command += ["--pes", str(_PES), "--tokens", str(_TOKENS), "--fault", "slow=PE(1,1,1)@0:0.02"]
        chips = {"chips": ["--chips", "2"], "cluster": ["--chips", "2", "--cluster", "local:2"]}
        return command + chips.get(trial.setup, [])


def play(stage: Stage, trial: Trial, strikes: bool = True) -> Evidence:
    """Run a trial to its end; without `strikes` nobody is hit, which is what others are compared with."""
    own = Path(tempfile.mkdtemp(prefix="nem-", dir="/tmp"))
    token = secrets.token_hex(8)
    try:
        return _Play(stage, trial, own, token).run(strikes)
    finally:
        for process in marked(token):
            with contextlib.suppress(psutil.Error):
                process.kill()
        shutil.rmtree(own, ignore_errors=True)


def marked(token: str) -> list[psutil.Process]:
    """Return every process that was started with this mark and is no zombie."""
    wanted, alive = f"{MARK}={token}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, psutil.Error):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                alive.append(psutil.Process(int(folder.name)))
    return alive


class _Play:
    def __init__(self, stage: Stage, trial: Trial, own: Path, token: str) -> None:
        self._trial, self._token, self._out, self._temporary = trial, token, own / "out", own / "t"
        self._report = self._out / "report.json"
        self._temporary.mkdir()
        self._shared: set[str] = set()  # files in shared memory that the run had
        self._evidence = Evidence()
        moment = "tick" if trial.moment == "tick" else trial.moment
        own_reading, subjects_writing = os.pipe()
        subjects_reading, own_writing = os.pipe()
        self._talk = own_reading, own_writing
        environment = {**os.environ, MARK: token, "TMPDIR": str(self._temporary)}
        environment[TALK] = f"{subjects_reading},{subjects_writing},{moment},{trial.share}"
        self._errors = (own / "stderr").open("w+b")
        self._output = (own / "stdout").open("w+b")
        self._began = time.monotonic()
        self._subject = subprocess.Popen(
            stage.command(trial, self._out, own), cwd=ROOT, env=environment, stdout=self._output, stderr=self._errors,
            pass_fds=(subjects_reading, subjects_writing), start_new_session=True,
        )  # fmt: skip
        os.close(subjects_reading)
        os.close(subjects_writing)

    def run(self, strikes: bool) -> Evidence:
        evidence, trial = self._evidence, self._trial
        struck_at = 0.0
        if self._reached(trial.moment) and strikes:
            if trial.delay_s:
                self._answer()
                time.sleep(trial.delay_s)
            struck_at = time.monotonic()
            evidence.struck_s = round(struck_at - self._began, 3)
            self._strike()
        self._answer()
        if evidence.struck and trial.signal == "STOP-CONT":
            time.sleep(trial.pause_s)
            with contextlib.suppress(psutil.Error):
                self._victim.resume()
        self._wait()
        if trial.restart and self._subject.returncode in (-signal.SIGKILL, -signal.SIGSEGV) and not self._report.exists():
            evidence.resumed = True
            self._resume()
        ended_at = time.monotonic()
        evidence.to_end_s, evidence.total_s = ended_at - (struck_at or self._began), ended_at - self._began
        self._read_moments()
        if not evidence.hung:
            evidence.code = self._subject.returncode
        self._gather(ended_at)
        return evidence

    def _wait(self) -> None:
        try:
            self._subject.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._evidence.hung = True

    def _resume(self) -> None:
        """Go on with a run whose launcher was killed, at once, as a user would."""
        command = [sys.executable, "launch.py", "lm", "--resume", str(self._out), "--no-monitor", "--no-pictures"]
        environment = {**os.environ, MARK: self._token, "TMPDIR": str(self._temporary)}
        self._subject = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=self._output, stderr=self._errors, start_new_session=True
        )
        self._wait()

    def _reached(self, moment: str) -> bool:
        """Wait for a moment; False where the subject ends without it."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if not self._read_moments(0.2) and self._subject.poll() is not None:
                return False
            if moment in self._evidence.moments:
                return True
        return False

    def _read_moments(self, timeout_s: float = 0.0) -> bool:
        """Note what the subject has said; False where it says nothing any more."""
        while select.select([self._talk[0]], [], [], timeout_s)[0]:
            piece = os.read(self._talk[0], 1 << 14)
            if not piece:
                return False
            for line in piece.decode().splitlines():
                self._evidence.last_moment, _, at = line.rpartition(" ")
                self._evidence.moments[self._evidence.last_moment] = round(float(at) - self._began, 3)
            timeout_s = 0.0
        return True

    def _answer(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._talk[1], b".")

    def _strike(self) -> None:
        trial = self._trial
        victims = self._alive(trial.victim)
        if not victims:
            return
        self._victim = victims[int(trial.share * len(victims))]
        with contextlib.suppress(psutil.Error):
            name = self._victim.name() if trial.victim in ("host", "router", "PE") else trial.victim
            if self._victim.status() == psutil.STATUS_ZOMBIE:
                return
            self._victim.send_signal(signal.SIGSTOP if trial.signal == "STOP-CONT" else signal.Signals[trial.signal])
            self._evidence.struck = name
        self._shared = _shared_memory(marked(self._token))
        self._read_moments()

    def _alive(self, kind: str) -> list[psutil.Process]:
        subject = psutil.Process(self._subject.pid)
        if kind == "launcher":
            return [subject]
        chosen = []
        for process in sorted(subject.children(recursive=True), key=lambda process: process.pid):
            with contextlib.suppress(psutil.Error):
                if _kind(process) == kind:
                    chosen.append(process)
        return chosen

    def _gather(self, ended_at: float) -> None:
        """Read what was said and written, and what is left once there was time to clean up."""
        evidence = self._evidence
        deadline = time.monotonic() + _GONE_S
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        evidence.left, evidence.to_clean_s = left, time.monotonic() - ended_at
        for file, name in ((self._errors, "complained"), (self._output, "said")):
            file.seek(0)
            setattr(evidence, name, file.read().decode(errors="replace"))
            file.close()
        for descriptor in self._talk:
            os.close(descriptor)
        if self._report.exists():
            try:
                evidence.report = json.loads(self._report.read_text())
            except ValueError:
                evidence.report_is_damaged = True

    def _left(self) -> list[str]:
        left = []
        for process in marked(self._token):
            with contextlib.suppress(psutil.Error):
                left.append(f"process {_kind(process) or process.name()} ({process.status()})")
        with contextlib.suppress(FileNotFoundError):  # a folder that is just removed
            left += [f"file {path.relative_to(self._temporary)}" for path in self._temporary.rglob("*")][:8]
        return left + [f"shared memory {name}" for name in self._shared if Path("/dev/shm", name).exists()]


def _kind(process: psutil.Process) -> str:
    """Return the kind of a process of a run, "" for none that is hit."""
    name, line = process.name(), " ".join(process.cmdline())
    if name == "PE server":
        with contextlib.suppress(psutil.Error):
            parent = process.parent()
            return "child" if parent is not None and parent.name() == name else name  # a PE that has no name yet
    if name == "host" or name.startswith(("router@", "PE(")):
        return name if name == "host" else "router" if name.startswith("router@") else "PE"
    marks = {
        "multiprocessing.forkserver": "fork server", "resource_tracker": "tracker", "gennaker.helper_main": "helper",
        "host.cluster.agent": "agent", "multiprocessing.spawn": "worker",
    }  # fmt: skip
    kind = next((kind for mark, kind in marks.items() if mark in line), "")
    with contextlib.suppress(psutil.Error):  # an agent has a fork server of its own
        parent = process.parent()
        if kind == "fork server" and parent is not None and "host.cluster.agent" in " ".join(parent.cmdline()):
            return "agent's fork server"
        if kind == "fork server" and parent is not None and "multiprocessing.forkserver" in " ".join(parent.cmdline()):
            return "child"  # has no name yet
    return kind


def _shared_memory(processes: list[psutil.Process]) -> set[str]:
    """Return the files in shared memory that any of these processes has mapped."""
    files: set[str] = set()
    for process in processes:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
            files |= {line.rpartition("/dev/shm/")[2] for line in lines if "/dev/shm/" in line and not line.endswith("(deleted)")}
    return files
