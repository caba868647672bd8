"""Judges a trial: the right answer, or the right line about the right process, in time, with nothing left behind."""

from __future__ import annotations

import json
import re

from tests.tools.nemesis.stage import Evidence
from tests.tools.nemesis.trial import SETUPS, Trial

END_S = 10.0  # from the signal to the end of a run that it ends
_HOW = {"SIGKILL": r"SIGKILL", "SIGSEGV": r"SIGSEGV[^)]*"}
_KILLED = {"SIGKILL": (-9,), "SIGSEGV": (-11,)}
_HELPER_DIED = dict.fromkeys(_KILLED, ((4,), "the helper process died"))
_INTERRUPTED = {"SIGTERM": (143, -15), "SIGINT": (130, -2)}


def judge(trial: Trial, evidence: Evidence, quiet: Evidence) -> list[str]:
    """Return what a trial has violated, a line each; `quiet` is the same setup without a strike."""
    line, wrong = problem_of(evidence), []
    if evidence.hung:
        return [f"hang: no end within {evidence.to_end_s:.0f} s"] + [f"leftover: {what}" for what in evidence.left]
    ends_badly = evidence.code != 0
    if ends_badly and evidence.to_end_s > END_S:
        wrong.append(f"late: {evidence.to_end_s:.1f} s to the end")
    if not ends_badly and evidence.to_end_s > END_S + 3 * quiet.total_s:
        wrong.append(f"late: {evidence.to_end_s:.1f} s to the end, {quiet.total_s:.1f} s without a signal")
    wrong += [f"leftover: {what}" for what in evidence.left]
    if (not ends_badly or trial.restart) and digest_of(trial, evidence) != digest_of(trial, quiet):
        wrong.append(f"hash: {digest_of(trial, evidence)}")
    if "Traceback" in evidence.complained:
        wrong.append(f"traceback: {evidence.complained.strip().splitlines()[-1][:200]}")
    elif len(evidence.complained.strip().splitlines()) > 1:
        wrong.append(f"lines: {evidence.complained[:300]!r}")
    return wrong + _report_is_wrong(evidence, line) + _end_is_wrong(trial, evidence, line)


def problem_of(evidence: Evidence) -> str:
    """Return the one line of a run that ended badly."""
    for line in reversed(evidence.said.splitlines()):
        if line.startswith("{") and '"error"' in line:
            return str(json.loads(line)["error"])
    lines = [line for line in evidence.complained.splitlines() if line.startswith("gennaker: ")]
    return lines[-1].removeprefix("gennaker: ") if lines else ""


def digest_of(trial: Trial, evidence: Evidence) -> str:
    """Return the hash of the events of a run that ended well."""
    if SETUPS[trial.setup].program:
        said = [json.loads(line) for line in evidence.said.splitlines() if line.startswith("{")]
        return str(said[-1].get("sha256", "")) if said else ""
    return str((evidence.report or {}).get("events", {}).get("sha256", ""))


def _report_is_wrong(evidence: Evidence, line: str) -> list[str]:
    if evidence.report_is_damaged:
        return ["report: damaged"]
    report, wrong = evidence.report, []
    by_signal = evidence.code is None or evidence.code < 0  # a launcher that was killed: what it had written, it had written
    if report is not None and not by_signal and report["partial"] != (evidence.code != 0):
        wrong.append(f"partial: {report['partial']} with exit code {evidence.code}")
    if report is not None and line and report.get("problem") != line:
        wrong.append(f"problem: {report.get('problem')!r} in the report")
    return wrong


def _end_is_wrong(trial: Trial, evidence: Evidence, line: str) -> list[str]:
    """Compare how the run ended with what it promises for this process and signal."""
    allowed = allowed_ends(trial, evidence)
    code = evidence.code
    if any(code in codes and re.match(pattern, line) for codes, pattern in allowed):
        return []
    kind = "code" if all(code not in codes for codes, _ in allowed) else "misnamed"
    return [f"{kind}: exit code {code}, {line!r}; {evidence.struck} got {trial.signal}"]


def allowed_ends(trial: Trial, evidence: Evidence) -> list[tuple[tuple[int, ...], str]]:
    """Return the ends that a run may have, each exit codes and a pattern of its line.

    The same answer as without a signal always is one: who has done its part by then is no longer needed.
    """
    victim, sent, who = trial.victim, trial.signal, re.escape(evidence.struck)
    same: tuple[tuple[int, ...], str] = (0,), "$"
    if not evidence.struck or sent == "STOP-CONT":
        return [same]
    if trial.restart:  # a launcher may be killed when all is written
        return [same] if victim != "launcher" or evidence.resumed else [same, (_KILLED[sent], "$")]
    if victim == "launcher":
        return [same, (_INTERRUPTED[sent], "interrupted$|$") if sent in _INTERRUPTED else (_KILLED[sent], "$")]
    if victim == "helper":
        interrupted = (130, 143, 4), "interrupted$|the helper process died"
        return [same, {"SIGSTOP": ((5,), "stalled: the helper process"), **_HELPER_DIED}.get(sent, interrupted)]
    lost = r"worker \S+ on .* is lost: " if victim in ("worker", "agent") else ""
    if sent in ("SIGTERM", "SIGINT"):
        return [same, *([((4,), lost)] if victim == "worker" else [])]
    if lost:
        return [same, ((4,), lost)]
    if sent == "SIGSTOP":
        return [same, ((5,), rf"stalled: (the )?{who}\b")]
    return [same, ((4,), rf"(the )?{who} died( while processes were started)? \({_HOW[sent]}\)")]
