"""Saliency maps: how much each pixel matters to one logit, by gradients, occlusion or contributions, and controls.

All maps explain logits, not probabilities. Where captum has the same method, its answer is the same (but captum's guided
backpropagation and Grad-CAM see only ``nn.ReLU`` modules and maps with channels first).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import torch

from xai_views.contract.method import Progress
from xai_views.engine.attribution.bcos import class_maps, unfit
from xai_views.engine.attribution.gradients import STEPS, cam_path, comfortable, grad_cam, guided
from xai_views.engine.attribution.steps import Asked, exact, occlusion_windows, relayed, whole
from xai_views.engine.kept import Kept
from xai_views.errors import MethodError, ModelError, nearest
from xai_views.models.tracing import example

__all__ = [
    "CONTROLS",
    "FILLS",
    "METHODS",
    "REDUCTIONS",
    "cam_path",
    "control",
    "fits",
    "images_asked",
    "saliency",
    "saliency_steps",
]

#: name -> (title, what it costs per image).
METHODS: dict[str, tuple[str, str]] = {
    "gradient": ("Gradient", "1 forward and 1 backward pass"),
    "gradient x input": ("Gradient x input", "1 forward and 1 backward pass"),
    "integrated gradients": ("Integrated gradients", "1 forward and 1 backward pass per step (32)"),
    "guided backprop": ("Guided backpropagation", "1 forward and 1 backward pass"),
    "grad-cam": ("Grad-CAM", "1 forward pass; 1 backward pass where the head is not linear"),
    "occlusion": ("Occlusion", "1 forward pass per window (about 225)"),
    "random": ("Control: random", "no pass"),
    "edges": ("Control: edges", "no pass"),
    "centre": ("Control: centre", "no pass"),
    "sic": ("B-cos contribution (SIC)", "1 forward and 1 backward pass"),
}
#: Maps that know nothing of the network. What they score is what a map scores for nothing.
CONTROLS = ("random", "edges", "centre")
REDUCTIONS = ("sum", "abs")
FILLS = ("zero", "mean", "blur")

# -- maps without a network ------------------------------------------------------------------------------


def control(images: np.ndarray, name: str, seed: int = 0) -> np.ndarray:
    """Maps ``[N, H, W]`` float64 that know nothing of the network.

    Parameters
    ----------
    images : ndarray
        ``[N, H, W, C]``.
    name : {"random", "edges", "centre"}
        Independent noise per pixel (by ``seed`` and the image's content, so that it does not depend on the batch), the
        strength of edges (Sobel, of the mean over channels), or a Gaussian in the middle (standard deviation a quarter
        of the sides).

    Raises
    ------
    MethodError
        For another name.
    """
    images = np.asarray(images)
    h, w = images.shape[1:3]
    if name == "random":
        seeds = [[seed, zlib.crc32(np.ascontiguousarray(image).data)] for image in images]
        return np.stack([np.random.default_rng(s).random((h, w)) for s in seeds])
    if name == "edges":
        from scipy.ndimage import sobel

        grey = images.astype(np.float64).mean(3) / (255 if images.dtype == np.uint8 else 1)
        return np.stack([np.hypot(sobel(g, 0), sobel(g, 1)) for g in grey])
    if name == "centre":
        y, x = (np.arange(h) + 0.5) / h - 0.5, (np.arange(w) + 0.5) / w - 0.5
        bump = np.exp(-8 * (y[:, None] ** 2 + x**2))
        return np.repeat(bump[None], len(images), 0)
    raise MethodError(f"control {name!r} is not known; there is {nearest(name, CONTROLS)}.")


# -- for people ------------------------------------------------------------------------------------------------------

_guidable = Kept(64)


def fits(model: Any, name: str) -> str:
    """Return "" when a method can be asked of ``model``, else the reason in one sentence.

    For guided backpropagation and Grad-CAM it looks into the network with one small pass, once per model.
    """
    if name not in METHODS:
        return f"saliency method {name!r} is not known; there is {nearest(name, METHODS)}."
    if name == "sic":
        return unfit(model)
    try:
        if name == "grad-cam":
            cam_path(model)
        if name == "guided backprop":
            return _guides(model)
    except (MethodError, ModelError) as e:
        return str(e)
    return ""


def _guides(model: Any) -> str:
    def looked_at() -> str:
        x = example(model)
        try:
            with exact(x.device):
                targets = torch.zeros(1, dtype=torch.long, device=x.device)
                guided(Asked(model, 1), x, targets, {"name": model.name})
        except MethodError as e:
            return str(e)
        return ""

    return _guidable.once(model.sha256, looked_at)


def images_asked(
    name: str,
    n: int,
    shape: tuple[int, int],
    *,
    steps: int = 32,
    window: tuple[int, int] | None = None,
    stride: tuple[int, int] | None = None,
) -> int:
    """How many images go through a network for the maps of ``n`` images of a shape ``(H, W)``; n for all that ask once."""
    if name == "occlusion":
        return n * (1 + len(occlusion_windows(shape, window, stride)))
    return n * (steps if name == "integrated gradients" else 1)


def _checked(model: Any, images: np.ndarray, targets: Any, name: str, reduce: str, fill: str) -> np.ndarray:
    known = {"method": (name, METHODS), "reduction": (reduce, REDUCTIONS), "fill": (fill, FILLS)}
    for what, (value, values) in known.items():
        if value not in values:
            raise MethodError(f"saliency {what} {value!r} is not known; there is {nearest(value, values)}.")
    targets = np.atleast_1d(np.asarray(targets))
    classes = len(model.classes)
    if targets.shape != (len(images),) or targets.dtype.kind not in "iu":
        raise MethodError(
            f"{len(images)} image(s) came with targets of shape {list(targets.shape)}; give one class number per image."
        )
    if len(targets) and not 0 <= targets.min() <= targets.max() < classes:
        wrong = targets[(targets < 0) | (targets >= classes)][0]
        raise MethodError(
            f"class {wrong} was asked for and {model.name!r} has the classes 0 to {classes - 1}; ask for those."
        )
    return targets.astype(np.int64)


def saliency(
    model: Any,
    images: np.ndarray,
    targets: Sequence[int] | np.ndarray,
    name: str,
    *,
    progress: Callable[[int, int], Any] | None = None,
    **options: Any,
) -> np.ndarray:
    """Saliency maps of a batch of images, each for one class: :func:`saliency_steps`, without stopping in between.

    Parameters
    ----------
    model, images, targets, name, **options
        As in :func:`saliency_steps`.
    progress : callable, optional
        ``progress(done, total)`` before each call of the network, in images; may raise to stop.

    Returns
    -------
    ndarray
        ``[N, H, W]``.
    """
    return whole(saliency_steps(model, images, targets, name, **options), progress)


def saliency_steps(
    model: Any,
    images: np.ndarray,
    targets: Sequence[int] | np.ndarray,
    name: str,
    *,
    reduce: str = "sum",
    steps: int = 32,
    fill: str = "zero",
    window: tuple[int, int] | None = None,
    stride: tuple[int, int] | None = None,
    tap: str = "",
    seed: int = 0,
    batch: int | None = None,
) -> Generator[Progress, None, np.ndarray]:
    """Saliency maps of a batch of images, each for one class, in steps between which it may be stopped or put aside.

    Parameters
    ----------
    model : Model
        The network; asked with images in [0, 1] (what it normalises happens inside).
    images : ndarray
        ``[N, H, W, C]`` uint8, or float in [0, 1].
    targets : sequence of int
        The class of each image.
    name : str
        One of :data:`METHODS`.
    reduce : {"sum", "abs"}
        Channels are summed with their signs, or as absolute values. Maps without channels (occlusion, Grad-CAM, "sic", the
        controls) stay as they are or become absolute. Grad-CAM is never negative; in B-cos networks it takes the weights that
        the layers computed as gradient.
    steps : int
        Of integrated gradients (Gauss-Legendre).
    fill : {"zero", "mean", "blur"}
        What integrated gradients start from and what occlusion puts: black, the image's mean colour, a strong blur.
    window, stride : (int, int), optional
        Of occlusion: an eighth of the sides and half the window.
    tap : str
        Layer for Grad-CAM; "" = :func:`cam_path`.
    seed : int
        Of the control "random".
    batch : int, optional
        Images that go through the network together; by default as many as are fast.

    Yields
    ------
    Progress
        Before each call of the network, in images; ``partial`` holds the maps ``[H, W]`` that are known by now, of
        occlusion those of the windows so far, None for the others.

    Returns
    -------
    ndarray
        ``[N, H, W]`` float32 (float64 for a network in float64).
        Gradient x input sums to the logit of a network that is piecewise linear without biases; integrated gradients sum
        to the difference between the logits of the image and of ``fill``, as exactly as the number of steps allows; "sic"
        sums to the logit minus its bias.

    Raises
    ------
    MethodError
        For an unknown name or option, targets that do not fit, or a network that the method does not fit.
    ModelError
        When the images do not fit the network, or the layer for Grad-CAM does not exist.
    """
    images = np.asarray(images)
    model.check(images)
    targets = _checked(model, images, targets, name, reduce, fill)
    if batch is None:
        batch = comfortable(model.device, images.shape[1:3])
        if name == "integrated gradients":
            batch = max(
                1, batch // 2
            )  # the way back needs all activations and takes as long as the way there
    if steps < 1 or batch < 1:
        raise MethodError(
            f"{min(steps, batch)} was given as number of steps or size of a batch; give at least 1."
        )
    if name == "sic" and (reason := fits(model, name)):
        raise MethodError(reason)
    shape = images.shape[1:3]
    asked = Asked(model, images_asked(name, len(images), shape, steps=steps, window=window, stride=stride))
    options = {"steps": steps, "window": window, "stride": stride, "batch": batch, "name": model.name}
    double = model.tensor(images[:0]).dtype == torch.float64
    out = np.zeros(images.shape[:3], np.float64 if double else np.float32)

    def figure(values: torch.Tensor) -> np.ndarray:
        """The map that is shown of values ``[..., C, H, W]``."""
        values = values.detach()
        return (values.abs() if reduce == "abs" else values).sum(-3).cpu().numpy()

    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        if name in CONTROLS:
            out[part] = control(images[part], name, seed)
            continue
        if name not in STEPS:
            yield Progress(start, len(images), _known(out, start, ()))
        if name == "sic":
            out[part] = class_maps(model, images[part], targets[part].tolist())
            continue
        with exact(model.device):
            x = model.tensor(images[part])
            t = torch.from_numpy(targets[part]).to(x.device)
            options["baseline"] = _baseline(x, fill)
        if name == "grad-cam":
            with exact(model.device):
                out[part] = figure(grad_cam(model, x, t, tap))
            continue

        def told(step: Progress, start: int = start) -> Progress:
            own = [figure(m[None]) for m in step.partial or ()]
            return Progress(step.done, step.total, _known(out, start, own))

        out[part] = figure((yield from relayed(STEPS[name](asked, x, t, options), told)))
    return np.abs(out) if reduce == "abs" else out


def _known(out: np.ndarray, start: int, own: Sequence[np.ndarray]) -> list[np.ndarray | None]:
    """The maps of the images before ``start``, then those under way, then None."""
    return [*out[:start], *own, *[None] * (len(out) - start - len(own))]


def _baseline(x: torch.Tensor, fill: str) -> torch.Tensor:
    """The image that is left when everything is filled, ``[N, C, H, W]``."""
    if fill == "zero":
        return torch.zeros_like(x)
    from xai_views.engine.clusters.ablation import input_ablation

    images = x.cpu().numpy().transpose(0, 2, 3, 1)
    filled = input_ablation(images, np.ones(images.shape[:3], bool), fill)
    return torch.from_numpy(np.ascontiguousarray(filled.transpose(0, 3, 1, 2))).to(x)
