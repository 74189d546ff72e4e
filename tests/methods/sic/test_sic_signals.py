"""SIC on signals: evidence of support records, and maps over leads and time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from xai_views import explain, open_model, open_samples
from xai_views.engine.attribution.bcos import encoded
from xai_views.errors import MethodError
from xai_views.methods import get
from xai_views.methods.ecg_clusters.attribution import attribute
from xai_views.methods.explaining import finish
from xai_views.methods.sic import region_evidence
from xai_views.models import passes
from xai_views.models.checkpoint import load, save
from xai_views.models.families.cnn.network import BcosCNN1d
from xai_views.models.families.sic.network import SIC
from xai_views.models.model import Model
from xai_views.models.supports import Latents
from xai_views.samples import inputs, signal_dataset
from xai_views.samples.prepare import prepare
from xai_views.training.finish import attach_supports, choose_supports, latents

PLAN = [[6, 7, 1, 2], [8, 5, 1, 2]]
LEADS, STEPS, RATE = ("I", "II", "V1"), 640, 100.0


def waves(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Records ``[n, 3, 640]`` in mV of two classes, which differ in the width of a bump in one lead."""
    g = np.random.default_rng(seed)
    label = np.arange(n) % 2
    time = np.arange(STEPS) / RATE
    signal = 0.05 * g.normal(size=(n, 3, STEPS))
    for i, c in enumerate(label):
        signal[i, 1] += np.exp(-((time - 3) ** 2) / (0.02 if c else 0.3))
    return signal.astype(np.float32), label


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def model(request) -> Model:
    """A small network with random weights in evaluation mode, with supports."""
    torch.manual_seed(0)
    module = SIC(BcosCNN1d(3, PLAN), 2, latent=12).to(request.param)
    signal, label = waves(20)
    module.train()
    with torch.no_grad():
        for _ in range(20):  # running variances
            module.latent(encoded(module, signal))
    module.eval()
    made = Model("waves", "0", module, ["wide", "narrow"], 3, (STEPS,), rate=RATE, leads=LEADS)
    return attach_supports(made, signal_dataset(signal, RATE, LEADS, label, classes=["wide", "narrow"]), 2)


@pytest.fixture(scope="module", params=[torch.float32, torch.float64], ids=["float32", "float64"])
def shipped(request):
    """The shipped network in both precisions, and three records of its test set in its format."""
    model = open_model("ecg-sic")
    model.module.to(request.param)
    records = open_samples("ecg/test").isel(sample=[1, 40, 148])
    return model, inputs(prepare(records, model.leads, model.rate, model.size[0]), slice(None))


def seen(model: Model, signal: np.ndarray, **parameters) -> list:
    """Observations and their explanations."""
    method = get("sic")
    ask = method.ask(**parameters)
    observed = method.observe(model, signal, [ask] * len(signal), [None] * len(signal))
    return [(o, method.interpret(model, o, ask)) for o in observed]


def test_shipped_identities(shipped):
    """Sums, bounds, the basis, an excluded support and its own map, on trained weights."""
    model, signal = shipped
    exact = tolerance(model) * 20  # sums of 49,152 values
    classes = tuple(range(5))
    for (basis, every), (_, plain) in zip(
        seen(model, signal, targets=classes, everything=True),
        seen(model, signal, targets=classes),
        strict=True,
    ):
        total = every["contribution"].sum(("lead", "time")).values[0] + model.module.bias
        np.testing.assert_allclose(total, every["logit"].values[0], atol=exact)
        np.testing.assert_allclose(every["contribution"], plain["contribution"], atol=1e-5)
        evidence, z = every["evidence"].values[0], every["latent"].values[0]
        assert (evidence >= 0).all()
        assert (evidence * model.module.temperature <= np.linalg.norm(z) * (1 + 1e-5)).all()
        np.testing.assert_allclose(basis.basis.sum((1, 2)), z[basis.active], atol=exact)
        for at, c in enumerate(classes):
            own = [r for r in every["match_support"].values[0] if model.supports.label[r] == c]
            rows = [int(np.flatnonzero(every["match_support"].values[0] == r)[0]) for r in own]
            by_support = every["support_contribution"].values[0, rows].sum(0) / model.module.temperature
            np.testing.assert_allclose(every["contribution"].values[0, at], by_support, atol=exact)
    fourth = int(model.supports.index[4])
    for (_, whole), (_, less) in zip(
        seen(model, signal), seen(model, signal, excluded=[fourth]), strict=True
    ):
        lost = whole["logit"].values[0] - less["logit"].values[0]
        want = np.zeros(5)
        want[model.supports.label[4]] = whole["evidence"].values[0, 4]
        np.testing.assert_allclose(lost, want, atol=exact)


def test_the_real_record_is_answered_as_the_page_says():
    """docs/ecg-models.md: probability .86 of ST elevation and .58 of normal, for a record with the machine reading "normal"."""
    model = open_model("ecg-sic")
    found = explain(model, open_samples("ecg/dicom"), "sic")
    said = dict(zip(model.classes, found["probability"].values[0].round(2), strict=True))
    assert said["anterior ST elevation"] == pytest.approx(0.86, abs=0.011)
    assert said["normal"] == pytest.approx(0.58, abs=0.011)
    assert model.card["metrics"]["test_accuracy"] == pytest.approx(0.987, abs=5e-4)


@pytest.fixture
def explained(model):
    signal, label = waves(4, 1)
    return signal, label, [ds for _, ds in seen(model, signal, targets=[0, 1])]


def tolerance(model: Model) -> float:
    return 1e-10 if next(model.module.parameters()).dtype == torch.float64 else 2e-5


def test_encoding_keeps_order_and_brightness():
    volts = torch.tensor([-100.0, -0.25, 0.0, 0.25, 3.0]).view(1, 1, 5).expand(1, 3, 5)
    x = BcosCNN1d(3, PLAN).encode(volts)
    assert x.shape == (1, 6, 5)
    torch.testing.assert_close(x[:, :3] + x[:, 3:], torch.ones(1, 3, 5))
    torch.testing.assert_close(x[0, 0, 1:4], torch.tensor([0.25, 0.5, 0.75]))  # half way at the scale
    assert (x[0, 0].diff() > 0).all()
    assert x.min() > 0
    assert x.max() < 1


def test_maps_add_up_to_evidence_and_logit(model, explained):
    signal, _, found = explained
    with torch.no_grad():
        logit = model.module(model.tensor(signal)).cpu().numpy()
    for row, ds in zip(logit, found, strict=True):
        np.testing.assert_allclose(ds["logit"].values[0], row, atol=tolerance(model))
        total = ds["contribution"].sum(("lead", "time")).values[0] + ds["bias"].values
        np.testing.assert_allclose(total, row, atol=tolerance(model))
        match = ds["match_support"].values[0]
        by_support = ds["support_contribution"].sum(("lead", "time")).values[0] / model.module.temperature
        np.testing.assert_allclose(by_support, ds["evidence"].values[0, match], atol=tolerance(model))


def test_supports_carry_their_records_and_maps(model):
    support = model.supports
    assert support.image.shape == support.self_contribution.shape == (4, 3, STEPS)
    np.testing.assert_allclose(
        support.self_contribution.sum((1, 2)), np.linalg.norm(support.vectors, axis=1), rtol=1e-4
    )


def test_a_record_that_is_a_support_is_explained_by_its_own_map(model):
    row = 1
    signal = model.supports.image[row : row + 1]
    ((_, ds),) = seen(model, signal, targets=[int(model.supports.label[row])])
    at = int(np.flatnonzero(ds["match_support"].values[0] == row)[0])
    np.testing.assert_allclose(
        ds["support_contribution"].values[0, at], model.supports.self_contribution[row], atol=1e-5
    )


def test_dimensions_names_and_regions(model, explained):
    signal, label, found = explained
    ds = found[0]
    assert ds["contribution"].dims == ("sample", "target", "lead", "time")
    assert ds["self_contribution"].dims == ("support", "lead", "time")
    assert list(ds["lead"].values) == list(LEADS)
    assert ds["time"].values[-1] == pytest.approx((STEPS - 1) / RATE)
    assert ds["time"].attrs["units"] == "s"
    samples = signal_dataset(signal[:1], RATE, LEADS, label[:1], classes=model.classes)
    finish([ds], model, samples, get("sic"), get("sic").ask())  # follows the schema
    region = np.zeros((3, STEPS), bool)
    region[1, 200:400] = True
    inside = region_evidence(ds, region, model.module.temperature)
    outside = region_evidence(ds, ~region, model.module.temperature)
    match = ds["match_support"].values[0]
    np.testing.assert_allclose((inside + outside)[0], ds["evidence"].values[0, match], atol=tolerance(model))


def test_signals_have_no_colours(model):
    with pytest.raises(MethodError, match="have no colours"):
        explain(model, signal_dataset(waves(1)[0], RATE, LEADS), "sic", rendering=True)


def test_checkpoint_round_trip(model, tmp_path):
    module = model.module.float()
    signal, label = waves(20)
    stored = Latents(latents(module, signal).numpy(), label, np.arange(20), "waves")
    supports = choose_supports(module, stored, signal, 2)
    card = {
        "name": "waves",
        "classes": ["wide", "narrow"],
        "architecture": {
            "family": "sic", "channels": 3, "size": [STEPS], "classes": 2, "plan": PLAN, "latent": 12, "scale": 0.25,
            "temperature": 10.0, "rate": RATE, "leads": list(LEADS),
        },
    }  # fmt: skip
    save(tmp_path / "waves", module, supports, stored, card)
    again = load(tmp_path / "waves")
    assert again.kind == "signal"
    assert again.size == (STEPS,)
    assert again.leads == LEADS
    assert again.supports.image.dtype == np.float32
    assert again.supports.self_contribution.dtype == np.float32
    np.testing.assert_allclose(again.supports.image, supports.image, atol=2e-3)  # half precision
    module.set_supports(torch.from_numpy(supports.vectors), torch.from_numpy(supports.label))
    with torch.no_grad():
        torch.testing.assert_close(again.module(torch.from_numpy(signal)), module(torch.from_numpy(signal)))


def test_clusters_of_time_add_up_too(model):
    """With its weights for the record the network is linear in its last map, so the ledger has no residual."""
    signal, label = waves(2, 3)
    samples = signal_dataset(signal, RATE, LEADS, label, classes=model.classes)
    found = explain(model, samples, "ecg_clusters")
    assert np.abs(found["residual"].values).max() < tolerance(model)
    assert found["bias"].values == pytest.approx(model.module.bias, abs=1e-6)
    total = found["cluster_contribution"].sum("cluster") + found["padding_contribution"] + model.module.bias
    top = np.take_along_axis(found["logit"].values, found["target_class"].values, 1)
    np.testing.assert_allclose(total, top, atol=tolerance(model))
    assert found.attrs["exact"] == 1


def test_the_contribution_map_is_an_attribution_too(model):
    signal, _ = waves(3, 4)
    maps, gap = attribute(model, signal, [0, 1, 1], "contribution map")
    assert maps.shape == (3, 3, STEPS)
    assert np.abs(gap).max() < tolerance(model)
    for row, (c, map_) in enumerate(zip([0, 1, 1], maps, strict=True)):
        ((_, slow),) = seen(model, signal[row : row + 1], targets=[c])
        np.testing.assert_allclose(map_, slow["contribution"].values[0, 0], atol=tolerance(model))
    before = passes.snapshot()
    attribute(model, signal, [0, 1, 1], "contribution map")
    assert {n: v - before[n] for n, v in passes.snapshot().items()} == {
        "forward": 3, "forward_calls": 3, "backward": 3, "backward_calls": 3,
    }  # fmt: skip
    plain = replace(model, supports=None)
    with pytest.raises(MethodError, match="only SIC networks have one"):
        attribute(plain, signal, [0, 1, 1], "contribution map")
