"""Gennaker's launch script: `python launch.py --help`.

Every process that is forked reads this file again, so it stays this short; the commands are in `host/cli.py`.
"""

if __name__ == "__main__":
    try:
        from host.cli import main

        code = main()
    except KeyboardInterrupt:  # before the command line could take care of it
        code = 130
    raise SystemExit(code)
