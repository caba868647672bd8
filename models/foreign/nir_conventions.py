"""The conventions by which a NIR file is read: those of the exporter that its numbers fit, and what the user chose instead.

What is inferred is reported with its reason. Where exporters fit whose spikes differ, and where nothing says how long a step
is, the file is refused in a line that names the flags that choose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from models.foreign.nir_evidence import Evidence, check_numbers
from models.foreign.nir_exporters import (
    EXPORTERS,
    FIRES,
    FLOORS,
    GAINS,
    INTEGRATORS,
    STARTS,
    Convention,
    Fit,
    fits,
    named,
)  # fmt: skip
from models.foreign.nir_file import shown
from models.foreign.nir_flat import Flat
from models.network import Array, ModelError
from models.spiking import FORMS, RESETS

FLAGS = {
    "integrator": "--integrator", "reset": "--reset", "fire": "--fire", "multi_spike": "--multi-spike", "floor": "--floor-v",
    "gain": "--gain", "start": "--start",
}  # fmt: skip
CHOICES = {"integrator": INTEGRATORS, "reset": RESETS, "fire": FIRES, "floor": FLOORS, "gain": GAINS, "start": STARTS}
METADATA = "gennaker"  # what the names of our own notes in a file begin with


@dataclass(frozen=True)
class Choices:
    """What the user says in the place of what a file suggests; None: nothing."""

    exporter: str | None = None
    dt: float | None = None
    integrator: str | None = None
    reset: str | None = None
    fire: str | None = None
    multi_spike: bool | None = None
    floor: str | None = None
    gain: str | None = None
    start: str | None = None

    def check(self, who: str) -> None:
        """Raise ModelError for a value that cannot be."""
        for name, known in (*CHOICES.items(), ("exporter", EXPORTERS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                flag = FLAGS.get(name, f"--{name}")
                raise ModelError(f"{who}: {flag} {shown(str(value))!r}: needs {' or '.join(known)}")
        if self.dt is not None and not (math.isfinite(self.dt) and self.dt > 0):
            raise ModelError(f"{who}: --dt {self.dt}: needs a finite number above 0")

    @property
    def given(self) -> dict[str, Any]:
        """What was said, by name, without the exporter and the step."""
        return {name: getattr(self, name) for name in FLAGS if getattr(self, name) is not None}


@dataclass(frozen=True)
class Reading:
    """The conventions that a file is read by, and for each where it comes from: pairs of a name and a text."""

    convention: Convention
    lines: tuple[tuple[str, str], ...]


def choose(flat: Flat, choices: Choices, metadata: Mapping[str, Array]) -> Reading:
    """Return the conventions for a file; ModelError where its numbers cannot be, or where something has to be chosen."""
    choices.check(flat.who)
    check_numbers(flat)
    evidence = Evidence(flat)
    own = _noted(metadata)
    if choices.exporter is not None:
        candidates = named(choices.exporter, evidence)
    elif own is not None:
        candidates = [Fit(own, "it says so: a file that Gennaker wrote")]
    else:
        candidates = fits(evidence)
    chosen = [replace(fit, convention=_with(fit.convention, choices)) for fit in _matching(candidates, choices)]
    different = {tuple(_effect(evidence, fit.convention).items()): fit for fit in reversed(chosen)}
    if len(different) > 1:
        raise ModelError(f"{flat.who}: {_undecided(evidence, list(reversed(different.values())))}")
    fit = chosen[0]
    convention = fit.convention
    _check_resets(evidence, convention)
    if convention.dt is None and uses_step(evidence, convention):
        raise ModelError(f"{flat.who}: {_no_step(evidence)}")
    return Reading(convention, tuple(_lines(evidence, fit, choices)))


def uses_step(evidence: Evidence, convention: Convention) -> bool:
    """Say whether the length of a step matters to a file's neurons; delays ask for it themselves."""
    integrates = any(node.kind == "I" for node in evidence.neurons) or convention.exporter == "nir"
    return bool(evidence.leaky) or (bool(evidence.plain) and integrates)


def _matching(candidates: list[Fit], choices: Choices) -> list[Fit]:
    """Return those of the candidates that compute as was chosen, as far as any do."""
    given = choices.given

    def agree(fit: Fit, names: Mapping[str, Any]) -> bool:
        return all(getattr(fit.convention, name) == value for name, value in names.items())

    writers = [fit for fit in candidates if not fit.is_reader] or candidates
    if not given:
        return writers
    for some in (writers, candidates):
        whole = [fit for fit in some if agree(fit, given)]
        if whole:
            return whole
    for name, value in given.items():
        writers = [fit for fit in writers if agree(fit, {name: value})] or writers
    return writers


def _with(convention: Convention, choices: Choices) -> Convention:
    changes = choices.given
    if choices.dt is not None:
        changes["dt"] = choices.dt
    if changes.get("reset", convention.reset).startswith("zero") and convention.multi_spike:
        changes.setdefault("multi_spike", False)  # a membrane that is put to zero has nothing left for a second spike
    if changes.get("integrator", convention.integrator) != convention.integrator:
        changes["form"] = ""  # how an exporter writes the other integrator's step
        changes.setdefault("gain", "equation")
    return replace(convention, **changes)


def _effect(evidence: Evidence, convention: Convention) -> dict[str, Any]:
    """Return what decides spikes, up to rounding."""
    names: list[str] = ["dt"] if uses_step(evidence, convention) else []
    names += ["integrator", "gain"] if evidence.leaky else []
    names += ["start"] if any(np.any(node.params["v_leak"]) for node in evidence.leaky) else []
    names += ["reset", "fire", "multi_spike", "floor"] if evidence.spikes else []
    return {name: getattr(convention, name) for name in names}


def _undecided(evidence: Evidence, some: list[Fit]) -> str:
    names = list(dict.fromkeys(fit.convention.exporter for fit in some))
    effects, ways = [_effect(evidence, fit.convention) for fit in some], []
    flags = [FLAGS.get(name, "--dt") for name in ("dt", *FLAGS) if len({effect.get(name) for effect in effects}) > 1]
    for fit in some:
        c = fit.convention
        how = f"{c.integrator} Euler" if c.integrator == "forward" else c.integrator
        many = ", several spikes a step" if c.multi_spike else ""
        ways.append(f"{c.exporter} ({fit.why}; {how}, gain {c.gain}, reset {c.reset}, fire {c.fire}{many})")
    choice = " or ".join(f"--exporter {name}" for name in names) + ", or with " if len(names) > 1 else ""
    return f"may be {' or '.join(ways)}, whose spikes differ; choose with {choice}{', '.join(flags)} of `launch.py import`"


def _no_step(evidence: Evidence) -> str:
    taus = evidence.time_constants
    span = f" (time constants {taus.min():g} to {taus.max():g})" if taus.size else ""
    how = "choose with --dt of `launch.py import`, in the file's unit of time, as in --dt 1e-4 or --dt 1e-3"
    return f"the length of a step is not in the file{span}; {how}"


def _check_resets(evidence: Evidence, convention: Convention) -> None:
    """Raise ModelError where a neuron resets to a value and by subtraction."""
    if not convention.reset.startswith("subtract"):
        return
    for node in evidence.neurons:
        reset = node.params.get("v_reset")
        if reset is not None and np.any(reset):
            at = int(np.flatnonzero(reset)[0])
            need = "a reset by subtraction has no value to go to; choose --reset zero"
            have = f"v_reset is {reset.flat[at]:g} at {at}, with reset {convention.reset}"
            raise ModelError(f"{evidence.flat.who}: {node}: {have}: {need}")


def _lines(evidence: Evidence, fit: Fit, choices: Choices) -> list[tuple[str, str]]:
    """Return what was taken for what a file does not say, each with its reason."""
    c, given = fit.convention, choices.given
    lines = [("read as", f"{c.exporter}: {fit.why}")]
    if uses_step(evidence, c):
        how = "chosen" if choices.dt is not None else f"as {c.exporter} writes; other: --dt"
        lines.append(("step", f"{c.dt:g} of the file's unit of time ({how})"))
    names = [name for name in _effect(evidence, c) if name != "dt"]
    for name in names:
        value = getattr(c, name)
        text = {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else str(value)
        how = "chosen" if name in given else f"as {c.exporter} does, not in the file; other: {FLAGS[name]}"
        lines.append((_TITLES[name], f"{text} ({how})"))
    return lines


_TITLES = {
    "integrator": "integrator", "gain": "gain", "start": "start", "reset": "reset", "fire": "fire", "multi_spike": "multi-spike",
    "floor": "floor of v",
}  # fmt: skip


def notes_of(convention: Convention) -> dict[str, Any]:
    """Return conventions as the metadata of a file of ours have them."""
    values = {field.name: getattr(convention, field.name) for field in fields(convention) if field.name != "exporter"}
    return {f"{METADATA}.{name}": value for name, value in values.items() if value is not None}


def _noted(metadata: Mapping[str, Array]) -> Convention | None:
    """Return the conventions that a file of ours notes; None where it notes none, or others than are known."""
    values: dict[str, Any] = {}
    for field in fields(Convention):
        value = metadata.get(f"{METADATA}.{field.name}")
        if value is not None and value.size == 1:
            values[field.name] = value.reshape(-1)[0].item()
    if "reset" not in values:
        return None
    known = all(values.get(name, known[0]) in known for name, known in CHOICES.items())
    if not known or values.get("form", "") not in ("", *FORMS):
        return None
    if "dt" in values and not (isinstance(values["dt"], float) and math.isfinite(values["dt"]) and values["dt"] > 0):
        return None
    return Convention("nir", **{**values, "multi_spike": bool(values.get("multi_spike", False))})
