"""Sections ``aggregate``, ``occlusion``, ``curves`` and ``quantus`` of :mod:`activations`: maps of one image."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from typing import Any

import numpy as np
import scipy.ndimage
import torch
from _cluster_figures import Setting
from _turns import Row, take_turns

from xai_views import explain
from xai_views.engine.attribution.maps import saliency
from xai_views.engine.superpixels.aggregate import figures
from xai_views.engine.superpixels.regions import clusters_to_regions
from xai_views.models import passes
from xai_views.samples import dataset
from xai_views.scores.curves import Job, comparison, last, predictor, relevance_curves

STEPS = 16


def target(setting: Setting) -> int:
    """Return the predicted class."""
    return int(predictor(setting.model)(setting.image)[0].argmax())


def superpixels(setting: Setting, k: int, connected: bool) -> np.ndarray:
    """Return the regions ``[H, W]`` of the clusters of the image."""
    found = explain(setting.model, dataset(setting.image), "nave", k=k)["segment"].values[0]
    return clusters_to_regions(found.astype(np.int64), connected, 0.0005 if connected else 0)


def aggregate(setting: Setting) -> list[Row]:
    """Compare the mean of a map over regions: ours, a loop, and SciPy; few large regions and many small ones."""
    map_ = saliency(setting.model, setting.image, [target(setting)], "gradient x input")[0]
    rows = []
    for k, connected in ((5, False), (24, True)):
        regions = superpixels(setting, k, connected)
        ids = range(int(regions.max()) + 1)
        ways = {
            "all regions at once, ours": lambda r=regions: figures(map_, r),
            "loop over regions": lambda r=regions, i=ids: np.array(
                [map_[r == j].mean(dtype=float) for j in i]
            ),
            "scipy.ndimage.mean": lambda r=regions, i=ids: scipy.ndimage.mean(map_.astype(float), r, i),
        }
        shape = "x".join(map(str, map_.shape))
        found, own = take_turns(
            "aggregate", setting.case(shape, f"{len(ids)} regions"), ways, 5 * setting.rounds
        )
        first = found[own[0].way]
        for row in own:
            row.figures["difference"] = _apart(found[row.way], first, 1e-5)
        rows += own
    return rows


def _apart(values: np.ndarray, first: np.ndarray, most: float) -> float:
    """Return the largest difference relative to the largest value; fail if it exceeds ``most``."""
    apart = float(np.abs(values - first).max() / np.abs(first).max())
    assert apart <= most, f"the ways must agree within {most} and differ by {apart}"
    return apart


def occlusion(setting: Setting) -> list[Row]:
    """Compare maps that need many passes with captum's defaults at the same windows and steps.

    captum computes one window at a time in occlusion, and all steps at once in integrated gradients.
    """
    from captum.attr import IntegratedGradients, Occlusion

    model, c = setting.model, target(setting)
    x = model.tensor(setting.image)
    window = tuple(-(-s // 8) for s in x.shape[2:])
    stride = tuple(-(-s // 2) for s in window)

    def alone() -> np.ndarray:
        with torch.no_grad():
            found = Occlusion(model.module).attribute(
                x, (x.shape[1], *window), strides=(x.shape[1], *stride), baselines=0, target=c
            )
        return found[0, 0].numpy()

    def at_once() -> np.ndarray:
        found = IntegratedGradients(model.module).attribute(x, baselines=0 * x, target=c, n_steps=32)
        return found.detach()[0].sum(0).numpy()

    def ours(name: str) -> np.ndarray:
        return saliency(model, setting.image, [c], name)[0]

    rows = []
    # rounding can move activations across a kink of the network, where gradients jump
    tolerance = {"occlusion": 1e-4, "integrated gradients": 1e-2}
    pairs = {
        "occlusion": {"in batches, ours": lambda: ours("occlusion"), "captum's default": alone},
        "integrated gradients": {
            "in batches, ours": lambda: ours("integrated gradients"),
            "captum's default": at_once,
        },
    }
    for name, ways in pairs.items():
        found, own = take_turns("occlusion", setting.case(name), ways, setting.rounds)
        own[1].figures["difference"] = _apart(found[own[1].way], found[own[0].way], tolerance[name])
        rows += own
    return rows


def curves(setting: Setting) -> list[Row]:
    """Compare two maps (original and on superpixels, both orders, two rules for ties), together and one step at a time."""
    model, image, c = setting.model, setting.image[0], target(setting)
    maps = {n: saliency(model, setting.image, [c], n)[0] for n in ("gradient x input", "random")}
    regions = superpixels(setting, 24, connected=False)
    jobs = comparison(maps, regions, ties=("regions", "original"), steps=STEPS)
    predict = predictor(model)

    def together() -> dict[Any, np.ndarray]:
        return {n: curve.mean for n, curve in last(relevance_curves(predict, image, jobs, c)).items()}

    def alone() -> dict[Any, np.ndarray]:
        return {
            n: last(relevance_curves(predict, image, {n: j}, c, batch=1))[n].mean for n, j in jobs.items()
        }

    ways = {"all curves in shared batches, ours": together, "one curve and one step at a time": alone}
    ran = {}
    for name, way in ways.items():
        before = passes.snapshot()
        way()
        ran[name] = {k: v - before[k] for k, v in passes.snapshot().items()}
    found, rows = take_turns(
        "curves", setting.case(f"{len(jobs)} curves of {STEPS} steps"), ways, setting.rounds
    )
    values = {n: np.concatenate(list(v.values())) for n, v in found.items()}
    for row in rows:
        row.figures = {
            "images": ran[row.way]["forward"],
            "calls": ran[row.way]["forward_calls"],
            "difference": _apart(values[row.way], values[rows[0].way], 1e-3),
        }
    return rows


class Masked(torch.nn.Module):
    """A network as a function of the kept pixels, ``[N, 1, H, W]``: Quantus counts channels as separate features."""

    def __init__(self, module: torch.nn.Module, image: torch.Tensor) -> None:
        super().__init__()
        self.module, self.image = module, image

    def forward(self, kept: torch.Tensor) -> torch.Tensor:
        """Return the logits of the image with all other pixels black."""
        return self.module(self.image * kept)


def quantus(setting: Setting) -> list[Row]:
    """Compare one curve (most relevant first, replaced by black) with the pixel flipping of Quantus at equal steps."""
    if importlib.util.find_spec("quantus") is None:
        print("quantus: skipped, because Quantus is not installed (not a dependency; pip install quantus)")
        return []
    with contextlib.redirect_stderr(io.StringIO()):
        from quantus import PixelFlipping

    model, c = setting.model, target(setting)
    map_ = saliency(model, setting.image, [c], "gradient x input")[0]
    # Quantus does not define the order of equal values, so there must be none
    distinct = np.argsort(np.argsort(map_, axis=None, kind="stable")).reshape(map_.shape)
    kept = np.ones((1, 1, *map_.shape), np.float32)
    flipping = PixelFlipping(
        features_in_step=kept.size // STEPS, perturb_baseline=0.0, normalise=False, disable_warnings=True
    )
    masked = Masked(model.module, model.tensor(setting.image)).eval()
    jobs = {"": Job(distinct, None, "morf", "zero", "original", STEPS)}
    predict = predictor(model, "logit")

    def theirs() -> np.ndarray:
        relevance = distinct[None, None].astype(float)
        said = flipping(model=masked, x_batch=kept, y_batch=np.array([c]), a_batch=relevance, softmax=False)
        return np.asarray(said[0])

    ways = {
        "shared batches, ours": lambda: last(relevance_curves(predict, setting.image[0], jobs, c))[""].mean[
            1:
        ],
        "Quantus' PixelFlipping": theirs,
    }
    found, rows = take_turns("quantus", setting.case(f"1 curve of {STEPS} steps"), ways, setting.rounds)
    rows[1].figures["difference"] = _apart(found[rows[1].way], found[rows[0].way], 1e-3)
    return rows
