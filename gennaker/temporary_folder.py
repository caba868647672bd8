"""`TemporaryFolder`: a private folder that goes with the object that has it, or with the process, without a word."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from gennaker.errors import WrongInput


class TemporaryFolder:
    """A folder in TMPDIR; WrongInput, one line, where none can be made."""

    def __init__(self, purpose: str) -> None:
        try:
            self.path = Path(tempfile.mkdtemp(prefix=f"gennaker-{purpose}-"))
        except OSError as error:
            raise WrongInput(f"TMPDIR {tempfile.gettempdir()}: no folder can be made there ({error.strerror})") from None
        self.remove = weakref.finalize(self, shutil.rmtree, str(self.path), ignore_errors=True)
