"""Attribution of one logit to every time step of every lead: gradients, integrated gradients and occlusion.

Records are processed one at a time, in calls of bounded size, so that the caller can stop between calls.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from xai_views.contract.method import Progress
from xai_views.engine.attribution.bcos import contribution, pull_back
from xai_views.engine.attribution.gradients import STEPS
from xai_views.engine.attribution.steps import Asked, exact, occlusion_windows, relayed, whole
from xai_views.errors import MethodError, nearest
from xai_views.models.evidence import pull_vectors

#: name -> cost per record, in addition to the 2 forward passes for the gap.
METHODS: dict[str, str] = {
    "gradient x input": "1 forward and 1 backward pass",
    "integrated gradients": "1 forward and 1 backward pass per step (32)",
    "occlusion": "1 forward pass per window and lead (about 49 per lead)",
}
#: Available for SIC networks only: exact contributions to the logit, at 1 forward and 1 backward pass.
OWN = "contribution map"
#: Default occlusion window: this fraction of the record (1 / WINDOWS); windows overlap by half.
WINDOWS = 25
#: Number of lead values that pass through the network together.
AT_ONCE = 12 * 4096 * 8

#: Generator of progress, with the intermediate ``(map, gap)`` where one is meaningful; returns the final ones.
Attributing = Generator[Progress, None, tuple[np.ndarray, float]]


class _Leads(Asked):
    """Wrapper of the network for inputs ``[N, 1, lead, time]``, so that an occlusion window can cover a single lead."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return super().__call__(x[:, 0])


def attributing(
    model: Any,
    signal: np.ndarray,
    target: int,
    name: str,
    *,
    steps: int = 32,
    window: float = 0.0,
    batch: int | None = None,
) -> Attributing:
    """Compute the attribution of one record for one class.

    Parameters
    ----------
    model : Model
        A signal network.
    signal : ndarray
        ``[lead, time]`` in mV.
    target : int
        Explained class.
    name : str
        One of :data:`METHODS`, or :data:`OWN`. The baseline of integrated gradients and occlusion is 0 mV.
    steps : int
        Steps of integrated gradients (Gauss-Legendre).
    window : float
        Length of an occlusion window in s (in steps if the model has no rate); 0 = a twenty-fifth of the record. Each lead
        is occluded separately, in windows that overlap by half.
    batch : int, optional
        Copies of the record per call; by default as many as have about 400,000 values.

    Yields
    ------
    Progress
        Before each call of the network.

    Returns
    -------
    attribution : ndarray
        ``[lead, time]`` float32 (float64 for a network in float64), in logits per step. Gradient methods give 0 wherever the
        signal is 0, padding included. Occlusion gives every step the mean drop over the windows that cover it, divided by
        the window length, so that the steps of a window sum to about the drop when it is occluded.
    gap : float
        Difference between the logits of the record and of a record of zeros that the attribution does not account for.
        It vanishes for integrated gradients with enough steps, but not for the others: for gradient x input it is the
        non-linear part, for occlusion the interaction of windows and leads.

    Raises
    ------
    MethodError
        For an unknown method, class, number of steps or window.
    ModelError
        When the signal does not fit the network.
    """
    x = model.tensor(np.asarray(signal)[None])
    _check(model, target, name, steps, batch)
    asked = _Leads(model, cost(model, name, steps=steps, window=window))
    yield asked.so_far()
    if name == OWN:
        return contribution_map(model, x, target)
    cells = window_steps(model, window) if name == "occlusion" else 1
    x, targets = x[:, None], torch.tensor([target], device=x.device)
    with exact(x.device), torch.no_grad():
        whole, zero = asked.of(torch.cat([x, torch.zeros_like(x)]), targets.repeat(2)).double().tolist()

    def closed(map_: torch.Tensor) -> tuple[np.ndarray, float]:
        found = (map_.detach() / cells).to(x.dtype).cpu().numpy()
        return found, whole - zero - float(found.sum(dtype=np.float64))

    options = {
        "steps": steps,
        "batch": batch or max(1, AT_ONCE // x.numel()),
        "window": (1, cells),
        "stride": (1, -(-cells // 2)),
        "baseline": torch.zeros_like(x),
    }
    run = relayed(
        STEPS[name](asked, x, targets, options),
        lambda p: replace(p, partial=p.partial and [closed(p.partial[0])]),
    )
    return closed((yield from run)[0, 0])


def attribute(
    model: Any,
    signals: np.ndarray,
    targets: Sequence[int],
    name: str,
    *,
    steps: int = 32,
    window: float = 0.0,
    batch: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the attribution of records ``[N, lead, time]``, each for one class, see :func:`attributing`.

    Returns
    -------
    attribution : ndarray
        ``[N, lead, time]``.
    gap : ndarray
        ``[N]`` float64.
    """
    signals = np.asarray(signals)
    model.check(signals)
    if np.shape(targets) != (len(signals),):
        raise MethodError(
            f"{len(signals)} record(s) were given with targets of shape {list(np.shape(targets))}; give one class index per "
            "record."
        )
    found = []
    for row, (signal, target) in enumerate(zip(signals, targets, strict=True)):

        def told(done: int, total: int, row: int = row) -> None:
            if progress is not None:
                progress(row * total + done, len(signals) * total)

        found.append(
            whole(attributing(model, signal, target, name, steps=steps, window=window, batch=batch), told)
        )
    if not found:
        return np.zeros(signals.shape, np.float32), np.zeros(0)
    return np.stack([m for m, _ in found]), np.array([g for _, g in found])


def cost(model: Any, name: str, *, steps: int = 32, window: float = 0.0) -> int:
    """Number of forward passes that the attribution of one record needs."""
    if name == "occlusion":
        cells = window_steps(model, window)
        shape = (model.channels, model.size[0])
        return 3 + len(occlusion_windows(shape, (1, cells), (1, -(-cells // 2))))
    return 1 if name == OWN else 2 + (steps if name == "integrated gradients" else 1)


def has_own(model: Any) -> bool:
    """Return whether a network has exact contribution maps: a SIC network with supports."""
    return model.supports is not None and len(model.supports) > 0


def contribution_map(model: Any, x: torch.Tensor, target: int) -> tuple[np.ndarray, float]:
    """Contribution ``[lead, time]`` of each lead at each step to a logit of a SIC network, and the residual.

    Covers all supports of the class together: the joint pull-back vector is the sum of theirs.
    """
    network, supports = model.module, model.supports
    logits: list[torch.Tensor] = []

    def vectors(z: torch.Tensor) -> torch.Tensor:
        logits.append(network.logits(network.scores(z)))
        pull = pull_vectors(z.cpu().numpy(), supports.vectors.astype(z.cpu().numpy().dtype))
        own = pull[:, supports.of_class(target)].sum(1)
        return torch.from_numpy(own)[:, None].to(z) / network.temperature

    encoded = network.encode(x)
    _, (map_,) = pull_back(
        network, network.latent, encoded, vectors, lambda _, weights: contribution(weights, encoded)
    )
    logit = float(logits[0][0, target].double())
    return map_[0].cpu().numpy(), logit - network.bias - float(map_[0].double().sum())


def _check(model: Any, target: Any, name: str, steps: int, batch: int | None) -> None:
    classes = len(model.classes)
    if not isinstance(target, int | np.integer) or isinstance(target, bool):
        raise MethodError(f"class {target!r} was given; give one class index per record.")
    if not 0 <= target < classes:
        raise MethodError(
            f"class {target} was requested and {model.name!r} has the classes 0 to {classes - 1}; choose one of those."
        )
    if name == OWN and not has_own(model):
        raise MethodError(
            f"a contribution map was requested from {model.name!r}, but only SIC networks have one; choose {', '.join(METHODS)}."
        )
    if name not in METHODS and name != OWN:
        raise MethodError(f"attribution {name!r} is not known; choose {nearest(name, METHODS)}.")
    if steps < 1 or (batch is not None and batch < 1):
        raise MethodError(
            f"{steps if steps < 1 else batch} was given as the number of steps or the batch size; give at least 1."
        )


def window_steps(model: Any, window: float) -> int:
    """Return the length of an occlusion window in steps.

    Raises
    ------
    MethodError
        When it is shorter than a step or longer than the record.
    """
    total = model.size[0]
    if not window:
        return max(1, round(total / WINDOWS))
    cells = round(window * (model.rate or 1.0)) if np.isfinite(window) else 0
    if not 1 <= cells <= total:
        seconds = total / (model.rate or 1.0)
        raise MethodError(
            f"an occlusion window of {window:g} s was given and the record has {seconds:g} s; give a window of at least one step "
            "that fits into the record."
        )
    return cells
