"""`python -m bench.house [CHECKOUT ...]`: the sizes of the house, for each checkout beside the others.

Lines and files of the product (`host`, `models`, `noc`, `pe`, `launch.py`), floors and circles of `host`, the longest file and the
functions over 50 lines in lines of code, calls with more than four positional values, and files outside a workload's folder
that name it. It reads source text and runs nothing of it, so that it takes any commit of the project.
"""

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from pathlib import Path

_PACKAGES = ("host", "models", "noc", "pe")
_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
_LONG_LINES, _MANY_VALUES = 50, 4
_WORKLOADS = ("dvs", "features", "lm")


def code_lines(text: str) -> set[int]:
    """Return the numbers of the lines that hold code: no comment, no docstring, not blank."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
            documented.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {n for t in tokens if t.type not in _NO_CODE for n in range(t.start[0], t.end[0] + 1)} - documented


def floors(arrows: dict[str, set[str]]) -> tuple[int, int]:
    """Return how many floors a graph of imports has, and how many of its arrows close a circle."""
    height: dict[str, int] = {}
    open_files: set[str] = set()
    circles = 0

    def climb(file: str) -> int:
        nonlocal circles
        if file in open_files:
            circles += 1
            return 0
        if file not in height:
            open_files.add(file)
            height[file] = 1 + max((climb(other) for other in arrows.get(file, ())), default=0)
            open_files.discard(file)
        return height[file]

    return max((climb(file) for file in list(arrows)), default=0), circles


def imports(root: Path, files: dict[str, Path]) -> dict[str, set[str]]:
    """Return which module of `files` imports which, late imports included."""
    arrows: dict[str, set[str]] = {}
    for name, path in files.items():
        for node in ast.walk(ast.parse((root / path).read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                others = {f"{node.module}.{alias.name}" for alias in node.names} & files.keys() or {node.module} & files.keys()
            else:
                others = {alias.name for alias in node.names} & files.keys() if isinstance(node, ast.Import) else set()
            arrows.setdefault(name, set()).update(others - {name})
    return arrows


def measure(root: Path) -> dict[str, object]:
    """Return the figures of one checkout by their names."""
    paths = [p.relative_to(root) for package in _PACKAGES for p in sorted((root / package).rglob("*.py"))] + [Path("launch.py")]
    texts = {path: (root / path).read_text("utf-8") for path in paths}
    code = {path: code_lines(text) for path, text in texts.items()}
    long_functions = many_values = 0
    for path, text in texts.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                long_functions += sum(node.lineno <= n <= (node.end_lineno or 0) for n in code[path]) > _LONG_LINES
            elif isinstance(node, ast.Call):
                many_values += sum(not isinstance(value, ast.Starred) for value in node.args) > _MANY_VALUES
    modules = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in paths if path.parts[0] == "host"}
    arrows = imports(root, modules)
    rooms: dict[str, set[str]] = {}
    for name, others in arrows.items():
        room = ".".join(name.split(".")[:2])
        rooms.setdefault(room, set()).update({".".join(other.split(".")[:2]) for other in others} - {room})
    outside = [p for p in paths if p.parts[0] == "host" and p.parts[1] != "workloads"]
    quoted = re.compile(rf"[\"']({'|'.join(_WORKLOADS)})[\"']|workloads\.({'|'.join(_WORKLOADS)})\b|\b(Dvs|Lm)Options\b|_dvs\b")
    longest = max(code, key=lambda path: len(code[path]))
    return {
        "lines": sum(text.count("\n") for text in texts.values()),
        "files": len(paths),
        "files flat in host/": sum(len(path.parts) == 2 for path in paths if path.parts[0] == "host"),
        "most files in a folder": ", ".join(f"{n} in {name}" for name, n in Counter(str(p.parent) for p in paths).most_common(1)),
        "floors of host's files, circles": "{}, {}".format(*floors(arrows)),
        "floors of host's rooms, circles": "{}, {}".format(*floors(rooms)),
        "longest file, lines of code": f"{len(code[longest])} ({longest})",
        "functions over 50 lines of code": long_functions,
        "calls with over 4 positional values": many_values,
        "lines over 120 columns": sum(len(line) > 120 for text in texts.values() for line in text.split("\n")),
        "files of host/ outside workloads/ that name a workload": sum(bool(quoted.search(texts[path])) for path in outside),
    }


def main() -> None:
    """Print the figures of each checkout, side by side."""
    roots = [Path(argument) for argument in sys.argv[1:]] or [Path()]
    columns = [measure(root) for root in roots]
    for name in columns[0]:
        print(f"{name:<56}" + "".join(f"{column[name]!s:<40}" for column in columns))


if __name__ == "__main__":
    main()
