"""The cost table: constants with sources and grades, and the settings of a price, from `costs.toml` and a user's changes.

A user's changes are a TOML file of the same form, or single `name=value` texts (`launch.py price --set`): a setting, a
constant, a number of the chip, or `clock` (150MHz or 300MHz, which brings its supply and power states along).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from host.cost import twins
from host.errors import HostError, nearest_name
from models.input_file import MOST_SETTINGS_BYTES, WAIT_S, InputError, read_input
from noc.chip import ChipSpec, load_chip

DATA_FILE = Path(__file__).with_name("costs.toml")
CHOICES = {
    "schedule": ("sequential", "pipelined"),
    "messages": ("dma", "packets", "qpe", "multicast"),
    "payload": ("vector", "events"),
    "exponential": ("soft", "unit"),
    "zero_skip": ("no", "yes"),
    "dense_loop": ("dot", "event"),
    "dram": ("waited", "prefetched"),
    "beside": ("send_first", "work_first"),
}
CLOCKS = {"150MHz": "spinnaker2", "300MHz": "spinnaker2-300mhz"}
CLOCK_FACTS = ("pe_clock_hz", "pe_supply_v", "power_clock_hz", "power_sleep_w", "power_coremark_w", "power_mla_w", "mla_ops_per_s")
"""Numbers of the chip that a clock brings along (the keys of a preset in `noc/spinnaker2.toml`)."""
SCHEDULED = "scheduled"
"""What holds of a network that a scheduler runs layer by layer (`Constant.used_when`)."""
CHIP_NUMBERS = {
    "dma_setup_cycles": ("messages=dma", "transfers"), "sram_wait_states": (),
    "dram_sustained_bytes_per_s": ("dram=waited", "transfers", SCHEDULED), "noc_fifo_flits": (),
}  # fmt: skip
"""Numbers of the chip that a price uses though no source gives them, and when (as `Constant.used_when`)."""
EASING = ("noc_fifo_flits",)
"""Those of them, beside rates, of which more costs less."""
_WHOLE = ("byte", "PE", "load", "branch", "call")  # units of which there are no parts
_LARGEST = 1e30  # as for numbers of the chip: no product overflows
_LARGEST_OF = {"share": 1.0, "byte": 65_536.0}  # bytes are counted in 64-bit integers


@dataclass(frozen=True)
class Constant:
    """One constant; `low` and `high` bound it where it is uncertain, and `at_end` says why a value lies on an end of its band.

    `words` say in plain English what it is; needed where there is a band.
    `used_when`: `setting=choice`, or a fact of a run (`facts_of` in `host/cost/terms.py`): "links" where anything crosses links
    between chips, "kernel=NAME", "format=NAME", "weights=int8", "weights=int4", "sums=added", "traces", "scheduled"; one of
    them is enough, and a constant with none is always in use. `of_power`: it changes power alone, no time.
    """

    value: float
    unit: str
    grade: str
    source: str
    low: float
    high: float
    assumed: bool = False
    used_when: tuple[str, ...] = ()
    of_power: bool = False
    words: str = ""
    at_end: str = ""


@dataclass(frozen=True)
class CostTable:
    """Constants and settings by name; `table[name]` is a constant's value."""

    constants: Mapping[str, Constant]
    settings: Mapping[str, str]
    end: str = ""
    """ "low" or "high" where all constants of time are at that end of theirs."""

    def __getitem__(self, name: str) -> float:
        if name not in self.constants:  # a user's table only changes what the shipped one has
            raise HostError(f"cost table costs.toml: lacks {name}")
        return self.constants[name].value

    def at(self, time: str, power: str) -> CostTable:
        """Return the table with every constant at its "low" or "high" end or its "value"; those of power alone may go elsewhere."""
        ends = {name: power if one.of_power else time for name, one in self.constants.items()}
        moved = {name: replace(one, value=getattr(one, ends[name])) for name, one in self.constants.items()}
        return CostTable(moved, self.settings, time)

    def assumed(self, chip: ChipSpec, facts: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the names of the constants, chip numbers and modes in use that no source gives.

        `facts` of the run: with "links", where anything crosses links between chips, cores write packets in every mode.
        """
        true = self.true(facts)
        constants = [name for name, one in self.constants.items() if one.assumed and in_use(one.used_when, true)]
        numbers = [f"chip.{name}" for name, when in CHIP_NUMBERS.items() if chip.facts[name].assumed and in_use(when, true)]
        modes = ["messages=multicast"] if "messages=multicast" in true else ["links=multicast"] if "links" in true else []
        return (*constants, *numbers, *modes)

    def true(self, facts: Iterable[str] = ()) -> set[str]:
        """Return what holds of a price, as `used_when` names it: settings as `name=choice`, and the `facts` of its run."""
        return {f"{name}={choice}" for name, choice in self.settings.items()} | set(facts)

    def described(self, chip: ChipSpec) -> dict[str, Any]:
        """Return the settings, the clock, and every constant and number of the chip that a user changed."""
        changed = {name: one.value for name, one in self.constants.items() if one.grade == "user"}
        facts = {f"chip.{name}": fact.value for name, fact in chip.facts.items() if fact.grade == "user"}
        clock = {"clock_hz": chip.pe_clock_hz, "supply_v": chip.pe_supply_v, "chip": chip.name}
        return {**self.settings, **clock, **changed, **facts}


def in_use(used_when: Iterable[str], true: set[str]) -> bool:
    """Tell whether a constant is in use where all of `true` holds."""
    return not used_when or not true.isdisjoint(used_when)


def sends_vectors(settings: Mapping[str, str]) -> bool:
    """Tell whether a message holds the sender's whole slice of y, not events."""
    return settings["payload"] == "vector" and settings["messages"] != "multicast"


def load_table(override: Path | None = None, used: Iterable[str] | None = None) -> CostTable:
    """Return the shipped table, changed by a user's file; HostError, one line, for what cannot be used.

    `used`: whose cost twins bring constants (`twins.in_use`); None: all of them that can be loaded.
    """
    table = _shipped(used)
    return table if override is None else _build(read_toml(override, f"cost table {override}"), str(override), table)


def _shipped(used: Iterable[str] | None) -> CostTable:
    """Return the table of `costs.toml` and the constants that twins bring."""
    table = _of_file(DATA_FILE)
    brought = dict(table.constants)
    for name, (whose, entry) in twins.constants(used).items():
        if name in table.constants:
            raise HostError(f"cost twin {whose}: constant {name!r} is one of costs.toml")
        brought[name] = _constant(f"cost twin {whose}: {name}", name, {"used_when": [whose], **entry}, None, whose)
    return CostTable(brought, dict(table.settings))


@cache  # a program reads it for each price
def _of_file(path: Path) -> CostTable:
    return _build(tomllib.loads(path.read_text(encoding="utf-8")), "costs.toml", None)


def read_toml(path: Path, who: str) -> dict[str, Any]:
    """Return what a TOML file holds; HostError, one line that begins with `who`, where it cannot be read."""
    try:
        return tomllib.loads(read_input(path, MOST_SETTINGS_BYTES, WAIT_S).decode("utf-8-sig"))
    except InputError as error:
        raise HostError(f"{who}: {error}") from error
    except (ValueError, RecursionError) as error:  # TOML, UTF-8, or a number with too many digits to convert
        raise HostError(" ".join(f"{who}: cannot be read as TOML: {error}".split())) from error


def _build(data: Mapping[str, Any], who: str, shipped: CostTable | None) -> CostTable:
    for key, value in data.items():
        if key not in ("constants", "settings") or not isinstance(value, dict):
            raise HostError(f"cost table {who}: {key!r}: needs the tables [constants] and [settings]")
    constants, settings = (dict(shipped.constants), dict(shipped.settings)) if shipped else ({}, {})
    for name, entry in data.get("constants", {}).items():
        fields = entry if isinstance(entry, dict) else {"value": entry}
        constants[name] = _constant(f"cost table {who}: {_plain(name)}", name, fields, shipped, who)
    for name, value in data.get("settings", {}).items():
        settings[name] = _choice(f"cost table {who}: ", name, value)
    if missing := [name for name in CHOICES if name not in settings]:
        raise HostError(f"cost table {who}: lacks {', '.join(missing)}")
    return CostTable(constants, settings)


def _constant(what: str, name: str, entry: Mapping[str, Any], shipped: CostTable | None, who: str) -> Constant:
    """Return a constant of the shipped table, where `shipped` is None, or one of it as a user's table changes it."""
    allowed, needed = {"value", "low", "high", "unit", "grade", "source", "assumed"}, ["value"]
    if shipped is None:
        allowed, needed = allowed | {"used_when", "of_power", "words", "at_end"}, ["value", "unit", "grade", "source"]
    elif name not in shipped.constants:
        raise HostError(f"{what}: unknown; the nearest name is {nearest_name(name, shipped.constants)!r}")
    if strange := sorted(set(entry) - allowed):
        raise HostError(f"{what}.{_plain(strange[0])}: unknown; the nearest name is {nearest_name(strange[0], allowed)!r}")
    if missing := [key for key in needed if key not in entry]:
        raise HostError(f"{what}: lacks its {missing[0]}")
    unit = str(shipped.constants[name].unit if shipped else entry["unit"])
    numbers = {key: _number(f"{what}.{key}", entry[key], unit) for key in ("value", "low", "high") if key in entry}
    value = numbers["value"]
    low, high = numbers.get("low", value), numbers.get("high", value)
    if not low <= value <= high:
        raise HostError(f"{what}: needs low <= value <= high, has {low:g}, {value:g}, {high:g}")
    bounded: dict[str, Any] = {"value": value, "low": low, "high": high}
    if shipped:
        source = str(entry.get("source", who))
        return replace(shipped.constants[name], grade="user", source=source, assumed=False, at_end="", **bounded)
    return Constant(**{**entry, **bounded, "used_when": tuple(entry.get("used_when", ()))})


def _number(what: str, value: Any, unit: str = "") -> float:
    largest, whole = _LARGEST_OF.get(unit, _LARGEST), unit in _WHOLE
    # Compared before it is converted: an integer of a TOML file may be too large for a float.
    if type(value) not in (int, float) or not 0 <= value <= largest or (whole and value != int(value)):
        kind, limit = "whole" if whole else "finite", f" to {largest:,.0f}" if unit in _LARGEST_OF else ""
        raise HostError(f"{what}: needs a {kind} number from 0{limit}, has {_short(value)}")
    return float(value)


def _short(value: Any) -> str:
    """Return how a wrong value reads in one line, however long it is."""
    if isinstance(value, int) and abs(value) > _LARGEST:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _plain(name: str) -> str:
    """Return a user's name as one line shows it: TOML lets a quoted key hold anything."""
    return name if name.isprintable() else ascii(name)


def _choice(what: str, name: str, value: Any) -> str:
    if name not in CHOICES:
        raise HostError(f"{what}{_plain(name)}: unknown setting; the nearest name is {nearest_name(name, CHOICES)!r}")
    if value not in CHOICES[name]:
        raise HostError(f"{what}{name}: needs one of {', '.join(CHOICES[name])}, has {_short(value)}")
    return str(value)


def apply_settings(table: CostTable, texts: Iterable[str]) -> tuple[CostTable, str | None, dict[str, float]]:
    """Apply `name=value` texts; return the table, the chip preset that `clock` names, and numbers of the chip to override.

    HostError, one line with the nearest name, for what is unknown or no number.
    """
    constants, settings = dict(table.constants), dict(table.settings)
    preset: str | None = None
    facts: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        what = f"--set {_plain(text)}"
        if not equals:
            raise HostError(f"{what}: needs NAME=VALUE")
        if name == "clock":
            if value not in CLOCKS:
                raise HostError(f"{what}: needs one of {', '.join(CLOCKS)}: the levels with published power states")
            preset = CLOCKS[value]
        elif name in CHOICES:
            settings[name] = _choice("--set ", name, value)
        elif name in constants:
            number = _number(what, _parsed(value), constants[name].unit)
            exact = replace(constants[name], value=number, low=number, high=number)
            constants[name] = replace(exact, grade="user", source="--set", assumed=False, at_end="")
        elif name in (numbers := [f"chip.{number}" for number in load_chip().facts]):
            facts[name.removeprefix("chip.")] = _number(what, _parsed(value))
        else:
            near = nearest_name(name, ["clock", *CHOICES, *constants, *numbers])
            raise HostError(f"{what}: unknown name; the nearest is {near!r} (numbers of the chip: chip.NAME)")
    return CostTable(constants, settings), preset, facts


def _parsed(text: str) -> Any:
    return float(text) if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) else text
