"""Training loop: seeded, resumable after every epoch, with a progress bar."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from xai_views.errors import ModelError


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"optimizer.{i}.{k}": torch.as_tensor(v) for i, s in state.items() for k, v in s.items()}


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    full = optimizer.state_dict()
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        _, i, name = key.split(".", 2)
        state.setdefault(int(i), {})[name] = value
    full["state"] = state
    optimizer.load_state_dict(full)


def save_progress(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, curves: list[dict], stamp: str = ""
) -> None:
    """Write weights, optimiser state and curves to a temporary file and rename it, so that a crash leaves the older state."""
    tensors = {f"module.{k}": v.contiguous() for k, v in module.state_dict().items()}
    tensors |= _optimizer_tensors(optimizer)
    aside = folder / "progress.safetensors.part"
    save_file(tensors, aside, metadata={"curves": json.dumps(curves), "stamp": stamp})
    aside.replace(folder / "progress.safetensors")


def load_progress(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, stamp: str = ""
) -> list[dict]:
    """Restore the output of :func:`save_progress`; return the curves, empty when there is nothing to resume.

    Raises
    ------
    ModelError
        When the progress has another stamp: the result would be a network that its card does not describe.
    """
    from safetensors import safe_open

    path = folder / "progress.safetensors"
    if not path.is_file():
        return []
    with safe_open(path, "pt") as f:
        metadata = f.metadata()
    if stamp and metadata.get("stamp", stamp) != stamp:
        raise ModelError(
            f"{str(folder)!r} holds the progress of a run with other samples or another recipe; choose another --out or "
            "delete that folder."
        )
    tensors = load_file(path)
    module.load_state_dict({k[7:]: v for k, v in tensors.items() if k.startswith("module.")})
    _restore_optimizer(optimizer, {k: v for k, v in tensors.items() if k.startswith("optimizer.")})
    return json.loads(metadata["curves"])


def fit(
    module: nn.Module,
    batches: Callable[[int], Iterator],
    loss: Callable,
    *,
    epochs: int,
    steps: int,
    rate: float,
    folder: Path | None = None,
    stamp: str = "",
    validate: Callable[[], dict] | None = None,
    weight_decay: float = 0.0,
    label: str = "training",
    quiet: bool = False,
) -> list[dict]:
    """Train with AdamW and a one-cycle rate: up to ``rate`` in the first fifth, then down to zero.

    Parameters
    ----------
    module : nn.Module
        Trained in place.
    batches : callable
        ``batches(epoch)`` yields ``steps`` batches; it must depend only on the epoch number, so that a resumed run
        gets the same batches as an uninterrupted one.
    loss : callable
        ``loss(batch) -> Tensor`` scalar.
    epochs, steps : int
        Number of epochs and batches per epoch.
    rate : float
        Peak learning rate.
    folder : Path, optional
        Folder of the progress; without it the run cannot be resumed.
    stamp : str
        Identity of the run; progress with another stamp is not resumed.
    validate : callable, optional
        Called after each epoch in evaluation mode; its dict is added to the curves.

    Returns
    -------
    list of dict
        One entry per epoch: ``epoch``, ``loss`` and the output of ``validate``.
    """
    from tqdm import tqdm

    optimizer = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=weight_decay)
    whole = max(epochs * steps + 1, 6)  # a rise over zero steps would divide by zero
    schedule = OneCycleLR(optimizer, rate, whole, pct_start=0.2, cycle_momentum=False)
    curves = load_progress(folder, module, optimizer, stamp) if folder else []
    with warnings.catch_warnings():  # a resumed run continues from steps of an earlier process
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
        for _ in range(len(curves) * steps):
            schedule.step()
    for epoch in range(len(curves), epochs):
        module.train()
        total = 0.0
        bar = tqdm(
            batches(epoch), total=steps, desc=f"{label} {epoch + 1}/{epochs}", disable=quiet, mininterval=2
        )
        for batch in bar:
            optimizer.zero_grad(set_to_none=True)
            value = loss(batch)
            value.backward()
            optimizer.step()
            schedule.step()
            total += float(value.detach())
        module.eval()
        curves.append(
            {"epoch": epoch + 1, "loss": round(total / steps, 6)} | (validate() if validate else {})
        )
        if not quiet:
            tqdm.write(" ".join(f"{k}={v:.4g}" for k, v in curves[-1].items()))
        if folder:
            save_progress(folder, module, optimizer, curves, stamp)
    return curves
