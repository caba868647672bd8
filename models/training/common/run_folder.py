"""A run's folder on disk: its log, a row at a time, and its state, whole or not at all.

Every trainer keeps `log.csv` and `state.safetensors` here and goes on from them to the same end. Nothing here unpickles,
and nothing here knows what is trained: a trainer says which tensors and which texts its state is made of.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.network import ModelError

LOG, STATE, BEST = "log.csv", "state.safetensors", "best.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")  # what AdamW keeps of a parameter beside its step


def append_row(folder: Path, columns: Sequence[str], row: Mapping[str, Any]) -> None:
    """Append a row to the log, which begins with `columns`; floats are written to 6 digits."""
    path = folder / LOG
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns)
        if fresh:
            table.writeheader()
        table.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()})


def forget_rows_behind(folder: Path, columns: Sequence[str], iteration: int) -> None:
    """Take rows out of the log that a run wrote after its last state, before it died: they are made again."""
    path = folder / LOG
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if int(row["iteration"]) <= iteration]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows)


def write_state(folder: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write the state so that a reader sees this one or the one before it, never a part."""
    unfinished = folder / "state.unfinished"
    save_file(dict(tensors), unfinished, dict(about))
    unfinished.replace(folder / STATE)


def write_best(folder: Path, parameters: Iterable[tuple[str, Tensor]]) -> None:
    """Keep these parameters as the run's best."""
    save_file({name: value.detach().cpu().contiguous() for name, value in parameters}, folder / BEST)


def read_best(folder: Path, figure: str) -> dict[str, Tensor]:
    """Return the run's best parameters; ModelError where no epoch had a finite `figure`."""
    if not (folder / BEST).exists():
        raise ModelError(f"{folder}: training diverged, no epoch had a finite {figure}; use a lower --lr")
    return load_file(folder / BEST)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return torch's random state as tensors of a state."""
    tensors = {"random": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["random:cuda"] = torch.cuda.get_rng_state(device)
    return tensors


def set_random_state(tensors: Mapping[str, Tensor], device: torch.device) -> None:
    """Put torch's random state back from what `random_state` gave."""
    torch.set_rng_state(tensors["random"])
    if "random:cuda" in tensors and device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random:cuda"], device)


def moments(optimiser: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """Return what the optimiser keeps of a parameter; empty before its first step."""
    known = optimiser.state.get(parameter, {})
    return {part: known[part] for part in MOMENTS if part in known}


def need_same_settings(path: Path, stored: Any, own: Any) -> None:
    """Raise ModelError, naming what differs, unless a state's settings (a dataclass) are this run's."""
    if stored != own:
        needed = asdict(own)
        other = [name for name, value in asdict(stored).items() if value != needed[name]]
        raise ModelError(f"{path}: belongs to a run with another {', '.join(other)}; use another --out")


@contextmanager
def damage_named(folder: Path) -> Iterator[None]:
    """Turn what a damaged state or log raises into one line."""
    try:
        yield
    except ModelError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelError(f"{folder}: {STATE} or {LOG} is damaged ({why}); remove it or use another --out") from error
