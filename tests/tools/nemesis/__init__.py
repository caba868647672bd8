"""The nemesis: a drawn signal to a drawn process of a real run at a drawn moment of its life, and what came of it.

`python -m tests.tools.nemesis --trials 100 --seed 7` (or `make chaos N=100`) runs trials and checks each; a trial is drawn from its
seed and number alone, so `--only 42` repeats the one of that number.
"""
