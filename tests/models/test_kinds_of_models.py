"""Properties of a model: its kind, outputs and parts, which determine the methods that fit it."""

from __future__ import annotations

import shutil
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from xai_views import catalogue
from xai_views.contract.method import Method
from xai_views.errors import ModelError
from xai_views.kinds.cine import cine_dataset
from xai_views.kinds.table import table_dataset
from xai_views.models import Model, open_model
from xai_views.samples import inputs


class Mean(nn.Module):
    """Network for any input with channels in the second dimension."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.head = nn.Linear(channels, 2)

    def forward(self, x):
        return self.head(x.flatten(2).mean(2) if x.ndim > 2 else x)


@pytest.mark.parametrize(
    ("channels", "size", "kind", "said"),
    [
        (3, None, "image", "any size"),
        (1, (8, 9), "image", "8x9"),
        (2, (50,), "signal", "50 steps at 100 Hz"),
        (1, (16, 8, 8), "cine", "16 frames of 8x8"),
        (5, None, "table", "5 feature"),
    ],
)
def test_the_kind_is_said_or_follows_from_the_size(channels, size, kind, said):
    options = {"kind": "table"} if kind == "table" else {"rate": 100} if kind == "signal" else {}
    model = open_model(Mean(channels), channels=channels, size=size, **options)
    assert model.kind == kind
    assert said in repr(model)
    assert Model("m", "", Mean(channels), ["a", "b"], channels, size, kind=kind).kind == kind


def test_loops_and_tables_reach_the_network():
    loops = cine_dataset(np.full((2, 4, 6, 5), 51, np.uint8), 30)
    model = open_model(Mean(1), channels=1, size=(4, 6, 5))
    np.testing.assert_allclose(model.tensor(inputs(loops, slice(None))).numpy(), 0.2, atol=1e-6)
    rows = table_dataset([[1.0, 2.0], [3.0, 4.0]])
    model = open_model(Mean(2), channels=2, kind="table")
    with torch.no_grad():
        logit = model.module(model.tensor(inputs(rows, [0, 1])))
    assert logit.shape == (2, 2)


def test_a_kind_that_is_none_is_a_sentence():
    with pytest.raises(ModelError, match="no kind of input 'sound'"):
        open_model(Mean(3), kind="sound")


def test_parts_are_what_the_checkpoint_holds(tmp_path):
    digits = open_model("digits-sic")
    assert digits.parts == {"supports", "latents"}
    assert digits.path == catalogue.find("digits-sic")
    records = open_model("ecg-resnet")
    assert records.parts == {"codebook"}
    assert records.kind == "signal"
    shutil.copytree(records.path, tmp_path / "bare", ignore=shutil.ignore_patterns("clusters"))
    assert open_model(tmp_path / "bare").parts == set()
    own = open_model(Mean(3))
    assert (own.parts, own.path) == (set(), None)
    own.prototypes = object()
    assert own.parts == {"prototypes"}


class Needy(Method):
    key, title = "needy", "Needy"
    takes: ClassVar = ("image", "signal")


@pytest.mark.parametrize(
    ("needs", "name", "words"),
    [
        (("logits",), "digits-sic", ""),
        (("supports", "latents"), "digits-sic", ""),
        (("supports",), "birds-cnn", "needs supports and 'birds-cnn' has none"),
        (("codebook",), "ecg-resnet", ""),
        (("codebook",), "birds-cnn", "needs a codebook"),
        (("heat map",), "birds-cnn", "needs a heat map"),
    ],
)
def test_a_method_fits_by_what_it_takes_and_needs(needs, name, words, monkeypatch):
    monkeypatch.setattr(Needy, "needs", needs)
    reason = Needy().fits(open_model(name))
    assert words in reason
    assert bool(words) == bool(reason)


def test_a_method_of_images_is_not_for_tables():
    reason = Needy().fits(open_model(Mean(4), channels=4, kind="table"))
    assert reason == "method 'needy' takes images and signals and 'Mean' takes tables; choose another method."


def test_a_family_may_answer_with_more_than_logits():
    model = Model("m", "", Mean(3), ["a", "b"], outputs=frozenset({"logits", "heat map"}))
    assert model.outputs == {"logits", "heat map"}
    assert open_model(Mean(3)).outputs == {"logits", "embedding"}
