"""Contribution maps of B-cos networks: one functional vector-Jacobian product per target.

Source: Boehle et al., B-cos networks v2 (TPAMI 2024), section 3. ``.grad`` is never used, so that neither earlier results
nor the caller's tensors change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from xai_views.models import evidence, passes
from xai_views.models.bcos import explanation_mode

if TYPE_CHECKING:
    from xai_views.models.families.sic.network import SIC


def pull_back(
    module: nn.Module,
    function: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    vectors: Callable[[torch.Tensor], torch.Tensor],
    keep: Callable[[int, torch.Tensor], Any] = lambda _, weights: weights,
) -> tuple[torch.Tensor, list]:
    """Compute dynamic linear weights of the targets ``vectors . function(x)`` for a batch, with one forward pass.

    Parameters
    ----------
    module : nn.Module
        Network that ``function`` runs; in explanation mode during the call, and restored afterwards.
    function : callable
        Maps encoded images ``[N, C, H, W]`` to ``[N, p]``. The result of a sample must not depend on the others.
    x : Tensor
        ``[N, C, H, W]`` encoded images (``C`` = 6 for RGB with its inverse).
    vectors : callable
        Given the values ``[N, p]``, returns constants ``[N, T, p]``: target t of image n is ``vectors[n, t] . value[n]``.
    keep : callable, optional
        ``keep(t, weights)`` reduces the weights of target t to what is returned; by default the weights themselves.

    Returns
    -------
    value : Tensor
        ``[N, p]``, without graph.
    kept : list
        One entry per target. The weights of a target are its gradient ``[N, C, H, W]``; ``(weights * x).sum((1, 2, 3))`` is
        the target's value for a network without biases.
    """
    # independent of the caller's mode: no-grad and inference mode forbid a graph, autocast rounds the maps
    exact = torch.autocast(x.device.type, enabled=False)
    with torch.inference_mode(False), torch.enable_grad(), exact, explanation_mode(module):
        leaf = x.detach().clone().requires_grad_()
        value = function(leaf)
        passes.count_forward(len(leaf))
        v = vectors(value.detach())
        kept = []
        for t in range(v.shape[1]):
            weights = torch.autograd.grad(value, leaf, v[:, t], retain_graph=t + 1 < v.shape[1])[0]
            passes.count_backward(len(leaf))
            kept.append(keep(t, weights))
    return value.detach(), kept


def contribution(weights: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Signed contribution maps: weights times the encoded input, summed over the channels of a position.

    Images ``[N, 2C, H, W]`` give ``[N, H, W]`` (all channels of a pixel). Signals ``[N, 2C, T]`` give ``[N, C, T]`` (the two
    channels of a lead at a time step).
    """
    parts = weights * x
    return parts.sum(1) if x.ndim == 4 else parts.unflatten(1, (2, -1)).sum(1)


def smooth(alpha: torch.Tensor, size: int) -> torch.Tensor:
    """Average over ``size x size`` pixels, with zeros beyond the border; an even size is increased by one."""
    size += 1 - size % 2
    return F.avg_pool2d(alpha[None, None], size, 1, size // 2)[0, 0] if size > 1 else alpha


def colour_rendering(
    x: torch.Tensor, weights: torch.Tensor, smoothing: int = 9, percentile: float = 99.9
) -> torch.Tensor:
    """Draw the B-cos colour image: the colours and positions that support a target, as RGBA.

    Hue is the direction of the weights; opacity is their norm where the contribution is positive. Opacity is scaled per
    image and cannot be compared between images.

    Parameters
    ----------
    x, weights : Tensor
        ``[2C, H, W]`` image with its inverse, and the dynamic weights of one target; C is 1 or 3.
    smoothing : int
        Side of the averaging window of the opacity in pixels; 0 or 1 = none.
    percentile : float
        Percentile of the opacity that becomes 1.

    Returns
    -------
    Tensor
        ``[H, W, 4]`` in [0, 1]. Fully transparent if nothing contributes positively (the reference code shows black).
    """
    c = x.shape[0] // 2
    positive = (weights / (weights.abs().amax(0, keepdim=True) + 1e-12)).clamp(min=0)
    rgb = positive[:c] / (positive[:c] + positive[c:] + 1e-12)
    rgb = rgb.expand(3, -1, -1) if c == 1 else rgb
    gated = weights.norm(dim=0) * ((weights * x).sum(0) > 0)
    alpha = smooth(gated, smoothing)
    top = torch.quantile(alpha.flatten(), percentile / 100)
    alpha = (alpha / top).clamp(0, 1) if top > 0 else (alpha > 0).to(alpha)
    return torch.cat([rgb, alpha[None]]).permute(1, 2, 0)


def self_contributions(module: SIC, images: np.ndarray, batch: int = 64) -> np.ndarray:
    """Contribution map of each image to the norm of its own evidence vector; 1 forward and 1 backward pass each.

    Parameters
    ----------
    module : SIC
        Not modified.
    images : ndarray
        ``[S, H, W, C]`` uint8, or signals ``[S, lead, time]`` in mV.

    Returns
    -------
    ndarray
        ``[S, H, W]`` or ``[S, lead, time]`` float32; each map sums to ``|V_s|``.
    """
    maps = []
    for start in range(0, len(images), batch):
        x = encoded(module, images[start : start + batch])

        def keep(_: int, weights: torch.Tensor, x: torch.Tensor = x) -> torch.Tensor:
            return contribution(weights, x)

        _, kept = pull_back(
            module, module.latent, x, lambda z: (z / (z.norm(dim=1, keepdim=True) + 1e-12))[:, None], keep
        )
        maps.append(kept[0].float().cpu().numpy())
    return np.concatenate(maps) if maps else np.zeros((0, *images.shape[1:3]), np.float32)


def unfit(model: Any) -> str:
    """Return "" for a SIC network with supports, else the reason."""
    from xai_views.models.families.sic.network import SIC

    if not isinstance(model.module, SIC):
        return (
            f"method 'sic' needs a SIC network and {model.name!r} is a {type(model.module).__name__}; train one with "
            "xai-views train sic."
        )
    if model.supports is None or not len(model.supports):
        return f"model {model.name!r} has no support samples; attach some with xai_views.training.finish.attach_supports."
    return ""


def class_maps(model: Any, images: np.ndarray, targets: Sequence[int]) -> np.ndarray:
    """Contribution map of one class for each image: the sum of its supports' maps, divided by T.

    Parameters
    ----------
    model : Model
        A SIC network with supports.
    images : ndarray
        ``[N, H, W, C]``, or signals.
    targets : sequence of int
        Class index of each image.

    Returns
    -------
    ndarray
        ``[N, H, W]`` in the precision of the network; map and bias sum to the logit.
    """
    supports, module = model.supports, model.module
    x = module.encode(model.tensor(images))

    def vectors(z: torch.Tensor) -> torch.Tensor:
        pull = evidence.pull_vectors(z.cpu().numpy(), supports.vectors)
        summed = [p[supports.of_class(int(c))].sum(0) for p, c in zip(pull, targets, strict=True)]
        return torch.from_numpy(np.stack(summed)[:, None]).to(z)

    def keep(_: int, weights: torch.Tensor) -> np.ndarray:
        return contribution(weights, x).cpu().numpy()

    _, (maps,) = pull_back(module, module.latent, x, vectors, keep)
    return maps / maps.dtype.type(module.temperature)


def encoded(module: SIC, images: np.ndarray) -> torch.Tensor:
    """Encode images ``[N, H, W, C]`` uint8, or signals ``[N, lead, time]`` in mV, for the network."""
    like, given = module.projection.weight, torch.from_numpy(images)
    return module.encode(given.permute(0, 3, 1, 2).to(like).div(255) if images.ndim == 4 else given.to(like))
