"""The openecg network as a model of signals: ranks, the additive head, and, where installed, its predictions."""

import importlib
import sys

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import nn

import xai_views as xv
from xai_views.errors import ModelError
from xai_views.models.families.openecg import network as adapter
from xai_views.models.families.openecg.network import HEADS, Codec, Ranks, open_openecg, ranks
from xai_views.models.heads import find_head
from xai_views.models.taps import capture
from xai_views.samples import inputs
from xai_views.samples.prepare import prepare
from xai_views.samples.signals import signal_dataset


class Stand(nn.Module):
    """A network with the heads and output of the package's network, but a single convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 8, 11, padding=5)
        self.head_sample, self.beat_sample, self.rhythm_sample = (nn.Linear(8, n) for n in (4, 6, 6))

    def forward(self, x, lead_id):
        h = self.conv(x[:, None]).relu().transpose(1, 2)
        return self.head_sample(h), self.beat_sample(h), self.rhythm_sample(h)


@pytest.fixture
def stand(monkeypatch):
    torch.manual_seed(0)
    network = Stand().eval()
    monkeypatch.setattr(adapter, "_network", lambda: network)
    return network


def real():
    """The installed package; skips where it is absent."""
    return pytest.importorskip("openecg")


# -- without the package -----------------------------------------------------------------------------------------


def test_ranks_are_those_of_scipy_and_equal_values_share_theirs():
    x = torch.randn(3, 2, 50).round(decimals=1)
    want = (rankdata(x.numpy(), axis=-1) - 1) / 49 * 2 - 1
    assert len(np.unique(x[0, 0])) < 50
    np.testing.assert_allclose(ranks(x).numpy(), want, atol=1e-6)
    assert not ranks(torch.zeros(1, 1, 9)).any()


def test_ranks_forget_scale_and_offset():
    x = torch.randn(1, 1, 40)
    assert torch.equal(ranks(x), ranks(7 * x + 3))
    assert not torch.equal(ranks(x), ranks(-x))


def test_gradients_are_those_of_the_ranks():
    x = torch.randn(1, 1, 40, requires_grad=True)
    weight = torch.randn(1, 1, 40)
    (Ranks()(x) ** 2 * weight).sum().backward()
    torch.testing.assert_close(x.grad, 2 * ranks(x).detach() * weight)


def test_integrated_gradients_are_gradient_times_input(stand):
    """Ranks are unchanged on the path from a flat line, so the page calls neither additive."""
    model = open_openecg()
    wave = np.random.default_rng(0).normal(size=(1, 1, 5000))
    ds = signal_dataset(wave, 500, ["II"])
    got = [
        xv.explain(model, ds, "ecg_clusters", attribution=how)
        for how in ("integrated gradients", "gradient x input")
    ]
    np.testing.assert_allclose(got[0]["attribution"], got[1]["attribution"], rtol=1e-3, atol=1e-6)
    assert np.abs(got[0]["attribution_gap"]).max() > 1e-3


@pytest.mark.parametrize("head", sorted(HEADS))
def test_a_logit_is_the_mean_over_the_steps(stand, head):
    model = open_openecg(head)
    x = torch.randn(2, 1, 5000)
    with torch.no_grad():
        each = stand(ranks(x)[:, 0], None)[1 if head == "beat" else 2]
        torch.testing.assert_close(model.module(x), each.mean(1), rtol=1e-4, atol=1e-6)
    assert isinstance(stand.beat_sample, nn.Linear)  # the network of the package is unchanged


def test_the_head_is_additive(stand):
    model = open_openecg()
    found = find_head(model)
    assert (found.kind, found.tap, found.exact) == ("gap", "map", True)
    logits, kept = capture(model, torch.randn(1, 1, 5000), ["map"])
    parts = found.parts(kept["map"])
    assert parts.shape == (1, 6, 5000)
    torch.testing.assert_close(parts.sum(2) + found.bias, logits, rtol=1e-4, atol=1e-5)


def test_the_name_opens_it(stand):
    model = xv.open_model("openecg-rhythm")
    assert (model.channels, model.size, model.rate, model.leads) == (1, (5000,), 500, ("II",))
    assert model.classes == list(HEADS["rhythm"])
    assert model.sha256 != xv.open_model("openecg-beat").sha256


def test_unknown_head_is_one_sentence():
    with pytest.raises(ModelError, match="no head 'frame'"):
        open_openecg("frame")


def test_absent_package_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "openecg", None)
    with pytest.raises(ModelError, match=r"xai-views\[ecg-demo\]") as e:
        xv.open_model("openecg-rhythm")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("load", "said"),
    [(lambda: nn.Linear(2, 2), "no rhythm and beat heads"), (lambda: 1 / 0, "ZeroDivisionError")],
)
def test_another_version_is_one_sentence(monkeypatch, load, said):
    package = type(sys)("openecg")
    package.load_codec = load
    monkeypatch.setitem(sys.modules, "openecg", package)
    with pytest.raises(ModelError, match=said) as e:
        open_openecg()
    assert "install openecg==0.11.0" in str(e.value)


# -- with the package --------------------------------------------------------------------------------------------


def test_ranks_are_those_of_the_package():
    real()
    x = np.random.default_rng(0).normal(size=5000).astype(np.float32).round(2)
    want = importlib.import_module("openecg.dsp").rank_normalize(x)
    np.testing.assert_array_equal(ranks(torch.from_numpy(x)).numpy(), want)


def test_answers_are_those_of_the_package():
    package = real()
    model = open_openecg()
    x = inputs(prepare(xv.open_samples("ecg/dicom"), model.leads, model.rate, model.size[0]), slice(None))
    with torch.no_grad():
        got = model.module(model.tensor(x))
        each = package.load_codec()(ranks(torch.from_numpy(x))[:, 0], torch.zeros(1, dtype=torch.long))[2]
    torch.testing.assert_close(got, each.mean(1), rtol=1e-4, atol=1e-4)
    assert model.classes[int(got.argmax())] == "sinus"


def test_a_flat_line_is_called_sinus():
    """Check the warning on the page."""
    real()
    model = open_openecg()
    with torch.no_grad():
        assert model.classes[int(model.module(torch.zeros(1, 1, 5000)).argmax())] == "sinus"


def test_it_tells_composed_atrial_fibrillation_from_normal():
    real()
    model = open_openecg()
    ds = xv.open_samples("ecg/test")
    for label, answer in ((0, "sinus"), (1, "atrial fibrillation")):
        few = ds.isel(sample=np.flatnonzero(ds["label"].values == label)[:6])
        x = model.tensor(inputs(prepare(few, model.leads, model.rate, model.size[0]), slice(None)))
        with torch.no_grad():
            found = model.module(x).argmax(1).numpy()
        assert (found == model.classes.index(answer)).mean() > 0.8


def test_taps_reach_convolutions_and_transformer():
    real()
    model = open_openecg()
    steps = {t.path: t.cells for t in xv.taps(model)}
    assert steps["network.conv_tok"] == steps["network.upper_transformer.layers.3"] == 500
    assert steps["map"] == 5000


@pytest.mark.parametrize("source", ["ecg/dicom", "ecg/test"])
def test_clusters_add_up_to_the_logit(source):
    real()
    model = open_openecg()
    ds = prepare(xv.open_samples(source).isel(sample=[0]), model.leads, model.rate, model.size[0])
    result = xv.explain(model, ds, "ecg_clusters")
    target = int(result["target_class"].item())
    total = float(result["cluster_contribution"].sum() + result["padding_contribution"].sum())
    logit = float(result["logit"].values[0, target])
    assert total + float(result["bias"].values[target]) == pytest.approx(logit, abs=1e-3)
    assert abs(float(result["residual"].item())) < 1e-3
    assert abs(logit) > 1


@pytest.mark.parametrize("source", ["ecg/dicom", None])
def test_the_explorer_opens_it(source):
    """On the real record, and on the samples that its card names."""
    real()
    from xai_views import apps
    from xai_views_dashboard.ecg.app import EcgApp

    model, samples = apps.opened("openecg-rhythm", source)
    assert apps.app_for(model) == "ecg"
    assert samples.sizes["lead"] == 12  # the explorer chooses lead II
    app = EcgApp(model, samples)
    result = app.result()
    assert [str(x) for x in result["class"].values] == list(HEADS["rhythm"])
    assert abs(float(result["residual"].values.ravel()[0])) < 1e-3


def test_the_network_of_the_package_is_copied():
    package = real()
    network = package.load_codec()
    Codec(network, "rhythm")
    assert network.rhythm_sample.out_features == 6
