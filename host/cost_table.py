"""The cost table: constants with sources and grades, and the settings of a price, from `costs.toml` and a user's changes.

A user's changes are a TOML file of the same form, or single `name=value` texts (`launch.py price --set`): a setting, a
constant, a number of the chip, or `clock` (150MHz or 300MHz, which brings its supply and power states along).
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from host.errors import HostError
from noc.chip import ChipSpec

DATA_FILE = Path(__file__).with_name("costs.toml")
CHOICES = {
    "schedule": ("sequential", "pipelined"),
    "messages": ("dma", "packets", "multicast"),
    "payload": ("vector", "events"),
    "exponential": ("soft", "unit"),
    "zero_skip": ("no", "yes"),
    "dense_loop": ("dot", "event"),
    "dram": ("waited", "prefetched"),
}
CLOCKS = {"150MHz": "spinnaker2", "300MHz": "spinnaker2-300mhz"}
_CHIP_FACTS_USED = ("dma_setup_cycles", "sram_wait_states", "dram_sustained_bytes_per_s")


@dataclass(frozen=True)
class Constant:
    """One constant; `low` and `high` bound it where it is uncertain."""

    value: float
    unit: str
    grade: str
    source: str
    low: float
    high: float
    assumed: bool = False


@dataclass(frozen=True)
class CostTable:
    """Constants and settings by name; `table[name]` is a constant's value."""

    constants: Mapping[str, Constant]
    settings: Mapping[str, str]

    def __getitem__(self, name: str) -> float:
        return self.constants[name].value

    def at(self, end: str) -> CostTable:
        """Return the table with every constant at its `low` or `high` end."""
        moved = {name: replace(one, value=getattr(one, end)) for name, one in self.constants.items()}
        return CostTable(moved, self.settings)

    def assumed(self, chip: ChipSpec) -> tuple[str, ...]:
        """Return the names of the constants and chip numbers in use that no source gives."""
        ours = [name for name, one in self.constants.items() if one.assumed and self._used(name)]
        return (*ours, *(f"chip.{name}" for name in _CHIP_FACTS_USED if chip.facts[name].assumed))

    def _used(self, name: str) -> bool:
        mode = self.settings["messages"]
        return not (name.startswith("packet_") and mode == "dma") and not (name.startswith("dma_") and mode != "dma")

    def described(self, chip: ChipSpec) -> dict[str, Any]:
        """Return the settings, the clock, and every constant that differs from the table as shipped."""
        shipped = load_table().constants
        changed = {n: c.value for n, c in self.constants.items() if c.value != shipped[n].value}
        return {**self.settings, "clock_hz": chip.pe_clock_hz, "supply_v": chip.pe_supply_v, "chip": chip.name, **changed}


def load_table(override: Path | None = None) -> CostTable:
    """Return the shipped table, changed by a user's file; HostError, one line, for what cannot be used."""
    table = _build(tomllib.loads(DATA_FILE.read_text(encoding="utf-8")), "costs.toml", None)
    if override is None:
        return table
    try:
        return _build(tomllib.loads(override.read_text(encoding="utf-8")), str(override), table)
    except OSError as error:
        raise HostError(f"cost table {override}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HostError(" ".join(f"cost table {override}: cannot be read as TOML: {error}".split())) from error


def _build(data: Mapping[str, Any], who: str, shipped: CostTable | None) -> CostTable:
    for key, value in data.items():
        if key not in ("constants", "settings") or not isinstance(value, dict):
            raise HostError(f"cost table {who}: {key!r}: needs the tables [constants] and [settings]")
    constants = dict(shipped.constants) if shipped else {}
    settings = dict(shipped.settings) if shipped else {}
    for name, entry in data.get("constants", {}).items():
        fields = entry if isinstance(entry, dict) else {"value": entry}
        constants[name] = _constant(f"cost table {who}: {name}", name, fields, constants, shipped is None, who)
    for name, value in data.get("settings", {}).items():
        settings[name] = _choice(f"cost table {who}: ", name, value)
    missing = [*(name for name in CHOICES if name not in settings)]
    if missing:
        raise HostError(f"cost table {who}: lacks {', '.join(missing)}")
    return CostTable(constants, settings)


def _constant(what: str, name: str, entry: Mapping[str, Any], known: Mapping[str, Constant], new: bool, who: str) -> Constant:
    if not new and name not in known:
        raise HostError(f"{what}: unknown; the nearest name is {_nearest(name, known)!r}")
    allowed = {"value", "low", "high", "unit", "grade", "source", "assumed"}
    strange = sorted(set(entry) - allowed)
    if strange:
        raise HostError(f"{what}.{strange[0]}: unknown; the nearest name is {_nearest(strange[0], allowed)!r}")
    if "value" not in entry:
        raise HostError(f"{what}: lacks its value")
    numbers = {key: _number(f"{what}.{key}", entry[key]) for key in ("value", "low", "high") if key in entry}
    value = numbers["value"]
    low, high = numbers.get("low", value), numbers.get("high", value)
    if not low <= value <= high:
        raise HostError(f"{what}: needs low <= value <= high, has {low:g}, {value:g}, {high:g}")
    if new:
        return Constant(value, entry["unit"], entry["grade"], entry["source"], low, high, bool(entry.get("assumed", False)))
    return replace(known[name], value=value, low=low, high=high, grade="user", source=str(entry.get("source", who)), assumed=False)


def _number(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise HostError(f"{what}: needs a finite number from 0, has {value!r}")
    return float(value)


def _choice(what: str, name: str, value: Any) -> str:
    if name not in CHOICES:
        raise HostError(f"{what}{name}: unknown setting; the nearest name is {_nearest(name, CHOICES)!r}")
    if value not in CHOICES[name]:
        raise HostError(f"{what}{name}: needs one of {', '.join(CHOICES[name])}, has {value!r}")
    return str(value)


def changed(table: CostTable, texts: Iterable[str]) -> tuple[CostTable, str | None, dict[str, float]]:
    """Apply `name=value` texts; return the table, the chip preset that `clock` names, and numbers of the chip to override.

    HostError, one line with the nearest name, for what is unknown or no number.
    """
    constants, settings = dict(table.constants), dict(table.settings)
    preset: str | None = None
    facts: dict[str, float] = {}
    for text in texts:
        name, given, value = text.partition("=")
        what = f"--set {text}"
        if not given:
            raise HostError(f"{what}: needs NAME=VALUE")
        if name == "clock":
            if value not in CLOCKS:
                raise HostError(f"{what}: needs one of {', '.join(CLOCKS)}: the levels with published power states")
            preset = CLOCKS[value]
        elif name in CHOICES:
            settings[name] = _choice("--set ", name, value)
        elif name in constants:
            number = _number(what, _parsed(value))
            constants[name] = replace(
                constants[name], value=number, low=number, high=number, grade="user", source="--set", assumed=False
            )
        elif name.startswith("chip."):
            facts[name.removeprefix("chip.")] = _number(what, _parsed(value))
        else:
            near = _nearest(name, ["clock", *CHOICES, *constants])
            raise HostError(f"{what}: unknown name; the nearest is {near!r} (numbers of the chip: chip.NAME)")
    return CostTable(constants, settings), preset, facts


def _parsed(text: str) -> Any:
    if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text):
        return text
    return float(text)


def _nearest(name: str, known: Iterable[str]) -> str:
    return difflib.get_close_matches(name, list(known), 1, 0.0)[0]
