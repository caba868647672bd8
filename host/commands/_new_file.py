"""A file that a command makes: nothing is overwritten, and it appears whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from host.errors import HostError


def check_new(command: str, target: Path) -> None:
    """Raise HostError where something of that name is there, or its folder is not."""
    if os.path.lexists(target):
        raise HostError(f"{command}: {target}: exists already; nothing is overwritten")
    if not target.parent.is_dir():
        raise HostError(f"{command}: {target}: its folder does not exist")


def write_new(command: str, target: Path, write: Callable[[Path], object]) -> int:
    """Let `write` write a file of another name beside `target`, and give it that name; return its bytes.

    HostError where it cannot be written, or where something of that name has come to be meanwhile.
    """
    partial = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.partial")
    try:
        write(partial)
        # A link comes to be at once and never replaces anything, whoever else writes meanwhile.
        os.link(partial, target)
        return target.stat().st_size
    except FileExistsError:
        raise HostError(f"{command}: {target}: exists already; nothing is overwritten") from None
    except OSError as error:
        why = error.strerror or errno.errorcode.get(error.errno or 0)
        raise HostError(f"{command}: {target}: cannot be written ({why})") from error
    finally:
        partial.unlink(missing_ok=True)
