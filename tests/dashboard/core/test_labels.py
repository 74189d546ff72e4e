"""Samples whose classes have other names or another order than the model's: labels are matched by name on every page."""

import asyncio

import numpy as np
import pytest

from xai_views import open_model, open_samples
from xai_views_dashboard.activations.app import ActivationsApp
from xai_views_dashboard.ecg.app import EcgApp
from xai_views_dashboard.sic.app import SicApp

APPS = {"sic": (SicApp, "digits-sic", "digits/test"), "activations": (ActivationsApp, "birds-cnn", "birds/test"),
        "ecg": (EcgApp, "ecg-resnet", "ecg/test")}  # fmt: skip


@pytest.mark.parametrize("name", APPS)
def test_labels_follow_the_names(name):
    kind, model, samples = APPS[name]
    model, plain = open_model(model), open_samples(samples).isel(sample=slice(6))
    order = np.roll(np.arange(len(model.classes)), 1)  # the same names in another order
    at = np.argsort(order)
    other = plain.assign(label=("sample", at[plain["label"].values])).assign_attrs(
        classes=[model.classes[c] for c in order], title=""
    )
    app, usual = kind(model, other), kind(model, plain)
    assert [app.session.label(i) for i in range(6)] == [usual.session.label(i) for i in range(6)]
    strange = plain.assign_attrs(classes=[f"strange {c}" for c in model.classes], title="")
    app = kind(model, strange)
    assert [app.session.label(i) for i in range(6)] == [-1] * 6
    assert "the network has no such class" in app.session.population.samples.attrs["note"]
    assert any("the network has no such class" in str(getattr(n, "object", "")) for n in app.notes())


def test_the_label_of_such_records_is_unknown():
    model = open_model("ecg-resnet")
    strange = open_samples("ecg/test").isel(sample=slice(2)).assign_attrs(classes=list("abcde"), title="")
    app = EcgApp(model, strange)
    asyncio.run(app.answer(f"{app.session.names[0]}|{app.canvas.context}"))
    assert app.result()["label"].values.tolist() == [-1]
