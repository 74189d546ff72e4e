"""Saliency maps: the importance of each pixel for one logit, by gradients, occlusion or contributions, and controls.

All maps explain logits, not probabilities. Results equal captum's where it has the same method (but captum's guided
backpropagation and Grad-CAM support only ``nn.ReLU`` modules and channels-first maps).
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

#: name -> (title, cost per image).
METHODS: dict[str, tuple[str, str]] = {
    "gradient": ("Gradient", "1 forward and 1 backward pass"),
    "gradient x input": ("Gradient x input", "1 forward and 1 backward pass"),
    "integrated gradients": ("Integrated gradients", "1 forward and 1 backward pass per step (32)"),
    "guided backprop": ("Guided backpropagation", "1 forward and 1 backward pass"),
    "grad-cam": ("Grad-CAM", "1 forward pass; 1 backward pass if the head is not linear"),
    "occlusion": ("Occlusion", "1 forward pass per window (about 225)"),
    "random": ("Control: random", "no pass of the network"),
    "edges": ("Control: edges", "no pass of the network"),
    "centre": ("Control: centre", "no pass of the network"),
    "sic": ("B-cos contribution (SIC)", "1 forward and 1 backward pass"),
}
#: Maps that ignore the network: the baseline for every score.
CONTROLS = ("random", "edges", "centre")
REDUCTIONS = ("sum", "abs")
FILLS = ("zero", "mean", "blur")

# -- maps without a network ------------------------------------------------------------------------------


def control(images: np.ndarray, name: str, seed: int = 0) -> np.ndarray:
    """Compute control maps ``[N, H, W]`` float64, which ignore the network.

    Parameters
    ----------
    images : ndarray
        ``[N, H, W, C]``.
    name : {"random", "edges", "centre"}
        Independent noise per pixel (from ``seed`` and the image content, so that it does not depend on the batch), edge
        strength (Sobel filter on the channel mean), or a centred Gaussian (standard deviation: a quarter of each side).

    Raises
    ------
    MethodError
        For an unknown name.
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
    raise MethodError(f"control {name!r} is not known; choose {nearest(name, CONTROLS)}.")


# -- public functions ------------------------------------------------------------------------------------------------------

_guidable = Kept(64)


def fits(model: Any, name: str) -> str:
    """Return "" when a method can be used with ``model``, else the reason in one sentence.

    Guided backpropagation and Grad-CAM are tested with one small pass, once per model.
    """
    if name not in METHODS:
        return f"saliency method {name!r} is not known; choose {nearest(name, METHODS)}."
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
    """Number of images of shape ``(H, W)`` that pass through a network for the maps of ``n`` images."""
    if name == "occlusion":
        return n * (1 + len(occlusion_windows(shape, window, stride)))
    return n * (steps if name == "integrated gradients" else 1)


def _checked(model: Any, images: np.ndarray, targets: Any, name: str, reduce: str, fill: str) -> np.ndarray:
    known = {"method": (name, METHODS), "reduction": (reduce, REDUCTIONS), "fill": (fill, FILLS)}
    for what, (value, values) in known.items():
        if value not in values:
            raise MethodError(f"saliency {what} {value!r} is not known; choose {nearest(value, values)}.")
    targets = np.atleast_1d(np.asarray(targets))
    classes = len(model.classes)
    if targets.shape != (len(images),) or targets.dtype.kind not in "iu":
        raise MethodError(
            f"{len(images)} image(s) were given with targets of shape {list(targets.shape)}; give one class index per image."
        )
    if len(targets) and not 0 <= targets.min() <= targets.max() < classes:
        wrong = targets[(targets < 0) | (targets >= classes)][0]
        raise MethodError(
            f"class {wrong} was requested and {model.name!r} has the classes 0 to {classes - 1}; choose one of those."
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
    """Compute saliency maps of a batch of images, each for one class; runs :func:`saliency_steps` to its end.

    Parameters
    ----------
    model, images, targets, name, **options
        As in :func:`saliency_steps`.
    progress : callable, optional
        ``progress(done, total)``, called before each pass of the network, in images; may raise to stop.

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
    """Compute saliency maps of a batch of images, each for one class, in steps between which the caller may stop or pause.

    Parameters
    ----------
    model : Model
        The network; its input is images in [0, 1] (normalisation happens inside).
    images : ndarray
        ``[N, H, W, C]`` uint8, or float in [0, 1].
    targets : sequence of int
        Class index of each image.
    name : str
        One of :data:`METHODS`.
    reduce : {"sum", "abs"}
        Channels are summed with their signs, or as absolute values. Maps without channels (occlusion, Grad-CAM, "sic",
        controls) are unchanged or made absolute. Grad-CAM is never negative; in B-cos networks it uses the dynamic weights
        as gradients.
    steps : int
        Number of steps of integrated gradients (Gauss-Legendre).
    fill : {"zero", "mean", "blur"}
        Baseline of integrated gradients and occlusion: black, the image's mean colour, or a strong blur.
    window, stride : (int, int), optional
        Window and stride of occlusion; by default an eighth of the sides, and half the window.
    tap : str
        Layer for Grad-CAM; "" = the one from :func:`cam_path`.
    seed : int
        Random seed of the control "random".
    batch : int, optional
        Images per call of the network; by default a fast batch size.

    Yields
    ------
    Progress
        Before each call of the network, in images; ``partial`` holds the maps ``[H, W]`` known so far: for occlusion those
        of the windows so far, None for other methods.

    Returns
    -------
    ndarray
        ``[N, H, W]`` float32 (float64 for a network in float64).
        Gradient x input sums to the logit if the network is piecewise linear without biases; integrated gradients sum to
        the difference between the logits of the image and of the baseline, up to the error of the quadrature; "sic" sums to
        the logit minus its bias.

    Raises
    ------
    MethodError
        For an unknown name or option, targets that do not fit, or a network for which the method is not available.
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
            )  # the backward pass needs all activations and takes as long as the forward pass
    if steps < 1 or batch < 1:
        raise MethodError(
            f"{min(steps, batch)} was given as the number of steps or the batch size; give at least 1."
        )
    if name == "sic" and (reason := fits(model, name)):
        raise MethodError(reason)
    shape = images.shape[1:3]
    asked = Asked(model, images_asked(name, len(images), shape, steps=steps, window=window, stride=stride))
    options = {"steps": steps, "window": window, "stride": stride, "batch": batch, "name": model.name}
    double = model.tensor(images[:0]).dtype == torch.float64
    out = np.zeros(images.shape[:3], np.float64 if double else np.float32)

    def figure(values: torch.Tensor) -> np.ndarray:
        """Reduce values ``[..., C, H, W]`` over channels to a map."""
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
    """Return the maps of the images before ``start``, then those in progress, then None."""
    return [*out[:start], *own, *[None] * (len(out) - start - len(own))]


def _baseline(x: torch.Tensor, fill: str) -> torch.Tensor:
    """Return the baseline images ``[N, C, H, W]``: every pixel replaced by the fill."""
    if fill == "zero":
        return torch.zeros_like(x)
    from xai_views.engine.clusters.ablation import input_ablation

    images = x.cpu().numpy().transpose(0, 2, 3, 1)
    filled = input_ablation(images, np.ones(images.shape[:3], bool), fill)
    return torch.from_numpy(np.ascontiguousarray(filled.transpose(0, 3, 1, 2))).to(x)
