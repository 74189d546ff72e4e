"""The SIC app without a browser, on a small network whose numbers can be recomputed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from xai_views.models import Latents, Model, Supports, open_model, select
from xai_views.models.bcos import add_inverse
from xai_views.models.families.cnn.network import BcosCNN
from xai_views.models.families.sic.network import SIC
from xai_views.samples import dataset
from xai_views_dashboard.sic.app import SicApp

CLASSES, LATENT, PER_CLASS = 3, 24, 3


def coloured(n: int, channels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images in which class c has a bright patch of its own colour at its own place."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % CLASSES
    images = rng.integers(0, 90, (n, 10, 10, channels))
    for image, c in zip(images, label, strict=True):
        image[3 * c : 3 * c + 3, 2:7, c % channels] += 150
    return images.astype(np.uint8), label


def build(channels: int, seed: int, folder: Path) -> Model:
    """A network whose training images, positions 100 to 129, lie in a file."""
    from xai_views.engine.attribution.bcos import self_contributions

    torch.manual_seed(seed)
    net = SIC(BcosCNN(channels, [[8, 3, 1, 1], [10, 3, 1, 2]]), CLASSES, LATENT).eval()
    images, label = coloured(30, channels, seed=seed)
    with torch.no_grad():
        z = net.latent(add_inverse(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)).numpy()
    training = folder / f"toys-{channels}.npz"
    np.savez(training, image=np.concatenate([np.zeros((100, *images.shape[1:]), np.uint8), images]))
    latents = Latents(z, label, np.arange(len(z)) + 100, str(training))
    rows, support_class = select(latents, PER_CLASS, CLASSES)
    supports = Supports(
        z[rows], support_class, latents.index[rows], images[rows], self_contributions(net, images[rows])
    )
    net.set_supports(torch.from_numpy(supports.vectors), torch.from_numpy(support_class))
    model = open_model(net, channels=channels, size=(10, 10), name=f"toy-{channels}-{seed}")
    model.supports, model.latents = supports, latents
    return model


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Callable[..., Model]:
    """``toy(channels=3)``: a model with supports and training vectors; the same one each time."""
    made: dict[int, Model] = {}
    folder = tmp_path_factory.mktemp("training")

    def get(channels: int = 3) -> Model:
        if channels not in made:
            made[channels] = build(channels, channels, folder)
        return made[channels]

    return get


@pytest.fixture(scope="session")
def samples():
    """Test samples by number of channels; one object each, as a server holds them."""
    made = {}

    def get(channels: int = 3):
        if channels not in made:
            images, label = coloured(24, channels, seed=50 + channels)
            classes = [f"class {c}" for c in range(CLASSES)]
            made[channels] = dataset(images, label, classes=classes, title=f"toys-{channels}")
        return made[channels]

    return get


@pytest.fixture
def open_app(toy, samples) -> Callable[..., SicApp]:
    """``open_app(channels=3, **state)``: a new page."""

    def get(channels: int = 3, **state) -> SicApp:
        return SicApp(toy(channels), samples(channels), **state)

    return get
