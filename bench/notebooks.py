"""`python -m bench.notebooks [NAME ...]`: runs the notebooks of examples/ and keeps their outputs, without times of this machine.

Needs the extra `notebook`, and torch for those that train.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import nbclient
import nbformat

ROOT = Path(__file__).resolve().parents[1]
BOOKS = {path.stem: path for path in sorted((ROOT / "examples").glob("*.ipynb"))}
_CELL_S = 600


def run_book(path: Path) -> None:
    """Run a notebook in an empty folder, as a user's kernel would, and write it back with its outputs."""
    book = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="gennaker-notebook-") as folder:
        place = {"metadata": {"path": folder}}
        nbclient.NotebookClient(book, timeout=_CELL_S, kernel_name="python3", resources=place).execute()
    for cell in book.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(book, path)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.notebooks", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BOOKS)}; all where none is named")
    names = parser.parse_args().names or list(BOOKS)
    if unknown := [name for name in names if name not in BOOKS]:
        parser.error(f"{unknown[0]}: have {', '.join(BOOKS)}")
    os.environ["PYTHONPATH"] = str(ROOT)  # of the kernels
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    for name in names:
        run_book(BOOKS[name])
        print(BOOKS[name], flush=True)


if __name__ == "__main__":
    main()
