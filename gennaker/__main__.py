"""The program: `python launch.py`, `python -m gennaker`, and `gennaker` once it is installed are all this."""

from __future__ import annotations

import os
import sys

_OURS = ("host", "pe", "noc", "models", "gennaker")


def main() -> int:
    """Run the command line; return its exit code. What keeps the program from loading at all ends in one line."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads have nothing to do here, and count against limits
    try:
        from host.cli import main as command_line

        return command_line()
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] in _OURS:
            raise  # a bug of ours
        return _complain(f"this Python lacks {error.name}; run `make setup` and use .venv/bin/python launch.py, or pip install it")
    except (ImportError, MemoryError) as error:
        if isinstance(error, ImportError) and "failed to map" not in str(error) and "allocate memory" not in str(error):
            raise
        why = f"{type(error).__name__}: {error}".strip().splitlines()[-1]
        return _complain(f"no memory to load the program ({why}); raise ulimit -v or the container's limit")
    except KeyboardInterrupt:  # before the command line could take care of it
        return 130


def _complain(text: str) -> int:
    """Print one line; `host.errors` may be what did not load."""
    print(f"gennaker: {text}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
