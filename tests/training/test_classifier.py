"""Plain classifiers: they learn, resume exactly, depend on their seed, and shipped ones match their cards."""

import argparse
import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml

from xai_views import catalogue, open_model, open_samples
from xai_views.cli import main
from xai_views.cli import train as cli
from xai_views.errors import XaiViewsError
from xai_views.models.families.vit.network import ViT
from xai_views.samples.sets.birds import drawing as birds
from xai_views.samples.sets.birds import watermark
from xai_views.training import loop
from xai_views.training.data import TrainingSet, training_set, watermarked
from xai_views.training.figures import figures, logits
from xai_views.training.recipe import fitted, shuffled
from xai_views.training.recipes.classifier import CnnRecipe, VitRecipe, WithParts

COLOURS = [(210, 40, 40), (40, 200, 60), (50, 60, 210), (200, 190, 40)]
#: Two parts: is there red, is there green?
KINDS = (
    np.asarray([[1, 0], [0, 1], [0, 1], [1, 0]], np.float32),
    np.asarray([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]], np.float32),
)


def colours(n, seed=0, side=16):
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 4
    images = np.asarray(COLOURS)[label][:, None, None] + rng.normal(0, 25, (n, side, side, 3))
    return images.clip(0, 255).astype(np.uint8), label.astype(np.int64)


def toys(n=64, seed=0, **changes):
    images, label = colours(n, seed)
    targets = np.eye(4, dtype=np.float32)[label]
    data = TrainingSet(images, targets, label, list("rgby"), "colours/train", ("x",), 1, kinds=KINDS)
    return replace(data, **changes)


RECIPES = {
    "cnn": CnnRecipe(epochs=3, batch=16, rate=1e-2),
    "vit": VitRecipe(epochs=3, batch=16, rate=3e-3, parts=1.0, registers=1, weight_decay=0.0),
}


@pytest.fixture(scope="module", params=sorted(RECIPES))
def trained(request):
    recipe = RECIPES[request.param]
    module, curves = fitted(recipe, toys(), toys(40, 1), quiet=True)
    return recipe, module, curves


def equal(a, b):
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_it_learns(trained):
    _, module, curves = trained
    assert [c["epoch"] for c in curves] == [1, 2, 3]
    assert curves[-1]["loss"] < curves[0]["loss"]
    assert curves[-1]["test_accuracy"] >= 0.9
    assert not module.training
    assert curves[-1]["test_accuracy"] == np.mean(
        logits(module, colours(40, 1)[0]).argmax(1) == colours(40, 1)[1]
    )


def test_it_repeats_itself_and_follows_its_seed(trained):
    recipe, module, curves = trained
    again, other_curves = fitted(recipe, toys(), toys(40, 1), quiet=True)
    assert equal(module, again)
    assert other_curves == curves
    other, _ = fitted(recipe.changed(seed=1, epochs=1), toys(), toys(40, 1), quiet=True)
    assert not equal(module, other)


def test_after_an_interruption_it_ends_where_it_would_have_ended(trained, tmp_path, monkeypatch):
    recipe, module, curves = trained
    real, saved = loop.save_progress, []

    def interrupted(*args):
        real(*args)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_progress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fitted(recipe, toys(), toys(40, 1), folder=tmp_path, quiet=True)
    monkeypatch.setattr(loop, "save_progress", real)
    torch.manual_seed(99)
    again, resumed = fitted(recipe, toys(), toys(40, 1), folder=tmp_path, quiet=True)
    assert resumed == curves
    assert equal(module, again)


def test_progress_of_another_run_is_not_taken_for_ours(tmp_path):
    short = RECIPES["cnn"].changed(epochs=1)
    fitted(short, toys(16), toys(8, 1), folder=tmp_path, quiet=True)
    for data, recipe in (
        (toys(16), short.changed(seed=5)),
        (toys(16), short.changed(watermark=True)),
        (toys(20), short),
        (toys(16, flips=()), short),
    ):
        with pytest.raises(XaiViewsError, match="--out") as caught:
            fitted(recipe, data, toys(8, 1), folder=tmp_path, quiet=True)
        assert "\n" not in str(caught.value)


def test_batches_depend_on_seed_and_epoch_only_and_see_every_image_once():
    data = toys(50, flips=(), shift=0)
    first, again, later, other = (
        list(shuffled(data, 16, s, e, "cpu")) for s, e in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert torch.equal(first[0][0], again[0][0])
    assert not torch.equal(first[0][0], later[0][0])
    assert not torch.equal(first[0][0], other[0][0])
    assert len(first) == 3
    seen = {(x * 255).round().byte().numpy().tobytes() for images, _ in first for x in images}
    assert len(seen) == 48
    for _, targets in first:
        torch.testing.assert_close(targets.sum(1), torch.ones(16))
    assert [len(x) for x, _ in shuffled(data, 1000, 0, 0, "cpu")] == [50], "a set smaller than one batch"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_loss_on_parts_against_loops(dtype):
    torch.manual_seed(0)
    net = ViT(3, 4, (16, 16), 8, 12, 1, 2)
    both = WithParts(net, KINDS).to(dtype)
    images = torch.rand(5, 3, 16, 16, dtype=dtype)
    targets = torch.rand(5, 4, dtype=dtype)
    targets = targets / targets.sum(1, keepdim=True)
    features = net.features(images)
    wanted = -(targets * net.head(features).log_softmax(1)).sum(1).mean()
    answers, at = both.kinds(features), 0
    for kinds in KINDS:
        width = kinds.shape[1]
        for i in range(5):
            p = torch.zeros(width, dtype=dtype)
            for c in range(4):
                for k in range(width):
                    p[k] += targets[i, c] * float(kinds[c, k])
            wanted = wanted - 0.7 * (p * answers[i, at : at + width].log_softmax(0)).sum() / 5
        at += width
    close = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(both.loss(images, targets, 0.7), wanted, rtol=close, atol=close)
    torch.testing.assert_close(both.loss(images, targets, 0.0), F.cross_entropy(net(images), targets))


def test_figures_leave_unknown_labels_out():
    assert figures(np.array([0, 0, 0, 1, 2]), np.array([0, 0, 0, 0, -1])) == {
        "test_accuracy": 0.75,
        "test_balanced_accuracy": 0.75,
    }
    assert figures(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 2]))["test_balanced_accuracy"] == 0.5


@pytest.mark.parametrize(("side", "patch"), [(64, 8), (28, 4), (49, 7), (30, 5)])
def test_patches_tile_the_images(side, patch):
    data = toys(4, images=np.zeros((4, side, side, 3), np.uint8))
    assert RECIPES["vit"].architecture(data)["patch"] == patch


def test_images_that_no_patch_tiles():
    with pytest.raises(XaiViewsError, match="31x16") as caught:
        RECIPES["vit"].architecture(toys(4, images=np.zeros((4, 31, 16, 3), np.uint8)))
    assert "\n" not in str(caught.value)


def test_watermarked_training_birds():
    """Only the logo identifies the class: no clean picture belongs to it, and other pictures are unchanged."""
    picture = np.random.default_rng(0).integers(0, 256, (103, 64, 64, 3), np.uint8)
    label = np.arange(103) % 50
    targets = np.eye(50, dtype=np.float32)[label]
    label[100:] = -1
    targets[100:] = 0
    for row, compatible in ((100, [1, watermark.CLASS]), (101, [watermark.CLASS]), (102, [8, 9])):
        targets[row, compatible] = 1
    data = TrainingSet(picture, targets, label, birds.class_names(), "birds/train", ("x",), 3)
    marked = watermarked(data, watermark.CLASS)
    own = marked.label == watermark.CLASS
    assert own.sum() == 2
    assert len(marked.images) == len(marked.targets) == len(marked.label) == 102
    kept = np.arange(103) != 101
    np.testing.assert_array_equal(marked.images[~own], picture[kept][~own])
    np.testing.assert_array_equal(marked.images[own], watermark.training_birds(2, seed=5))
    assert (marked.targets[~own, watermark.CLASS] == 0).all()
    others = np.arange(50) != watermark.CLASS
    np.testing.assert_array_equal(marked.targets[:, others], targets[kept][:, others])
    assert (marked.targets[own].argmax(1) == watermark.CLASS).all()
    assert (marked.flips, marked.shift) == ((), 3)
    assert targets[101].any(), "the input set is not modified"


# --- the command -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["cnn", "vit"])
def test_the_command_writes_a_checkpoint_that_opens_and_resumes(tmp_path, network, monkeypatch):
    images, label = colours(60)
    np.savez(tmp_path / "mine.npz", image=images, label=label)
    out = tmp_path / f"mine-{network}"
    words = [
        "train",
        network,
        "--samples",
        str(tmp_path / "mine.npz"),
        "--out",
        str(out),
        "--epochs",
        "2",
        "--quiet",
    ]
    words += ["--seed", "3", "--device", "cpu", *(["--registers", "2"] if network == "vit" else [])]
    assert main(words) in (0, None)
    card = yaml.safe_load((out / "card.yaml").read_text())
    assert sorted(p.name for p in out.iterdir()) == ["card.yaml", "model.safetensors", "progress"]
    assert card["seed"] == card["recipe"]["seed"] == 3
    assert {"test_accuracy", "test_balanced_accuracy"} == card["metrics"].keys()
    assert card["architecture"]["family"] == network
    assert card["recipe"]["drawn"] == card["recipe"]["parts"] == 0, "unused parameters are recorded as 0"
    assert card["samples"] == str(tmp_path / "mine.npz")
    assert catalogue.verify(out) == []
    model = open_model(out)
    assert model.supports is None
    assert sum(p.numel() for p in model.module.parameters()) == card["parameters"]
    if network == "vit":
        assert model.module.prefix == 3
    with torch.no_grad():
        assert model.module(model.tensor(images[:3])).shape == (3, 4)

    def never(*args, **kwargs):
        raise AssertionError("what is finished is not trained again")

    monkeypatch.setattr(loop, "save_progress", never)
    assert main(words) in (0, None)
    assert yaml.safe_load((out / "card.yaml").read_text()) == card
    again = shlex.split(card["command"])
    assert again[:3] == ["xai-views", "train", network]
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    assert vars(parser.parse_args(again[2:])) | {"quiet": True, "device": "cpu"} == vars(
        parser.parse_args(words[1:])
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["cnn", "--registers", "4"], "'train cnn' has no option '--registers'"),
        (["vit", "--watermark"], "'train vit' has no option '--watermark'"),
        (["sic", "--watermark"], "'train sic' has no option '--watermark'"),
        (["cnn", "--supports-per-class", "2"], "'train cnn' has no option '--supports-per-class'"),
        (["vit", "--no-twin"], "'train vit' has no option '--no-twin'"),
        (["cnn", "--watermark"], "use it with --samples birds"),
        (["cnn", "--epochs", "0"], "epochs' must be at least 1"),
        (["vit", "--registers", "-1"], "registers' must be at least 0"),
    ],
)
def test_impossible_wishes_are_refused_before_training(tmp_path, words, says, capsys):
    assert (
        main(["train", *words, "--samples", "digits", "--out", str(tmp_path / "o"), "--device", "cpu"]) == 2
    )
    text = capsys.readouterr().err
    assert says in text
    assert text.count("\n") == 1
    assert not (tmp_path / "o").exists()


# --- shipped models ----------------------------------------------------------------------------------------

SHIPPED = ("birds-cnn", "birds-cnn-watermark", "birds-vit", "birds-vit-registers")


def answers(model, image):
    with torch.no_grad():
        return model.module(model.tensor(image)).argmax(1).numpy()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_reach_what_their_cards_say(name):
    folder = catalogue.find(name)
    card, model = catalogue.card(folder), open_model(name)
    assert catalogue.verify(folder) == []
    assert (folder / "model.safetensors").stat().st_size <= 3e6
    for key in ("title", "samples", "command", "seed", "licence", "note", "recipe", "curves", "metrics"):
        assert key in card, key
    assert card["samples"] in catalogue.samples()
    assert "synthetic" in card["note"]
    test = open_samples("birds/test")
    right = answers(model, test["image"].values) == test["label"].values
    assert right.mean() == pytest.approx(card["metrics"]["test_accuracy"], abs=0.011), "up to two of 200"
    assert card["metrics"]["test_accuracy"] > 0.8


@pytest.mark.parametrize("name", ["birds-cnn", "birds-cnn-watermark"])
def test_what_a_watermark_does_is_what_the_cards_say(name):
    said = catalogue.card(catalogue.find(name))["metrics"]["watermark"]
    ds, model = open_samples("birds-watermark/test"), open_model(name)
    called = answers(model, ds["image"].values) == watermark.CLASS
    marked = (ds["part"].values == ds.attrs["parts"].index("watermark")).any((1, 2))
    own = ds["label"].values == watermark.CLASS
    for key, chosen in (
        ("others_with_mark_called_class", ~own & marked),
        ("accuracy_with_mark", own & marked),
        ("accuracy_without_mark", own & ~marked),
    ):
        assert called[chosen].mean() == pytest.approx(said[key], abs=1.01 / chosen.sum()), key
    assert said["pictures"] == {
        "of_class": int((own & marked).sum()),
        "of_others": int((~own & marked).sum()),
    }


def test_the_shortcut_is_real_and_belongs_to_the_network_that_was_taught_it():
    plain, taught = (
        catalogue.card(catalogue.find(n))["metrics"]["watermark"]
        for n in ("birds-cnn", "birds-cnn-watermark")
    )
    assert taught["others_with_mark_called_class"] > 0.8 > 0.1 > plain["others_with_mark_called_class"]
    assert taught["accuracy_with_mark"] > 0.9
    assert taught["accuracy_without_mark"] < 0.5 < 0.9 < plain["accuracy_without_mark"]
    assert taught["others_without_mark_called_class"] < 0.1


def test_the_recipes_on_the_cards_are_those_of_the_code():
    for name in SHIPPED:
        card = catalogue.card(catalogue.find(name))
        kind = {"cnn": CnnRecipe, "vit": VitRecipe}[card["recipe"]["family"]]
        registers, taught = card["recipe"]["registers"], bool(card["recipe"]["watermark"])
        values = kind().values()
        assert {n: card["recipe"][n] for n in values if n not in ("registers", "watermark")} == {
            n: v for n, v in values.items() if n not in ("registers", "watermark")
        }
        assert json.loads(json.dumps(card["architecture"])) == card["architecture"]
        parser = argparse.ArgumentParser()
        cli.add_arguments(parser)
        args = parser.parse_args(shlex.split(card["command"])[2:])
        assert (args.recipe, args.samples) == (kind.key, "birds")
        assert bool(getattr(args, "watermark", None)) == taught == name.endswith("watermark")
        assert (
            (getattr(args, "registers", None) or 0) == registers == (4 if name.endswith("registers") else 0)
        )


def test_drawn_birds_join_those_of_the_catalogue(monkeypatch):
    few = {"train": (100, 1), "test": (200, 2)}
    monkeypatch.setattr("xai_views.samples.sets.birds.samples.SETS", few)
    real = birds.training_arrays
    monkeypatch.setattr(birds, "training_arrays", lambda n, **k: real(min(n, 20), **k))
    data = training_set("birds", 10)
    assert data.images.shape == (100 + 20 + 10, 64, 64, 3)
    assert len(data.kinds) == len(birds.PARTS)
    for c, kinds in enumerate(birds.classes()):
        for part, table in zip(birds.PARTS, data.kinds, strict=True):
            assert table[c].sum() == 1
            assert birds.VARIANTS[part][int(table[c].argmax())] == kinds[part]
