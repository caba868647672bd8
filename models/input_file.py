"""Files that people bring: opened without waiting, read with a bound, and named as what they are where they are something else.

A name on a command line may be that of a pipe that nobody writes into, of a device without an end, of a pointer that Git LFS
left in a file's place, or of the page that a download ended at. Every reader of such files begins here, so that each is told
in one line. What the file should hold, its reader knows.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

HEAD_BYTES = 512  # enough to tell kinds of files apart
MOST_TEXT_BYTES = 1 << 30  # of a text to run or train on; WikiText-103 has half of it
MOST_SETTINGS_BYTES = 1 << 24  # of a file of settings or labels
WAIT_S = 30.0  # for somebody to write into a pipe of settings

_POINTERS = {
    b"version https://git-lfs.github.com/": "a Git LFS pointer, not the file itself, which `git lfs pull` fetches",
    b"version https://hawser.github.com/": "a Git LFS pointer, not the file itself, which `git lfs pull` fetches",
    b"/annex/objects/": "a git-annex pointer, not the file itself, which `git annex get` fetches",
}
_PAGES = (b"<!doctype html", b"<html")
_ANSWERS = (b"404: not found", b"not found", b"entry not found", b"invalid username or password.", b"access denied")
_ARCHIVES = {
    b"\x1f\x8b\x08": "compressed with gzip",
    b"\xfd7zXZ\0": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"BZh91AY&SY": "compressed with bzip2",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"%PDF-": "a PDF",
}
_CHUNK_BYTES = 1 << 20
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
_NEWEST_HEADER_BYTES = 1 << 27  # no header of safetensors is longer


class InputError(ValueError):
    """A file is not what it is read as; the message says what it is and what to do, without the file's name."""


class StalledInput(InputError):
    """Nobody writes into a pipe."""


def open_input(path: str | Path) -> BinaryIO:
    """Return the file at `path`, open for reading at its first byte.

    Raises InputError where it cannot be opened, for anything but a regular file, and for one that is empty, a pointer to
    another file, a web page in the place of a download, or packed.
    """
    try:
        file = open(path, "rb", opener=_open_now)  # noqa: SIM115 - the caller closes it
    except (FileNotFoundError, NotADirectoryError):
        raise InputError("cannot be read (no such file)") from None
    except IsADirectoryError:
        raise InputError("is no file but a folder") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})") from None
    except ValueError as error:  # a NUL in the path
        raise InputError(f"cannot be read ({error})") from None
    try:
        kind = stat.S_IFMT(os.fstat(file.fileno()).st_mode)
        if kind != stat.S_IFREG:
            what = _KINDS.get(kind, "something else")
            raise InputError(f"is no file but {what}, which need have no end: write what comes from it to a file")
        head = file.read(HEAD_BYTES)
        if not head:
            raise InputError("is empty")
        if what := foreign_kind(head):
            raise InputError(f"is {what}")
        file.seek(0)
    except OSError as error:
        file.close()
        raise InputError(f"cannot be read ({error.strerror or error})") from None
    except InputError:
        file.close()
        raise
    return file


def check_input(path: str | Path) -> None:
    """Raise what `open_input` raises, for readers that open a file by its name themselves."""
    open_input(path).close()


def read_input(path: str | Path, most_bytes: int, wait_s: float | None = None) -> bytes:
    """Return the bytes of the file at `path`; raises InputError as `open_input`, and where there are too many.

    With `wait_s` a pipe or a terminal is read to its end, too, as long as somebody writes within each `wait_s` seconds.
    """
    if wait_s is not None and is_pipe(path):
        return b"".join(piped_chunks(path, most_bytes, wait_s))
    with open_input(path) as file:
        try:
            raw = file.read(most_bytes + 1)
        except OSError as error:  # a disk or a network fails while it is read
            raise InputError(f"cannot be read ({error.strerror or error})") from None
    if len(raw) > most_bytes:
        raise InputError(f"has more than {most_bytes} bytes")
    return raw


def read_text_input(path: str | Path, most_bytes: int = MOST_SETTINGS_BYTES) -> str:
    """Return the text of a file in UTF-8; InputError as `read_input`, UnicodeDecodeError."""
    return read_input(path, most_bytes).decode("utf-8")


def is_pipe(path: str | Path) -> bool:
    """Tell whether `path` is a pipe or a terminal, which have an end when somebody says so."""
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISCHR(mode):
            return stat.S_ISFIFO(mode)
        device = _open_now(str(path), os.O_RDONLY)
    except (OSError, ValueError):  # its reader says what is wrong with it
        return False
    try:
        return os.isatty(device)
    finally:
        os.close(device)


def piped_chunks(path: str | Path, most_bytes: int, wait_s: float) -> Iterator[bytes]:
    """Yield what comes through a pipe until it ends.

    Raises StalledInput where nobody writes for `wait_s` seconds, and InputError where more than `most_bytes` come or it cannot
    be read.
    """
    try:
        source = _open_now(str(path), os.O_RDONLY)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    ready, total = select.poll(), 0
    ready.register(source, select.POLLIN)
    try:
        while ready.poll(1e3 * wait_s):
            try:
                chunk = os.read(source, _CHUNK_BYTES)
            except BlockingIOError:  # another reader was faster
                continue
            except OSError as error:
                raise InputError(f"cannot be read ({error.strerror or error})") from None
            if not chunk:
                return
            total += len(chunk)
            if total > most_bytes:
                raise InputError(f"more than {most_bytes:,} bytes came through; write it to a file if it has an end")
            yield chunk
    finally:
        os.close(source)
    raise StalledInput(f"stalled: nobody has written into it for {wait_s:g} s")


def foreign_kind(head: bytes) -> str:
    """Return what a file is that begins so and that nobody means to read; "" where it may be what it is taken for."""
    if is_safetensors(head):
        return ""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for start, what in _POINTERS.items():
        if text.startswith(start):
            return what
    lower = text.lower()
    if lower.startswith(_PAGES) or (lower.startswith(b"<?xml") and b"<html" in lower):
        return "an HTML page, as a download ends that meets a login or an error; download the file itself"
    if lower.startswith(b"<?xml") and b"<error>" in lower:
        return "the error that a download server answered with (XML); download the file itself"
    if text.strip().lower() in _ANSWERS:
        return f"what a download server answered, {text.strip().decode('ascii')!r}; download the file itself"
    for start, what in _ARCHIVES.items():
        if head.startswith(start):
            return f"{what}; {'save its text' if start == b'%PDF-' else 'unpack it first'}"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and not head.startswith(b"\xff\xfe\0\0"):
        return "a text in UTF-16; save it as UTF-8"
    return ""


def is_safetensors(head: bytes) -> bool:
    """Tell whether a file that begins so is one of safetensors: a header's length, and the JSON of the header."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _NEWEST_HEADER_BYTES


def is_zip(head: bytes) -> bool:
    """Tell whether a file that begins so is a zip archive, as `torch.save` and `numpy.savez` write."""
    return head.startswith(b"PK\x03\x04")


def is_pickle(head: bytes) -> bool:
    """Tell whether a file that begins so is a bare pickle, as torch before 1.6 and `pickle.dump` write."""
    return head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5") and not is_safetensors(head)


def _open_now(path: str, flags: int) -> int:
    """Open without waiting for somebody to write into a pipe of that name, and without taking a terminal over."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
