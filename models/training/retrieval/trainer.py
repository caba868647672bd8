"""Trains S-LISTA on seeded snapshots; a run folder holds its log and the state from which it goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from models.network import ModelError
from models.retrieval.snapshots import make_snapshots
from models.training.retrieval.network import SLista
from models.training.retrieval.settings import RetrievalSettings

STATE, SETTINGS, LOG, WEIGHTS = "state.pt", "settings.json", "log.csv", "weights.npz"
SNR_DB = (5.0, 25.0)
_STORE_S = 20
_NORM = 1.0  # at which gradients are clipped


def train(settings: RetrievalSettings, out: Path, say: Callable[[str], object]) -> None:
    """Train to the end, or on from where the folder stands; leaves `weights.npz`.

    ModelError where the folder is of other settings; KeyboardInterrupt leaves a state to go on from.
    """
    out.mkdir(parents=True, exist_ok=True)
    about = json.dumps(asdict(settings), indent=1)
    if (out / SETTINGS).exists() and (out / SETTINGS).read_text() != about:
        raise ModelError(f"--out {out}: holds a training of other settings; take another folder or the same settings")
    (out / SETTINGS).write_text(about)
    torch.set_num_threads(1)
    grid = settings.grid
    net = SLista(grid, settings.layers)
    adam = torch.optim.Adam(net.parameters(), lr=settings.rate)
    update, loss_sum, losses = 0, 0.0, 0
    if (out / STATE).exists():
        state = torch.load(out / STATE, weights_only=True)
        net.load_state_dict(state["net"])
        adam.load_state_dict(state["adam"])
        update = state["update"]
        say(f"goes on from update {update:,}")
    stored = time.monotonic()
    while update < settings.updates:
        for group in adam.param_groups:
            group["lr"] = settings.rate * (0.02 + 0.98 * (1 + np.cos(np.pi * update / settings.updates)) / 2)
        made = make_snapshots(
            grid, settings.batch, targets=settings.targets, snr_db=SNR_DB, seed=settings.seed, first=update * settings.batch
        )
        filtered, truth = torch.from_numpy(grid.matched_filter(made.received)), torch.from_numpy(made.truth)
        outputs = net(filtered)
        parts = [_nmse(x, truth, grid.axes) for x in outputs]
        loss = parts[-1] + settings.inner * sum(parts[:-1], torch.zeros(()))
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), _NORM)
        adam.step()
        update, loss_sum, losses = update + 1, loss_sum + float(parts[-1].detach()), losses + 1
        if time.monotonic() - stored > _STORE_S or update == settings.updates:
            stored = time.monotonic()
            part = out / f"{STATE}.part"
            torch.save({"net": net.state_dict(), "adam": adam.state_dict(), "update": update}, part)
            part.replace(out / STATE)
            with (out / LOG).open("a") as log:
                log.write(f"{update},{10 * np.log10(loss_sum / losses):.3f}\n")
            say(f"update {update:,} of {settings.updates:,}: {10 * np.log10(loss_sum / losses):.2f} dB")
            loss_sum, losses = 0.0, 0
            _write_weights(net, out / WEIGHTS)
    _write_weights(net, out / WEIGHTS)


def _nmse(x: torch.Tensor, truth: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    error = (x - truth).abs().square().sum(dim=axes)
    return (error / truth.abs().square().sum(dim=axes)).mean()


def _write_weights(net: SLista, path: Path) -> None:
    part = path.with_suffix(".part.npz")
    np.savez(
        part,
        kernels=torch.view_as_complex(net.kernels.detach()).numpy(),
        gains=net.gains.detach().numpy(),
        thresholds=net.thresholds.detach().abs().numpy(),
    )
    part.replace(path)
