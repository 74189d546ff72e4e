"""Small SIC networks with all the parts of a shipped one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from xai_views.models import Latents, Model, Supports, open_model, select
from xai_views.models.bcos import add_inverse
from xai_views.models.families.cnn.network import BcosCNN
from xai_views.models.families.sic.network import SIC
from xai_views.samples import dataset, open_samples

CLASSES, LATENT = 3, 40


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def coloured(n: int, channels: int = 3, size: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy uint8 images in which class c has a bright patch at its own place."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % CLASSES
    images = rng.integers(0, 120, (n, size, size, channels))
    for image, c in zip(images, label, strict=True):
        image[3 * c : 3 * c + 3, 2:7, c % channels] += 130
    return images.astype(np.uint8), label


def network(dtype: torch.dtype, trained: bool, channels: int = 3) -> SIC:
    """A network in which every layer has an effect; ``trained``: after a few steps with the real loss."""
    torch.manual_seed(0)
    net = SIC(BcosCNN(channels, [[8, 3, 1, 1], [10, 3, 1, 2]]), CLASSES, LATENT).to(dtype)
    for m in net.modules():
        if hasattr(m, "running_var"):
            m.running_var.uniform_(0.002, 0.02)
            m.weight.data.uniform_(0.5, 2)
    if trained:
        from xai_views.training.recipes.sic import SicRecipe

        images, label = coloured(24, channels, seed=9)
        batch = (tensor(images, dtype), torch.eye(CLASSES, dtype=dtype)[label], torch.from_numpy(label))
        optimizer = torch.optim.AdamW(net.train().parameters(), 1e-2)
        for _ in range(8):
            optimizer.zero_grad()
            SicRecipe().loss(net, batch).backward()
            optimizer.step()
    return net.eval()


def tensor(images: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).to(dtype) / 255


def with_supports(net: SIC, images: np.ndarray, label: np.ndarray, per_class: int = 3, **options) -> Model:
    """A model whose supports have the network's own precision."""
    from xai_views.engine.attribution.bcos import self_contributions

    dtype = net.projection.weight.dtype
    with torch.no_grad():
        z = net.latent(add_inverse(tensor(images, dtype))).numpy()
    stored = Latents(z, label, np.arange(len(z)) + 100)
    rows, support_class = select(stored, per_class, CLASSES)
    supports = Supports(
        z[rows], support_class, stored.index[rows], images[rows], self_contributions(net, images[rows])
    )
    net.set_supports(torch.from_numpy(supports.vectors), torch.from_numpy(support_class))
    model = open_model(net, channels=images.shape[-1], size=images.shape[1:3], name="toy", **options)
    model.supports, model.latents = supports, stored
    return model


@pytest.fixture(scope="session")
def make() -> Callable[..., Model]:
    """``make(dtype=..., trained=..., channels=..., per_class=...)``: a fresh toy model."""

    def build(dtype=torch.float32, trained=False, channels=3, per_class=3, images=None, label=None) -> Model:
        if images is None:
            images, label = coloured(30, channels)
        return with_supports(network(dtype, trained, channels), images, label, per_class)

    return build


@pytest.fixture(scope="module")
def at_hand(make, tmp_path_factory) -> Model:
    """A toy model whose training images, positions 100 to 129, are in a file, as for a shipped model."""
    model, path = make(), tmp_path_factory.mktemp("training") / "toys.npz"
    image, _ = coloured(30)
    np.savez(path, image=np.concatenate([np.zeros((100, *image.shape[1:]), np.uint8), image]))
    return replace(model, latents=replace(model.latents, samples=str(path)))


@pytest.fixture(scope="session")
def holding():
    """``holding(model, supports)``: the same network with other original supports."""

    def build(model: Model, supports: Supports) -> Model:
        module = copy.deepcopy(model.module)
        module.set_supports(torch.from_numpy(supports.vectors), torch.from_numpy(supports.label))
        return replace(model, module=module, supports=supports, sha256=f"{model.sha256}-{supports.key}")

    return build


@pytest.fixture(scope="session")
def samples():
    """``samples(n)``: toy test samples as a Dataset."""

    def build(n=4, channels=3, images=None):
        shown, label = coloured(n, channels, seed=5)
        return dataset(
            shown if images is None else images,
            label[: len(images)] if images is not None else label,
            classes=[f"class {c}" for c in range(CLASSES)],
        )

    return build


@pytest.fixture(scope="module", params=["digits-sic", "birds-sic"])
def shipped(request):
    """A shipped network with four images and labels of its samples."""
    model = open_model(request.param)
    ds = open_samples(model.card["samples"])
    return model, ds["image"].values[:4], ds["label"].values[:4]
