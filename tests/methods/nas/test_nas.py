"""Method ``nas`` end to end: regions, the map on regions, number of passes, curves and boxes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from xai_views import open_model
from xai_views.contract.explanation import VARIABLES
from xai_views.engine.attribution.steps import whole
from xai_views.engine.superpixels.aggregate import HOWS, aggregate
from xai_views.engine.superpixels.regions import owners, pieces
from xai_views.errors import XaiViewsError
from xai_views.methods import available, explain, get
from xai_views.methods.nas.method import NasMethod
from xai_views.samples import open_samples
from xai_views.scores.curves import comparison, last, predictor, relevance_curves
from xai_views.scores.localisation import maxboxacc, true_boxes
from xai_views.scores.quality import bound

from ..nave_nets import counted, picture, pictures, planted

TAPS = ("layers.10", "layers.14")
ASK = NasMethod().ask(taps=TAPS, k=6, map="grad-cam")


@pytest.fixture(scope="module")
def birds():
    model, samples = open_model("birds-cnn"), open_samples("birds/test")
    return model, samples.isel(sample=slice(4))


@pytest.fixture(scope="module")
def explained(birds):
    """Explanations by value per region, for whole clusters and for their pieces."""
    return {
        (how, connected): explain(*birds, ASK.replace(how=how, connected=connected))
        for how in HOWS
        for connected in (False, True)
    }


def each(result):
    """Map, regions and map on regions, per image."""
    return zip(*(result[n].values for n in ("attribution", "region", "region_attribution")), strict=True)


# --- regions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connected", [False, True])
def test_regions_are_a_partition_that_refines_the_clusters(explained, connected):
    result = explained["mean", connected]
    for region, segment in zip(result["region"].values, result["segment"].values, strict=True):
        sizes = np.bincount(region.ravel())
        assert sizes.sum() == segment.size
        assert (sizes > 0).all(), "numbered without gaps"
        if connected:
            np.testing.assert_array_equal(pieces(region), region)
            assert sizes.min() >= 0.002 * region.size
            assert len(sizes) > 6
            own = segment == owners(region, segment)[region]
            assert own.mean() > 0.95, "only small pieces join a neighbour"
        else:
            assert len(sizes) <= 6


def test_without_a_smallest_area_whole_clusters_are_the_regions(birds):
    ask = ASK.replace(min_area=0.0)
    result = explain(*birds, ask)
    np.testing.assert_array_equal(result["region"], result["segment"])
    parts = explain(*birds, ask.replace(connected=True))
    for region, segment in zip(parts["region"].values, parts["segment"].values, strict=True):
        np.testing.assert_array_equal(region, pieces(segment.astype(int)))


def test_the_segmentation_is_that_of_nave_and_the_map_that_of_saliency(birds, explained):
    clusters = explain(*birds, "nave", taps=TAPS, k=6)
    raw = explain(*birds, "saliency", map="grad-cam")
    result = explained["mean", False]
    for name in clusters.data_vars:
        np.testing.assert_array_equal(result[name], clusters[name])
    np.testing.assert_array_equal(result["attribution"], raw["attribution"])
    np.testing.assert_array_equal(result["attribution_class"], raw["attribution_class"])


def test_planted_parts_are_the_regions_and_their_figures_are_known():
    image, truth = picture()
    result = explain(planted(), pictures(image), "nas", k=4, interp="nearest", min_area=0.0)
    raw, read = result["attribution"].values[0], result["region_attribution"].values[0]
    for part in range(4):
        assert np.ptp(read[truth == part]) == 0
        np.testing.assert_allclose(read[truth == part][0], raw[truth == part].mean(), rtol=1e-5)
    # a piecewise constant image: the map is constant on the parts, so nothing is lost
    np.testing.assert_allclose(read, raw, rtol=1e-4, atol=1e-7)
    assert float(result["kept"][0]) == pytest.approx(1, abs=1e-6)


# --- the map on the regions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("how", HOWS)
def test_each_region_has_one_figure_which_is_what_it_says(explained, how, connected):
    figure = {
        "mean": np.mean,
        "sum": np.sum,
        "median": np.median,
        "positive": lambda values: np.mean(np.maximum(values, 0)),
    }[how]
    for raw, region, read in each(explained[how, connected]):
        for r in range(region.max() + 1):
            inside = region == r
            assert np.ptp(read[inside]) == 0
            want = figure(raw[inside].astype(np.float64))
            np.testing.assert_allclose(read[inside][0], want, rtol=1e-4, atol=1e-6 * np.abs(raw).max())


@pytest.mark.parametrize("connected", [False, True])
def test_totals_are_preserved(explained, connected):
    for raw, _, read in each(explained["mean", connected]):
        scale = float(np.abs(raw).sum())
        assert read.sum(dtype=float) == pytest.approx(raw.sum(dtype=float), abs=1e-5 * scale)
    for raw, region, read in each(explained["sum", connected]):
        once = np.unique(region, return_index=True)[1]
        scale = float(np.abs(raw).sum())
        assert read.ravel()[once].sum(dtype=float) == pytest.approx(raw.sum(dtype=float), abs=1e-5 * scale)


@pytest.mark.parametrize("connected", [False, True])
def test_the_share_of_variance_that_is_kept(explained, connected):
    result = explained["mean", connected]
    for (raw, region, read), kept in zip(each(result), result["kept"].values, strict=True):
        raw = raw.astype(np.float64)
        within = sum(((raw[region == r] - raw[region == r].mean()) ** 2).sum() for r in np.unique(region))
        assert kept == pytest.approx(1 - within / raw.size / raw.var(), abs=1e-5)
        assert kept == pytest.approx(read.astype(float).var() / raw.var(), abs=1e-4)
        assert 0 <= kept <= 1
    median = explained["median", connected]
    assert (median["kept"] <= result["kept"] + 1e-6).all(), "no value per region explains more than the mean"


def test_pieces_keep_more_than_clusters_and_more_clusters_more_than_few(birds):
    def kept(**change):
        return explain(*birds, ASK.replace(min_area=0.0, **change))["kept"].values

    assert (kept(connected=True) >= kept() - 1e-6).all()
    by_k = [kept(k=k) for k in (1, 2, 6, 20)]
    assert np.abs(by_k[0]).max() < 1e-6, "one region has the mean of all"
    for few, many in pairwise(by_k):
        assert (many >= few - 1e-6).all(), "cuts of one tree are nested"


def test_own_superpixels_keep_more_of_the_networks_map_than_of_a_random_one(birds, explained):
    random = explain(*birds, ASK.replace(map="random"))
    assert explained["mean", False]["kept"].mean() > random["kept"].mean() + 0.3
    assert random["kept"].max() < 0.05


# --- the explanation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["birds-cnn", "birds-vit-registers", "birds-sic", "efficientnet-lite0"])
def test_the_schema_is_complete_on_every_shipped_network(name):
    model = open_model(name)
    samples = open_samples(model.card["samples"]).isel(sample=slice(2))
    result = explain(model, samples, "nas", k=4)
    plain = explain(model, samples, "nave", k=4)
    extra = {"attribution": "f", "region": "i", "region_attribution": "f", "kept": "f"}
    assert set(result.data_vars) == set(plain.data_vars) | set(extra)
    for variable, kind in extra.items():
        assert result[variable].dtype.kind == kind
        assert result[variable].dims in VARIABLES[variable].dims
    assert result["region"].shape == samples["image"].shape[:3]
    assert result.attrs["method"] == "nas"
    np.testing.assert_array_equal(result["attribution_class"], result["logit"].argmax("class"))
    assert explain(model, samples, "nas", k=4).identical(result)


def test_only_a_new_map_or_layer_costs_a_pass(birds):
    model, samples = birds
    method = get("nas")
    x = samples["image"].values[:1]
    with counted(model) as first:
        (seen,) = whole(method.observe(model, x, [method.ready(model, ASK)], [None]))
    assert first["backward"] == 0, "Grad-CAM of a linear head"
    moves = [
        ASK.replace(how=h, connected=c, min_area=a) for h in HOWS for c in (True, False) for a in (0.0, 0.01)
    ]
    moves += [ASK.replace(k=k, weights="equal") for k in (2, 9)]
    with counted(model) as spent:
        for ask in moves:
            assert method.covers(model, seen, ask)
            method.interpret(model, seen, ask)
    assert not any(spent.values())
    other = ASK.replace(map="gradient")
    assert not method.covers(model, seen, other)
    with counted(model) as spent:
        (more,) = whole(method.observe(model, x, [other], [seen]))
    assert spent["forward"] == spent["backward"] == 1
    assert method.covers(model, more, ASK)
    assert method.covers(model, more, other)
    assert more.nbytes > seen.nbytes > x.nbytes


def test_what_does_not_fit_is_one_sentence(birds):
    model, samples = birds
    assert available(model)["nas"]["fits"] == ""
    for options, says in (
        ({"map": "sic"}, "SIC"),
        ({"how": "modus"}, "median"),
        ({"min_area": -1.0}, "-1"),
        ({"map": "gradcam"}, "grad-cam"),
        ({"taps": ("layers.1O",)}, "nearest"),
    ):
        with pytest.raises(XaiViewsError) as caught:
            explain(model, samples, "nas", **options)
        said = str(caught.value)
        assert says in said
        assert "\n" not in said
        assert said.endswith(".")


# --- curves and boxes ---------------------------------------------------------------------------------------


def test_curves_on_the_networks_own_superpixels(birds, explained):
    """Original and superpixel maps, both orders, every rule for ties: ends agree, and the rules meet at region borders."""
    model, samples = birds
    result = explained["mean", False]
    image, regions = samples["image"].values[0], result["region"].values[0].astype(int)
    raw, target = result["attribution"].values[0], int(result["attribution_class"][0])
    jobs = comparison({"grad-cam": raw}, regions, steps=8, seeds=(0,))
    curves = last(relevance_curves(predictor(model), image, jobs, target))
    ends = predictor(model)(np.stack([image / 255, np.zeros_like(image, float)]).astype(np.float32))[
        :, target
    ]
    for curve in curves.values():
        assert curve.complete
        assert (curve.fraction[0], curve.fraction[-1]) == (0, 1)
        np.testing.assert_allclose(
            curve.value[:, [0, -1]], np.broadcast_to(ends, (len(curve.value), 2)), rtol=1e-5
        )
    assert ends[0] == pytest.approx(float(result["probability"][0, target]), rel=1e-5)
    up, down = (curves["grad-cam", "superpixels", order, "regions"] for order in ("lerf", "morf"))
    assert len(up.fraction) == regions.max() + 2, (
        "one point for each region that is gone, and the whole image"
    )
    table = {r: raw[regions == r].mean() for r in range(regions.max() + 1)}
    first = min(table, key=table.get)
    assert up.fraction[1] == pytest.approx((regions == first).mean())
    gone = np.where((regions == first)[..., None], 0, image / 255).astype(np.float32)
    assert up.value[0, 1] == pytest.approx(float(predictor(model)(gone[None])[0, target]), rel=1e-4)
    assert down.fraction[1] == pytest.approx((regions == max(table, key=table.get)).mean())


def test_boxes_of_superpixels_are_found_at_their_own_thresholds(birds, explained):
    """A map on superpixels has few values, so all thresholds are tried; a mask averaged over them reaches their bound."""
    _, samples = birds
    result = explained["mean", True]
    object_ = samples["part"].values > 0
    maps, regions = result["region_attribution"].values, result["region"].values.astype(int)
    found = maxboxacc(list(maps), list(object_), deltas=(0.3, 0.5, 0.7))
    assert found.accuracy.shape == (3,)
    assert (np.diff(found.accuracy) <= 0).all(), "stricter thresholds are reached less often"
    assert found.mean == pytest.approx(found.accuracy.mean())
    assert found.accuracy[0] > 0.5
    for mask, region in zip(object_, regions, strict=True):
        best, union = bound(region, mask)
        overlap = (union & mask).sum() / (union | mask).sum()
        assert best == pytest.approx(overlap)
        read, _ = aggregate(mask.astype(float), region)
        at_all = [((read >= t) & mask).sum() / ((read >= t) | mask).sum() for t in np.unique(read)[1:]]
        assert best == pytest.approx(max(at_all)), "a mask on regions cannot exceed the bound of its regions"
        assert true_boxes(mask).shape == (1, 4)
