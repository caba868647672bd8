"""What a user types to start the program: `launch.py` in the project's folder, `gennaker` where it is installed."""

import sys
from pathlib import Path

SCRIPT = "launch.py"
INSTALLED = "gennaker"


def program_name() -> str:
    """Return the name that the program was started by."""
    started = Path(sys.argv[0] if sys.argv else SCRIPT)
    is_installed = started.stem == INSTALLED or (started.name == "__main__.py" and started.parent.name == INSTALLED)
    return INSTALLED if is_installed else SCRIPT


def as_typed(text: str) -> str:
    """Return a text in which every command is named as this user types it."""
    if program_name() == SCRIPT:
        return text
    return text.replace(f"python {SCRIPT}", INSTALLED).replace(SCRIPT, INSTALLED)
