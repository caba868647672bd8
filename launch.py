"""Gennaker's launch script: `python launch.py --help`. The commands are in `host/cli.py`."""

import os
import sys

if __name__ == "__main__":
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - before anything else is imported
    if folder not in sys.path:  # PYTHONSAFEPATH leaves it out
        sys.path.insert(0, folder)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads have nothing to do here, and count against limits
    try:
        from host.cli import main

        code = main()
    except ModuleNotFoundError as error:
        if error.name in ("host", "pe", "noc", "models") or str(error.name).startswith(("host.", "pe.", "noc.", "models.")):
            raise  # a bug of ours
        print(f"gennaker: this Python lacks {error.name}; run `make setup` and use .venv/bin/python launch.py", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:  # before the command line could take care of it
        code = 130
    raise SystemExit(code)
