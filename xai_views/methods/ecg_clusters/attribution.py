"""How much every step of every lead matters to one logit: gradients, integrated gradients and occlusion of signals.

One record at a time and in calls of bounded size, so that whoever asks can stop between two of them. Sources: integrated
gradients, Sundararajan, Taly and Yan (2017); occlusion, Zeiler and Fergus (2014). Both are those of captum.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import torch

from xai_views.engine.attribution.bcos import contribution, pull_back
from xai_views.engine.attribution.gradients import exact
from xai_views.errors import MethodError, nearest
from xai_views.models import passes
from xai_views.models.evidence import pull_vectors
from xai_views.models.tracing import forward, module_of

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

#: Passes of the network since the last one, until a map ``[lead, time]`` and what it leaves open are there.
Attributing = Generator[int, None, tuple[np.ndarray, float]]


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
    int
        Passes of the network since the last time. Between two yields nothing is held that others could feel.

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
    target = _target(model, target)
    _check(model, name, steps, batch)
    if name == OWN:
        map_, gap = contribution_map(model, x, target)
        yield 1
        return map_, gap
    batch = batch or max(1, AT_ONCE // max(1, x[0].numel()))
    with torch.no_grad():
        whole, zero = (
            forward(module_of(model), torch.cat([x, torch.zeros_like(x)]))[:, target].double().tolist()
        )
    yield 2
    if name == "occlusion":
        map_ = yield from _occlusion(model, x, target, whole, window_steps(model, window), batch)
    elif name == "integrated gradients":
        map_ = yield from _integrated(model, x, target, steps, batch)
    else:
        map_ = (_gradients(model, x, target) * x)[0]
        yield 1
    found = map_.to(x.dtype).cpu().numpy()
    return found, whole - zero - float(found.sum(dtype=np.float64))


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
    done, total, found = 0, len(signals) * cost(model, name, steps=steps, window=window), []
    for signal, target in zip(signals, targets, strict=True):
        if progress is not None:
            progress(done, total)
        run = attributing(model, signal, target, name, steps=steps, window=window, batch=batch)
        while True:
            try:
                done += next(run)
            except StopIteration as end:
                found.append(end.value)
                break
            if progress is not None:
                progress(done, total)
    if not found:
        return np.zeros(signals.shape, np.float32), np.zeros(0)
    return np.stack([m for m, _ in found]), np.array([g for _, g in found])


def cost(model: Any, name: str, *, steps: int = 32, window: float = 0.0) -> int:
    """Forward passes that the attribution of one record needs."""
    if name == "occlusion":
        return 2 + model.channels * len(_starts(model.size[0], window_steps(model, window)))
    return 1 if name == OWN else 2 + (steps if name == "integrated gradients" else 1)


# -- one record ``x [1, lead, time]`` ---------------------------------------------------------------------------


def _gradients(model: Any, x: torch.Tensor, target: int) -> torch.Tensor:
    """Gradients ``[n, lead, time]`` of a logit at records ``[n, lead, time]``."""
    with exact(x.device):
        leaf = x.detach().clone().requires_grad_()
        logit = forward(module_of(model), leaf)[:, target].sum()
        passes.count_backward(len(x))
        return torch.autograd.grad(logit, leaf)[0].detach()


def _integrated(
    model: Any, x: torch.Tensor, target: int, steps: int, batch: int
) -> Generator[int, None, torch.Tensor]:
    """Mean gradient on the way from zeros to the record, times the record."""
    point, weight = np.polynomial.legendre.leggauss(steps)
    point, weight = (torch.from_numpy(v / 2).to(x)[:, None, None] for v in (point + 1, weight))
    total = torch.zeros_like(x[0])
    for start in range(0, steps, batch):
        part = slice(start, start + batch)
        total += (_gradients(model, point[part] * x, target) * weight[part]).sum(0)
        yield len(point[part])
    return total * x[0]


def _occlusion(
    model: Any, x: torch.Tensor, target: int, whole: float, cells: int, batch: int
) -> Generator[int, None, torch.Tensor]:
    """Mean drop of the logit ``whole`` over the windows that cover a step of a lead, divided by their length."""
    starts = _starts(x.shape[2], cells)
    places = [(lead, start) for lead in range(x.shape[1]) for start in starts]
    total = torch.zeros(x.shape[1:], dtype=torch.float64)
    times = torch.zeros(x.shape[2], dtype=torch.float64)
    for start in starts:
        times[start : start + cells] += 1
    for first in range(0, len(places), batch):
        part = places[first : first + batch]
        hidden = x.repeat(len(part), 1, 1)
        for row, (lead, start) in enumerate(part):
            hidden[row, lead, start : start + cells] = 0
        with torch.no_grad():
            logit = forward(module_of(model), hidden)[:, target].double().cpu()
        for (lead, start), said in zip(part, logit.tolist(), strict=True):
            total[lead, start : start + cells] += (whole - said) / cells
        yield len(part)
    return total / times


def _starts(total: int, cells: int) -> range:
    """First steps of windows that overlap by half and reach the end."""
    stride = -(-cells // 2)
    return range(0, max(total - cells, 0) + stride, stride)


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


def _target(model: Any, target: Any) -> int:
    classes = len(model.classes)
    if not isinstance(target, int | np.integer) or isinstance(target, bool):
        raise MethodError(f"the class {target!r} was asked for; give one class number per record.")
    if not 0 <= target < classes:
        raise MethodError(
            f"class {target} was asked for and {model.name!r} has the classes 0 to {classes - 1}; ask for those."
        )
    return int(target)


def _check(model: Any, name: str, steps: int, batch: int | None) -> None:
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
