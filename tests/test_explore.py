"""``xv.explore`` without a browser: one app object for notebooks, scripts and pages."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xai_views as xv
from xai_views import apps
from xai_views.errors import XaiViewsError

ROOT = Path(__file__).resolve().parent.parent
MODEL, SAMPLES = "digits-sic", "digits/test"


@pytest.fixture(scope="module")
def digits():
    return xv.open_model(MODEL), xv.open_samples(SAMPLES)


def sentence(error) -> str:
    """Return a message; it must be one line that ends like a sentence."""
    text = str(error.value)
    assert "\n" not in text
    assert text.rstrip().endswith(".")
    return text


def test_names_open_an_app_with_state_result_and_page():
    app = xv.explore(MODEL, SAMPLES)
    assert app.state.sample == 0
    assert callable(app.servable)
    result = app.result()
    assert isinstance(result, xr.Dataset)
    assert result.attrs["model"] == MODEL
    assert result.sizes["sample"] == 1


def test_the_card_names_the_samples():
    assert xv.explore(MODEL).samples.attrs["title"] == SAMPLES


def test_the_result_follows_the_state_and_adds_up(digits):
    app = xv.explore(*digits)
    for i in (3, 8):
        app.state.sample = i
        app.state.target = 2
        result = app.result()
        assert result["sample"].item() == str(digits[1]["name"].values[i])
        assert result["target_class"].values.tolist() == [[2]]
        total = result["bias"][2] + result["evidence"].where(result["support_class"] == 2).sum()
        assert np.isclose(total, result["logit"][0, 2], atol=1e-4)


def test_the_result_is_what_explain_says(digits):
    model, samples = digits
    app = xv.explore(model, samples, sample=5)
    again = xv.explain(model, samples.isel(sample=[5]), "sic")
    shown = app.result()
    assert np.allclose(shown["logit"], again["logit"], atol=1e-5)
    assert np.allclose(shown["contribution"], again["contribution"], atol=1e-5)
    assert shown.attrs["model_sha256"] == again.attrs["model_sha256"]


def test_edited_supports_reach_the_result(digits):
    app = xv.explore(*digits)
    before = app.result()
    app.state.edit(excluded=[int(before["support_sample"][0])])
    assert app.result().sizes["support"] == before.sizes["support"] - 1
    app.state.undo()
    assert app.result().sizes["support"] == before.sizes["support"]


def test_keywords_are_the_first_state(digits):
    name = str(digits[1]["name"].values[7])
    app = xv.explore(*digits, sample=name, target=4, sort="confidence", rendering=False)
    assert (app.state.sample, app.state.target, app.state.sort, app.state.rendering) == (
        7,
        4,
        "confidence",
        False,
    )
    assert app.result()["sample"].item() == name


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"app": "sick"}, "sic"),
        ({"model": "digit-sic"}, "digits-sic"),
        ({"samples": "digits/tests"}, "digits/test"),
        ({"sample": "digit-none"}, "digit-none"),
        ({"target": "seven"}, "target"),
        ({"renderings": True}, "rendering"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_what_is_not_there_is_answered_in_a_sentence(asked, words):
    with pytest.raises(XaiViewsError) as error:
        xv.explore(**{"model": MODEL, "samples": SAMPLES, **asked})
    assert words in sentence(error)


def test_samples_that_do_not_fit_are_answered_in_a_sentence():
    with pytest.raises(XaiViewsError) as error:
        xv.explore(MODEL, "birds/test")
    assert "channel" in sentence(error)


def test_a_model_that_does_not_explain_itself_is_answered_in_a_sentence():
    import torch

    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    model = xv.open_model(net, classes=list("0123456789"), channels=1, size=(28, 28))
    with pytest.raises(XaiViewsError) as error:
        xv.explore(model, SAMPLES)
    assert "spatial" in sentence(error)
    with pytest.raises(XaiViewsError) as error:
        xv.explore(model, SAMPLES, app="sic")
    assert "SIC" in sentence(error)


def test_ones_own_network_opens_in_the_app_that_suits_it():
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(12, 10),
    )  # fmt: skip
    app = xv.explore(xv.open_model(net, classes=list("0123456789"), channels=1, size=(28, 28)), SAMPLES, k=4)
    result = app.result()
    assert result.attrs["method"] == "nave"
    assert result.sizes["cluster"] == 4
    assert abs(float(result["residual"].values[0, 0])) < 1e-4


@pytest.mark.parametrize("package", apps.NOTEBOOK)
def test_a_kernel_that_lacks_a_package_says_what_to_install(monkeypatch, package):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    monkeypatch.setattr(apps, "in_notebook", lambda: True)
    monkeypatch.setattr(apps, "_loaded", False)
    with pytest.raises(XaiViewsError) as error:
        xv.explore(MODEL, SAMPLES)
    assert f"lacks {package}," in sentence(error)
    assert f"'%pip install {package}'" in sentence(error)
    assert not apps._loaded


def test_here_is_no_notebook():
    assert not apps.in_notebook()


@pytest.mark.slow
def test_a_script_ends_and_prints(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import xai_views as xv\n"
        f"app = xv.explore({MODEL!r}, {SAMPLES!r})\n"
        "app.state.sample = 3\n"
        "print(app.result()['sample'].item(), app.servable() is app)\n"
    )
    done = subprocess.run(
        [sys.executable, script], check=False, cwd=tmp_path, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    name, same = done.stdout.split()
    assert name.startswith("digit-")
    assert same == "True"


def test_as_an_ipywidget(digits):
    pytest.importorskip("jupyter_bokeh")
    from jupyter_bokeh.widgets import BokehModel

    widget = xv.explore(*digits).ipywidget()
    assert isinstance(widget, BokehModel)


class Fits:
    """An app that follows the contract and names the models that it opens."""

    method, preference = "other", 0

    @classmethod
    def fits(cls, model):
        return "" if model.name in cls.opens else "it opens others"


def made(name, **more):
    return type(name, (Fits,), more)


def test_the_app_of_a_model_is_its_cards_then_the_fitting_one_with_the_largest_preference(monkeypatch):
    from types import SimpleNamespace

    from xai_views.errors import XaiViewsError

    small = made("Small", opens=("a", "b"), method="m")
    large = made("Large", opens=("a",), preference=5, method="n")
    monkeypatch.setattr(apps, "classes", lambda: {"small": small, "large": large})

    def model(name, method=""):
        return SimpleNamespace(name=name, kind="image", parts=frozenset(), card={"method": method})

    assert apps.app_for(model("a")) == "large"
    assert apps.app_for(model("a", "m")) == "small", "named by the card"
    assert apps.app_for(model("a", "unknown")) == "large"
    assert apps.app_for(model("b", "n")) == "small", "the app named by the card cannot open it"
    with pytest.raises(XaiViewsError, match="no installed app can show 'c'"):
        apps.app_for(model("c"))
    assert (apps.of_method("n"), apps.of_method(""), apps.of_method("x")) == ("large", "", "")
