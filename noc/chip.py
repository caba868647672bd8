"""The chip: where its PEs sit, what they are called, and what is publicly known of it in numbers.

The numbers live in `spinnaker2.toml`, each with unit, source and grade; `load_chip` reads them, lets a user's TOML file
override any and checks the result. What nobody publishes is either *assumed* (it has a value and says why) or *unknown*
(it has none), never absent. All chips are alike but for what a `ChipSpec` lists as down. CP and SM below are sources;
the head of that file says which.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

DATA_FILE = Path(__file__).with_name("spinnaker2.toml")
HOLES = frozenset({(4, 3), (4, 4), (7, 3), (7, 4)})
"""Sites of the 7 x 6 grid without a QPE (SM vec2mesh.txt); the first two lie in the event router's area (CP via SV)."""
QPES = tuple((x, y) for y in range(1, 7) for x in range(1, 8) if (x, y) not in HOLES)
"""The 38 QPE sites (x, y), row by row from (1, 1). The real chip's linear core ids follow another, irregular table."""
PES_PER_QPE = 4

_QPE_SITES = frozenset(QPES)
# The space after a comma is py-spinnaker2's way of printing a PE.
_PE_NAME = re.compile(r"PE\((0|[1-9][0-9]{0,8}), ?(0|[1-9][0-9]{0,8}), ?(0|[1-9][0-9]{0,8})\)@(0|[1-9][0-9]{0,8})")


class ChipError(ValueError):
    """A chip description, PE name or preset that cannot be used; the message is one line."""


class PeId(NamedTuple):
    """A processing element: chip number, QPE column `x` and row `y`, PE `p` in the QPE. Sorts in that order."""

    chip: int
    x: int
    y: int
    p: int

    def __str__(self) -> str:
        return f"PE({self.x},{self.y},{self.p})@{self.chip}"


def parse_pe(text: str) -> PeId:
    """Return the PE that `text` names as `str(PeId)` does, on the floor plan or not; ChipError if it names none."""
    match = _PE_NAME.fullmatch(text)
    if match is None:
        raise ChipError(f"PE name {text!r}: need 'PE(x,y,p)@chip', such as 'PE(1,1,0)@0'")
    x, y, p, chip = map(int, match.groups())
    return PeId(chip, x, y, p)


def require_on_plan(pe: PeId) -> None:
    """Raise ChipError unless the floor plan has `pe` (whatever its chip, and whether or not it is down)."""
    if pe.chip < 0 or (pe.x, pe.y) not in _QPE_SITES or not 0 <= pe.p < PES_PER_QPE:
        raise ChipError(f"{pe}: not on the floor plan (x 1..7, y 1..6 without {sorted(HOLES)}, p 0..3, chip from 0)")


@dataclass(frozen=True, slots=True)
class Fact:
    """One number about the chip, None if unknown. Grades: see `spinnaker2.toml`; "user" is from an override file.

    `low` and `high` bound it where it is uncertain and a price uses it; `words` then say what it is, and `at_end` why the value
    lies on an end, where it does.
    """

    value: int | float | None
    unit: str
    source: str
    grade: str
    assumed: bool = False
    note: str = ""
    low: float | None = None
    high: float | None = None
    words: str = ""
    at_end: str = ""


@dataclass(frozen=True)
class ChipSpec:
    """One kind of chip, uniform but for what is down. Build it with `load_chip`; every number is in `facts`, by name.

    Sizes in bytes or bits, rates per second, clocks in Hz, power in W, energy in pJ; `hop_cycles` are NoC cycles, the
    other cycles are the PE's. `power_off_w` is the whole chip's floor, `pe_*` are per PE, `pe_active_*` above sleep.
    A broken link is (chip, direction), with directions 0 .. chip_links - 1.
    """

    name: str
    sram_bytes: int
    banks: int
    bank_bytes: int
    program_bytes: int
    debug_bytes: int
    sram_wait_states: int
    pe_clock_hz: int
    pe_supply_v: float
    timer_hz: int
    noc_clock_hz: int
    payload_bits: int
    hop_cycles: int
    noc_fifo_flits: int
    dma_setup_cycles: int
    router_clock_hz: int
    router_entries: int
    link_frame_bits: int
    link_onboard_frame_s: float
    link_offboard_frame_s: float
    dram_bytes: int
    dram_alignment_bytes: int
    dram_sustained_bytes_per_s: float
    power_off_w: float
    pe_sleep_w: float
    pe_active_w: float
    facts: Mapping[str, Fact] = field(repr=False, hash=False)
    down_cores: frozenset[PeId] = frozenset()
    down_chips: frozenset[int] = frozenset()
    down_links: frozenset[tuple[int, int]] = frozenset()

    @property
    def data_bytes(self) -> int:
        """Bytes of the banks that hold no program (98,304 as published)."""
        return self.sram_bytes - self.bank_bytes

    def usable_pes(self, chip: int = 0) -> tuple[PeId, ...]:
        """Return the PEs of `chip` that are not down, in the order of `QPES`; none if the chip itself is down."""
        if chip in self.down_chips:
            return ()
        pes = (PeId(chip, x, y, p) for x, y in QPES for p in range(PES_PER_QPE))
        return tuple(pe for pe in pes if pe not in self.down_cores)

    def assumed(self) -> tuple[str, ...]:
        """Return the names of the facts whose value no source gives: a report that uses one must say so."""
        return tuple(name for name, fact in self.facts.items() if fact.assumed)

    def unknown(self) -> tuple[str, ...]:
        """Return the names of the facts without a value."""
        return tuple(name for name, fact in self.facts.items() if fact.value is None)


def describe(spec: ChipSpec) -> list[tuple[str, str, str, str]]:
    """Return one row (name, value with unit, grade, source) per fact, for docs and reports."""
    rows = []
    for name, fact in spec.facts.items():
        number = f"{fact.value:.6g}" if isinstance(fact.value, float) else fact.value
        value = "unknown" if fact.value is None else f"{number} {fact.unit}"
        rows.append((name, value, f"{fact.grade}, assumed" if fact.assumed else fact.grade, fact.source))
    return rows


# Units and names of what something is divided by, here or in a price: zero is refused.
_POSITIVE = frozenset({"Hz", "bit", "bit/s", "byte/s", "op/s", "event/s", "PE", "bank", "dram_alignment_bytes"})
_FILE_KEYS = ("facts", "down_cores", "down_chips", "down_links")


def load_chip(
    preset: str = "spinnaker2", override: Path | None = None, numbers: Mapping[str, float] | None = None, source: str = "user"
) -> ChipSpec:
    """Return the chip of `preset`: "spinnaker2" (150 MHz, 0.5 V) or "spinnaker2-300mhz" (300 MHz, 0.8 V).

    `override` is a TOML file with any subset of: a table `[facts]` of `name = number` or `name = {value = number,
    source = "...", note = "..."}`; `down_cores`, a list of "PE(x,y,p)@chip" or [x, y, p] (chip 0); `down_chips`, a list
    of chip numbers; `down_links`, a list of [chip, direction]. Its numbers get grade "user" and the file as source.
    `numbers` are facts to override on top of the file, with `source` as theirs.

    Raises ChipError, in one line that names file and key, if the file cannot be read, is not TOML, has a key that does
    not exist, a value of the wrong type, a negative or infinite one, or makes the chip contradict itself.
    """
    data = _shipped_data()
    if preset not in data["preset"]:
        raise ChipError(f"chip preset {preset!r}: {_nearest(preset, data['preset'])}")
    if override is None:
        return _build(data, preset, {"facts": dict(numbers or {})}, source)
    try:
        user = tomllib.loads(override.read_text(encoding="utf-8-sig"))
        if numbers:
            user["facts"] = {**_checked("facts", user.get("facts", {}), dict, "a table of numbers"), **numbers}
        return _build(data, preset, user, override.name)
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        why = f"cannot be read as TOML: {error}"
    except ValueError as error:  # ChipError, or a number too long to print
        why = str(error)
    raise ChipError(" ".join(f"{override}: {why}".split()))  # one line, whatever the file or its name contains


@cache  # a program reads it for each run, plan and price
def _shipped_data() -> Mapping[str, Any]:
    return tomllib.loads(DATA_FILE.read_text(encoding="utf-8"))


def _build(data: Mapping[str, Any], preset: str, user: Mapping[str, Any], file_name: str) -> ChipSpec:
    shipped = {
        name: Fact(entry.get("value"), **{key: entry[key] for key in entry if key not in ("value", "unknown")})
        for name, entry in data["facts"].items()
    }
    chosen = data["preset"][preset]
    for key in user:
        if key not in _FILE_KEYS:
            raise ChipError(f"{key!r}: {_nearest(key, [*_FILE_KEYS, *(f'facts.{name}' for name in shipped)])}")
    entries = _checked("facts", user.get("facts", {}), dict, "a table of numbers")
    facts = dict(shipped)
    for name, entry in entries.items():
        if name not in shipped and name not in chosen:
            raise ChipError(f"{'facts.' + name!r}: {_nearest(name, [*shipped, *chosen])}")
        facts[name] = _overridden(name, shipped[chosen.get(name, name)], entry, file_name)
    facts |= {name: replace(facts[to], note=f"{to}, by preset {preset}") for name, to in chosen.items() if name not in entries}
    values: dict[str, Any] = {name: fact.value for name, fact in facts.items()}
    for name, fact in shipped.items():
        if fact.grade == "D" and name not in entries:
            # After the override, so that no result goes stale. The text is this package's own file's, never the user's.
            values[name] = float(eval(fact.source, {"__builtins__": {}}, values))  # noqa: S307
            facts[name] = replace(fact, value=values[name])
            if values[name] < 0:
                raise ChipError(f"facts.{name}: need {fact.source} from 0, have {values[name]:.6g}")
    _check_consistent(values)
    downs = {key: _checked(key, user.get(key, []), list, "a list") for key in _FILE_KEYS[1:]}
    return ChipSpec(
        name=preset,
        facts=facts,
        down_cores=frozenset(map(_down_core, downs["down_cores"])),
        down_chips=frozenset(_whole("down_chips", downs["down_chips"], "[chip, ...]", len(downs["down_chips"]))),
        down_links=frozenset(_down_link(link, values["chip_links"]) for link in downs["down_links"]),
        **{f.name: values[f.name] for f in fields(ChipSpec) if f.name in values},
    )


def _overridden(name: str, old: Fact, entry: Any, file_name: str) -> Fact:
    key, table = f"facts.{name}", entry if isinstance(entry, dict) else {"value": entry}
    for part, text in table.items():
        if part not in ("value", "source", "note"):
            raise ChipError(f"{key}.{part!r}: {_nearest(part, ['value', 'source', 'note'])}")
        if part != "value":
            _checked(f"{key}.{part}", text, str, "a text")
    value: Any = table.get("value")
    whole, positive = isinstance(old.value, int), not _POSITIVE.isdisjoint((old.unit, name))
    ok = type(value) in (int, float) and 0 <= value < 1e30 and (value > 0 or not positive)  # 1e30: no product overflows
    if not ok or (whole and value != int(value)):
        need = f"a {'whole' if whole else 'finite'} number of {old.unit}, {'above' if positive else 'at least'} 0"
        raise ChipError(f"{key}: need {need}, have {value!r}")
    source = f"{file_name}: {table['source']}" if "source" in table else file_name
    return Fact(int(value) if whole else float(value), old.unit, source, "user", note=table.get("note", ""))


def _check_consistent(v: Mapping[str, Any]) -> None:
    if (v["pes"], v["qpes"], v["pes_per_qpe"]) != (plan := (len(QPES) * PES_PER_QPE, len(QPES), PES_PER_QPE)):
        raise ChipError(f"facts.pes, qpes, pes_per_qpe: need the floor plan's {plan}; down_cores leaves PEs out")
    banks, bank_bytes, sram_bytes = v["banks"], v["bank_bytes"], v["sram_bytes"]
    if banks * bank_bytes != sram_bytes:
        raise ChipError(f"facts.sram_bytes: need banks x bank_bytes = {banks} x {bank_bytes} bytes, have {sram_bytes}")
    for small, large, limit in (
        ("program_bank", "banks - 1", banks - 1),
        ("program_bytes", "bank_bytes", bank_bytes),
        ("debug_bytes", "sram_bytes - bank_bytes", sram_bytes - bank_bytes),
        ("payload_bits", "flit_bits", v["flit_bits"]),
        ("exp_cycles_min", "exp_cycles_max", v["exp_cycles_max"]),
        ("dram_sustained_bytes_per_s", "dram_raw_bytes_per_s", v["dram_raw_bytes_per_s"]),
    ):
        if v[small] > limit:
            raise ChipError(f"facts.{small}: need at most {large} = {limit}, have {v[small]}")


def _down_core(core: Any) -> PeId:
    try:
        need = "'PE(x,y,p)@chip' or [x, y, p]"
        pe = parse_pe(core) if isinstance(core, str) else PeId(0, *_whole("PE name", core, need, 3))
        require_on_plan(pe)
    except ChipError as error:
        raise ChipError(f"down_cores: {error}") from None
    return pe


def _down_link(link: Any, directions: int) -> tuple[int, int]:
    chip, direction = _whole("down_links", link, "[chip, direction]", 2)
    if direction >= directions:
        raise ChipError(f"down_links: need a direction below chip_links = {directions}, have {link}")
    return chip, direction


def _whole(key: str, value: Any, need: str, count: int) -> list[int]:
    if not isinstance(value, list) or len(value) != count or any(type(part) is not int or part < 0 for part in value):
        raise ChipError(f"{key}: need {need} of whole numbers from 0, have {value!r}")
    return value


def _checked(key: str, value: Any, kind: type, need: str) -> Any:
    if not isinstance(value, kind):
        raise ChipError(f"{key}: need {need}, have {value!r}")
    return value


def _nearest(name: str, known: Iterable[str]) -> str:
    return f"unknown; the nearest name is {difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]!r}"
