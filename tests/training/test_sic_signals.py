"""Training a SIC network on records with its command: it learns, and its checkpoint has supports and clusters."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

from xai_views import explain, open_model, open_samples
from xai_views.cli import train as cli
from xai_views.errors import SamplesError
from xai_views.methods.ecg_clusters.fit import Fitted
from xai_views.models.families.cnn.network import PLANS
from xai_views.samples.signals import signal_dataset
from xai_views.training.data import RATE, STEPS, SignalSet, disturbed, labelled, training_set

PLAN = [[6, 9, 1, 4], [8, 9, 1, 8]]


def planted(n=24, seed=0):
    """Records of two leads; class 0 is a wave in V1, class 1 one in V2."""
    g = np.random.default_rng(seed)
    label = np.arange(n) % 2
    time = np.arange(STEPS) / RATE
    signal = g.normal(0, 0.02, (n, 2, STEPS))
    for i, c in enumerate(label):
        signal[i, c] += np.exp(-(((time - g.uniform(2, 8)) / 0.3) ** 2) / 2)
    return signal_dataset(signal, RATE, ["V1", "V2"], label=label, classes=["first", "second"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("sets") / "own.zarr"
    planted().to_zarr(place, consolidated=False)
    return place


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory) -> Path:
    """The checkpoint folder that the command writes, with a smaller network."""
    out = tmp_path_factory.mktemp("made") / "own-sic"
    patch = pytest.MonkeyPatch()
    patch.setitem(PLANS, "ecg", PLAN)
    patch.setattr("xai_views.training.clusters.CLUSTERED", 12)
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    words = f"sic --samples {folder} --out {out} --epochs 2 --supports-per-class 2 --threads 1 --quiet"
    assert cli.run(parser.parse_args(words.split())) == 0
    patch.undo()
    return out


def test_records_become_a_training_set(folder):
    data = training_set(str(folder))
    assert isinstance(data, SignalSet)
    assert data.images.shape == (24, 2, STEPS)
    assert data.leads == ("V1", "V2")
    assert not data.several
    assert data.inputs() == {
        "channels": 2,
        "size": [STEPS],
        "rate": RATE,
        "leads": ["V1", "V2"],
        "scale": 0.25,
    }
    with pytest.raises(SamplesError, match="the same, in the same order"):
        labelled(planted().assign_attrs(classes=["other", "second"]), "other", data)


def test_disturbed_records_differ_by_gain_and_silent_leads():
    signal = np.ones((200, 2, 8), np.float16)
    x = disturbed(signal, torch.Generator().manual_seed(0), 1.25, 0.1)
    silent = (x == 0).all(2)
    assert 0.03 < silent.float().mean() < 0.2
    heard = x[~silent]
    assert (heard == heard[:, :1]).all()  # one gain for all leads of a record
    assert heard.min() >= 0.8 - 1e-6
    assert heard.max() <= 1.25 + 1e-6
    assert heard.std() > 0.05


def test_the_checkpoint_opens_with_supports_and_clusters(trained, folder):
    model = open_model(trained)
    assert model.kind == "signal"
    assert model.card["method"] == "ecg_clusters"  # the method of its page
    assert model.card["twin"] == {}
    assert len(model.supports) == 4
    assert set(model.supports.label) == {0, 1}
    assert set(model.card["metrics"]["per_class"]) == {"first", "second"}
    assert Fitted.load(trained / "clusters").book.model_sha256 == model.sha256
    signal = open_samples(folder)["signal"].values
    for s, i in enumerate(
        model.supports.index
    ):  # positions refer to the training set, without held-out records
        np.testing.assert_allclose(model.supports.image[s], signal[i], atol=2e-3)


def test_what_it_learnt_is_explained_where_it_was_planted(trained):
    model, test = open_model(trained), planted(8, 5)
    found = explain(model, test, "sic")
    assert (found["logit"].values.argmax(1) == test["label"].values).mean() >= 0.75
    total = found["contribution"].sum(("lead", "time")).values[:, 0]
    top = np.take_along_axis(found["logit"].values, found["target_class"].values, 1)[:, 0]
    np.testing.assert_allclose(total + model.module.bias, top, atol=1e-3)
    assert found.attrs["exact"] == 1


@pytest.mark.parametrize("network", ["cnn", "vit"])
def test_networks_of_images_refuse_records(folder, tmp_path, network):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    args = parser.parse_args([network, "--samples", str(folder), "--out", str(tmp_path / "out"), "--quiet"])
    with pytest.raises(SamplesError, match=f"holds records and {network} trains networks of images"):
        cli.run(args)
