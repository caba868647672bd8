"""Gennaker's launch script: `python launch.py --help`. The commands are in `host/cli.py`."""

import os
import sys

if __name__ == "__main__":
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - before anything else is imported
    if sys.path[:1] != [folder]:  # PYTHONSAFEPATH leaves it out; `-m launch` has the user's folder there
        sys.path.insert(0, folder)
    from gennaker.__main__ import main

    raise SystemExit(main())
