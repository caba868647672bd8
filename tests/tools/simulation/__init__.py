"""A run in a time of its own: the launcher's and host's own decisions, routers and PEs over pretended processes, in one program.

Everything that happens is drawn from a seed, so that a schedule of deaths, pauses, losses and delays can be played again:
`python -m tests.tools.simulation --schedules 1000 --seed 7`, `--only 42` for the one of that number.
"""
