"""How much every step of every lead matters to one logit: gradients, integrated gradients and occlusion of signals.

One record at a time and in calls of bounded size, so that whoever asks can stop between two of them.
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

#: name -> what it costs per record, beside 2 forward passes for what it leaves open.
METHODS: dict[str, str] = {
    "gradient x input": "1 forward and 1 backward pass",
    "integrated gradients": "1 forward and 1 backward pass per step (32)",
    "occlusion": "1 forward pass per window and lead (about 49 per lead)",
}
#: What only SIC networks have: the parts of the logit itself, at 1 forward and 1 backward pass.
OWN = "contribution map"
#: A window of occlusion is this share of the record where none is asked for; windows overlap by half.
WINDOWS = 25
#: Steps of a lead that go through a network together.
AT_ONCE = 12 * 4096 * 8

#: How far it is, with ``(map, gap)`` as they are so far where that says something; the whole ones at the end.
Attributing = Generator[Progress, None, tuple[np.ndarray, float]]


class _Leads(Asked):
    """The network asked with ``[N, 1, lead, time]``, so that a window may cover a single lead."""

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
    """Attribution of one record, for one class.

    Parameters
    ----------
    model : Model
        A network of signals.
    signal : ndarray
        ``[lead, time]`` in mV.
    target : int
        The class.
    name : str
        One of :data:`METHODS`, or :data:`OWN`. Integrated gradients start from, and occlusion puts, the line at 0 mV.
    steps : int
        Of integrated gradients (Gauss-Legendre).
    window : float
        Of occlusion in s (in steps where the model has no rate); 0 = a twenty-fifth of the record. Each lead is
        occluded by itself, in windows that overlap by half.
    batch : int, optional
        Copies of the record that go through the network together; by default as many as have about 400,000 values.

    Yields
    ------
    Progress
        Before each call of the network.

    Returns
    -------
    attribution : ndarray
        ``[lead, time]`` float32 (float64 for a network in float64), in logits per step. Gradients give 0 wherever the
        signal is 0, padding included. Occlusion gives every step the mean drop of the windows that cover it, divided by
        their length, so that the steps of a window sum to about what is lost without it.
    gap : float
        What the attribution leaves open of the difference between the logits of the record and of a record of zeros.
        Integrated gradients close it with enough steps; the others need not: of gradient x input it is what is not linear,
        of occlusion what windows and leads do together.

    Raises
    ------
    MethodError
        For another method, class, number of steps or window.
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
    """Attribution of some records ``[N, lead, time]``, each for one class, see :func:`attributing`.

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
            f"{len(signals)} record(s) came with targets of shape {list(np.shape(targets))}; give one class number per record."
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
    """Forward passes that the attribution of one record needs."""
    if name == "occlusion":
        cells = window_steps(model, window)
        shape = (model.channels, model.size[0])
        return 3 + len(occlusion_windows(shape, (1, cells), (1, -(-cells // 2))))
    return 1 if name == OWN else 2 + (steps if name == "integrated gradients" else 1)


def has_own(model: Any) -> bool:
    """Whether a network has contribution maps of its own: a SIC network with supports."""
    return model.supports is not None and len(model.supports) > 0


def contribution_map(model: Any, x: torch.Tensor, target: int) -> tuple[np.ndarray, float]:
    """What each lead at each step adds to a logit of a SIC network, ``[lead, time]``, and what is left.

    The evidence of all supports of the class together: its pull-back vector is the sum of theirs.
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
        raise MethodError(f"the class {target!r} was asked for; give one class number per record.")
    if not 0 <= target < classes:
        raise MethodError(
            f"class {target} was asked for and {model.name!r} has the classes 0 to {classes - 1}; ask for those."
        )
    if name == OWN and not has_own(model):
        raise MethodError(
            f"a contribution map was asked of {model.name!r}, and only SIC networks have one; ask for {', '.join(METHODS)}."
        )
    if name not in METHODS and name != OWN:
        raise MethodError(f"attribution {name!r} is not known; there is {nearest(name, METHODS)}.")
    if steps < 1 or (batch is not None and batch < 1):
        raise MethodError(
            f"{steps if steps < 1 else batch} was given as number of steps or size of a batch; give at least 1."
        )


def window_steps(model: Any, window: float) -> int:
    """Length of a window of occlusion in steps.

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
            f"a window of {window:g} s was given for occlusion and the record has {seconds:g} s; give a shorter one of at "
            "least one step."
        )
    return cells
