"""Method ``nave`` at the edges: dead maps, tiny and large images, odd uploads, bad layers; a result or a one-sentence error."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from xai_views import open_model
from xai_views.errors import XaiViewsError
from xai_views.methods import explain
from xai_views.methods.nave.method import NaveMethod
from xai_views.samples import dataset, decode_upload, fit

from ..nave_nets import CLASSES, Planted, picture, pictures, planted

ALL = tuple(range(CLASSES))


def sentence(caught) -> str:
    """The error message; checks that it is one readable sentence."""
    said = str(caught.value)
    assert "\n" not in said
    assert said.endswith(".")
    assert len(said) < 300
    return said


def adds_up(result, tolerance=1e-5):
    total = result["cluster_contribution"].sum("cluster") + result["residual"]
    at = result["target_class"].values
    want = np.take_along_axis(result["logit"].values - result["bias"].values, at, 1)
    np.testing.assert_allclose(total, want, atol=tolerance)
    np.testing.assert_allclose(result["residual"], 0, atol=tolerance)
    np.testing.assert_allclose(result["proportion"].sum("cluster"), 1, rtol=1e-5)


# --- dead maps ----------------------------------------------------------------------------------------------


def dead(which: tuple[str, ...]):
    """The planted network with layers whose output is zero."""
    torch.manual_seed(4)
    net = Planted()
    for name in which:
        layer = net.get_submodule(name)
        nn.init.constant_(layer.weight, 0.0)
        nn.init.constant_(layer.bias, -1.0)
    return open_model(net.eval(), name="dead")


@pytest.mark.parametrize("which", [("three",), ("two",), ("one", "two", "three")], ids="+".join)
@pytest.mark.parametrize("mode", ["nested", "exact"])
@pytest.mark.parametrize("soft", ["tempered", "gmm", "fuzzy"])
def test_a_dead_tap_gives_no_nan(which, mode, soft):
    """Validation of the explanation would fail for non-finite values."""
    ask = NaveMethod().ask(
        k=4, mode=mode, soft=soft, targets=ALL, shapley=True, at=(3, 3), sweep=True, norms=True, peer=True
    )
    result = explain(dead(which), pictures(picture()[0]), ask)
    adds_up(result)
    if "three" in which:
        assert not result["cluster_contribution"].any()
    if len(which) == 3:
        assert not result["token_norm"].any()
        assert result.sizes["cluster"] == 1, "where nothing differs there is one cluster"
        assert not result["similarity"].any()


@pytest.mark.parametrize("which", [("three",), ("one", "two", "three")], ids="+".join)
@pytest.mark.parametrize("assigner", ["pca", "agglomerative", "clustering module"])
def test_every_assigner_takes_dead_taps(which, assigner):
    adds_up(explain(dead(which), pictures(picture()[0]), "nave", k=3, assigner=assigner))


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("k", [5, 0])
def test_an_image_of_one_colour_is_one_cluster(value, k):
    image = np.full((24, 24, 3), value, np.uint8)
    for mode in ("nested", "exact"):
        result = explain(planted(), pictures(image), "nave", k=k, mode=mode, targets=ALL)
        assert result.sizes["cluster"] == 1
        adds_up(result)


def test_taking_away_all_there_is_gives_no_nan():
    image = np.full((24, 24, 3), 99, np.uint8)
    for where in ("latent", "input"):
        ask = NaveMethod().ask(k=3, ablated=(0,), where=where)
        assert np.isfinite(explain(planted(), pictures(image), ask)["ablated_logit"]).all()


@pytest.mark.parametrize("k", [5, 0])
def test_images_with_different_numbers_of_clusters_are_explained_together(k):
    images = [picture()[0], np.full((24, 24, 3), 99, np.uint8), picture(3)[0]]
    ask = NaveMethod().ask(k=k, interp="nearest", targets=ALL, shapley=True)
    together = explain(planted(), pictures(*images), ask)
    adds_up(together)
    assert (together["proportion"].values[1] > 0).sum() == 1
    for i, image in enumerate(images):
        alone = explain(planted(), pictures(image), ask)
        own = alone.sizes["cluster"]
        for name in ("proportion", "cluster_contribution", "cluster_class", "cluster_shapley"):
            whole = together[name].isel(sample=i)
            np.testing.assert_allclose(whole.isel(cluster=slice(own)), alone[name][0], atol=1e-6)
            rest = whole.isel(cluster=slice(own, None))
            assert (rest == (-1 if name == "cluster_class" else 0)).all()


# --- sizes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4, 4), (4, 40), (7, 5), (100, 36)])
@pytest.mark.parametrize("grid", ["shallowest", "input", "double"])
def test_any_size_that_the_network_takes_is_explained(size, grid):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    result = explain(planted(), pictures(image), "nave", k=5, grid=grid, targets=ALL, at=(3, 3))
    assert result["segment"].shape == (1, *size)
    assert 1 <= result.sizes["cluster"] <= 5
    adds_up(result)


class Strided(nn.Module):
    """A stride of 4 in each of two layers, padded, so that one pixel is enough."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 5, 4, 2), nn.Conv2d(8, 16, 5, 4, 2)
        self.act, self.fc = nn.ReLU(), nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.fc(self.act(self.b(self.act(self.a(x)))).mean((2, 3)))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 70), (9, 1)])
@pytest.mark.parametrize(
    "ask",
    [
        NaveMethod().ask(),
        NaveMethod().ask(k=0, mode="exact"),
        NaveMethod().ask(k=32, grid="input", peer=True),
    ],
)
def test_one_pixel_and_less_than_a_stride_are_explained(size, ask):
    torch.manual_seed(0)
    model = open_model(Strided().eval(), name="strided")
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    result = explain(model, pictures(image), ask)
    assert result["segment"].shape == (1, *size)
    assert result.sizes["cluster"] <= result["assignment"].size
    adds_up(result)


@pytest.mark.parametrize("size", [(9, 70), (10, 22)])
def test_pixels_show_the_cell_of_their_centre_where_cells_are_no_whole_pixels(size):
    torch.manual_seed(0)
    model = open_model(Strided().eval(), name="strided")
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    result = explain(model, pictures(image), "nave", taps=("a",), k=9)
    cells, shown = result["assignment"].values[0], result["segment"].values[0]
    assert any(s % c for s, c in zip(size, cells.shape, strict=True)), "the grid must not divide the image"
    y, x = (((np.arange(s) + 0.5) * c / s).astype(int) for s, c in zip(size, cells.shape, strict=True))
    np.testing.assert_array_equal(shown, cells[y][:, x])


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (2, 24)])
def test_an_image_that_the_network_cannot_take_is_one_sentence(size):
    image = np.zeros((*size, 3), np.uint8)
    with pytest.raises(XaiViewsError) as caught:
        explain(planted(), pictures(image), "nave")
    assert f"{size[0]}x{size[1]}" in sentence(caught) or str(list(size))[1:-1] in sentence(caught)


@pytest.mark.parametrize("name", ["birds-cnn", "birds-vit-registers", "birds-sic", "efficientnet-lite0"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 5, 3), (64, 64, 1), (64, 64, 4)])
def test_shipped_networks_answer_images_that_do_not_fit_in_one_sentence(name, shape):
    model, image = open_model(name), np.zeros((1, *shape), np.uint8)
    with pytest.raises(XaiViewsError) as caught:
        explain(model, dataset(image, [0], classes=model.classes), "nave")
    said = sentence(caught)
    assert ("1x1" in said or "3x5" in said) if shape[2] == 3 else "channel" in said


# --- uploads ------------------------------------------------------------------------------------------------


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def upload(model, data: bytes):
    """Process a file as the page does: decode within limits, convert for the model."""
    image = fit(decode_upload(data), model.size or (224, 224), model.channels)
    return dataset(image[None], [0], classes=model.classes)


@pytest.fixture(
    scope="module", params=["birds-cnn", "birds-vit-registers", "birds-sic", "efficientnet-lite0"]
)
def shipped(request):
    return open_model(request.param)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "P", "RGB", "RGBA", "CMYK"])
def test_uploads_of_every_kind_are_explained(shipped, mode):
    rng = np.random.default_rng(0)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (70, 90)).astype(np.uint16))
    else:
        image = Image.fromarray(rng.integers(0, 256, (70, 90, 4)).astype(np.uint8), "RGBA").convert(mode)
    shown = upload(shipped, encoded(image, "TIFF" if mode == "CMYK" else "PNG"))
    result = explain(shipped, shown, "nave", k=4)
    assert result.sizes["cluster"] == 4
    np.testing.assert_allclose(result["proportion"].sum(), 1, rtol=1e-5)
    if mode in ("L", "LA"):
        assert (np.ptp(shown["image"].values, axis=-1) == 0).all(), "grey stays grey in three channels"


def test_what_is_transparent_does_not_show():
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (64, 64, 4)).astype(np.uint8)
    rgba[..., 3] = 0
    model = open_model("birds-cnn")
    hidden = explain(model, upload(model, encoded(Image.fromarray(rgba, "RGBA"))), "nave")
    white = explain(model, upload(model, encoded(Image.new("RGB", (64, 64), "white"))), "nave")
    np.testing.assert_array_equal(hidden["segment"], white["segment"])
    np.testing.assert_array_equal(hidden["logit"], white["logit"])


def test_a_photo_of_eight_megapixels_is_explained(shipped):
    ramp = np.linspace(0, 255, 3264).astype(np.uint8)
    photo = np.stack([np.broadcast_to(c, (2448, 3264)) for c in (ramp, ramp[::-1], ramp // 2)], 2).copy()
    photo[600:1800, 900:2300] = (250, 10, 20)
    shown = upload(shipped, encoded(Image.fromarray(photo), "JPEG"))
    size = shipped.size or (224, 224)
    assert shown["image"].shape == (1, *size, 3)
    result = explain(shipped, shown, "nave", k=3)
    assert result["segment"].shape == (1, *size)
    assert result.sizes["cluster"] == 3


def test_one_pixel_is_uploaded_and_enlarged(shipped):
    result = explain(shipped, upload(shipped, encoded(Image.new("RGB", (1, 1), "red"))), "nave")
    assert np.isfinite(result["logit"]).all()


# --- layers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "asked", "nearest"),
    [
        ("birds-cnn", "layer.10", "'layers.10'"),
        ("birds-cnn", "layers.99", "'layers."),
        ("birds-cnn", "", "nearest"),
        ("birds-vit-registers", "block.3", "'blocks.3'"),
        ("birds-sic", "encoder.layer.6", "'encoder.layers.6'"),
        ("efficientnet-lite0", "net._block.4", "'net._blocks.4'"),
    ],
)
def test_a_layer_that_is_not_there_names_the_nearest(name, asked, nearest):
    model = open_model(name)
    size = model.size or (64, 64)
    with pytest.raises(XaiViewsError) as caught:
        explain(
            model,
            dataset(np.zeros((1, *size, 3), np.uint8), [0], classes=model.classes),
            "nave",
            taps=[asked],
        )
    said = sentence(caught)
    assert nearest in said
    assert repr(asked) in said


def test_a_layer_without_positions_is_one_sentence():
    with pytest.raises(XaiViewsError) as caught:
        explain(planted(), pictures(picture()[0]), "nave", taps=["fc"])
    assert "'fc'" in sentence(caught)


class Masked(nn.Module):
    """A transformer that drops three of four patches, so that its tokens fit no grid."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)[:, ::4][:, :-1]
        return self.head(self.mix(x).mean(1))


def test_tokens_that_fit_no_grid_are_one_sentence():
    model = open_model(Masked().eval(), name="masked", size=(24, 24))
    with pytest.raises(XaiViewsError) as caught:
        explain(model, pictures(picture()[0]), "nave", taps=["mix"])
    assert "8 tokens" in sentence(caught)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"k": -1}, "-1"),
        ({"targets": (CLASSES,)}, "0 to 5"),
        ({"targets": (-2,)}, "0 to 5"),
        ({"targets": ()}, "no class"),
        ({"weights": "author"}, "'authors'"),
        ({"weights": (1.0, 2.0)}, "2 weights"),
        ({"weights": (0.0, 0.0, 0.0)}, "above 0"),
        ({"weights": (1.0, float("nan"), 1.0)}, "give numbers"),
        ({"grid": "shallow"}, "shallowest"),
        ({"interp": "cubic"}, "bicubic"),
        ({"soft": "temper"}, "tempered"),
        ({"temperature": -1.0}, "-1"),
        ({"assigner": "kmeans"}, "k-means"),
        ({"mode": "nest"}, "nested"),
        ({"shapley": True, "k": 11}, "10"),
    ],
    ids=lambda v: str(v) if isinstance(v, dict) else "",
)
def test_wishes_that_cannot_be_are_one_sentence(wrong, says):
    image = np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    with pytest.raises(XaiViewsError) as caught:
        explain(planted(), pictures(image), "nave", **wrong)
    assert says in sentence(caught)
