"""Options as fields: a dataclass field says its flag, its help and its bounds, once for the command line, sweeps and config files.

`option(...)` makes such a field. From it follow the flag (`add_flags`), the check of a value (`check_options`), and the key of a
config file or a sweep (`bounds_of`).
"""

import argparse
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from host.errors import HostError, nearest_name


class Bounds(Protocol):
    """What a value may be."""

    @property
    def need(self) -> str:
        """The bounds in words, as in "needs ..."."""

    def fits(self, value: Any) -> bool:
        """Tell whether the value, of whatever type, is one."""


@dataclass(frozen=True)
class Whole:
    """A whole number of at least `least` and at most `most`."""

    least: int = 0
    most: int | None = None

    @property
    def need(self) -> str:
        """The bounds in words."""
        return "a whole number " + (f"of at least {self.least}" if self.most is None else f"from {self.least} to {self.most:,}")

    def fits(self, value: Any) -> bool:
        """Tell whether the value is a whole number within the bounds."""
        return type(value) is int and self.least <= value <= (math.inf if self.most is None else self.most)


@dataclass(frozen=True)
class Number:
    """A finite number from `least` to `most`, or above `least` where `above` is set; `unit` is for the message."""

    least: float = 0.0
    most: float = math.inf
    above: bool = False
    unit: str = ""

    @property
    def need(self) -> str:
        """The bounds in words."""
        what = f"a finite number{f' of {self.unit}' if self.unit else ''}"
        low, to = (f"above {self.least:g}", "and up to") if self.above else (f"from {self.least:g}", "to")
        return f"{what} {low}" + (f" {to} {self.most:g}" if self.most < math.inf else "")

    def fits(self, value: Any) -> bool:
        """Tell whether the value is a finite number within the bounds."""
        if type(value) not in (int, float) or not math.isfinite(value):
            return False
        return bool((value > self.least if self.above else value >= self.least) and value <= self.most)


@dataclass(frozen=True)
class Text:
    """A text that a file name or a prompt can be."""

    need: str = "a text"
    empty: bool = False

    def fits(self, value: Any) -> bool:
        """Tell whether the value is a text without a NUL; an empty one only where that is allowed."""
        return isinstance(value, str) and (bool(value) or self.empty) and "\0" not in value


@dataclass(frozen=True)
class OneOf:
    """One of several names, which are asked for when needed; with a `kind`, a wrong one is told the nearest."""

    names: Callable[[], Sequence[str]]
    kind: str = ""

    @property
    def need(self) -> str:
        """The names."""
        return f"one of {', '.join(self.names())}"

    def fits(self, value: Any) -> bool:
        """Tell whether the value is one of the names."""
        return isinstance(value, str) and value in self.names()

    def refusal(self, flag: str, value: Any) -> str:
        """Return the line for a value that is none."""
        have = f"have {', '.join(self.names())}"
        if not self.kind:
            return f"{flag} {value!r}: {have}"
        return f"unknown {self.kind} {value!r}: {have}; did you mean {nearest_name(str(value), self.names())!r}?"


@dataclass(frozen=True)
class Sizes:
    """A list of whole numbers of at least 1."""

    need: str = "a list of units, one number a layer"

    def fits(self, value: Any) -> bool:
        """Tell whether the value is such a list."""
        return isinstance(value, list | tuple) and bool(value) and all(Whole(1, 1_000_000).fits(size) for size in value)


@dataclass(frozen=True)
class Names:
    """A list of names, each one of `names`."""

    names: tuple[str, ...]

    @property
    def need(self) -> str:
        """The names."""
        return f"any of {', '.join(self.names)}, with commas between"

    def fits(self, value: Any) -> bool:
        """Tell whether the value is such a list."""
        return isinstance(value, list | tuple) and all(name in self.names for name in value)

    def refusal(self, flag: str, value: Any) -> str:
        """Return the line for a value that is none."""
        have = ",".join(map(str, value)) if isinstance(value, list | tuple) else repr(value)
        return f"{flag} {have}: needs {self.need}"


@dataclass(frozen=True)
class YesNo:
    """True or false."""

    need: str = "true or false"

    def fits(self, value: Any) -> bool:
        """Tell whether the value is true or false."""
        return isinstance(value, bool)


def option(
    default: Any, text: str = "", *, bounds: Bounds, metavar: str | None = None, flag: str | None = None, group: str = "",
    sweep: bool = True, file: bool = False,
) -> Any:  # fmt: skip
    """Return a dataclass field that is an option.

    `text`: its help; without one the option has no flag, and only config files and sweeps may set it. `flag`: where that is not
    its name with dashes. `group`: heading of the flags that it stands with; those of "" stand first. `sweep`: whether an
    experiment may vary it. `file`: whether it names a file or folder, so that a relative path has a folder to start from.
    """
    about = {"help": text, "bounds": bounds, "metavar": metavar, "flag": flag, "group": group, "sweep": sweep, "file": file}
    return dataclasses.field(default=default, metadata=about)


def with_default(options: type, name: str, default: Any) -> Any:
    """Return the field `name` of another options class with a default of its own."""
    return dataclasses.field(default=default, metadata=_field(options, name).metadata)


def with_help(options: type, name: str, text: str) -> Any:
    """Return the field `name` of another options class with a help of its own."""
    entry = _field(options, name)
    return dataclasses.field(default=entry.default, metadata={**entry.metadata, "help": text})


def _field(options: type, name: str) -> dataclasses.Field[Any]:
    return next(entry for entry in dataclasses.fields(options) if entry.name == name)


def option_fields(options: type) -> list[dataclasses.Field[Any]]:
    """Return the fields that are options, in their order."""
    return [entry for entry in dataclasses.fields(options) if "bounds" in entry.metadata]


def bounds_of(options: type) -> dict[str, Bounds]:
    """Return the bounds of every option by its name."""
    return {entry.name: entry.metadata["bounds"] for entry in option_fields(options)}


def flag_of(entry: dataclasses.Field[Any]) -> str:
    """Return the flag of an option as it is typed."""
    return str(entry.metadata["flag"] or f"--{entry.name.replace('_', '-')}")


def check_options(options: Any) -> None:
    """Raise HostError, one line, for the first option that is out of its bounds; None, where it is the default, always fits."""
    for entry in option_fields(type(options)):
        value, bounds = getattr(options, entry.name), entry.metadata["bounds"]
        if value is None and entry.default is None:
            continue
        if not bounds.fits(value):
            name = flag_of(entry) if entry.metadata["help"] else entry.name
            if isinstance(bounds, OneOf | Names):
                raise HostError(bounds.refusal(name, value))
            raise HostError(f"{name} {value!r}: needs {bounds.need}")


def add_flags(parser: argparse.ArgumentParser, options: type, only: Iterable[str] | None = None) -> dict[str, Any]:
    """Add a flag for every option, or for those named in `only`; return the groups of flags by heading.

    What is not given stays out of the parsed flags, so that each default stands in one place.
    """
    groups: dict[str, Any] = {"": parser}
    for entry in option_fields(options):
        about = entry.metadata
        if not about["help"] or (only is not None and entry.name not in only):
            continue
        group = groups.get(about["group"]) or groups.setdefault(about["group"], parser.add_argument_group(about["group"]))
        shared = {"dest": entry.name, "default": argparse.SUPPRESS}
        if isinstance(about["bounds"], YesNo):
            group.add_argument(flag_of(entry), action="store_true", help=about["help"], **shared)
            continue
        text = about["help"].replace("%", "%%")
        if entry.default is not None:
            text += f" (default {entry.default:g})" if isinstance(entry.default, int | float) else f" (default {entry.default})"
        kind = {Whole: int, Number: float, Sizes: _sizes, Names: _names}.get(type(about["bounds"]), str)
        group.add_argument(flag_of(entry), type=kind, metavar=about["metavar"], help=text, **shared)
    return groups


def _sizes(text: str) -> tuple[int, ...]:
    """Return the sizes that a flag names, as in 64,64,20; ArgumentTypeError where it names none."""
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"needs sizes such as 64,64,20, has {text!r}") from None


def _names(text: str) -> tuple[str, ...]:
    """Return the names that a flag lists, as in events,states."""
    return tuple(name.strip() for name in text.split(","))


def read_options(options: type, record: Mapping[str, Any], who: str) -> dict[str, Any]:
    """Return a config file's record as values of these options; HostError, one line, for a key or value that is none.

    Bounds are checked here because a file, unlike a flag, may hold any type.
    """
    known = bounds_of(options)
    for name, value in record.items():
        if name not in known:
            raise HostError(f"{who}: has {name!r}, which is no option of this command")
        default = _field(options, name).default
        if not (value is None and default is None) and not known[name].fits(value):
            raise HostError(f"{who}: {name} needs {known[name].need}, has {value!r}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
