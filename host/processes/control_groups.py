"""Control groups, versions 1 and 2: what the container of this process may have of memory and tasks, and what the kernel ended."""

from pathlib import Path

UNLIMITED = 1 << 62
_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def task_headroom() -> int:
    """Return how many more tasks the groups around this process allow."""
    return min((_number(group / "pids.max") - _number(group / "pids.current", 0) for group in _groups("pids")), default=UNLIMITED)


def memory_headroom_bytes() -> int:
    """Return how much more memory the groups around this process allow; what files take there can be had back."""
    left = [UNLIMITED]
    for group in _groups("memory"):
        files = max((count for word, count in _counts(group / "memory.stat") if word.endswith("inactive_file")), default=0)
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            left.append(_number(group / limit) - max(_number(group / used, 0) - files, 0))
    return min(left)


def out_of_memory_kills() -> int:
    """Return how many processes of this process's groups the kernel has ended for their memory limit; 0 where it does not say."""
    files = [group / name for group in _groups("memory") for name in ("memory.events", "memory.oom_control")]
    return max((count for file in files for word, count in _counts(file) if word == "oom_kill"), default=0)


def _groups(controller: str) -> list[Path]:
    """Return the folders of the groups that count `controller` for this process: its own, and those around it."""
    try:
        lines = _OWN.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    groups = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            root, own = _GROUPS / controllers, Path(path.lstrip("/"))
            # In a container the path may be that on the machine outside; then the root of what is seen is the container's.
            groups += [group for group in (root / own, *(root / parent for parent in own.parents)) if group.is_dir()]
    return list(dict.fromkeys(groups))


def _number(path: Path, otherwise: int = UNLIMITED) -> int:
    """Return the number in a file; `otherwise` where there is none ("max")."""
    try:
        return min(int(path.read_text(encoding="ascii")), UNLIMITED)
    except (OSError, ValueError):
        return otherwise


def _counts(path: Path) -> list[tuple[str, int]]:
    """Return the lines of a file that are a word and a number."""
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError):
        return []
    return [(line[0], int(line[1])) for line in lines if len(line) == 2 and line[1].isdecimal()]
