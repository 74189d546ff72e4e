"""Relevance curves: identities, the three rules for ties against a slow version, shared batches, growing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from superpixel_cases import tolerance

from xai_views.engine.attribution.maps import control
from xai_views.engine.superpixels.aggregate import aggregate
from xai_views.engine.superpixels.regions import clusters_to_regions
from xai_views.errors import MethodError
from xai_views.models import passes
from xai_views.scores.curves import (
    FILLS,
    ORDERS,
    TIES,
    Job,
    areas,
    auc,
    comparison,
    filled,
    last,
    predictor,
    relevance_curve,
    relevance_curves,
)

H, W = 12, 10
RNG = np.random.default_rng(0)
IMAGE = RNG.random((H, W, 3))
WEIGHT = RNG.normal(size=(H, W, 3))
RELEVANCE = RNG.normal(size=(H, W))
REGIONS = clusters_to_regions(RNG.integers(0, 4, (4, 5)).repeat(3, 0).repeat(2, 1), connected=True)


def network(images):
    """Three classes, non-linear, and different for two different images."""
    a = (images * WEIGHT).sum((1, 2, 3), dtype=np.float64)
    b = (images**2 * WEIGHT[::-1]).sum((1, 2, 3), dtype=np.float64)
    return np.stack([np.tanh(a), np.sin(b), a * b / 100], 1)


def linear(images):
    return (images * WEIGHT).sum((1, 2, 3), dtype=np.float64)


class Counting:
    def __init__(self, predict=network):
        self.predict, self.calls, self.images = predict, [], []

    def __call__(self, images):
        self.calls.append(len(images))
        self.images += [i.copy() for i in images]
        return self.predict(images)


def slow(job, image, target):
    """Pixel by pixel: (fraction, [value per seed])."""
    value = job.relevance if job.regions is None else aggregate(job.relevance, job.regions, job.how)[0]
    sign = -1 if job.order == "morf" else 1
    background = {
        "zero": np.zeros_like(image),
        "mean": np.broadcast_to(image.mean((0, 1)), image.shape),
        "blur": gaussian_filter(image, (0.08 * H, 0.08 * H, 0)),
    }[job.fill]
    pixels = [(y, x) for y in range(H) for x in range(W)]
    if job.ties == "regions":
        key = {p: (sign * value[p], 0 if job.regions is None else job.regions[p]) for p in pixels}
        sets = [[p for p in pixels if key[p] == k] for k in sorted(set(key.values()))]
        stages = [[]]
        for s in sets:
            stages.append(stages[-1] + s)
        runs = [stages]
    else:
        runs = []
        for seed in job.seeds if job.ties == "random" else [None]:
            noise = np.random.default_rng(seed).random(H * W).reshape(H, W)
            own = np.arange(H * W).reshape(H, W) if job.regions is None else sign * job.relevance
            second = noise if job.ties == "random" else own
            order = sorted(pixels, key=lambda p, second=second: (sign * value[p], second[p], p))
            runs.append([order[: round(H * W * i / job.steps)] for i in range(job.steps + 1)])
    out = []
    for stages in runs:
        values = []
        for gone in stages:
            x = image.copy()
            for p in gone:
                x[p] = background[p]
            values.append(network(x[None])[0, target])
        out.append(values)
    return np.array([len(g) / (H * W) for g in runs[0]]), np.array(out)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("on_regions", [True, False], ids=["superpixels", "raw"])
def test_curves_equal_a_slow_version(on_regions, ties, order, fill, dtype):
    relevance = RELEVANCE if on_regions else np.round(RELEVANCE)  # raw maps with ties as well
    job = Job(relevance, REGIONS if on_regions else None, order, fill, ties, steps=24, seeds=(0, 5))
    image = IMAGE.astype(dtype)
    got = last(relevance_curves(network, image, {"": job}, target=2, batch=7))[""]
    fraction, values = slow(job, image, 2)
    np.testing.assert_allclose(got.fraction, fraction)
    np.testing.assert_allclose(got.value, values, rtol=0, atol=20 * tolerance(dtype))
    assert got.complete


def test_auc_is_the_published_sum_for_equal_steps(dtype):
    values = RNG.random(33).astype(dtype)
    want = (values[0] / 2 + values[1:-1].sum() + values[-1] / 2) / 32
    assert auc(np.linspace(0, 1, 33), values) == pytest.approx(want, rel=10 * tolerance(dtype))


def test_auc_of_unequal_steps_is_over_the_removed_area():
    assert auc([0, 0.25, 1], [1, 1, 0]) == pytest.approx(0.25 + 0.375)
    assert auc([0, 0.5, 1], [1, np.nan, 0]) == 0.5
    assert np.isnan(auc([0, 0.5, 1], [np.nan, 1, 0]))


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("fill", FILLS)
def test_both_orders_share_their_ends_f_0_and_f_S(ties, fill, dtype):
    image = IMAGE.astype(dtype)
    curves = [
        last(relevance_curve(network, image, RELEVANCE, REGIONS, order, fill, ties, target=0))
        for order in ORDERS
    ]
    ends = network(np.stack([image, filled(image, fill)]))[:, 0]
    for c in curves:
        np.testing.assert_array_equal(c.value[:, 0], np.full(len(c.value), ends[0]))
        np.testing.assert_array_equal(c.value[:, -1], np.full(len(c.value), ends[1]))
        assert (c.fraction[0], c.fraction[-1]) == (0, 1)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("on_regions", [True, False])
def test_a_reversed_map_swaps_lerf_and_morf_exactly(ties, on_regions, dtype):
    image, relevance = IMAGE.astype(dtype), np.round(2 * RELEVANCE).astype(dtype)  # with ties
    regions = REGIONS if on_regions else None
    jobs = {
        (sign, order): Job(sign * relevance, regions, order, ties=ties)
        for sign in (1, -1)
        for order in ORDERS
    }
    found = last(relevance_curves(network, image, jobs, target=1))
    for order, other in (ORDERS, ORDERS[::-1]):
        np.testing.assert_array_equal(found[1, order].value, found[-1, other].value)
        np.testing.assert_array_equal(found[1, order].fraction, found[-1, other].fraction)
    assert found[1, "lerf"].area != found[1, "morf"].area


def test_lerf_of_a_constant_map_is_the_mean_over_random_orders(dtype):
    image, seeds = IMAGE.astype(dtype), tuple(range(12))
    flat = last(relevance_curve(network, image, np.zeros((H, W)), ties="random", seeds=seeds, target=0))
    orders = [np.random.default_rng(s).random((H, W)) for s in seeds]
    by_order = [last(relevance_curve(network, image, o, ties="original", target=0)) for o in orders]
    np.testing.assert_array_equal(flat.mean, np.mean([c.value[0] for c in by_order], 0))
    assert flat.area == pytest.approx(np.mean([c.area for c in by_order]), rel=1e-12)
    # and both orders are the same for it
    morf = last(
        relevance_curve(network, image, np.zeros((H, W)), order="morf", ties="random", seeds=seeds, target=0)
    )
    np.testing.assert_array_equal(morf.value, flat.value)


def test_random_orders_of_a_linear_answer_end_up_halfway():
    """Each pixel is removed half of the time, so the expected area is the mean of both ends."""
    seeds = tuple(range(200))
    found = last(relevance_curve(linear, IMAGE, np.zeros((H, W)), ties="random", seeds=seeds, steps=H * W))
    want = (linear(IMAGE[None])[0] + 0) / 2
    error = found.areas.std() / np.sqrt(len(seeds))
    assert abs(found.area - want) < 4 * error
    assert error < 0.1 * abs(WEIGHT).sum()


def test_the_true_map_of_a_linear_answer_beats_every_other_order():
    truth = (IMAGE * WEIGHT).sum(2)
    best = {
        o: last(relevance_curve(linear, IMAGE, truth, order=o, ties="original", steps=H * W)).area
        for o in ORDERS
    }
    for seed in range(20):
        other = np.random.default_rng(seed).normal(size=(H, W))
        found = {
            o: last(relevance_curve(linear, IMAGE, other, order=o, ties="original", steps=H * W)).area
            for o in ORDERS
        }
        assert found["lerf"] < best["lerf"]
        assert found["morf"] > best["morf"]


def test_ties_within_regions_do_not_move_the_curve_at_region_borders():
    """After k whole regions all three rules have removed the same pixels."""
    regions = np.arange(6).repeat(2)[:, None].repeat(W, 1)
    jobs = {t: Job(RELEVANCE, regions, "lerf", ties=t, steps=12, seeds=(0,)) for t in TIES}
    found = last(relevance_curves(network, IMAGE, jobs, target=0))
    at_regions = found["regions"].value[0]
    for t in ("random", "original"):
        np.testing.assert_allclose(found[t].value[0, ::2], at_regions)
        assert not np.allclose(found[t].value[0, 1::2], (at_regions[1:] + at_regions[:-1]) / 2)


def test_more_regions_than_steps_are_thinned_to_cuts_near_equal_areas():
    rng = np.random.default_rng(0)
    regions = rng.integers(0, 60, (H, W))
    counting = Counting()
    found = last(relevance_curve(counting, IMAGE, RELEVANCE, regions, ties="regions", steps=10, target=0))
    assert len(found.fraction) <= 11
    assert sum(counting.calls) == len(found.fraction)
    assert np.abs(found.fraction - np.linspace(0, 1, 11)).max() < 0.03
    full = last(relevance_curve(network, IMAGE, RELEVANCE, regions, ties="regions", steps=10_000, target=0))
    at = np.isin(full.fraction, found.fraction)
    np.testing.assert_array_equal(full.value[0, at], found.value[0])


def test_regions_that_no_pixel_has_change_nothing():
    apart = REGIONS * 3 + 1
    a, b = (last(relevance_curve(network, IMAGE, RELEVANCE, r, target=0)) for r in (REGIONS, apart))
    np.testing.assert_array_equal(a.fraction, b.fraction)
    np.testing.assert_array_equal(a.value, b.value)


# -- batches, cost, growing ------------------------------------------------------------------------------------------


def test_curves_share_batches_and_ask_the_image_and_each_filled_image_once():
    jobs = {
        (o, t, f): Job(RELEVANCE, REGIONS, o, f, t, steps=8, seeds=(0, 1))
        for o in ORDERS
        for t in TIES
        for f in ("zero", "mean")
    }
    counting = Counting()
    found = last(relevance_curves(counting, IMAGE, jobs, target=0, batch=16))
    inner = sum(c.value[:, 1:-1].size for c in found.values())
    assert sum(counting.calls) == inner + 1 + 2
    assert len(counting.calls) == -(-(inner + 3) // 16)
    assert all(n == 16 for n in counting.calls[:-1])
    assert sum(np.array_equal(i, IMAGE) for i in counting.images) == 1
    # the same together and separately
    for name, job in jobs.items():
        alone = last(relevance_curves(network, IMAGE, {"": job}, target=0, batch=3))[""]
        np.testing.assert_allclose(alone.value, found[name].value, rtol=1e-12)


def test_a_curve_of_28_regions_or_32_steps_is_one_call():
    regions = np.arange(28).repeat(5)[: H * W].reshape(H, W) % 28
    for job in (Job(RELEVANCE, regions, ties="regions"), Job(RELEVANCE, None, ties="original")):
        counting = Counting()
        last(relevance_curves(counting, IMAGE, {"": job}, batch=33))
        assert len(counting.calls) == 1
        assert counting.calls[0] <= 33


def test_curves_grow_from_coarse_to_fine_and_may_be_stopped():
    counting = Counting()
    growing = relevance_curve(counting, IMAGE, RELEVANCE, ties="original", steps=32, target=0, batch=5)
    known = []
    for curve in growing:
        known.append(np.isfinite(curve.value[0]))
        points = np.flatnonzero(known[-1])
        assert {0, 32} <= set(points)
        assert np.isfinite(curve.area)  # an area from the first call on
        assert np.diff(points).max() <= 2 * -(-32 // (len(points) - 1))  # spread over the whole range
        if len(known) == 3:
            growing.close()
            break
    assert [k.sum() for k in known] == [5, 10, 15]
    assert len(counting.calls) == 3
    assert not curve.complete


def test_what_was_yielded_does_not_change_afterwards():
    growing = relevance_curve(network, IMAGE, RELEVANCE, ties="original", batch=4, target=0)
    first = next(growing)
    before = first.value.copy()
    last(growing)
    np.testing.assert_array_equal(first.value, before)


def test_without_a_target_the_class_of_the_whole_image_is_followed():
    top = int(network(IMAGE[None])[0].argmax())
    a = last(relevance_curve(network, IMAGE, RELEVANCE, batch=2))
    b = last(relevance_curve(network, IMAGE, RELEVANCE, target=top))
    np.testing.assert_allclose(a.value, b.value)


def test_bytes_are_read_as_shares_and_colours_may_be_given():
    image = (IMAGE * 255).astype(np.uint8)
    colour = np.array([0.2, 0.4, 0.6])
    seen = Counting()
    last(relevance_curve(seen, image, RELEVANCE, fill=colour))
    np.testing.assert_allclose(seen.images[0], image / 255, rtol=1e-6)
    np.testing.assert_allclose(seen.images[1], np.broadcast_to(colour, image.shape), rtol=1e-6)
    assert seen.images[0].dtype == np.float32


BAD = [
    {"order": "up"},
    {"fill": "grey"},
    {"ties": "none"},
    {"steps": 0},
    {"seeds": ()},
    {"regions": np.zeros((2, 2), int)},
    {"relevance": np.full((H, W), np.nan)},
    {"how": "max"},
]


@pytest.mark.parametrize("change", BAD, ids=lambda c: next(iter(c)))
def test_a_job_that_cannot_be_done_is_one_sentence(change):
    with pytest.raises(MethodError, match=r"\.$"):
        last(relevance_curves(network, IMAGE, {"a": replace(Job(RELEVANCE, REGIONS), **change)}))


@pytest.mark.parametrize(
    "call",
    [
        lambda: relevance_curve(network, IMAGE[..., 0], RELEVANCE),
        lambda: relevance_curve(network, IMAGE, RELEVANCE, batch=0),
        lambda: relevance_curve(network, IMAGE, RELEVANCE, target=3),
        lambda: relevance_curve(lambda x: np.zeros((1, 2)), IMAGE, RELEVANCE),
        lambda: relevance_curve(lambda x: np.zeros((len(x), 2, 2)), IMAGE, RELEVANCE),
    ],
)
def test_what_does_not_fit_is_one_sentence(call):
    with pytest.raises(MethodError, match=r"\.$"):
        last(call())


# -- comparisons, and a real network ---------------------------------------------------------------------------------


def test_a_comparison_holds_raw_and_superpixels_with_each_rule_and_the_spread_between_them():
    maps = {"a": RELEVANCE, "random": control(IMAGE[None], "random")[0]}
    curves = last(relevance_curves(network, IMAGE, comparison(maps, REGIONS, steps=8), target=0))
    assert len(curves) == 2 * 2 * (1 + 3)
    found = areas(curves)
    for (name, kind, order, ties), curve in curves.items():
        at = {"method": name, "kind": kind, "order": order, "ties": ties}
        assert float(found["area"].loc[at]) == curve.area
    three = [curves["a", "superpixels", "lerf", t].area for t in TIES]
    assert float(found["spread"].loc[{"method": "a", "kind": "superpixels", "order": "lerf"}]) == max(
        three
    ) - min(three)
    assert max(three) > min(three)
    gap = (
        curves["a", "superpixels", "lerf", "regions"].area
        - curves["a", "superpixels", "morf", "regions"].area
    )
    assert float(found["gap"].loc[{"method": "a", "kind": "superpixels", "ties": "regions"}]) == gap
    assert found["area"].isnull().sum() == 2 * 2 * 2  # raw maps have one rule


def test_shipped_network_ends_are_its_own_answers_and_passes_are_counted(shipped, own_regions):
    model, images, label, maps = shipped
    image, c = images[0], int(label[0])
    before = passes.snapshot()
    jobs = {o: Job(maps[0], own_regions[0], o) for o in ORDERS}
    found = last(relevance_curves(predictor(model), image, jobs, c))
    after = passes.snapshot()
    m = own_regions[0].max() + 1
    assert after["forward"] - before["forward"] == 2 + 2 * (m - 1)
    assert after["backward"] == before["backward"]
    assert after["forward_calls"] - before["forward_calls"] == -(-2 * m // 64)
    ends = predictor(model)(np.stack([image, np.zeros_like(image)]).astype(np.float32) / 255)[:, c]
    for curve in found.values():
        np.testing.assert_allclose(curve.value[0, [0, -1]], ends, rtol=1e-5)
    assert found["lerf"].area > found["morf"].area


def test_contributions_of_the_shipped_network_beat_a_random_map(shipped):
    """Mean gap between LeRF and MoRF over eight digits; a random map's is near 0."""
    model, images, label, maps = shipped
    gaps = {"sic": [], "random": []}
    for i, image in enumerate(images):
        own = {"sic": maps[i], "random": control(images[i : i + 1], "random")[0]}
        jobs = {(n, o): Job(m, None, o, ties="original", steps=16) for n, m in own.items() for o in ORDERS}
        found = last(relevance_curves(predictor(model), image, jobs, int(label[i])))
        for name, values in gaps.items():
            values.append(found[name, "lerf"].area - found[name, "morf"].area)
    assert np.mean(gaps["sic"]) > 0.2
    assert abs(np.mean(gaps["random"])) < 0.1


def test_logits_and_probabilities_may_be_followed(shipped):
    model, images, _, _ = shipped
    x = images[:2].astype(np.float32) / 255
    np.testing.assert_allclose(model.probability(predictor(model, "logit")(x)), predictor(model)(x))
    with pytest.raises(MethodError, match="is not known"):
        predictor(model, "score")
