"""The kernel gives the same results on a GPU as on the CPU."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch")

from xai_views.kernel import Kernel  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


class Convolutions(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 32, 5, padding=2),
            torch.nn.Softplus(),
            torch.nn.Conv2d(32, 64, 3, stride=2, padding=1),
            torch.nn.Softplus(),
            torch.nn.Conv2d(64, 10, 3, padding=1),
        )

    def forward(self, x):
        return self.layers(x).mean((2, 3))


@dataclass
class Model:
    module: Any
    sha256: str = "convolutions"


class InputTimesGradient:
    key = "input-times-gradient"
    title = "Input times gradient"

    def observation_key(self, ask):
        return ()

    def covers(self, model, observation, ask):
        return observation[0] == ask

    def observe(self, model, images, asks, known):
        device = next(model.module.parameters()).device
        x = torch.tensor(images, device=device).permute(0, 3, 1, 2).requires_grad_()
        logit = model.module(x)
        (gradient,) = torch.autograd.grad(logit[range(len(asks)), asks].sum(), x)
        contribution = (gradient * x).sum(1)
        pairs = zip(asks, logit.detach().cpu().numpy(), contribution.detach().cpu().numpy(), strict=True)
        return [Observation(pair) for pair in pairs]

    def interpret(self, model, observation, ask):
        _, logit, contribution = observation
        return xr.Dataset(
            {
                "logit": (("sample", "class"), logit[None]),
                "contribution": (("sample", "target", "y", "x"), contribution[None, None]),
            }
        )


class Observation(tuple):
    __slots__ = ()

    @property
    def nbytes(self):
        return self[1].nbytes + self[2].nbytes


def explain(device, max_batch=8):
    torch.manual_seed(0)
    model = Model(Convolutions().eval().requires_grad_(False))
    images = np.random.default_rng(0).random((12, 64, 64, 3), dtype=np.float32)
    with Kernel(device=device, max_batch=max_batch) as kernel:
        digests = [str(n) for n in range(12)]
        future = kernel.explain(model, images, digests, InputTimesGradient(), [n % 10 for n in range(12)])
        results = future.result(120)
        kernel.wait_idle(60)
        return results, kernel.status(), kernel.run(settings).result(60)


def settings(progress):
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "tf32": torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32,
        "autocast": torch.is_autocast_enabled("cuda"),
    }


@pytest.fixture(autouse=True)
def restore_flags():
    yield
    torch.use_deterministic_algorithms(mode=False)


def relative_difference(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


def test_cuda_agrees_with_the_cpu():
    on_gpu, status, flags = explain("cuda")
    on_cpu, *_ = explain("cpu")
    assert status.device == "cuda"
    assert status.device_memory > 0
    assert flags == {"deterministic": True, "warn only": True, "tf32": False, "autocast": False}
    for gpu, cpu in zip(on_gpu, on_cpu, strict=True):
        for name in ("logit", "contribution"):
            assert relative_difference(gpu[name].values, cpu[name].values) < 1e-4


def test_cuda_repeats_itself_bit_by_bit():
    (first, *_), (second, *_) = explain("cuda"), explain("cuda")
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a["contribution"].values, b["contribution"].values)


def test_auto_chooses_cuda():
    with Kernel() as kernel:
        kernel.run(lambda progress: None).result(60)
        assert kernel.status().device == "cuda"


def test_a_real_out_of_memory_halves_the_batch():
    class Greedy(InputTimesGradient):
        key = "greedy"
        sizes = []

        def observe(self, model, images, asks, known):
            self.sizes.append(len(images))
            total = torch.cuda.get_device_properties(0).total_memory
            # 12 samples want 120 % of the device, 6 want 60 %
            hog = torch.empty(int(total * len(images) / 10), dtype=torch.uint8, device="cuda")
            observed = super().observe(model, images, asks, known)
            del hog
            return observed

    torch.manual_seed(0)
    model = Model(Convolutions().eval().requires_grad_(False))
    images = np.zeros((12, 64, 64, 3), np.float32)
    with Kernel(device="cuda") as kernel:
        future = kernel.explain(model, images, [str(n) for n in range(12)], Greedy(), [0] * 12)
        assert len(future.result(120)) == 12
    assert Greedy.sizes == [12, 6, 6]
