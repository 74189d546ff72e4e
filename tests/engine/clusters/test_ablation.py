"""Removing clusters: compared with loops, with the network itself, and with the definition of Shapley values."""

import itertools
import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from xai_views.engine.clusters.ablation import INPUT_FILLS, ablate, input_ablation, latent_shapley, shapley
from xai_views.engine.clusters.contribution import cluster_contribution, membership
from xai_views.errors import MethodError
from xai_views.models.heads import Head, find_head
from xai_views.models.taps import capture, replace

K = 4


def maps(n=2, channels=5, grid=(4, 6), dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, channels, *grid, generator=g, dtype=dtype)


def clusters(n=2, size=(7, 9), grid=(4, 6), k=K, dtype=torch.float64, seed=1):
    labels = torch.randint(0, k, (n, *size), generator=torch.Generator().manual_seed(seed))
    return labels, membership(labels, grid, k, torch.zeros((), dtype=dtype))


def head_of(kind, channels=5, grid=(4, 6), classes=3, dtype=torch.float64):
    g = torch.Generator().manual_seed(2)
    shape = (classes, channels) if kind == "gap" else (classes, channels, *grid)
    weight = torch.randn(shape, generator=g, dtype=dtype)
    return Head(kind, "", weight, torch.randn(classes, generator=g, dtype=dtype))


def slow_ablate(last, share, gone, fill, mean):
    out = last.clone()
    for n in range(len(last)):
        cells = list(itertools.product(*(range(g) for g in last.shape[2:])))
        part = {p: float(sum(share[(n, k, *p)] for k in set(gone))) for p in cells}
        value = torch.zeros(last.shape[1], dtype=last.dtype)
        rest = sum(1 - part[p] for p in cells)
        if fill == "data":
            value = mean
        elif fill == "mean" and rest > 1e-9:
            value = sum((1 - part[p]) * last[(n, slice(None), *p)] for p in cells) / rest
        for p in cells:
            out[(n, slice(None), *p)] = (1 - part[p]) * last[(n, slice(None), *p)] + part[p] * value
    return out


@pytest.mark.parametrize("gone", [[], [1], [3, 0], [0, 1, 2, 3], [2, 2]])
@pytest.mark.parametrize("fill", ["mean", "zero", "data"])
@pytest.mark.parametrize("size", [(4, 6), (7, 9), (2, 3)])
def test_ablating(gone, fill, size):
    last, mean = maps(), torch.arange(5, dtype=torch.float64)
    _, share = clusters(size=size)
    want = slow_ablate(last, share, gone, fill, mean)
    torch.testing.assert_close(ablate(last, share, gone, fill, mean), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("fill", ["mean", "zero", "data"])
def test_keeping_only_some_is_taking_the_others(fill):
    last, mean = maps(), torch.ones(5, dtype=torch.float64)
    labels, share = clusters(size=(4, 6))
    only = ablate(last, share, [0, 1, 3], fill, mean)
    for n in range(2):
        kept = labels[n] == 2
        torch.testing.assert_close(only[n][:, kept], last[n][:, kept])
        value = {"mean": last[n][:, kept].mean(1), "zero": 0 * mean, "data": mean}[fill]
        torch.testing.assert_close(only[n][:, ~kept], value[:, None].expand(-1, int((~kept).sum())))


def test_of_nothing_nothing_remains_in_float32_either():
    last, (_, share) = maps(dtype=torch.float32), clusters(dtype=torch.float32)
    assert torch.equal(ablate(last, share, range(K), "mean"), torch.zeros_like(last))
    assert torch.equal(ablate(last, share, []), last)


def test_signals_are_ablated_alike():
    last, (_, share) = maps(grid=(8,)), clusters(size=(11,), grid=(8,))
    for fill in ("mean", "zero"):
        torch.testing.assert_close(
            ablate(last, share, [1, 2], fill), slow_ablate(last, share, [1, 2], fill, None)
        )


@pytest.mark.parametrize("kind", ["gap", "flatten"])
def test_what_belongs_to_no_cluster_stays_and_counts_in_no_mean(kind):
    last, head = maps(n=1, grid=(6,)), head_of(kind, grid=(6,))
    labels = torch.tensor([[0, 0, 1, 2, 3, 3]])
    share = membership(labels, (6,), 4, last)[:, :3]  # the last two cells are padding
    out = ablate(last, share, [0])
    torch.testing.assert_close(out[0, :, 0], last[0, :, 2:4].mean(1))
    torch.testing.assert_close(out[..., 2:], last[..., 2:])
    assert not ablate(last, share, [0, 1, 2])[..., :4].any(), "no cluster remains to average"
    fair = latent_shapley(last, share, head)
    want = head.logits(last) - head.logits(ablate(last, share, [0, 1, 2]))
    torch.testing.assert_close(fair.sum(2), want)


def test_the_head_alone_says_what_the_network_says():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)
    )
    net, x = net.double(), torch.rand(2, 3, 8, 12, dtype=torch.float64)
    head = find_head(net, (8, 12))
    logits, kept = capture(net, x, [head.tap])
    _, share = clusters()
    changed = ablate(kept[head.tap], share, [1], "mean")
    torch.testing.assert_close(head.logits(changed), replace(net, x, head.tap, changed))
    assert (head.logits(changed) - logits).abs().max() > 1e-3


def test_zero_takes_exactly_the_contribution():
    last, head = maps(), head_of("gap")
    labels, share = clusters()
    parts = cluster_contribution(last, labels, head, K)
    for k in range(K):
        without = head.logits(ablate(last, share, [k], "zero"))
        torch.testing.assert_close(head.logits(last) - without, parts[:, :, k])


# -- Shapley ------------------------------------------------------------------------------------------------------


def slow_shapley(value, players):
    """The mean gain over all orders."""
    total = [0.0] * players
    for order in itertools.permutations(range(players)):
        there: list[int] = []
        for i in order:
            total[i] = total[i] + value([*there, i]) - value(there)
            there.append(i)
    return [t / math.factorial(players) for t in total]


def random_game(players, seed=0, values=3):
    table = torch.randn(
        2**players, values, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    return table, lambda there: table[sum(2**i for i in there)]


def coded(table):
    return lambda present: table[(present * 2 ** torch.arange(present.shape[1])).sum(1)]


@pytest.mark.parametrize("players", [1, 2, 3, 4, 5])
def test_shapley_is_the_mean_over_all_orders(players):
    table, value = random_game(players)
    found = shapley(coded(table), players)
    torch.testing.assert_close(found, torch.stack(slow_shapley(value, players)))
    torch.testing.assert_close(found.sum(0), table[-1] - table[0])


def test_all_coalitions_in_one_batch_each_once():
    calls = []

    def value(present):
        calls.append(present)
        return present.double().sum(1)

    torch.testing.assert_close(shapley(value, 6), torch.ones(6, dtype=torch.float64))
    assert len(calls) == 1
    assert calls[0].dtype == torch.bool
    assert len({tuple(row) for row in calls[0].tolist()}) == 64


def test_equals_get_the_same_and_dummies_what_they_bring():
    def value(present):
        a, b, c, d = present.double().T
        return (a + b) ** 2 + 3 * c * (a + b) + 0.25 * d

    found = shapley(value, 4)
    assert float(found[0]) == pytest.approx(float(found[1]))
    assert float(found[3]) == pytest.approx(0.25)
    assert float(found.sum()) == pytest.approx(10.25)
    assert float(found[2]) == pytest.approx(3.0)


def test_games_add_up():
    (one, _), (two, _) = random_game(4, 1), random_game(4, 2)
    torch.testing.assert_close(
        shapley(coded(one), 4) + 2 * shapley(coded(two), 4), shapley(coded(one + 2 * two), 4)
    )


@pytest.mark.parametrize("fill", ["mean", "zero", "data"])
@pytest.mark.parametrize("kind", ["gap", "flatten"])
@pytest.mark.parametrize("size", [(4, 6), (7, 9)])
def test_latent_shapley_is_that_of_ablating_and_asking_the_head(kind, fill, size):
    last, head, mean = maps(), head_of(kind), torch.linspace(-1, 1, 5, dtype=torch.float64)
    labels, share = clusters(size=size)
    found = latent_shapley(last, share, head, fill, mean)
    assert found.shape == (2, 3, K)

    def value(there):
        return head.logits(ablate(last, share, [k for k in range(K) if k not in there], fill, mean))

    torch.testing.assert_close(found, torch.stack(slow_shapley(value, K), 2), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.sum(2), value(range(K)) - value([]), rtol=0, atol=1e-12)
    if fill == "zero":
        torch.testing.assert_close(found, cluster_contribution(last, labels, head, K))
    else:
        assert (found - cluster_contribution(last, labels, head, K)).abs().max() > 1e-2
    torch.testing.assert_close(
        latent_shapley(last, share, head, fill, mean, targets=[2, 0]), found[:, [2, 0]]
    )


@pytest.mark.parametrize("fill", ["mean", "zero"])
def test_latent_shapley_in_float32(fill):
    head = head_of("gap", dtype=torch.float32)
    last, (_, share) = maps(dtype=torch.float32), clusters(dtype=torch.float32)
    found = latent_shapley(last, share, head, fill)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found, latent_shapley(last.double(), share.double(), head, fill).float(), rtol=0, atol=3e-5
    )
    torch.testing.assert_close(found.sum(2) + head.bias, head.logits(last), rtol=0, atol=1e-5)


def test_a_cluster_without_cells_is_a_dummy():
    last, head = maps(), head_of("gap")
    labels, _ = clusters(k=3)
    share = membership(labels, (4, 6), 4, last)
    found = latent_shapley(last, share, head, "mean")
    torch.testing.assert_close(found[:, :, 3], torch.zeros(2, 3, dtype=torch.float64))
    torch.testing.assert_close(found[:, :, :3], latent_shapley(last, share[:, :3], head, "mean"))


def test_ten_clusters_of_a_thousand_classes_are_quick():
    last = torch.randn(1, 320, 7, 7, generator=torch.Generator().manual_seed(0))
    head = Head("gap", "", torch.randn(1000, 320), torch.randn(1000))
    _, share = clusters(1, (28, 28), (7, 7), 10, torch.float32)
    start = time.perf_counter()
    found = latent_shapley(last, share, head, "mean")
    assert time.perf_counter() - start < 5
    torch.testing.assert_close(found.sum(2) + head.bias, head.logits(last), rtol=0, atol=1e-3)


# -- the image ----------------------------------------------------------------------------------------------------


def picture(dtype):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 9, 12, 3)).astype(np.uint8)
    return images if dtype == np.uint8 else (images / 255).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("fill", INPUT_FILLS)
def test_only_the_region_changes(fill, dtype):
    images = picture(dtype)
    before = images.copy()
    mask = np.zeros((2, 9, 12), bool)
    mask[0, 2:6, 3:8] = True
    out = input_ablation(images, mask, fill)
    assert (out.dtype, out.shape) == (images.dtype, images.shape)
    assert np.array_equal(images, before)
    assert np.array_equal(out[~mask], images[~mask])
    assert np.array_equal(out[1], images[1]), "the second image is unchanged"
    if fill == "zero":
        assert not out[mask].any()
    elif fill == "mean":
        want = images[0][~mask[0]].astype(float).mean(0)
        assert np.allclose(out[mask], want, atol=0.5 if dtype == np.uint8 else 1e-6)
    else:
        assert 0 < out[mask].std() < 0.5 * images[mask].std(), "blurred, not flat"
        assert abs(out[mask].mean() / images[0].mean() - 1) < 0.15


def test_blurring_is_a_gaussian_in_space_only():
    images = np.zeros((1, 25, 25, 3))
    images[0, 12, 12, 1] = 1
    out = input_ablation(images, np.ones((1, 25, 25), bool), "blur")
    sigma = 0.08 * 25
    y, x = np.mgrid[-12:13, -12:13]
    want = np.exp(-(y**2 + x**2) / (2 * sigma**2))
    assert np.allclose(out[0, :, :, 1], want / want.sum(), atol=2e-4)
    assert not out[0, :, :, [0, 2]].any()


def test_all_of_an_image_becomes_its_mean():
    images = picture(np.float64)
    out = input_ablation(images, np.ones((2, 9, 12), bool), "mean")
    assert np.allclose(out, images.mean((1, 2), keepdims=True))


def mistakes():
    last, (_, share), head = maps(), clusters(), head_of("gap")
    none = Head("none", "", torch.zeros(0), torch.zeros(3))
    many = torch.rand(2, 11, 4, 6, dtype=torch.float64)
    images, mask = picture(np.uint8), np.zeros((2, 9, 12), bool)
    return {
        "fill": (lambda: ablate(last, share, [0], "means"), "'mean'"),
        "no mean": (lambda: ablate(last, share, [0], "data"), "needs the mean"),
        "wrong mean": (lambda: latent_shapley(last, share, head, "data", torch.zeros(4)), "5 channels"),
        "no such cluster": (lambda: ablate(last, share, [4]), "0 to 3"),
        "many": (lambda: latent_shapley(last, many, head), "at most 10"),
        "many players": (lambda: shapley(lambda p: p.sum(1), 11), "2048"),
        "head": (lambda: latent_shapley(last, share, none), "linear head"),
        "shapley fill": (lambda: latent_shapley(last, share, head, "blur"), "'blur'"),
        "input fill": (lambda: input_ablation(images, mask, "data"), "'data'"),
        "mask": (lambda: input_ablation(images, mask[:, :8], "blur"), "[2, 8, 12]"),
        "one image": (lambda: input_ablation(images[0], mask[0], "blur"), "[9, 12, 3]"),
    }


@pytest.mark.parametrize("name", mistakes())
def test_mistakes_are_one_sentence(name):
    call, says = mistakes()[name]
    with pytest.raises(MethodError) as caught:
        call()
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert len(message) < 300
    assert message.endswith(".")
