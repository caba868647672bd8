"""The names that a PE's code looks up lie side by side in the fork server's memory."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

_LOOK = """
import json, sys
import host.processes.names_together as names_together
gathered = {id(name): number for number, name in enumerate(names_together._names)}
import pe.core, pe.residents
codes = [pe.core.Pe._load.__code__, pe.residents.resident_of.__code__]
print(json.dumps([[name, gathered.get(id(name), -1)] for code in codes for name in (*code.co_names, *code.co_varnames)]))
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="names are not counted")
def test_modules_use_the_names_that_were_gathered_before_them():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", _LOOK], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    names = json.loads(done.stdout)
    assert len(names) > 50
    assert all(number >= 0 for _, number in names)


def test_the_files_whose_names_are_gathered_are_there():
    """One that was renamed would be left out without a word."""
    text = (ROOT / "host/processes/names_together.py").read_text()
    files = re.findall(r'"([\w/]+\.py)"', text)
    assert len(files) > 10
    assert [name for name in files if not (ROOT / name).is_file()] == []
