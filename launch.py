"""Gennaker's launch script: `python launch.py --help`. The commands are in `host/cli.py`."""

if __name__ == "__main__":
    try:
        from host.cli import main

        code = main()
    except KeyboardInterrupt:  # before the command line could take care of it
        code = 130
    raise SystemExit(code)
