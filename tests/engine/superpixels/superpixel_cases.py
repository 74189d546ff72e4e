"""Maps, regions and a shipped network for superpixels."""

from __future__ import annotations

import numpy as np
import pytest

DTYPES = (np.float32, np.float64)


@pytest.fixture(params=DTYPES, ids=lambda d: d.__name__)
def dtype(request):
    return request.param


def tolerance(dtype) -> float:
    return 1e-5 if dtype == np.float32 else 1e-12


@pytest.fixture(scope="session")
def shipped():
    """The shipped network on digits, eight digits, and a saliency map of each for its class."""
    import xai_views
    from xai_views.engine.attribution.maps import saliency
    from xai_views.samples import open_samples

    model = xai_views.open_model("digits-sic")
    ds = open_samples("digits/test")
    images, label = ds["image"].values[:8], ds["label"].values[:8]
    return model, images, label, saliency(model, images, label, "sic")


@pytest.fixture(scope="session")
def own_regions(shipped):
    """Regions of the network itself: the strongest channel in each cell, and their connected pieces."""
    from xai_views.engine.clusters.labels import resize_labels
    from xai_views.engine.superpixels.regions import clusters_to_regions
    from xai_views.models.taps import capture, default_taps

    model, images, _, _ = shipped
    path = default_taps(model)[-1]
    activation = capture(model, model.tensor(images), [path])[1][path].numpy()
    shown = activation.argmax(1)
    return [clusters_to_regions(resize_labels(s, images.shape[1:3]), connected=True) for s in shown]
