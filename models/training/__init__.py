"""The trainers: from data to a checkpoint. They need torch (`pip install '.[train]'`); nothing outside this folder does.

One folder a trainer, found by its name (`models/families.py`). Its `command_line.py` has `add_commands(commands)`, which adds the
parsers of its commands to those of `python -m models.training`, each with `set_defaults(run=function)`: the function gets the
flags by name and returns the exit code; for what a user got wrong it raises a ModelError, TextError, DvsError or OSError of one
line. The file is read whatever the command, so it imports torch only in such a function. `common/` has what trainers share, and
the command for logs of any of them.
"""

from models.families import family_path

__path__ = family_path(__path__, __name__)
