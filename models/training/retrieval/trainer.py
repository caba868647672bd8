"""Trains S-LISTA on seeded snapshots, a seed after another; a seed's folder holds its log and the state from which it goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.network import F32, ModelError
from models.retrieval.grid import C64
from models.retrieval.snapshots import make_snapshots
from models.training.common.run_folder import MOMENTS, STATE, append_row, damage_named, forget_rows_behind, moments, write_state
from models.training.retrieval.batches import Batch, draw_batch
from models.training.retrieval.network import SLista
from models.training.retrieval.settings import RetrievalSettings

SNR_DB = (5.0, 25.0)
VALIDATION_DB = 15.0
_MIDDLE_DB = 15.0  # of a snapshot that counts 1
_VALIDATED, _VALIDATION_SEED = 1000, 1_000_003  # snapshots; of no training that has a seed below
_COLUMNS = ("iteration", "loss_db", "validation_db", "seconds")
_ROWS = 20  # of a log
_STORE_S = 30
_NORM = 1.0  # at which gradients are clipped
_WARM_UP = 50  # updates over which the learning rate rises
_LEAST_RATE = 0.02  # of the learning rate, at the end

Say = Callable[[str], object]


@dataclass
class Training:
    """One training of S-LISTA in a folder of its own."""

    settings: RetrievalSettings
    seed: int
    folder: Path
    say: Say

    def __post_init__(self) -> None:
        torch.set_num_threads(1)
        settings = self.settings
        self.net = SLista(settings.grid, settings.layers, settings.step, settings.weight)
        self._adam = torch.optim.Adam(self.net.parameters(), lr=settings.lr)

    def finish(self) -> float:
        """Train to the end, or on from where the folder stands; return the validation's NMSE in dB.

        ModelError where the folder's state is damaged; a KeyboardInterrupt leaves a state to go on from.
        """
        settings = self.settings
        self.folder.mkdir(parents=True, exist_ok=True)
        update = self._take_up()
        row_every, losses, stored = max(1, settings.updates // _ROWS), list[float](), time.monotonic()
        begun = time.process_time()
        try:
            while update < settings.updates:
                losses.append(self._learn(update))
                update += 1
                if update % row_every == 0 or update == settings.updates:
                    db = 10 * float(np.log10(np.mean(losses)))
                    row = {"iteration": update, "loss_db": db, "validation_db": self.validate()}
                    append_row(self.folder, _COLUMNS, {**row, "seconds": time.process_time() - begun})
                    self.say(f"seed {self.seed}  update {update:,} of {settings.updates:,}: {row['validation_db']:.2f} dB")
                    losses.clear()
                if time.monotonic() - stored > _STORE_S:
                    self._store(update)
                    stored = time.monotonic()
        finally:
            self._store(update)
        return self.validate()

    def validate(self) -> float:
        """Return the mean error at 15 dB, of snapshots that no training has, in dB."""
        filtered, truth = self._validation
        with torch.no_grad():
            return 10 * float(torch.log10(_errors(self.net(filtered)[-1], truth).mean()))

    @cached_property
    def _validation(self) -> tuple[Tensor, Tensor]:
        """Matched filters and truths."""
        grid, targets = self.settings.grid, self.settings.targets
        made = make_snapshots(grid, _VALIDATED, targets=targets, snr_db=VALIDATION_DB, seed=_VALIDATION_SEED)
        return torch.from_numpy(grid.matched_filter(made.received)), torch.from_numpy(made.truth)

    def arrays(self) -> tuple[C64, F32, F32]:
        """Return what was trained: kernels complex64 (layers, *cells), gains and thresholds (layers,)."""
        net = self.net
        kernels, gains, thresholds = torch.view_as_complex(net.kernels), net.gains, net.thresholds.abs()
        return kernels.detach().numpy(), gains.detach().numpy(), thresholds.detach().numpy()

    def _learn(self, update: int) -> float:
        """Take one step; return the loss of the last layer."""
        settings = self.settings
        share = (1 + np.cos(np.pi * update / settings.updates)) / 2
        rate = settings.lr * (_LEAST_RATE + (1 - _LEAST_RATE) * share) * min(1.0, (update + 1) / _WARM_UP)
        for group in self._adam.param_groups:
            group["lr"] = rate
        random = np.random.default_rng([self.seed, update])
        batch = draw_batch(settings.grid, settings.batch, random, targets=settings.targets, snr_db=SNR_DB)
        parts = self._losses(batch)
        loss = parts[-1] + settings.inner * sum(parts[:-1], torch.zeros(()))
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), _NORM)
        self._adam.step()
        return float(parts[-1].detach())

    def _losses(self, batch: Batch) -> list[Tensor]:
        counts = 10 ** (self.settings.clear * (batch.snr_db - _MIDDLE_DB) / 10)
        weight, truth = torch.from_numpy((counts / counts.mean()).astype(np.float32)), torch.from_numpy(batch.truth)
        return [(weight * _errors(x, truth)).mean() for x in self.net(torch.from_numpy(batch.filtered))]

    def _take_up(self) -> int:
        """Take up the folder's state, if there is one; return the updates done."""
        path = self.folder / STATE
        if not path.exists():
            return 0
        with damage_named(self.folder):
            state = load_file(path)
            update = int(state["update"])
            for name, parameter in self.net.named_parameters():
                with torch.no_grad():
                    parameter.copy_(state[name])
                own = {part: state[f"{part}:{name}"] for part in MOMENTS if f"{part}:{name}" in state}
                if own:
                    self._adam.state[parameter] = {"step": torch.tensor(float(update)), **own}
            forget_rows_behind(self.folder, _COLUMNS, update)
        return update

    def _store(self, update: int) -> None:
        tensors = {"update": torch.tensor(update)}
        for name, parameter in self.net.named_parameters():
            tensors[name] = parameter.detach()
            tensors |= {f"{part}:{name}": value for part, value in moments(self._adam, parameter).items()}
        write_state(self.folder, tensors, {})


def train_all(settings: RetrievalSettings, out: Path, say: Say) -> tuple[Training, list[dict[str, float]]]:
    """Train every seed in `out`/seed-N; return the best by its validation, and what came of each.

    ModelError where the folder is of other settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    about, path = json.dumps({k: v for k, v in asdict(settings).items() if k != "seeds"}, indent=1), out / "settings.json"
    if path.exists() and path.read_text(encoding="utf-8") != about:
        raise ModelError(f"--out {out}: holds a training of other settings; take another folder or the same settings")
    path.write_text(about, encoding="utf-8")
    numbers = range(settings.seed, settings.seed + settings.seeds)
    trainings = [Training(settings, seed, out / f"seed-{seed}", say) for seed in numbers]
    found = [{"seed": training.seed, "validation_db": training.finish()} for training in trainings]
    best = min(range(len(found)), key=lambda n: found[n]["validation_db"])
    return trainings[best], found


def _errors(x: Tensor, truth: Tensor) -> Tensor:
    """Return |x - truth|^2 / |truth|^2 of each snapshot."""
    error, size = (torch.view_as_real(part).square().flatten(1).sum(1) for part in (x - truth, truth))
    return error / size
