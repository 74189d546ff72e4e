"""EfficientNet-Lite0 for the 1000 classes of ImageNet: architecture and weights come from two small packages.

They are the extra ``imagenet`` and are looked up only when such a network is opened. The weights are Apache-2.0, turned
from TensorFlow to PyTorch by others, whose packages say that the conversion has not been tested thoroughly.
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

from xai_views.errors import ModelError

PIP = "pip install 'xai-views[imagenet]'"
#: Below this the last map would be a single cell made of padding.
SMALLEST = 32


class Lite0(nn.Module):
    """EfficientNet-Lite0 that takes images in [0, 1] of any size of at least 32 pixels.

    What the network was trained with, ``(x * 255 - 127) / 128``, happens inside; so do paddings, which follow the
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
        # Without an image size every convolution pads by the size that it meets, as TensorFlow does.
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
    """Find a file of an installed package without importing it, and check that it is the one meant.

    Parameters
    ----------
    where : mapping
        ``package`` (as pip names it), ``module``, ``file`` (inside the module's folder) and ``sha256``.

    Raises
    ------
    ModelError
        When the package or the file is missing, or the file is another.
    """
    package, module = str(where["package"]), str(where["module"])
    found = importlib.util.find_spec(module)
    folders = list(found.submodule_search_locations or ()) if found else []
    if not folders:
        raise ModelError(
            f"the weights are in the package {package!r}, which is missing; install it with {PIP}."
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
                f"{path.name} of the package {package!r} has another sha256 than the card says; install the version "
                f"{where.get('version', 'that the card names')}."
            )
    return path


@torch.no_grad()
def settle(module: nn.Module) -> None:
    """Let batch norms of an untrained network measure what they normalise, on random blurred pictures.

    As built they hold mean 0 and variance 1, with which signals shrink to nothing over fifty layers: a control has to
    have activations of ordinary size.
    """
    pictures = sum(
        F.interpolate(torch.rand(16, 3, side, side), size=(96, 96), mode="bilinear") for side in (3, 12, 48)
    )
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [m.momentum for m in norms]
    for m in norms:
        m.train()
        m.momentum = None  # the mean over all batches, of which there is one
    module(pictures / 3)
    for m, momentum in zip(norms, before, strict=True):
        m.eval()
        m.momentum = momentum


def elsewhere(build: Callable[[], nn.Module], weights: Any) -> tuple[nn.Module, str]:
    """Build a network whose weights are not in its folder.

    Parameters
    ----------
    build : callable
        Makes the network with random weights.
    weights : mapping
        The entry ``weights`` of a card: ``seed`` for random weights, or what :func:`package_file` takes.

    Returns
    -------
    nn.Module, str
        The network, and what identifies its weights.

    Raises
    ------
    ModelError
        In one sentence, when the entry or the weights cannot be used.
    """
    if not isinstance(weights, Mapping):
        raise ModelError("the card's entry 'weights' is no mapping; restore the card.")
    seed = weights.get("seed", 0)
    if not isinstance(seed, int):
        raise ModelError("the card's entry 'weights' has a seed that is no whole number; restore the card.")
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
        said = str(e).partition("\n")[0][:120]
        raise ModelError(f"{path.name} does not hold the weights of this network ({said}).") from None
    return module, str(weights["sha256"])
