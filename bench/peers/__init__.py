"""The same exchange by different engines: what a tick of the emulator costs, beside what else one would build it on.

`python -m bench.peers` measures; `docs/peers.md` says how each engine is used, and why so. Read `exchange.py` first: what
every process does and how it is checked; then `engines/__init__.py`: what an engine has to offer; then any engine.
"""
