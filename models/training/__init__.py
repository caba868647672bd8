"""The trainer: from text to a trained, pruned EGRU in a checkpoint that the emulator runs. Needs torch (`pip install
'.[train]'`); nothing outside this folder does.
"""
