"""What a model predicts for a set: numbers by hand, filters, orders, confusion, and one run in pieces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from xai_views.engine.predictions import SORTS, Predictions, predict, typicality_of
from xai_views.errors import MethodError
from xai_views.models import open_model, passes
from xai_views.models.supports import Latents
from xai_views.samples import dataset

NAN = float("nan")


def made(**more) -> Predictions:
    """Four samples of three classes: correct, an error, one without a label, one with two labels."""
    probability = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.1, 0.5, 0.4]])
    known = [frozenset({0}), frozenset({2}), frozenset(), frozenset({1, 2})]
    return Predictions(np.log(probability), probability, known, [], **more)


def finished(run):
    """The value of a generator."""
    while True:
        try:
            next(run)
        except StopIteration as end:
            return end.value


def test_numbers_of_each_sample():
    found = made()
    assert found.predicted.tolist() == [0, 0, 2, 1]
    assert found.label.tolist() == [0, 2, -1, 1]
    assert found.correct.tolist() == [1, 0, -1, 1]
    assert (found.accuracy, found.errors, found.several) == (pytest.approx(2 / 3), 1, True)
    assert found.confidence.tolist() == pytest.approx([0.7, 0.5, 0.6, 0.5])
    np.testing.assert_allclose(found.margin, np.log([0.7 / 0.2, 0.5 / 0.3, 0.6 / 0.2, 0.5 / 0.4]))
    np.testing.assert_allclose(found.loss, [-np.log(0.7), -np.log(0.2), NAN, -np.log(0.5)])
    p = found.probability[0]
    assert found.uncertainty[0] == pytest.approx(-(p * np.log(p)).sum() / np.log(3))
    assert found.distance is None


def test_confusion_counts_what_the_filters_find():
    found = made()
    assert found.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [1, 1, 0]]
    for true in range(3):
        for predicted in range(3):
            rows = found.rows(true_class=true, predicted_class=predicted)
            assert found.confusion[true, predicted] == rows.sum()


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, [0, 1, 2, 3]),
        ({"outcome": "errors"}, [1]),
        ({"outcome": "correct"}, [0, 3]),
        ({"true_class": 2}, [1, 3]),
        ({"predicted_class": 0}, [0, 1]),
        ({"outcome": "errors", "predicted_class": 1}, []),
    ],
)
def test_filters(asked, wanted):
    assert np.flatnonzero(made().rows(**asked)).tolist() == wanted


def test_orders_put_what_has_no_value_last():
    found, rows = made(), np.arange(4)
    assert found.ranked(rows, "loss").tolist() == [0, 3, 1, 2]
    assert found.ranked(rows, "loss", descending=True).tolist() == [1, 3, 0, 2]
    assert found.ranked(rows[1:], "confidence").tolist() == [1, 3, 2], (
        "equal values keep the order of the set"
    )
    assert found.ranked(rows, "order", descending=True).tolist() == [3, 2, 1, 0]
    for unknown in ("distance", "concentration"):
        assert found.ranked(rows, unknown, descending=True).tolist() == [0, 1, 2, 3]
    known = made(concentration=np.array([0.3, 0.1, 0.2, 0.4]))
    assert known.ranked(rows, "concentration").tolist() == [1, 2, 0, 3]
    assert {n for n in SORTS if n != "order" and not hasattr(found, n)} == set()


class Mean(nn.Module):
    """Logits are the mean colour."""

    def forward(self, x):
        return x.mean((2, 3))


def coloured(n: int):
    images = np.random.default_rng(0).integers(0, 255, (n, 6, 6, 3)).astype(np.uint8)
    return dataset(images, np.arange(n) % 3, classes=["r", "g", "b"])


def test_a_set_is_run_once_in_pieces():
    samples, told, forward = coloured(70), [], passes.forward
    model = open_model(Mean(), channels=3, size=(6, 6), classes=["r", "g", "b"])
    found = finished(predict(model, samples, lambda done, total: told.append((done, total))))
    assert told == [(32, 70), (64, 70), (70, 70)]
    assert passes.forward - forward == 70
    with torch.no_grad():
        expected = model.module(model.tensor(samples["image"].values)).numpy()
    np.testing.assert_allclose(found.logit, expected, atol=1e-6)
    np.testing.assert_allclose(found.probability.sum(1), 1, atol=1e-6)
    assert (found.typicality, found.latent) == ([], None)


def test_nan_is_a_sentence():
    model = open_model(Mean(), channels=3, size=(6, 6), classes=["r", "g", "b"])
    model.module.forward = lambda x: x.mean((2, 3)) * NAN
    with pytest.raises(MethodError, match="returns NaN for some of these samples"):
        finished(predict(model, coloured(3)))


class Latent(nn.Module):
    """Its latent vector is the mean colour."""

    def encode(self, x):
        return x

    def latent(self, x):
        return x.mean((2, 3))

    def scores(self, z):
        return z

    def logits(self, score):
        return score

    def forward(self, x):
        return self.logits(self.scores(self.latent(x)))


def test_the_distance_is_known_where_the_model_holds_latent_vectors():
    model = open_model(Latent(), channels=3, size=(6, 6), classes=["r", "g", "b"])
    z = np.random.default_rng(1).random((40, 3)).astype(np.float32)
    model.latents = Latents(z, np.arange(40) % 3, np.arange(40), "")
    samples = coloured(40)
    found = finished(predict(model, samples))
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    mine = found.latent / np.linalg.norm(found.latent, axis=1, keepdims=True)
    np.testing.assert_allclose(found.distance, 1 - (mine @ unit.T).max(1), atol=1e-5)
    one = typicality_of(model, samples["image"].values[35])
    assert one.cosine == pytest.approx(found.typicality[35].cosine, abs=1e-6)
    assert one.norm_rank == pytest.approx(found.typicality[35].norm_rank)
