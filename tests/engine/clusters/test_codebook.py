"""Codebooks: the same cluster in every image, streamed or at once, saved with names, and errors for damaged files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from xai_views.engine.clusters.codebook import CARD, WEIGHTS, Codebook
from xai_views.engine.clusters.features import Features, preset_weights
from xai_views.engine.clusters.kmeans import kmeans
from xai_views.engine.clusters.measures import ari
from xai_views.errors import MethodError
from xai_views.methods.nave.method import NaveMethod


def images(layers: list[torch.Tensor], *which: int) -> list[torch.Tensor]:
    """Some images of all layers."""
    return [a[list(which)] for a in layers]


def same_labels(one: Codebook, two: Codebook, layers: list[torch.Tensor]) -> bool:
    return torch.equal(one.assign(features(one, layers)).labels, two.assign(features(two, layers)).labels)


def features(book: Codebook, layers: list[torch.Tensor], **options) -> Features:
    return Features.of(layers, grid=book.grid, interp=book.interp, **options)


@pytest.fixture
def planted(make_planted, shapes, dtype):
    """Six images of four parts, the parts, and a codebook that saw the first four images."""
    layers, truth = make_planted(shapes, dtype, n=6)
    chunks = [images(layers, 0, 1), images(layers, 2, 3)]
    book = Codebook.fit(
        chunks, 4, taps=("a", "b", "c"), per_image=60, interp="nearest", names=["head", "wing"]
    )
    return layers, truth, book


# --- as JSON -----------------------------------------------------------------------------------------------


def test_json_gives_the_same_book_bit_for_bit(planted):
    layers, _, book = planted
    book = replace(book, last_mean=torch.rand(5), spread=0.1 + 0.2, model_sha256="abc", samples="birds/test")
    again = Codebook.from_json(json.loads(json.dumps(book.to_json())))
    assert again.to_json() == book.to_json()
    assert again.key == book.key
    assert again.about() == book.about()
    for name, tensor in book.tensors().items():
        assert torch.equal(again.tensors()[name], tensor), name
        assert again.tensors()[name].dtype == tensor.dtype
    assert torch.equal(
        again.assign(features(again, layers)).distances, book.assign(features(book, layers)).distances
    )


def test_the_key_is_of_all_that_explanations_depend_on(planted):
    book = planted[2]
    others = [
        replace(book, last_mean=torch.rand(5)),
        replace(book, spread=book.spread + 1),
        replace(book, weights=(1.0, 2.0, 3.0)),
        replace(book, grid="input"),
        replace(book, interp="bilinear"),
        replace(book, taps=("a", "b", "d")),
        replace(book, centroids=[m + 1e-6 for m in book.centroids]),
        replace(
            book, centroids=[m.double() if m.dtype == torch.float32 else m.float() for m in book.centroids]
        ),
    ]
    assert len({book.key, *(other.key for other in others)}) == len(others) + 1
    assert book.named(["x"]).key == book.key, "names do not affect explanations"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda v: v["tensors"].pop("layer-0"),
        lambda v: v.pop("taps"),
        lambda v: v.update(interp="cubic"),
        lambda v: v["tensors"].update({"layer-1": v["tensors"]["counts"]}),
        lambda v: v["tensors"].update({"layer-1": "no base64"}),
    ],
)
def test_json_that_is_no_book_is_one_sentence(planted, wrong):
    value = planted[2].to_json()
    wrong(value)
    with pytest.raises(MethodError, match="got JSON that is not a Codebook") as caught:
        NaveMethod(codebook=value)
    assert "\n" not in str(caught.value)


# --- one cluster in every image ----------------------------------------------------------------------------


def test_the_same_part_has_the_same_id_in_every_image(planted):
    layers, truth, book = planted
    ids = []
    for i in range(6):  # the last two were not seen
        found = book.assign(features(book, images(layers, i)))
        assert ari(found.labels, truth[i]) == 1
        ids.append(
            {(int(c), int(t)) for c, t in zip(found.labels.flatten(), truth[i].flatten(), strict=True)}
        )
    assert set.union(*ids) == ids[0]
    assert len(ids[0]) == 4


def test_one_image_or_a_batch_compressed_or_not_any_weights(planted):
    layers, _, book = planted
    together = book.assign(features(book, layers)).labels
    for options in ({}, {"compress": False}, {"weights": "equal"}, {"weights": (0, 0, 1)}):
        alone = [book.assign(features(book, images(layers, i), **options)).labels for i in range(6)]
        assert torch.equal(torch.cat(alone), together)


def test_every_position_has_its_nearest_centroid(make_layers, make_naive, shapes, dtype):
    layers = make_layers(shapes, n=3, dtype=dtype)
    book = Codebook.fit([layers], 5, per_image=50, weights="equal")
    found = book.assign(features(book, layers))
    rows = make_naive(layers, shapes[0][1], "bicubic", [1, 1, 1]).double()
    d2 = torch.cdist(rows, torch.cat(book.centroids, 1).double()).square()
    np.testing.assert_array_equal(found.labels.flatten(), d2.argmin(1))
    np.testing.assert_allclose(found.distances.movedim(1, -1).reshape(-1, 5), d2, atol=1e-4)
    assert found.inertia == pytest.approx(float(d2.min(1).values.sum()), rel=1e-5)


def test_all_positions_are_clustered_when_all_are_drawn(make_layers, shapes):
    layers = make_layers(shapes, n=2, dtype=torch.float64)
    book = Codebook.fit([layers], 5, per_image=10_000)
    plain = Features.of(layers, compress=False)
    assert int(book.counts.sum()) == plain.positions
    direct = kmeans(plain, 5)
    ours = book.assign(plain)
    assert ours.inertia == pytest.approx(direct.inertia, rel=0.05)
    rows, flat = plain.explicit(), ours.labels.flatten()
    for c in range(5):
        torch.testing.assert_close(
            torch.cat(book.centroids, 1)[c], rows[flat == c].mean(0), atol=2e-3, rtol=2e-2
        )


def test_the_spread_is_the_mean_squared_distance_of_what_was_drawn(make_layers, shapes):
    layers = make_layers(shapes, n=2, dtype=torch.float64)
    book = Codebook.fit([layers], 5, per_image=10_000)
    rows, centres = Features.of(layers, compress=False).explicit(full=True), torch.cat(book.centroids, 1)
    nearest = torch.stack([(rows - m).square().sum(1) for m in centres]).min(0).values
    assert book.spread == pytest.approx(float(nearest.mean()), rel=1e-9)


def test_centroids_are_in_the_channels_of_the_layers(planted, shapes):
    _, _, book = planted
    assert [tuple(m.shape) for m in book.centroids] == [(4, c) for c, _ in shapes]
    assert book.weights == pytest.approx(preset_weights([c for c, _ in shapes]))
    assert book.counts.sum() == 4 * min(60, int(np.prod(shapes[0][1])))
    assert (book.counts.diff() <= 0).all(), "largest first"


# --- streamed = at once ------------------------------------------------------------------------------------


def test_chunks_and_their_order_do_not_matter(make_layers, shapes, dtype):
    layers = make_layers(shapes, n=6, dtype=dtype)
    once = Codebook.fit([layers], 5, per_image=20)
    streamed = Codebook.fit((images(layers, i) for i in range(6)), 5, per_image=20)
    uneven = Codebook.fit([images(layers, 0, 1, 2, 3), images(layers, 4, 5)], 5, per_image=20)
    for other in (streamed, uneven):
        for m, n in zip(once.centroids, other.centroids, strict=True):
            torch.testing.assert_close(m, n, atol=1e-5, rtol=1e-4)
        assert torch.equal(once.counts, other.counts)
        assert same_labels(once, other, layers)


def test_the_same_seed_gives_the_same_book_and_another_one_another(make_layers, shapes):
    layers = make_layers(shapes, n=3)
    one, two, other = (Codebook.fit([layers], 5, per_image=15, seed=s) for s in (1, 1, 2))
    assert one == two
    assert hash(one) == hash(two)
    assert one != other
    assert all(torch.equal(m, n) for m, n in zip(one.centroids, two.centroids, strict=True))


def test_each_chunk_is_let_go_before_the_next_one_is_asked_for(make_layers, shapes):
    import weakref

    alive = []

    def chunks():
        for seed in range(4):
            layers = make_layers(shapes, n=1, seed=seed)
            alive.append(weakref.ref(layers[0]))
            yield layers
            layers.clear()
            assert alive[-1]() is None, "a chunk is released after sampling"

    Codebook.fit(chunks(), 3, per_image=10)
    assert len(alive) == 4


# --- identity and names ------------------------------------------------------------------------------------


def test_names_are_padded_cut_and_no_part_of_the_identity(planted):
    _, _, book = planted
    assert book.names == ["head", "wing", "", ""]
    other = book.named(["1", "2", "3", "4", "5"])
    assert other.names == ["1", "2", "3", "4"]
    assert book.names == ["head", "wing", "", ""]
    assert other == book
    assert len({other, book}) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"weights": (1.0, 1.0, 1.0)},
        {"grid": "double"},
        {"interp": "bilinear"},
        {"model_sha256": "other"},
        {"taps": ("a", "b", "d")},
    ],
    ids=lambda c: next(iter(c)),
)
def test_whatever_labels_depend_on_is_part_of_the_identity(planted, change):
    _, _, book = planted
    assert replace(book, **change) != book
    moved = [m.clone() for m in book.centroids]
    moved[-1][0, 0] += 1
    assert replace(book, centroids=moved) != book


def test_unnamed_layers_are_numbered(make_layers, shapes):
    assert Codebook.fit([make_layers(shapes)], 3).taps == ("layer 1", "layer 2", "layer 3")


# --- saved and opened --------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", ["shallowest", "own"])
def test_what_is_saved_is_what_is_opened(make_layers, shapes, dtype, grid, tmp_path):
    layers = make_layers(shapes, n=2, dtype=dtype)
    about = {
        "model_sha256": "ab12",
        "samples": "Vögel",
        "names": ["Flügel", "", "head: top", "no"],
        "last_mean": torch.arange(7.0),
    }
    grid = grid if grid == "shallowest" else tuple(g + 3 for g in shapes[0][1])
    book = Codebook.fit(
        [layers],
        4,
        taps=("x.1", "y@in", "z"),
        grid=grid,
        interp="bilinear",
        weights=(1, 0.5, 2),
        seed=9,
        **about,
    )
    folder = book.save(tmp_path / "deep" / "book")
    assert {p.name for p in folder.iterdir()} == {WEIGHTS, CARD}
    again = Codebook.load(folder)
    assert again == book
    assert again.spread == book.spread > 0
    assert again.names == about["names"]
    for name in ("taps", "weights", "grid", "interp", "model_sha256", "samples", "seed"):
        assert getattr(again, name) == getattr(book, name), name
    assert torch.equal(again.last_mean, about["last_mean"])
    assert torch.equal(again.counts, book.counts)
    assert all(m.dtype == dtype for m in again.centroids)
    assert same_labels(again, book, layers)


def test_a_book_is_saved_over_another_one(planted, tmp_path):
    _, _, book = planted
    book.save(tmp_path)
    book.named(["new"] * 4).save(tmp_path)
    assert Codebook.load(tmp_path).names == ["new"] * 4


def test_an_interrupted_save_is_seen(planted, tmp_path, monkeypatch):
    _, _, book = planted
    book.save(tmp_path)

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr("xai_views.engine.clusters.codebook.save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        book.save(tmp_path)
    with pytest.raises(MethodError, match="is not a codebook"):
        Codebook.load(tmp_path)


def card_with(**changes):
    """Damage that rewrites the card."""

    def damage(folder):
        card = yaml.safe_load((folder / CARD).read_text("utf-8"))
        card.update(changes)
        card = {k: v for k, v in card.items() if v is not ...}
        (folder / CARD).write_text(yaml.safe_dump(card), "utf-8")

    return damage


def not_tensors(folder):
    """An invalid weights file whose card has the right checksum."""
    (folder / WEIGHTS).write_bytes(b"no tensors at all")
    card_with(sha256=hashlib.sha256(b"no tensors at all").hexdigest())(folder)


DAMAGES = {
    "no folder": lambda f: [p.unlink() for p in f.iterdir()],
    "no card": lambda f: (f / CARD).unlink(),
    "no weights": lambda f: (f / WEIGHTS).unlink(),
    "half the weights": lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:200]),
    "empty weights": lambda f: (f / WEIGHTS).write_bytes(b""),
    "one bit of the weights": lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-1] + b"\x81"),
    "weights that are none": not_tensors,
    "a card that is no yaml": lambda f: (f / CARD).write_text("kind: [codebook", "utf-8"),
    "a card that is no text": lambda f: (f / CARD).write_bytes(b"\xff\xfe\x00kind"),
    "an empty card": lambda f: (f / CARD).write_text("", "utf-8"),
    "a list for a card": lambda f: (f / CARD).write_text("- kind", "utf-8"),
    "another kind": card_with(kind="sample"),
    "no taps": card_with(taps=...),
    "more taps": card_with(taps=["a", "b", "c", "d"]),
    "fewer taps": card_with(taps=["a", "b"]),
    "taps that are none": card_with(taps=3),
    "fewer weights": card_with(weights=[1.0]),
    "weights of text": card_with(weights=["much", "more", "most"]),
    "negative weights": card_with(weights=[1.0, -1.0, 1.0]),
    "no seed": card_with(seed=...),
    "no names": card_with(names=None),
    "an unknown interpolation": card_with(interp="bicubical"),
    "an unknown grid": card_with(grid="shallow"),
    "a grid of nothing": card_with(grid=[]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_one_sentence(make_layers, tmp_path, damage):
    shapes = ((6, (12, 16)), (10, (6, 8)), (9, (3, 4)))
    folder = Codebook.fit([make_layers(shapes)], 3).save(tmp_path / "book")
    DAMAGES[damage](folder)
    with pytest.raises(MethodError) as caught:
        Codebook.load(folder)
    message = str(caught.value)
    assert "'book'" in message
    assert str(tmp_path) not in message
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 200


# --- invalid input ----------------------------------------------------------------------------------------


def test_other_layers_are_one_sentence(planted, make_layers):
    _, _, book = planted
    with pytest.raises(MethodError, match="use the layers it was fitted on"):
        book.assign(Features.of(make_layers(((3, (12, 16)),))))


def test_what_cannot_be_fitted_is_one_sentence(make_layers, shapes):
    layers = make_layers(shapes)
    with pytest.raises(MethodError, match="100 clusters were requested and 5 positions were drawn"):
        Codebook.fit([layers], 100, per_image=5)
    with pytest.raises(MethodError, match="0 clusters were requested"):
        Codebook.fit([layers], 0)
    with pytest.raises(MethodError, match="0 positions were drawn"):
        Codebook.fit([], 3)
    with pytest.raises(MethodError, match="2 layer names were given for 3"):
        Codebook.fit([layers], 3, taps=("a", "b"))
    with pytest.raises(MethodError, match="use the same taps"):
        Codebook.fit([layers, layers[1:]], 3)


def test_dead_positions_are_not_drawn_and_get_some_cluster(make_layers, shapes, dtype):
    layers = make_layers(shapes, n=2, dtype=dtype)
    dark = [a * torch.tensor([1.0, 0.0], dtype=dtype).reshape(2, *[1] * (a.ndim - 1)) for a in layers]
    one, two = Codebook.fit([dark], 3, per_image=30), Codebook.fit([images(layers, 0)], 3, per_image=30)
    assert one.counts.sum() == two.counts.sum() == 30
    found = one.assign(features(one, dark))
    assert len(found.labels[1].unique()) == 1
    assert torch.isfinite(found.distances).all()
