"""EfficientNet-Lite0 for the 1000 classes of ImageNet: architecture and weights come from two small packages.

They are the extra ``imagenet`` and are looked up only when such a network is opened. The weights are Apache-2.0. They
were converted from TensorFlow by a third party, which warns that the conversion is not thoroughly tested.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from xai_views.errors import ModelError, cause

PIP = "pip install 'xai-views[imagenet]'"
#: In smaller images the last map would be a single cell made of padding.
SMALLEST = 32


class Lite0(nn.Module):
    """EfficientNet-Lite0 for images in [0, 1] of any size of at least 32 pixels.

    The normalisation used in training, ``(x * 255 - 127) / 128``, happens inside; so does padding, which follows the
    size of the image. Batch norms and activations are those of the package; the network is ``net``.

    Parameters
    ----------
    classes : int
        Number of logits.

    Raises
    ------
    ModelError
        When the package with the architecture is missing.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            raise ModelError(
                f"this network needs the package 'efficientnet-lite-pytorch'; install it with {PIP}."
            ) from None
        # Without an image size every convolution pads according to its input, as TensorFlow does.
        self.net = EfficientNet.from_name("efficientnet-lite0", image_size=None, num_classes=classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images ``[N, 3, H, W]`` in [0, 1] to logits ``[N, classes]``.

        Raises
        ------
        ModelError
            When the images are smaller than 32 pixels.
        """
        if min(x.shape[2:]) < SMALLEST:
            raise ModelError(
                f"EfficientNet-Lite0 got images of {x.shape[2]}x{x.shape[3]} pixels and needs at least {SMALLEST}; "
                "enlarge them, it was trained on 224x224."
            )
        return self.net((x * 255 - 127) / 128)


def package_file(where: Mapping[str, Any]) -> Path:
    """Find a file of an installed package without importing it, and check its sha256.

    Parameters
    ----------
    where : mapping
        ``package`` (as pip names it), ``module``, ``file`` (inside the module's folder) and ``sha256``.

    Raises
    ------
    ModelError
        When the package or the file is missing, or the file differs.
    """
    package, module = str(where["package"]), str(where["module"])
    found = importlib.util.find_spec(module)
    folders = list(found.submodule_search_locations or ()) if found else []
    if not folders:
        raise ModelError(
            f"the weights are in the package {package!r}, which is not installed; install it with {PIP}."
        )
    root = Path(folders[0]).resolve()
    path = (root / str(where["file"])).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise ModelError(
            f"the package {package!r} has no file {Path(str(where['file'])).name!r}; install it again with {PIP}."
        )
    with path.open("rb") as f:
        if hashlib.file_digest(f, "sha256").hexdigest() != where["sha256"]:
            raise ModelError(
                f"{path.name} of the package {package!r} does not match the sha256 in the card; install the version "
                f"{where.get('version', 'that the card names')}."
            )
    return path


@torch.no_grad()
def settle(module: nn.Module) -> None:
    """Set the batch-norm statistics of an untrained network from random blurred pictures.

    Initially they are mean 0 and variance 1, with which signals vanish over fifty layers; a control needs
    activations of ordinary size.
    """
    pictures = sum(
        F.interpolate(torch.rand(16, 3, side, side), size=(96, 96), mode="bilinear") for side in (3, 12, 48)
    )
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [m.momentum for m in norms]
    for m in norms:
        m.train()
        m.momentum = None  # average over all batches, of which there is one
    module(pictures / 3)
    for m, momentum in zip(norms, before, strict=True):
        m.eval()
        m.momentum = momentum


def elsewhere(build: Callable[[], nn.Module], weights: Any) -> tuple[nn.Module, str]:
    """Build a network whose weights are not in its folder.

    Parameters
    ----------
    build : callable
        Builds the network with random weights.
    weights : mapping
        The entry ``weights`` of a card: ``seed`` for random weights, or the input of :func:`package_file`.

    Returns
    -------
    nn.Module, str
        The network, and an identifier of its weights.

    Raises
    ------
    ModelError
        With a one-sentence message, when the entry or the weights cannot be used.
    """
    if not isinstance(weights, Mapping):
        raise ModelError("the card's entry 'weights' is not a mapping; restore the card.")
    seed = weights.get("seed", 0)
    if not isinstance(seed, int):
        raise ModelError("the card's entry 'weights' has a seed that is not an integer; restore the card.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build().eval()
        if "seed" in weights:
            settle(module)
            return module, f"seed {seed}"
    missing = {"package", "module", "file", "sha256"} - weights.keys()
    if missing:
        raise ModelError(f"the card's entry 'weights' lacks {min(missing)!r}; restore the card.")
    path = package_file(weights)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        module.get_submodule("net").load_state_dict(state)
    except (UnpicklingError, RuntimeError, AttributeError, TypeError, EOFError) as e:
        said = cause(e, 120)
        raise ModelError(
            f"{path.name} does not hold the weights of this network ({said}); restore it."
        ) from None
    return module, str(weights["sha256"])
