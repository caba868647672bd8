"""`python -m bench.instructions [--write]`: count all loops again, and say what is not as kept, or keep it."""

from __future__ import annotations

import argparse
import sys

from bench.instructions import counts
from bench.instructions.compiled import MissingTool


def main(arguments: list[str] | None = None) -> int:
    """Count; return 0 where all is as kept, 1 where it is not, 2 where nothing can be counted here."""
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"keep the counts in {counts.FILE.name}")
    flags = parser.parse_args(arguments)
    try:
        entries = counts.count()
    except MissingTool as error:
        print(f"bench.instructions: {error}", file=sys.stderr)
        return 2
    if flags.write:
        counts.write(entries)
    for name, entry in entries.items():
        print(f"{name:<32} {entry['value']:>5} ({entry['low']} to {entry['high']})  {entry['of']}")
    changed = counts.differences(entries)
    print("\n".join(changed or ["all as kept"]))
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
