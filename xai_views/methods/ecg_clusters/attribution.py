"""How much every step of every lead matters to one logit: captum's methods, asked with signals in place of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from xai_views.engine.attribution.bcos import contribution, pull_back
from xai_views.engine.attribution.gradients import TENSOR, Asked, Progress, exact
from xai_views.errors import MethodError, nearest
from xai_views.models.evidence import pull_vectors
from xai_views.models.tracing import forward

#: name -> what it costs per record.
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


class _Leads(Asked):
    """The network asked with ``[N, 1, lead, time]``, so that a window may cover a single lead."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return super().__call__(x[:, 0])


def attribute(
    model: Any,
    signals: np.ndarray,
    targets: Sequence[int],
    name: str,
    *,
    steps: int = 32,
    window: float = 0.0,
    batch: int | None = None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Attribution of a batch of records, each for one class.

    Parameters
    ----------
    model : Model
        A network of signals.
    signals : ndarray
        ``[N, lead, time]`` in mV.
    targets : sequence of int
        The class of each record.
    name : str
        One of :data:`METHODS`, or :data:`OWN`. Integrated gradients start from, and occlusion puts, the line at 0 mV.
    steps : int
        Of integrated gradients (Gauss-Legendre).
    window : float
        Of occlusion in s (in steps where the model has no rate); 0 = a twenty-fifth of the record. Each lead is
        occluded by itself, in windows that overlap by half.
    batch : int, optional
        Records that go through the network together; by default as many as have about 400,000 values.
    progress : callable, optional
        ``progress(done, total)`` before each call of the network; may raise to stop.

    Returns
    -------
    attribution : ndarray
        ``[N, lead, time]`` float32 (float64 for a network in float64), in logits per step. Gradients give 0 wherever the
        signal is 0, padding included. Occlusion gives every step the mean drop of the windows that cover it, divided by
        their length, so that the steps of a window sum to about what is lost without it.
    gap : ndarray
        ``[N]`` float64: what the attribution leaves open of the difference between the logits of the record and of a
        record of zeros. Integrated gradients close it with enough steps; the others need not: of gradient x input it is
        what is not linear, of occlusion what windows and leads do together.

    Raises
    ------
    MethodError
        For another method, class, number of steps or window.
    ModelError
        When the signals do not fit the network.
    """
    signals = np.asarray(signals)
    x = model.tensor(signals)
    targets = _targets(model, signals, targets)
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
    if not len(x):
        return np.zeros(signals.shape, np.float32), np.zeros(0)
    if name == OWN:
        return contribution_maps(model, x, targets)
    batch = batch or max(1, AT_ONCE // max(1, int(np.prod(signals.shape[1:]))))
    cells = window_steps(model, window)
    asked = _Leads(model, len(x) * (steps if name == "integrated gradients" else 1), progress)
    options = {"steps": steps, "batch": batch, "window": (1, cells), "stride": (1, -(-cells // 2))}
    own = torch.from_numpy(targets).to(x.device)
    found, gap = [], []
    with exact(x.device):
        with torch.no_grad():
            zero = forward(asked.module, torch.zeros_like(x[:1]))[0]
        for start in range(0, len(x), batch):
            part, t = x[start : start + batch, None], own[start : start + batch]
            options["baseline"] = torch.zeros_like(part)
            map_ = TENSOR[name](asked, part, t, options).detach()[:, 0]
            map_ = map_ / cells if name == "occlusion" else map_
            with torch.no_grad():
                logit = forward(asked.module, part[:, 0]).gather(1, t[:, None])[:, 0]
            gap.append((logit - zero[t]).double() - map_.double().sum((1, 2)))
            found.append(map_.to(x.dtype))
    return torch.cat(found).cpu().numpy(), torch.cat(gap).cpu().numpy()


def has_own(model: Any) -> bool:
    """Whether a network has contribution maps of its own: a SIC network with supports."""
    return model.supports is not None and len(model.supports) > 0


def contribution_maps(model: Any, x: torch.Tensor, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each lead at each step adds to the logit of a SIC network, ``[N, lead, time]``, and what is left, ``[N]``.

    The evidence of all supports of the class together: its pull-back vector is the sum of theirs.
    """
    network, supports = model.module, model.supports
    logits: list[torch.Tensor] = []

    def vectors(z: torch.Tensor) -> torch.Tensor:
        logits.append(network.logits(network.scores(z)))
        pull = pull_vectors(z.cpu().numpy(), supports.vectors.astype(z.cpu().numpy().dtype))
        own = [p[supports.of_class(c)].sum(0) for p, c in zip(pull, targets, strict=True)]
        return torch.from_numpy(np.stack(own))[:, None].to(z) / network.temperature

    encoded = network.encode(x)
    _, (map_,) = pull_back(
        network, network.latent, encoded, vectors, lambda _, weights: contribution(weights, encoded)
    )
    logit = logits[0].gather(1, torch.from_numpy(targets).to(x.device)[:, None])[:, 0].double()
    gap = logit - network.bias - map_.double().sum((1, 2))
    return map_.cpu().numpy(), gap.cpu().numpy()


def _targets(model: Any, signals: np.ndarray, targets: Sequence[int]) -> np.ndarray:
    given, classes = np.atleast_1d(np.asarray(targets)), len(model.classes)
    if given.shape != (len(signals),) or (given.size and given.dtype.kind not in "iu"):
        raise MethodError(
            f"{len(signals)} record(s) came with targets of shape {list(given.shape)}; give one class number per record."
        )
    wrong = given[(given < 0) | (given >= classes)]
    if len(wrong):
        raise MethodError(
            f"class {wrong[0]} was asked for and {model.name!r} has the classes 0 to {classes - 1}; ask for those."
        )
    return given.astype(np.int64)


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
