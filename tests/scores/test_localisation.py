"""Boxes at every threshold against a slow loop, the oracle's best region, and how well regions follow the ground truth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.ndimage import label as nd_label

from xai_views.engine.superpixels.aggregate import aggregate
from xai_views.engine.superpixels.regions import boundaries, clusters_to_regions
from xai_views.errors import MethodError
from xai_views.scores import localisation as loc
from xai_views.scores.boxes import iou, overlap_by_threshold
from xai_views.scores.quality import CLASSIC, matched

RNG = np.random.default_rng(3)
TRUTH = np.array([[3, 4, 12, 15], [1, 1, 5, 5]])
MAPS = {
    "noise": RNG.random((20, 23)),
    "five values": RNG.integers(0, 5, (20, 23)).astype(float),
    "regions": RNG.normal(size=(4, 5)).repeat(5, 0).repeat(5, 1)[:, :23],
    "negative": -RNG.random((20, 23)) - 3,
    "constant": np.full((20, 23), 2.0),
    "two spots": np.where(np.add.outer(np.arange(20) % 9, np.arange(23) % 8) < 3, 1.0, 0),
}


def slow_overlap(a, b) -> float:
    """IoU of two inclusive boxes by counting pixels."""
    pixels = [{(x, y) for x in range(q[0], q[2] + 1) for y in range(q[1], q[3] + 1)} for q in (a, b)]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


def slow(map_, truth, thresholds, best, connectivity):
    """Reference version: one labelling per threshold."""
    s = (map_ - map_.min()) / (map_.max() - map_.min()) if map_.max() > map_.min() else np.zeros_like(map_)
    found = []
    for t in thresholds:
        marked, n = nd_label(s >= t, np.ones((3, 3)) if connectivity == 8 else None)
        pieces = [np.nonzero(marked == i) for i in range(1, n + 1)]
        boxes = [(x.min(), y.min(), x.max(), y.max()) for y, x in pieces]
        overlaps = [max(slow_overlap(b, t) for t in truth) for b in boxes]
        largest = max(range(n), key=lambda i: (len(pieces[i][0]), -i)) if n else 0
        found.append((max(overlaps) if best else overlaps[largest]) if n else 0.0)
    return np.array(found)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("best", [True, False], ids=["V2", "V1"])
@pytest.mark.parametrize("name", MAPS)
def test_overlap_at_every_threshold_equals_a_slow_loop(name, best, connectivity):
    thresholds = np.arange(0, 1, 0.04)
    got_at, got = overlap_by_threshold(MAPS[name], TRUTH, thresholds, best, connectivity)
    np.testing.assert_array_equal(got_at, thresholds)
    np.testing.assert_allclose(got, slow(MAPS[name], TRUTH, thresholds, best, connectivity), rtol=1e-14)


@pytest.mark.parametrize("best", [True, False], ids=["V2", "V1"])
@pytest.mark.parametrize("name", ["five values", "regions", "constant", "two spots"])
def test_exact_thresholds_are_all_there_is_and_the_classic_steps_agree(name, best):
    exact_at, exact = overlap_by_threshold(MAPS[name], TRUTH, None, best)
    assert len(exact_at) == len(np.unique(MAPS[name]))
    np.testing.assert_allclose(exact, slow(MAPS[name], TRUTH, exact_at, best, 8), rtol=1e-14)
    steps = np.arange(1000) / 1000
    _, classic = overlap_by_threshold(MAPS[name], TRUTH, steps, best)
    # nothing changes between two values: a step acts like the next value of the map
    padded = np.append(exact, 0)
    np.testing.assert_array_equal(classic, padded[np.searchsorted(exact_at, steps)])
    assert classic.max() <= exact.max()


def images():
    rng = np.random.default_rng(0)
    regions = [
        clusters_to_regions(rng.integers(0, 4, (5, 6)).repeat(4, 0).repeat(4, 1), connected=True)
        for _ in range(6)
    ]
    maps = [aggregate(rng.normal(size=r.shape), r)[0] for r in regions]
    masks = [np.isin(r, rng.choice(r.max() + 1, 2)) for r in regions]
    return regions, maps, masks


@pytest.mark.parametrize("v2", [True, False], ids=["V2", "V1"])
def test_maxboxacc_takes_one_threshold_for_all_images(v2):
    _, maps, masks = images()
    found = loc.maxboxacc(maps, masks, v2=v2)
    truth = [loc.true_boxes(m) for m in masks]
    tried = np.unique(np.concatenate([np.unique((m - m.min()) / (m.max() - m.min())) for m in maps]))
    table = np.stack([slow(m, t, tried, v2, 8) for m, t in zip(maps, truth, strict=True)])
    for i, delta in enumerate((0.3, 0.5, 0.7)):
        shares = (table >= delta).mean(0)
        assert found.accuracy[i] == shares.max()
        assert found.threshold[i] == tried[shares.argmax()]
    assert found.mean == found.accuracy.mean()
    # not the best threshold per image: that would be an oracle
    assert (found.accuracy <= (table.max(1)[None] >= np.array([[0.3], [0.5], [0.7]])).mean(1)).all()


@pytest.mark.parametrize("v2", [True, False], ids=["V2", "V1"])
def test_exact_maxboxacc_is_at_least_the_classic_one(v2):
    _, maps, masks = images()
    exact = loc.maxboxacc(maps, masks, v2=v2, thresholds="exact")
    steps = loc.maxboxacc(maps, masks, v2=v2, thresholds="steps")
    fine = loc.maxboxacc(maps, masks, v2=v2, thresholds=np.arange(200_000) / 200_000)
    assert len(steps.thresholds) == 1000
    assert (exact.accuracy >= steps.accuracy).all()
    np.testing.assert_array_equal(exact.accuracy, fine.accuracy)
    np.testing.assert_array_equal(loc.maxboxacc(maps, masks, v2=v2).accuracy, exact.accuracy)  # "auto"


def test_many_valued_maps_take_the_classic_steps():
    noise = [np.random.default_rng(0).random((40, 40))]
    assert len(loc.maxboxacc(noise, [np.array([0, 0, 9, 9])]).thresholds) == 1000


def test_a_map_that_is_the_mask_is_perfect_and_a_constant_one_is_the_whole_image():
    mask = np.zeros((10, 10), bool)
    mask[2:7, 3:9] = True
    assert (loc.maxboxacc([mask.astype(float)], [mask], (0.5, 1.0)).accuracy == 1).all()
    flat = loc.maxboxacc([np.zeros((10, 10))] * 2, [mask, np.array([0, 0, 9, 9])], (0.29, 0.31, 1.0))
    np.testing.assert_array_equal(flat.accuracy, [1, 0.5, 0.5])


def test_overlap_counts_the_pixels_at_both_ends():
    boxes = np.random.default_rng(1).integers(0, 9, (12, 2, 2)).cumsum(1).reshape(12, 4)
    want = [[slow_overlap(a, b) for b in boxes] for a in boxes]
    np.testing.assert_allclose(iou(boxes, boxes), want)
    assert iou(np.array([[2, 3, 2, 3]]), np.array([[2, 3, 2, 3]]))[0, 0] == 1


# -- the oracle ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", loc.KINDS)
@pytest.mark.parametrize(("min_area", "frame"), [(0, 0), (20, 0), (0, 2)])
def test_the_best_region_equals_a_slow_search(kind, min_area, frame):
    every, _, masks = images()
    for regions, mask in list(zip(every, masks, strict=True))[:2]:
        best = (0.0, -1)
        for r in np.unique(regions):
            marked, n = nd_label(regions == r)
            for i in range(1, n + 1):
                piece = marked == i
                if piece.sum() <= min_area:
                    continue
                if frame:
                    inner = np.zeros_like(piece)
                    inner[frame:-frame, frame:-frame] = piece[frame:-frame, frame:-frame]
                    piece = inner
                if not piece.any():
                    continue
                y, x = np.nonzero(piece)
                if kind == "mask":
                    overlap = (piece & mask).sum() / (piece | mask).sum()
                elif kind == "box":
                    overlap = slow_overlap((x.min(), y.min(), x.max(), y.max()), loc.true_boxes(mask)[0])
                else:
                    mx, my = np.median(x), np.median(y)
                    hx, hy = min(mx - x.min(), x.max() - mx), min(my - y.min(), y.max() - my)
                    box = np.array([[mx - hx, my - hy, mx + hx, my + hy]])
                    overlap = iou(box, loc.true_boxes(mask))[0, 0]
                best = max(best, (overlap, r), key=lambda b: b[0])
        got = loc.best_region(regions, mask, kind, min_area, frame)
        assert got.overlap == pytest.approx(best[0])
        assert got.region == best[1]


def test_oracle_corloc_counts_more_than_the_threshold():
    mask = np.zeros((8, 8), bool)
    mask[:4, :4] = True
    half = np.zeros((8, 8), int)
    half[:4, :2] = 1
    share, found = loc.oracle_corloc([mask.astype(int), half], [mask, mask])
    assert [f.overlap for f in found] == [1, 0.5]
    assert share == 0.5
    nothing = loc.best_region(half, mask, min_area=1000)
    assert (nothing.overlap, nothing.region) == (0, -1)


@pytest.mark.parametrize("seed", range(4))
def test_a_mask_read_on_regions_gives_the_bound_of_every_union(seed):
    """Aligned regions reach 1; others the best IoU that any union of regions has."""
    rng = np.random.default_rng(seed)
    regions = clusters_to_regions(rng.integers(0, 3, (3, 4)).repeat(3, 0).repeat(3, 1), connected=True)
    mask = rng.random(regions.shape) < 0.4
    m = regions.max() + 1
    unions = [np.isin(regions, ids) for n in range(1, m + 1) for ids in itertools.combinations(range(m), n)]
    best = max((u & mask).sum() / (u | mask).sum() for u in unions)
    got, union = loc.bound(regions, mask)
    assert got == pytest.approx(best)
    assert got == pytest.approx((union & mask).sum() / (union | mask).sum())
    # the aggregated mask, cut at its best level, is that union
    level, _ = aggregate(mask.astype(float), regions)
    cuts = [(level >= t) for t in np.unique(level)]
    assert max((c & mask).sum() / (c | mask).sum() for c in cuts) == pytest.approx(best)
    # at one half it is the achievable accuracy
    assert ((level > 0.5) == mask).mean() == pytest.approx(loc.asa(regions, mask.astype(int)))
    aligned = clusters_to_regions(regions * 2 + mask, connected=True)
    assert loc.bound(aligned, mask)[0] == 1


# -- quality ---------------------------------------------------------------------------------------------------------


def test_quality_figures_equal_slow_versions():
    rng = np.random.default_rng(5)
    regions = clusters_to_regions(rng.integers(0, 4, (5, 6)).repeat(3, 0).repeat(3, 1), connected=True)
    truth = rng.integers(0, 3, (3, 3)).repeat(5, 0).repeat(6, 1)
    accuracy = leak = 0
    for r in np.unique(regions):
        inside = regions == r
        accuracy += max((inside & (truth == t)).sum() for t in np.unique(truth))
        leak += sum(
            min((inside & (truth == t)).sum(), (inside & (truth != t)).sum())
            for t in np.unique(truth[inside])
        )
    assert loc.asa(regions, truth) == pytest.approx(accuracy / truth.size)
    assert loc.undersegmentation(regions, truth) == pytest.approx(leak / truth.size)
    for tolerance in (0, 1, 2):
        mine = np.argwhere(boundaries(regions))
        wanted = np.argwhere(boundaries(truth))
        near = [np.abs(mine - p).max(1).min() <= tolerance for p in wanted]
        assert loc.boundary_recall(regions, truth, tolerance) == pytest.approx(np.mean(near))


def test_perfect_and_useless_regions():
    truth = np.repeat([[0, 0, 0, 0, 0, 0, 1, 1, 1, 1]], 10, 0)
    assert (
        loc.asa(truth, truth),
        loc.undersegmentation(truth, truth),
        loc.boundary_recall(truth, truth),
    ) == (1, 0, 1)
    one = np.zeros_like(truth)
    assert (loc.asa(one, truth), loc.undersegmentation(one, truth), loc.boundary_recall(one, truth)) == (
        0.6,
        0.8,
        0,
    )
    assert np.isnan(loc.boundary_recall(truth, one))


@pytest.mark.parametrize("count", [3, 12, 40])
@pytest.mark.parametrize("kind", CLASSIC)
@pytest.mark.parametrize("channels", [1, 3])
def test_classic_superpixels_have_as_many_regions(kind, count, channels):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (8, 8, channels)).repeat(6, 0).repeat(6, 1).astype(np.uint8)
    regions = matched(image, count, kind)
    assert regions.max() + 1 == count
    assert all(nd_label(regions == i)[1] == 1 for i in range(count))


def test_an_image_of_one_colour_yields_what_it_can():
    assert matched(np.zeros((20, 20, 3), np.uint8), 5, "felzenszwalb").max() + 1 <= 5


def test_regions_side_by_side(shipped, own_regions):
    _, images_, _, maps = shipped
    truth = (images_[0, ..., 0] > 128).astype(int)
    count = own_regions[0].max() + 1
    rows = {"own": own_regions[0], "truth": truth, **{k: matched(images_[0], count, k) for k in CLASSIC}}
    table = loc.compare(rows, truth, maps[0])
    assert (table.loc[["own", *CLASSIC], "regions"] == count).all()
    assert table.loc["truth", ["asa", "mask bound", "boundary recall"]].tolist() == [1, 1, 1]
    _, aggregated_table = aggregate(maps[0], own_regions[0])
    within = (aggregated_table["within"] * aggregated_table["area"]).sum()
    assert table.loc["own", "kept"] == pytest.approx(1 - within / maps[0].astype(float).var(), rel=1e-4)


@pytest.mark.parametrize(
    "call",
    [
        lambda: loc.maxboxacc([], []),
        lambda: loc.maxboxacc([np.zeros((3, 3))], [np.zeros((3, 3), bool)]),
        lambda: loc.maxboxacc([np.full((3, 3), np.nan)], [np.array([0, 0, 1, 1])]),
        lambda: loc.maxboxacc([np.zeros((3, 3))], [np.array([0, 0, 1, 1])], thresholds="all"),
        lambda: loc.true_boxes(np.zeros((3, 3))),
        lambda: loc.best_region(np.zeros((3, 3), int), np.array([0, 0, 1, 1]), "circle"),
        lambda: loc.bound(np.zeros((3, 3), int), np.zeros((3, 3), bool)),
        lambda: loc.asa(np.zeros((3, 3), int), np.zeros((3, 4), int)),
        lambda: matched(np.zeros((3, 3, 3)), 4, "watershed"),
        lambda: matched(np.zeros((3, 3, 3)), 0),
    ],
)
def test_what_cannot_be_read_is_one_sentence(call):
    with pytest.raises(MethodError, match=r"[;:.].*\.$") as error:
        call()
    assert "\n" not in str(error.value)
