"""Contribution maps on a GPU equal those on the CPU."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xai_views.methods import explain  # noqa: E402
from xai_views.models import open_model  # noqa: E402
from xai_views.models.families.cnn.network import PLANS, BcosCNN  # noqa: E402
from xai_views.models.families.sic.network import SIC  # noqa: E402
from xai_views.samples import dataset  # noqa: E402
from xai_views.training.finish import attach_supports  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def model():
    """A network of the birds' size with random weights, and its test images."""
    torch.manual_seed(0)
    net = SIC(BcosCNN(3, PLANS["birds"]), 5, 64)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (30, 56, 56, 3)).astype(np.uint8)
    samples = dataset(images, np.arange(30) % 5, classes=list("abcde"))
    return attach_supports(open_model(net), samples), samples.isel(sample=slice(0, 6))


@pytest.mark.parametrize("everything", [False, True])
def test_cuda_agrees_with_the_cpu(everything):
    ours, samples = model()
    parameters = {"targets": [0, 3], "everything": everything}
    want = explain(ours, samples, "sic", **parameters)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    got = explain(ours.to("cuda"), samples, "sic", **parameters)
    assert got.attrs["device"].startswith("cuda")
    for name in ("contribution", "support_contribution", "evidence", "logit"):
        difference = np.linalg.norm(got[name].values - want[name].values) / np.linalg.norm(want[name].values)
        assert difference < 1e-4, name
