"""Contributions of clusters: they add up to the logit, whatever the grid of the labels."""

import pytest
import torch
from torch import nn

from xai_views import open_model
from xai_views.engine.clusters.contribution import (
    cluster_contribution,
    gradient_contribution,
    membership,
    residual,
)
from xai_views.models.bcos import BcosConv2d
from xai_views.models.families.cnn.network import BcosCNN
from xai_views.models.families.sic.network import SIC
from xai_views.models.families.vit.network import ViT
from xai_views.models.heads import Head, find_head
from xai_views.models.taps import capture, capture_with_grad, integrate

DTYPES = [torch.float32, torch.float64]
GRIDS = [
    (4, 5),
    (8, 10),
    (7, 9),
    (24, 30),
    (2, 3),
    (1, 1),
]  # the map's own, finer, uneven, pixels, coarser, one
K = 4


def network(kind, dtype):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 7, 3, 3, 1)]
    end = {
        "gap": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 3)],
        "flatten": [nn.Flatten(), nn.Linear(7 * 20, 3)],
        "none": [
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(7, 5),
            nn.Tanh(),
            nn.Linear(5, 3),
        ],
    }
    return nn.Sequential(*layers, *end[kind]).to(dtype).eval()


def asked(kind, dtype):
    net, x = network(kind, dtype), torch.rand(2, 3, 24, 30).to(dtype)
    head = find_head(net, (24, 30))
    logits, kept = capture(net, x, [head.tap])
    return net, x, head, logits, kept[head.tap]


def drawn(grid, k=K, n=2, seed=1):
    return torch.randint(0, k, (n, *grid), generator=torch.Generator().manual_seed(seed))


def slow_membership(labels, grid, k):
    """Area of every pair of cells, by loops."""
    out = torch.zeros(len(labels), k, *grid, dtype=torch.float64)
    size = labels.shape[1:]
    for n in range(len(labels)):
        for index in torch.cartesian_prod(*(torch.arange(g) for g in grid)).reshape(-1, len(grid)).tolist():
            for old in torch.cartesian_prod(*(torch.arange(s) for s in size)).reshape(-1, len(size)).tolist():
                area = 1.0
                for i, j, g, s in zip(index, old, grid, size, strict=True):
                    area *= max(0.0, min((i + 1) / g, (j + 1) / s) - max(i / g, j / s)) * g
                out[(n, labels[(n, *old)], *index)] += area
    return out


@pytest.mark.parametrize(
    ("size", "grid"), [((4, 5), (4, 5)), ((7, 9), (4, 5)), ((2, 3), (4, 5)), ((5,), (3,)), ((3,), (8,))]
)
def test_membership_is_the_share_of_the_area(size, grid):
    labels = drawn(size)
    share = membership(labels, grid, K, torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(share, slow_membership(labels, grid, K), rtol=0, atol=1e-12)
    torch.testing.assert_close(share.sum(1), torch.ones(2, *grid, dtype=torch.float64))
    assert membership(labels, grid, K + 2).shape == (2, K + 2, *grid)
    assert membership(labels, grid, K).dtype == torch.float32


def test_on_its_own_grid_every_cell_has_one_cluster():
    labels = drawn((4, 5))
    assert torch.equal(membership(labels, (4, 5), K).argmax(1), labels)
    assert set(membership(labels, (4, 5), K).unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", ["gap", "flatten"])
def test_contributions_and_bias_are_the_logit(kind, grid, dtype):
    _, _, head, logits, last = asked(kind, dtype)
    assert head.kind == kind
    parts = cluster_contribution(last, drawn(grid), head, K)
    assert parts.shape == (2, 3, K)
    assert parts.dtype == dtype
    tolerance = 2e-6 if dtype == torch.float32 else 1e-14
    torch.testing.assert_close(parts.sum(2) + head.bias, logits, rtol=0, atol=tolerance)
    assert residual(logits, head.bias, parts).abs().max() <= tolerance
    assert parts.abs().max() > 1e-2


@pytest.mark.parametrize("kind", ["gap", "flatten"])
def test_contributions_are_those_of_the_formula(kind):
    _, _, head, _, last = asked(kind, torch.float64)
    labels = drawn((4, 5))
    parts = cluster_contribution(last, labels, head, K + 1)
    for n in range(2):
        for k in range(K):
            inside = labels[n] == k
            if kind == "gap":  # pi_k W m_k
                want = inside.double().mean() * head.weight @ last[n][:, inside].mean(1)
            else:
                want = (head.weight * last[n] * inside).sum((1, 2, 3))
            torch.testing.assert_close(parts[n, :, k], want)
    assert not parts[:, :, K].any(), "a cluster without positions adds nothing"


def test_splitting_a_cluster_splits_its_contribution():
    _, _, head, _, last = asked("gap", torch.float64)
    labels = drawn((7, 9))
    finer = torch.where((labels == 2) & (torch.rand(2, 7, 9) < 0.5), 4, labels)
    parts, split = (cluster_contribution(last, each, head, 5) for each in (labels, finer))
    torch.testing.assert_close(split[:, :, 2] + split[:, :, 4], parts[:, :, 2])
    torch.testing.assert_close(split[:, :, [0, 1, 3]], parts[:, :, [0, 1, 3]])


def test_signals():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv1d(2, 4, 5, 2, 2), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    model = open_model(net.double(), channels=2, size=(30,))
    head = find_head(model)
    logits, kept = capture(model, torch.rand(2, 2, 30, dtype=torch.float64), [head.tap])
    for length in (15, 30, 4):
        parts = cluster_contribution(kept[head.tap], drawn((length,)), head, K)
        torch.testing.assert_close(parts.sum(2) + head.bias, logits, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", ["gap", "flatten"])
def test_of_a_linear_head_the_gradient_says_the_same(kind):
    net, x, head, _, last = asked(kind, torch.float64)
    _, activation, gradient = capture_with_grad(net, x, head.tap, [2, 0])
    torch.testing.assert_close(activation, last)
    labels = drawn((7, 9))
    found = gradient_contribution(activation, gradient, labels, K)
    torch.testing.assert_close(found, cluster_contribution(last, labels, head, K)[:, [2, 0]])


def test_the_gap_of_a_head_that_is_not_linear_is_stated():
    net, x, head, logits, _ = asked("none", torch.float64)
    assert not head.exact
    _, activation, gradient = capture_with_grad(net, x, head.tap, [0, 1])
    labels = drawn((4, 5))
    parts = gradient_contribution(activation, gradient, labels, K)
    slow = torch.zeros_like(parts)
    for n in range(2):
        for t in range(2):
            for y in range(4):
                for c in range(5):
                    slow[n, t, labels[n, y, c]] += gradient[n, t, :, y, c] @ activation[n, :, y, c]
    torch.testing.assert_close(parts, slow)
    gap = residual(logits[:, :2], torch.zeros(2), parts)
    torch.testing.assert_close(gap, logits[:, :2] - (gradient * activation[:, None]).sum((2, 3, 4)))
    assert gap.abs().min() > 1e-3


def test_the_way_from_the_mean_leaves_no_gap():
    torch.manual_seed(0)
    net = ViT(3, 4, (16, 24), patch=4, dim=12, depth=3, heads=3, registers=1).double().eval()
    nn.init.normal_(net.head.weight)
    x = torch.rand(2, 3, 16, 24, dtype=torch.float64)
    head = find_head(net, (16, 24))
    labels = drawn((4, 6))
    logits, began, way, gradient = integrate(net, x, head.tap, [3, 1], 24)
    parts = gradient_contribution(way, gradient, labels, K)
    assert residual(logits[:, [3, 1]], began, parts).abs().max() < 1e-5
    _, activation, local = capture_with_grad(net, x, head.tap, [3, 1])
    plain = gradient_contribution(activation, local, labels, K)
    assert residual(logits[:, [3, 1]], began, plain).abs().max() > 1e-2


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_a_sic_network_nothing_is_left_over(dtype):
    torch.manual_seed(0)
    net = SIC(BcosCNN(3, [[8, 3, 1, 1], [10, 3, 2, 1]]), 3, 16, temperature=0.1).to(dtype).eval()
    for m in net.modules():
        if isinstance(m, BcosConv2d):
            m.weight.data.uniform_(-1, 1)
    net.set_supports(torch.rand(6, 16), torch.arange(6) % 3)
    x = torch.rand(2, 3, 12, 14).to(dtype)
    head = find_head(net, (12, 14))
    assert not head.exact
    logits, activation, gradient = capture_with_grad(net, x, head.tap, [0, 1, 2])
    parts = gradient_contribution(activation, gradient, drawn((12, 14)), K)
    bias = torch.full((3,), net.bias, dtype=dtype)
    assert (logits - bias).abs().min() > 1e-2
    tolerance = 1e-5 if dtype == torch.float32 else 1e-13
    assert residual(logits, bias, parts).abs().max() < tolerance


def test_a_head_may_be_in_another_precision():
    _, _, head, _, last = asked("gap", torch.float64)
    single = Head(head.kind, head.tap, head.weight.float(), head.bias.float())
    found = cluster_contribution(last, drawn((4, 5)), single, K)
    assert found.dtype == torch.float64
    torch.testing.assert_close(
        found, cluster_contribution(last, drawn((4, 5)), head, K), rtol=1e-5, atol=1e-6
    )
