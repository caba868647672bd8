"""Gennaker's launch script: `python launch.py --help`.

Every process that is forked reads this file again, so it stays this short; the commands are in `host/cli.py`.
"""

if __name__ == "__main__":
    from host.cli import main

    raise SystemExit(main())
