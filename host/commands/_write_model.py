"""A checkpoint written where nothing was before, whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from host.errors import HostError

if TYPE_CHECKING:  # the command line reads this file too, and must not load a compiler
    from models.checkpoint import Model


def check_target(command: str, target: Path) -> None:
    """Raise HostError, beginning with the command's name, where `target` is there, or its folder is not."""
    if os.path.lexists(target):
        raise HostError(f"{command}: {target}: exists already; nothing is overwritten")
    if not target.parent.is_dir():
        raise HostError(f"{command}: {target}: its folder does not exist")


def write_model(command: str, target: Path, model: Model) -> int:
    """Write a model and return the bytes of its file; HostError, beginning with the command's name, where that cannot be."""
    from models.checkpoint import save

    partial = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.partial")
    try:
        save(partial, model)
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
