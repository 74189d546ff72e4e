"""Fitting a codebook on a data set: result on known parts, number of passes, and the same colour in every image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xai_views import open_model
from xai_views.engine.clusters.codebook import Codebook
from xai_views.engine.clusters.measures import ari, purity
from xai_views.errors import MethodError
from xai_views.methods import explain, get
from xai_views.methods.nave import fitting as nave_codebook
from xai_views.methods.nave.fitting import CHUNK, CROPS, Fitted, fit
from xai_views.methods.nave.method import NaveMethod
from xai_views.models.heads import find_head
from xai_views.models.taps import capture
from xai_views.samples import dataset, open_samples

from ..nave_nets import BLOCK, CLASSES, counted, picture, planted

ASK = NaveMethod().ask(k=4, interp="nearest")


def finished(steps):
    """The return value of a generator, and how often it yielded."""
    turns = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, turns
        turns += 1


def fitted(model, samples, ask=ASK, progress=lambda *_: None):
    return finished(fit(model, samples, get("nave").ready(model, ask), progress))[0]


@pytest.fixture(scope="module")
def birds():
    """Twenty images of blocks, the last with few parts, with the true parts."""
    made = [picture(seed) for seed in range(19)] + [picture(3, parts=2)]
    images, parts = (np.stack(column) for column in zip(*made, strict=True))
    label = np.full(len(images), -1)
    return dataset(
        images, label, classes=[f"class {c}" for c in range(CLASSES)], part=parts, parts=list("abcd")
    )


@pytest.fixture(scope="module")
def found(birds):
    model = planted()
    return model, fitted(model, birds)


# --- where all is known -------------------------------------------------------------------------------------


def test_every_cluster_is_one_part_in_all_images(birds, found):
    model, result = found
    assert result.book.k == 4
    parts, shares = zip(*result.purity, strict=True)
    assert sorted(parts) == [0, 1, 2, 3]
    assert set(shares) == {1.0}
    shown = explain(model, birds, ASK.replace(mode="codebook", codebook=result.book))
    np.testing.assert_array_equal(np.array(parts)[shown["segment"].values], birds["part"].values)


def test_proportions_are_those_of_the_parts(birds, found):
    _, result = found
    truth = birds["part"].values.reshape(20, -1)
    want = np.stack([(truth == part).mean(1) for part, _ in result.purity], 1)
    np.testing.assert_allclose(result.proportion, want, atol=1e-6)
    np.testing.assert_array_equal(result.images, np.arange(20))
    assert (result.proportion[-1] == 0).sum() == 2


def test_crops_lie_in_their_part_nearest_first_and_one_per_image(birds, found):
    _, result = found
    parts = birds["part"].values
    for (part, _), crops in zip(result.purity, result.crops, strict=True):
        assert len(crops) == CROPS
        assert len({i for i, *_ in crops}) == CROPS
        assert all(parts[i, y, x] == part for i, y, x, _ in crops)
        distances = [d for *_, d in crops]
        assert distances == sorted(distances)
        assert distances[-1] < 1e-3


def test_names_are_what_the_head_reads_from_the_mean_of_a_part(birds, found):
    model, result = found
    x = model.tensor(birds["image"].values)
    _, kept = capture(model, x, ["relu3"])
    blocks = torch.from_numpy(birds["part"].values[:, ::BLOCK, ::BLOCK])
    for name, (part, _) in zip(result.book.names, result.purity, strict=True):
        mean = kept["relu3"].movedim(1, -1)[blocks == part].mean(0)
        best, at = torch.softmax(model.module.fc(mean).detach(), 0).max(0)
        said, probability = name.rsplit(" ", 1)
        assert said == f"class {int(at)}"
        assert float(probability) == pytest.approx(float(best), abs=0.011)


@pytest.mark.parametrize("count", [3, CHUNK, CHUNK + 1])
def test_the_mean_of_the_last_map_is_over_all_images_alike(count):
    """The last image differs from the others and may be a chunk of its own."""
    model, (image, _) = planted(), picture()
    images = np.stack([image] * (count - 1) + [np.full_like(image, 255)])
    samples = dataset(images, np.full(count, -1), classes=[f"class {c}" for c in range(CLASSES)])
    _, kept = capture(model, model.tensor(images), [find_head(model).tap])
    alike = kept[find_head(model).tap].mean((2, 3))
    assert float((alike[0] - alike[-1]).abs().max()) > 0.05, "the images have to differ"
    torch.testing.assert_close(fitted(model, samples).book.last_mean, alike.mean(0), atol=1e-5, rtol=1e-4)


def test_an_ablation_takes_that_mean(birds, found):
    model, result = found
    ask = ASK.replace(mode="codebook", codebook=result.book, ablated=(0, 1, 2, 3), fill="data")
    said = explain(model, birds.isel(sample=[0]), ask)["ablated_logit"].values[0]
    np.testing.assert_allclose(said, model.module.fc(result.book.last_mean).detach(), atol=1e-5)


def test_what_is_known_of_the_fit_is_in_the_book(found, birds):
    model, result = found
    book = result.book
    assert book.taps == get("nave").ready(model, ASK).taps
    assert book.model_sha256 == model.sha256
    assert book.samples == str(birds.attrs.get("title", ""))
    assert (book.grid, book.interp, book.seed) == ("shallowest", "nearest", 0)


def test_without_parts_there_is_no_purity(birds):
    result = fitted(planted(), birds.drop_vars("part"))
    assert result.purity is None
    assert result.proportion.shape == (20, 4)


def test_a_network_without_a_linear_head_names_nothing(birds):
    result = fitted(planted("square"), birds)
    assert result.book.names == [""] * 4
    assert {share for _, share in result.purity} == {1.0}


@pytest.mark.parametrize("scale", [1e-7, 1e6])
def test_the_scale_of_a_layer_does_not_matter(birds, found, scale):
    """Activations are stored as float16, which ends at 65504, between the two rounds."""
    model = planted()
    with torch.no_grad():
        for name, factor in (("three", scale), ("fc", 1 / scale)):
            model.module.get_submodule(name).weight *= factor
        model.module.three.bias *= scale
    model = open_model(model.module, name="scaled", channels=3)
    result = fitted(model, birds)
    np.testing.assert_allclose(result.proportion, found[1].proportion, atol=1e-6)
    assert result.purity == found[1].purity
    assert result.book.names == found[1].book.names


# --- cost, chunks, progress ---------------------------------------------------------------------------------


def test_every_image_goes_through_the_network_once(birds):
    model = planted()
    find_head(model)
    ask = get("nave").ready(model, ASK)
    with counted(model) as spent:
        _, turns = finished(fit(model, birds, ask, lambda *_: None))
    assert spent == {"forward": 20, "forward_calls": 2, "backward": 0, "backward_calls": 0}
    assert turns == 5, "two chunks sampled, clustering, two chunks assigned"


def test_progress_counts_to_the_end_and_may_stop(birds):
    seen = []
    fitted(planted(), birds, progress=lambda *p: seen.append(p))
    assert seen == [(16, 40), (20, 40), (36, 40), (40, 40)]

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    with pytest.raises(Stop):
        fitted(planted(), birds, progress=stop)


def test_chunks_leave_no_trace(birds, found, monkeypatch):
    monkeypatch.setattr(nave_codebook, "CHUNK", 3)
    _, result = found
    other = fitted(planted(), birds)
    for m, n in zip(result.book.centroids, other.book.centroids, strict=True):
        torch.testing.assert_close(m, n, atol=1e-5, rtol=1e-4)
    np.testing.assert_array_equal(result.proportion, other.proportion)
    assert result.book.names == other.book.names
    assert result.purity == other.purity


def test_of_many_images_some_are_drawn_evenly(birds, monkeypatch):
    monkeypatch.setattr(nave_codebook, "MOST_IMAGES", 7)
    result = fitted(planted(), birds)
    np.testing.assert_array_equal(result.images, np.linspace(0, 19, 7).astype(int))
    assert len(result.proportion) == 7
    assert {i for crops in result.crops for i, *_ in crops} <= set(result.images)


def test_without_a_number_there_are_eight_clusters_at_most(birds):
    assert fitted(planted(), birds, ASK.replace(k=0)).book.k == 4, "only four positions differ"
    noise = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3)).astype(np.uint8)
    noise = dataset(noise, np.full(3, -1), classes=[f"class {c}" for c in range(CLASSES)])
    assert fitted(planted(), noise, ASK.replace(k=0)).book.k == 8


def test_shares_and_classes_of_clusters_are_counted_from_the_images():
    share = np.array([[0.5, 0.5, 0], [1, 0, 0], [0.25, 0.75, 0]])
    found = Fitted(None, np.array([0, 2, 3]), share, [[]] * 3, None)
    assert found.share.tolist() == [1.75 / 3, 1.25 / 3, 0]
    assert found.shown.tolist() == [3, 2, 0]
    label = np.array([1, 0, -1, 0])  # the second image that was used has no label
    np.testing.assert_allclose(found.by_class(label, 2), [[1 / 3, 2 / 3], [0.6, 0.4], [0, 0]])
    assert not found.by_class(np.full(4, -1), 2).any()


def test_no_image_is_one_sentence(birds):
    with pytest.raises(MethodError, match=r"needs at least one image and none was given; give samples\.$"):
        fitted(planted(), birds.isel(sample=[]))


# --- shipped networks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["birds-cnn", "birds-vit-registers", "birds-sic", "efficientnet-lite0"])
def test_shipped_books_are_saved_opened_and_say_the_same(name, tmp_path):
    model = open_model(name)
    samples = open_samples(model.card["samples"])
    samples = samples.isel(sample=slice(0, min(12, samples.sizes["sample"])))
    result = fitted(model, samples, NaveMethod().ask(k=5))
    assert result.book.k == 5
    assert any(result.book.names) == (find_head(model).kind == "gap")
    again = Codebook.load(result.book.named(list("vwxyz")).save(tmp_path / "book"))
    assert again.names == list("vwxyz")
    one = samples.isel(sample=[1])
    said = [explain(model, one, "nave", mode="codebook", codebook=b) for b in (result.book, again)]
    assert said[0].equals(said[1]), "names do not affect the explanation"
    np.testing.assert_allclose(said[0]["proportion"].values[0], result.proportion[1], atol=0.01)
    if find_head(model).exact:
        np.testing.assert_allclose(said[0]["residual"], 0, atol=2e-5)


def test_in_a_shipped_network_a_colour_means_the_same_part_in_every_image():
    """Ids fitted on some birds predict the parts of other birds better than ids of each image alone."""
    model, samples = open_model("birds-cnn"), open_samples("birds/test")
    book = fitted(model, samples.isel(sample=slice(0, 32)), NaveMethod().ask(k=8)).book
    fresh = samples.isel(sample=slice(32, 48))
    truth = fresh["part"].values
    shared = explain(model, fresh, "nave", mode="codebook", codebook=book)["segment"].values
    alone = explain(model, fresh, "nave", k=8)["segment"].values
    assert ari(shared, truth) > ari(alone, truth) + 0.05
    part, share = purity(shared, truth)
    assert share[part == 0].max() > 0.9, "one cluster is the background in all images"
