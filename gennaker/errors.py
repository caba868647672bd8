"""What can go wrong for a user of `gennaker`: exceptions with one line: who, what it needs, what it has, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager


class Error(Exception):
    """What a user can cause, in one line. All exceptions of this package are of this kind; anything else is a bug of ours.

    >>> import gennaker as gk
    >>> try:
    ...     gk.load("missing.safetensors")
    ... except gk.Error as error:
    ...     print(error)
    checkpoint missing.safetensors: cannot be read (no such file)
    """


class WrongInput(Error, ValueError):
    """An argument, file or array that cannot be used: of another shape, type or width, or with numbers that are not finite."""


class DoesNotFit(Error):
    """A network that does not fit the PEs, or the PEs the chip.

    `region` names the stretch of SRAM that does not fit ("" where it is the number of PEs that does not do), `need` and `free` are
    in bytes (or PEs, without a region), and `fewest_pes` is the smallest number of PEs that would do with this mapping and format;
    None where no number does.
    """

    def __init__(self, text: str, *, region: str = "", need: int = 0, free: int = 0, fewest_pes: int | None = None) -> None:
        super().__init__(text)
        self.region, self.need, self.free, self.fewest_pes = region, need, free, fewest_pes


class RunError(Error):
    """A run that did not come to its end, or whose result cannot be trusted.

    `code` is the exit code of the command line: 4 a process died, 5 one stalled, 6 verify found a difference, 7 packets were lost,
    8 a PE or router found a fault. `report` is the report as far as the run got, None where there is none.
    """

    def __init__(self, text: str, code: int, report: dict[str, object] | None = None) -> None:
        super().__init__(text)
        self.code, self.report = code, report


_FLAG = re.compile(r"--([a-z][a-z-]*)(?: (?!(?:and|or|says|name|names|needs)\b)(?=[\w./\\'\"-]))?")


def in_python(text: str) -> str:
    """Return an error line of the command line's with its flags as keywords: `--pes 146` as `pes=146`, `--set a=1` as `a=1`."""

    def keyword(match: re.Match[str]) -> str:
        return match[1].replace("-", "_") + ("=" if match[0].endswith(" ") else "")

    return _FLAG.sub(keyword, text.replace("--set ", ""))


@contextmanager
def explained() -> Iterator[None]:
    """Raise what a user can cause as an exception of this package, without the frames of what lies below."""
    from host.errors import Exit, HostError
    from models.network import ModelError
    from models.text.tokeniser import TextError
    from noc.chip import ChipError

    try:
        yield
    except HostError as error:
        if error.code is Exit.DOES_NOT_FIT:
            raise DoesNotFit(in_python(str(error))) from None
        if error.code is not Exit.USAGE:
            raise RunError(in_python(str(error)), int(error.code)) from None
        raise WrongInput(in_python(str(error))) from None
    except (ModelError, TextError, ChipError) as error:
        raise WrongInput(in_python(str(error))) from None
