"""Gennaker's launch script: `python launch.py --help`. The commands are in `host/cli.py`."""

import os
import sys

if __name__ == "__main__":
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - before anything else is imported
    if sys.path[:1] != [folder]:  # PYTHONSAFEPATH leaves it out; `-m launch` has the user's folder there
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
    except (ImportError, MemoryError) as error:
        if isinstance(error, ImportError) and "failed to map" not in str(error) and "allocate memory" not in str(error):
            raise
        why = f"{type(error).__name__}: {error}".strip().splitlines()[-1]
        print(f"gennaker: no memory to load the program ({why}); raise ulimit -v or the container's limit", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:  # before the command line could take care of it
        code = 130
    raise SystemExit(code)
