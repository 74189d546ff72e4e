"""Training learns, resumes exactly, is repeatable, and writes checkpoints that can be opened."""

import hashlib
import shlex

import numpy as np
import pytest
import torch
import yaml

from xai_views import explain, open_model, open_samples
from xai_views.cli import main
from xai_views.cli import train as cli
from xai_views.engine.attribution.bcos import self_contributions
from xai_views.errors import XaiViewsError
from xai_views.models import evidence
from xai_views.models.families.sic.network import SIC
from xai_views.samples import dataset
from xai_views.training.data import TrainingSet, shifted
from xai_views.training.episodes import class_evidence, draw
from xai_views.training.finish import attach_supports, calibrate, latents
from xai_views.training.recipe import fitted
from xai_views.training.recipes.sic import SicRecipe, train_twin

COLOURS = [(210, 40, 40), (40, 200, 60), (50, 60, 210), (200, 190, 40)]
RECIPE = SicRecipe(latent=12, epochs=3, steps=6, per_class=6, twin_epochs=1, rate=1e-2)


def colours(n, seed=0):
    """8 x 8 images of four colours with noise, and their labels."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 4
    images = np.asarray(COLOURS)[label][:, None, None] + rng.normal(0, 25, (n, 8, 8, 3))
    return images.clip(0, 255).astype(np.uint8), label.astype(np.int64)


def training_set(n=80, seed=0):
    images, label = colours(n, seed)
    return TrainingSet(
        images, np.eye(4, dtype=np.float32)[label], label, list("rgby"), "colours/train", ("x",), 1
    )


@pytest.fixture(scope="module")
def trained():
    module, curves = fitted(RECIPE, training_set(), training_set(40, 1), quiet=True)
    return module, curves


def test_it_learns(trained):
    _, curves = trained
    assert [c["epoch"] for c in curves] == [1, 2, 3]
    assert curves[-1]["loss"] < curves[0]["loss"]
    assert curves[-1]["test_accuracy"] >= 0.95


def equal(a, b):
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_it_repeats_itself_and_follows_its_seed(trained):
    again, curves = fitted(RECIPE, training_set(), training_set(40, 1), quiet=True)
    assert equal(trained[0], again)
    assert curves == trained[1]
    other, _ = fitted(RECIPE.changed(seed=1, epochs=1), training_set(), training_set(40, 1), quiet=True)
    assert not equal(trained[0], other)


def test_after_an_interruption_it_ends_where_it_would_have_ended(trained, tmp_path, monkeypatch):
    from xai_views.training import loop

    real, saved = loop.save_progress, []

    def interrupted(*args):
        real(*args)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_progress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fitted(RECIPE, training_set(), training_set(40, 1), folder=tmp_path, quiet=True)
    monkeypatch.setattr(loop, "save_progress", real)
    torch.manual_seed(99)
    module, curves = fitted(RECIPE, training_set(), training_set(40, 1), folder=tmp_path, quiet=True)
    assert curves == trained[1]
    assert equal(trained[0], module)


def test_progress_of_another_run_is_not_taken_for_ours(tmp_path):
    short = RECIPE.changed(epochs=1, steps=1)
    fitted(short, training_set(8), training_set(8, 1), folder=tmp_path, quiet=True)
    for data, recipe in ((training_set(8), short.changed(seed=5)), (training_set(12), short)):
        with pytest.raises(XaiViewsError, match="--out") as caught:
            fitted(recipe, data, training_set(8, 1), folder=tmp_path, quiet=True)
        assert "\n" not in str(caught.value)
    assert short.stamp(training_set(8)) == short.stamp(training_set(8))


def test_the_twin_learns_too():
    figures = train_twin(training_set(128), training_set(40, 1), RECIPE.changed(twin_epochs=10), quiet=True)
    assert figures["test_accuracy"] >= 0.9
    assert figures["parameters"] > 100


def test_class_evidence_against_loops_leaves_the_query_out():
    g = torch.Generator().manual_seed(0)
    scores = torch.rand(7, 5, generator=g)
    label = torch.tensor([0, 2, 2, 0, 3])
    own = torch.tensor([0, 1, 2, 3, 4, -1, -1])
    want = torch.zeros(7, 4)
    for q in range(7):
        for c in range(4):
            others = [scores[q, s] for s in range(5) if label[s] == c and s != own[q]]
            want[q, c] = sum(others) / len(others) if others else 0
    torch.testing.assert_close(class_evidence(scores, label, 4, own), want)
    assert class_evidence(scores, label, 4, own)[4, 3] == 0, "a class's only sample has no other support"
    assert class_evidence(scores, label, 4)[4, 3] == scores[4, 4]


def test_draws_are_distinct_and_of_their_class():
    pools = [torch.arange(0, 9), torch.arange(9, 11), torch.arange(11, 30)]
    index, label = draw(pools, 4, 3, torch.Generator().manual_seed(0))
    assert len(index) == len(set(index.tolist())) == 4 + 2 + 4
    assert all(i in pools[c] for i, c in zip(index, label, strict=True))
    assert len(set(draw(pools, 2, 2, torch.Generator().manual_seed(1))[1].tolist())) == 2


def test_episodes_depend_on_seed_and_epoch_only():
    data = training_set(24)
    first, again, later = (next(iter(RECIPE.batches(data, e, "cpu"))) for e in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], later[0])
    assert torch.equal(first[1].argmax(1), first[2])


def test_shifts_are_shifts():
    x = torch.arange(2 * 36.0).reshape(2, 1, 6, 6)
    moved = shifted(x, 2, torch.Generator().manual_seed(3))
    padded = torch.nn.functional.pad(x, (2,) * 4, mode="replicate")
    for n in range(2):
        windows = [padded[n, :, i : i + 6, j : j + 6] for i in range(5) for j in range(5)]
        assert sum(torch.equal(moved[n], w) for w in windows) >= 1


def test_calibration_finds_the_best_factor_and_turns_no_decision(trained):
    module, _ = trained
    images, label = colours(60, 2)
    model = open_model(module, classes=list("rgby"))
    attach_supports(model, dataset(images, label, classes=list("rgby")))
    shown = open_samples((images[:8], label[:8]))
    before, z = explain(model, shown), model.latents.z
    targets = np.eye(4)[label]

    def loss(factor):
        score = evidence.scores(z * np.float32(factor), model.supports.vectors)
        logit = evidence.logits(score, model.supports.label, 4, module.temperature, module.bias)
        p = 1 / (1 + np.exp(-logit.astype(float)))
        return -np.mean(targets * np.log(p) + (1 - targets) * np.log(1 - p))

    factor = calibrate(module, z, model.supports, targets)
    assert loss(factor) <= min(loss(f) for f in np.geomspace(0.5, 20, 40)) + 1e-6
    np.testing.assert_allclose(latents(module, images).numpy(), z * factor, rtol=1e-4, atol=1e-6)
    attach_supports(model, dataset(images, label, classes=list("rgby")))
    after = explain(model, shown)
    np.testing.assert_array_equal(before["target_class"], after["target_class"])
    np.testing.assert_allclose(after["evidence"], before["evidence"] * factor, rtol=1e-3, atol=1e-6)


def test_supports_of_ones_own_network(trained):
    module: SIC = trained[0]
    images, label = colours(40, 3)
    model = open_model(module)
    samples = dataset(images, label, classes=list("rgby"))
    key = attach_supports(model, samples).sha256
    assert model.size == (8, 8)
    np.testing.assert_array_equal(label[model.supports.index], model.supports.label)
    assert attach_supports(model, samples, per_class=2).sha256 != key, "other supports give another model"
    assert len(model.supports) == 8
    exact = self_contributions(module, model.supports.image)
    attach_supports(
        model, dataset((images / 255).astype(np.float32), label, classes=list("rgby")), per_class=2
    )
    assert model.supports.image.dtype == np.uint8
    np.testing.assert_allclose(model.supports.self_contribution, exact, atol=1e-5)
    with pytest.raises(XaiViewsError, match="SIC"):
        attach_supports(
            open_model(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())), samples
        )
    with pytest.raises(XaiViewsError, match="labels"):
        attach_supports(model, samples.drop_vars("label"))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The folder that ``xai-views train sic`` writes for a user's images."""
    folder = tmp_path_factory.mktemp("own")
    images, label = colours(60)
    np.savez(folder / "mine.npz", image=images, label=label)
    out = folder / "mine-sic"
    command = [
        "train",
        "sic",
        "--samples",
        str(folder / "mine.npz"),
        "--out",
        str(out),
        "--epochs",
        "1",
        "--seed",
        "3",
        "--supports-per-class",
        "2",
        "--device",
        "cpu",
        "--quiet",
    ]
    assert main(command) in (0, None)
    return folder, out, command


def test_the_command_writes_a_checkpoint_that_opens(own):
    folder, out, _ = own
    card = yaml.safe_load((out / "card.yaml").read_text())
    assert card["seed"] == card["recipe"]["seed"] == 3
    assert card["classes"] == [str(c) for c in card["classes"]]
    assert len(card["classes"]) == 4
    assert {"test_accuracy", "test_balanced_accuracy"} <= card["metrics"].keys()
    assert {"test_accuracy", "parameters"} <= card["twin"].keys()
    words = shlex.split(card["command"])
    for option, value in (
        ("--epochs", "1"),
        ("--seed", "3"),
        ("--supports-per-class", "2"),
        ("--out", str(out)),
    ):
        assert words[words.index(option) + 1] == value
    for name, expected in card["sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == expected
    model = open_model(out)
    assert len(model.supports) == 8
    result = explain(model, open_samples(str(folder / "mine.npz")).isel(sample=slice(0, 3)))
    scale = float(np.abs(result["contribution"]).sum())
    assert float(np.abs(result["residual"]).max()) <= 1e-4 * scale
    np.testing.assert_allclose(
        np.abs(model.supports.self_contribution.sum((1, 2))),
        np.linalg.norm(model.supports.vectors, axis=1),
        rtol=1e-3,
    )


def test_support_positions_are_those_of_the_samples_given(own):
    _, out, _ = own
    model = open_model(out)
    images, label = colours(60)
    np.testing.assert_array_equal(images[model.supports.index], model.supports.image)
    np.testing.assert_array_equal(label[model.latents.index], model.latents.label)
    assert len(model.latents.z) == 48, "a fifth is held out"


def test_an_image_folder_trains_too(tmp_path):
    from PIL import Image

    images, label = colours(20)
    for i, (image, c) in enumerate(zip(images, label, strict=True)):
        at = tmp_path / "photos" / f"kind-{c}"
        at.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(at / f"{i}.png")
    out = tmp_path / "out"
    main(
        [
            "train",
            "sic",
            "--samples",
            str(tmp_path / "photos"),
            "--out",
            str(out),
            "--epochs",
            "1",
            "--no-twin",
            "--quiet",
            "--device",
            "cpu",
        ]
    )
    assert open_model(out).classes == [f"kind-{c}" for c in range(4)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--epochs", "0"], "epochs' must be at least 1"),
        (["--supports-per-class", "0"], "supports_per_class' must be at least 1"),
        (["--set", "ways=[1]"], "ways' must be an integer"),
        (["--set", "way=1"], "no parameter 'way'; it has 'ways'"),
    ],
)
def test_impossible_wishes_are_refused_before_training(tmp_path, options, says):
    import argparse

    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    np.savez(tmp_path / "a.npz", image=colours(8)[0], label=colours(8)[1])
    args = parser.parse_args(
        ["sic", "--samples", str(tmp_path / "a.npz"), "--out", str(tmp_path / "o"), *options]
    )
    with pytest.raises(XaiViewsError, match=says):
        cli.run(args)
    np.savez(tmp_path / "a.npz", image=colours(3)[0], label=colours(3)[1])
    args = parser.parse_args(["sic", "--samples", str(tmp_path / "a.npz"), "--out", str(tmp_path / "o")])
    with pytest.raises(XaiViewsError, match="at least 5"):
        cli.run(args)
