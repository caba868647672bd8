"""Gennaker's launch script: `python launch.py --help`. The commands are in `host/cli.py`."""

import sys

if __name__ == "__main__":
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
