"""`Outcome`: how a run ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from host.errors import Exit


@dataclass
class Outcome:
    """How a run ended: exit code, the report (whole, or partial wherever the code is not 0), one line on what went wrong, and the
    mapping table.
    """

    code: Exit
    report: dict[str, Any] | None = None
    problem: str | None = None
    mapping: list[dict[str, Any]] = field(default_factory=list)
    mismatch: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.report is not None and self.code is not Exit.OK:
            self.report |= {"partial": True, "problem": self.problem}


def judged(report: dict[str, Any], mapping: list[dict[str, Any]], mismatch: dict[str, Any] | None) -> Outcome:
    """Return the outcome of a run that came to its end: whether packets were lost, or `verify` found a difference."""
    code, problem, wrong = Exit.OK, None, (report["conservation"] or {}).get("wrong", [])
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if wrong[1:] else ""
        code, problem = Exit.LOST, f"conservation: {wrong[0]}{more}"
    if mismatch and mismatch["difference"]:
        code, problem = Exit.MISMATCH, mismatch["difference"]
    return Outcome(code, report, problem, mapping, mismatch)


def complete_emulation(report: dict[str, Any], plan: Mapping[str, Any], **owned: Any) -> dict[str, Any]:
    """Add to a report what only the owner of the processes knows: `processes`, `start_s`, `pe_uss_bytes`, and what `plan` says."""
    emulation, units = report["emulation"], report["emulation"].pop("units")
    emulation |= {
        "prepare_s": plan.get("prepare_s", 0.0), "first_compile_s": plan.get("compile_s", 0.0),
        "ms_per_token": 1e3 * emulation["run_s"] / units if units else None, **owned,
    }  # fmt: skip
    return report
