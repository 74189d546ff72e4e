"""Training on records: it learns, resumes exactly, checks its data, and writes a complete checkpoint."""

import argparse
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from xai_views import open_model, open_samples
from xai_views.cli import train as cli
from xai_views.errors import ModelError, XaiViewsError
from xai_views.methods.ecg_clusters.fit import Fitted
from xai_views.models.heads import find_head
from xai_views.models.stored import CLUSTERS
from xai_views.samples import inputs
from xai_views.samples.prepare import prepare
from xai_views.samples.signals import LEADS, signal_dataset
from xai_views.training import clusters, loop
from xai_views.training.data import RATE, STEPS, labelled
from xai_views.training.figures import logits, per_class, scores
from xai_views.training.recipe import fitted
from xai_views.training.recipes.ecg import EcgRecipe

SMALL = EcgRecipe(epochs=3, batch=8, rate=1e-2, stem=4, blocks=[[6, 4], [8, 4]], kernel=9)
CLASSES = ["early", "late"]


def planted(n=32, seed=0, several=False, **changes):
    """Records of two leads; class 0 is a wave in V1, class 1 one in V2. ``several``: each is there or not."""
    rng = np.random.default_rng(seed)
    there = np.asarray([[1, 0], [0, 1], [1, 1], [0, 0]] if several else [[1, 0], [0, 1]])
    there = there[np.arange(n) % len(there)]
    t = np.arange(STEPS) / RATE
    centre = rng.uniform(2, 8, (n, 2, 1))
    signal = there[..., None] * np.exp(-(((t - centre) / 0.1) ** 2) / 2) + rng.normal(0, 0.02, (n, 2, STEPS))
    made = {"label": there if several else there.argmax(1), "classes": CLASSES, "rate": RATE} | changes
    return signal_dataset(signal, made.pop("rate"), ["V1", "V2"], **made)


def difficult(ds):
    """The same with a difficulty of every record."""
    levels = (np.arange(ds.sizes["sample"]) // 2 % 2).astype(np.int8)
    return ds.assign(difficulty=("sample", levels)).assign_attrs(difficulties=["plain", "faint"])


def weights(module):
    return torch.cat([v.flatten().double() for v in module.state_dict().values()])


@pytest.fixture(scope="module")
def sets():
    return labelled(planted(), "planted"), labelled(planted(16, 1), "planted/test")


@pytest.fixture(scope="module")
def trained(sets):
    return fitted(SMALL, *sets, quiet=True)


# -- fitting -----------------------------------------------------------------------------------------------------


def test_it_learns_what_was_planted(sets, trained):
    _, curves = trained
    assert [c["epoch"] for c in curves] == [1, 2, 3]
    assert curves[-1]["loss"] < curves[0]["loss"]
    longer, _ = fitted(SMALL.changed(epochs=12), *sets, quiet=True)
    assert scores(logits(longer, sets[1].images), sets[1], several=False)["test_accuracy"] >= 0.9


def test_an_interrupted_run_ends_with_equal_weights(sets, trained, tmp_path, monkeypatch):
    save = loop.save_progress

    def stop_after_two(folder, module, optimizer, curves, stamp=""):
        save(folder, module, optimizer, curves, stamp)
        if len(curves) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(loop, "save_progress", stop_after_two)
        with pytest.raises(KeyboardInterrupt):
            fitted(SMALL, *sets, folder=tmp_path, quiet=True)
    seen = []
    given = EcgRecipe.batches
    monkeypatch.setattr(EcgRecipe, "batches", lambda *a: (seen.append(a[2]), given(*a))[1])
    module, curves = fitted(SMALL, *sets, folder=tmp_path, quiet=True)
    assert seen == [2]  # only the missing epoch
    assert curves == trained[1]
    assert torch.equal(weights(module), weights(trained[0]))


def test_the_seed_decides(sets, trained):
    assert torch.equal(weights(fitted(SMALL, *sets, quiet=True)[0]), weights(trained[0]))
    other = fitted(SMALL.changed(seed=1, epochs=1), *sets, quiet=True)[0]
    assert not torch.equal(weights(other), weights(trained[0]))


@pytest.mark.parametrize("change", ["signal", "label", "recipe"])
def test_progress_of_another_run_is_refused(sets, tmp_path, change):
    one = SMALL.changed(epochs=1)
    fitted(one, *sets, folder=tmp_path, quiet=True)
    data, recipe = sets[0], one
    if change == "signal":
        data = replace(data, images=data.images * np.float16(2))
    elif change == "label":
        data = replace(data, targets=data.targets[::-1].copy())
    else:
        recipe = one.changed(gain=2.0)
    with pytest.raises(ModelError, match="another recipe; choose another --out"):
        fitted(recipe, data, sets[1], folder=tmp_path, quiet=True)


def test_a_silenced_lead_and_gain_change_batches_but_not_the_records(sets):
    before = sets[0].images.copy()
    loud = [x for x, *_ in SMALL.batches(SMALL.changed(dropped=0.0, gain=1.0).prepared(sets[0])[1], 0, "cpu")]
    muted = [
        x for x, *_ in SMALL.batches(SMALL.changed(dropped=0.5, gain=1.0).prepared(sets[0])[1], 0, "cpu")
    ]
    assert len(loud) == 4
    silent = torch.cat([(x == 0).all(2) for x in muted])
    assert 0.25 < silent.double().mean() < 0.75
    assert not torch.cat([(x == 0).all(2) for x in loud]).any()
    np.testing.assert_array_equal(before, sets[0].images)


# -- records -----------------------------------------------------------------------------------------------------


def test_records_come_to_rate_steps_and_twelve_leads():
    ds = signal_dataset(np.ones((2, 2, 1000)), 200, ["I", "II"], label=[0, 1], classes=CLASSES)
    data = labelled(ds, "two")
    assert data.images.shape == (2, 12, STEPS)
    assert data.leads == LEADS
    assert not data.images[..., 2000:].any()  # 5 s at 400 Hz, then padding
    assert data.targets.tolist() == [[1, 0], [0, 1]]
    assert data.label.tolist() == [0, 1]
    assert not data.several


def test_several_labels_are_seen():
    data = labelled(planted(8, several=True), "several")
    assert data.several
    assert data.label[:4].tolist() == [0, 1, -1, -1]  # one, one, both, none


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"label": None, "classes": None}, "have no labels"), ({"label": [0, 1, -1, -1]}, "2 records of")],
)
def test_missing_labels_are_one_sentence(changes, said):
    with pytest.raises(XaiViewsError, match=said) as e:
        labelled(planted(4, **changes), "planted")
    assert "\n" not in str(e.value)


# -- metrics -----------------------------------------------------------------------------------------------------


def test_figures_per_class_and_difficulty(sets):
    _, test = sets
    answer = np.eye(2)[test.label] * 2.0
    answer[[0, 1]] = answer[[1, 0]]  # one wrong answer in each class, both at difficulty 0
    got = per_class(answer, test.label, CLASSES, np.arange(16) // 2 % 2, ["plain", "faint"])
    assert got == {c: {"all": 0.875, "plain": 0.75, "faint": 1.0} for c in CLASSES}
    assert per_class(answer, test.label, CLASSES) == {c: {"all": 0.875} for c in CLASSES}
    assert scores(answer, test, several=False) == {"test_accuracy": 0.875, "test_balanced_accuracy": 0.875}


def test_a_class_without_test_records_has_no_figure(sets):
    lone = replace(sets[1], label=np.zeros(16, int))
    got = per_class(np.tile([1.0, 0.0], (16, 1)), lone.label, lone.classes)
    assert got == {"early": {"all": 1.0}, "late": {}}


def test_area_under_the_curve_of_several_labels():
    test = labelled(planted(8, several=True), "several")
    assert scores(test.targets, test, several=True) == {"test_auroc": 1.0}
    half = test.targets * [1, 0]  # the second class is guessed
    assert scores(half, test, several=True) == {"test_auroc": 0.75}
    alone = replace(test, targets=test.targets * np.float32([1, 0]))  # the second class never occurs
    assert scores(half, alone, several=True) == {"test_auroc": 1.0}
    assert scores(half, replace(test, targets=test.targets * 0), several=True) == {}


# -- the command -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["one label, gap", "several labels, flatten"])
def command(request, tmp_path_factory):
    """A checkpoint written by ``xai-views train ecg``, its printed metrics, and its training samples."""
    folder = tmp_path_factory.mktemp("ecg")
    several = request.param.startswith("several")
    ds = planted(40, several=several)
    (ds if several else difficult(ds)).to_zarr(folder / "planted.zarr")
    small = SMALL.changed(head=request.param.split()[-1], epochs=4, seed=3)
    words = [
        "--epochs",
        "4",
        "--batch",
        "8",
        "--rate",
        "0.01",
        "--stem",
        "4",
        "--kernel",
        "9",
        "--seed",
        "3",
        "--set",
    ]
    with pytest.MonkeyPatch.context() as m:
        m.setattr(clusters, "CLUSTERED", 16)
        assert (
            run(
                folder / "planted.zarr",
                folder / "net",
                *words,
                "blocks=[[6, 4], [8, 4]]",
                "--head",
                small.head,
            )
            == 0
        )
    return folder, small, several


def run(samples, out, *more):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return cli.run(parser.parse_args(["ecg", "--samples", str(samples), "--out", str(out), "--quiet", *more]))


def test_the_card(command):
    folder, recipe, several = command
    card = yaml.safe_load((folder / "net/card.yaml").read_text())
    assert card["name"] == "net"
    assert card["method"] == "ecg_clusters"
    assert card["classes"] == CLASSES
    assert card["multi_label"] is several
    assert card["training_samples"] == str(folder / "planted.zarr")
    assert card["note"] == ""  # the note on composed records does not apply to others
    assert "--seed 3" in card["command"]
    assert (
        card["architecture"] | {"rate": 400, "leads": ["V1", "V2"], "size": [4096], "channels": 2}
        == (card["architecture"])
    )
    assert card["architecture"]["head"] == recipe.head
    assert card["seed"] == card["recipe"]["seed"] == 3
    assert card["recipe"]["blocks"] == [[6, 4], [8, 4]]
    assert len(card["curves"]) == 4
    assert card["parameters"] == sum(p.numel() for p in recounted(card).parameters())
    assert set(card["sha256"]) == {"model.safetensors"}


def recounted(card):
    from xai_views.models.checkpoint import build

    return build(card["architecture"])


def test_the_figures_in_the_card_are_those_of_the_checkpoint(command):
    """A fifth of the records, drawn with seed 0, is held out; metrics are computed on them."""
    folder, _, several = command
    card = yaml.safe_load((folder / "net/card.yaml").read_text())
    held = labelled(
        planted(40, several=several).isel(sample=np.random.default_rng(0).permutation(40)[:8]), ""
    )
    answer = logits(open_model(folder / "net").module, held.images)
    wanted = scores(answer, held, several)
    assert {k: card["metrics"][k] for k in wanted} == wanted
    assert set(wanted) == ({"test_auroc"} if several else {"test_accuracy", "test_balanced_accuracy"})
    assert ("chance" in card["metrics"]) is not several
    if not several:
        assert set(card["metrics"]["per_class"]) == set(CLASSES)
        assert set(card["metrics"]["per_class"]["early"]) == {"all", "plain", "faint"}


def test_the_checkpoint_opens_as_a_network_of_records(command):
    folder, recipe, several = command
    model = open_model(folder / "net")
    assert (model.channels, model.size, model.rate, model.leads) == (2, (4096,), 400, ("V1", "V2"))
    assert find_head(model).kind == recipe.head
    x = inputs(prepare(planted(3), model.leads, model.rate, model.size[0]), slice(None))
    with torch.no_grad():
        logit = model.module(model.tensor(x)).numpy()
    p = model.probability(logit)
    if several:
        np.testing.assert_allclose(p, 1 / (1 + np.exp(-logit)), rtol=1e-5)
    else:
        np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)


def test_clusters_lie_beside_the_weights(command):
    folder, _, _ = command
    fitted = Fitted.load(folder / "net" / CLUSTERS)
    assert len(fitted.ensemble) == 5
    assert fitted.book.model_sha256 == open_model(folder / "net").sha256
    assert fitted.book.counts.sum() > 0
    assert all(len(m.counts) == len(fitted.book.counts) for m in fitted.ensemble)


# -- wrong input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "more", "said"),
    [
        (4, (), "4 labelled records were given; .* at least 5"),
        (8, ("--epochs", "0"), "epochs' must be at least 1"),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path, n, more, said):
    planted(n).to_zarr(tmp_path / "few.zarr")
    with pytest.raises(XaiViewsError, match=said) as e:
        run(tmp_path / "few.zarr", tmp_path / "net", *more)
    assert "\n" not in str(e.value)
    assert not (tmp_path / "net/card.yaml").exists()


def test_images_are_refused(tmp_path):
    np.savez(tmp_path / "images.npz", image=np.zeros((6, 8, 8, 3), np.uint8), label=np.arange(6) % 2)
    assert "image" in open_samples(tmp_path / "images.npz")
    with pytest.raises(XaiViewsError, match="records") as e:
        run(tmp_path / "images.npz", tmp_path / "net")
    assert "\n" not in str(e.value)


def test_test_records_of_other_classes_are_refused(tmp_path):
    planted(8).to_zarr(tmp_path / "a.zarr")
    planted(8, classes=["late", "early"]).to_zarr(tmp_path / "b.zarr")
    with pytest.raises(XaiViewsError, match="classes"):
        run(tmp_path / "a.zarr", tmp_path / "net", "--test", str(tmp_path / "b.zarr"))


def test_test_records_are_asked_as_the_training_records_are(sets):
    with pytest.raises(XaiViewsError, match="4 test records of 'x' have no class or several"):
        labelled(planted(8, several=True), "x", like=sets[0])
    both = labelled(planted(8, several=True), "y")
    alone = planted(
        8, label=np.eye(2, dtype=int)[np.arange(8) % 2]
    )  # one each, as a small test set may have by chance
    assert not labelled(alone, "z", like=both).several, "the training records determine it"


def test_test_records_of_other_leads_are_refused(tmp_path):
    planted(8).to_zarr(tmp_path / "a.zarr")
    planted(8).assign_coords(lead=["V3", "V4"]).to_zarr(tmp_path / "b.zarr")
    with pytest.raises(XaiViewsError, match="V3, V4"):
        run(tmp_path / "a.zarr", tmp_path / "net", "--test", str(tmp_path / "b.zarr"))
