"""Clever Hans: a watermark that a shipped network learned to rely on appears as a cluster that dominates the logit.

``birds-cnn-watermark`` was trained with a logo on all images of bird 04 and on no others, ``birds-cnn`` without it. Both are
run on the marked images of ``birds-watermark/test``, most of them of other birds.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xai_views import open_model
from xai_views.engine.clusters.contribution import cluster_contribution
from xai_views.methods import explain
from xai_views.methods.nave.method import NaveMethod
from xai_views.models.heads import find_head
from xai_views.models.taps import capture
from xai_views.samples import open_samples

CLASS, MARK, K = 4, 7, 5
TAPS = ("layers.10", "layers.14")


@pytest.fixture(scope="module")
def marked():
    """Every third of the 69 images with the mark, and the mark's mask ``[n, H, W]``."""
    samples = open_samples("birds-watermark/test")
    assert samples.attrs["parts"][MARK] == "watermark"
    found = samples["part"].values == MARK
    rows = np.flatnonzero(found.any((1, 2)))[::3]
    return samples.isel(sample=rows), found[rows]


class Seen:
    """Results of one network on the marked images."""

    def __init__(self, name: str, marked, mode: str):
        self.model, (self.samples, mark) = open_model(name), marked
        self.ask = NaveMethod().ask(taps=TAPS, k=K, mode=mode, targets=(CLASS,))
        self.result = explain(self.model, self.samples, self.ask)
        segment = self.result["segment"].values
        #: The cluster that covers most of the mark, the share of the mark it covers, and its contribution.
        self.own = np.array([np.bincount(s[m]).argmax() for s, m in zip(segment, mark, strict=True)])
        self.recall = np.array([(s[m] == c).mean() for s, m, c in zip(segment, mark, self.own, strict=True)])
        contributions = self.result["cluster_contribution"].values[:, 0]
        self.contribution = contributions[np.arange(len(mark)), self.own]
        self.top = contributions.argmax(1) == self.own
        self.logit = self.result["logit"].values[:, CLASS]

    def drop(self, rows) -> np.ndarray:
        """Drop of the logit when the activations of that cluster are replaced by the mean of the rest."""
        out = []
        for i in rows:
            ask = self.ask.replace(ablated=(int(self.own[i]),))
            result = explain(self.model, self.samples.isel(sample=[i]), ask)
            out.append(float(result["logit"][0, CLASS] - result["ablated_logit"][0, CLASS]))
        return np.array(out)


@pytest.fixture(scope="module", params=["nested", "exact"])
def seen(request, marked):
    return {n: Seen(n, marked, request.param) for n in ("birds-cnn-watermark", "birds-cnn")}


def test_the_case_is_what_it_says(marked, seen):
    samples, mark = marked
    label = samples["label"].values
    assert len(label) == 23
    assert (label != CLASS).sum() > 12, "most marked pictures show other birds"
    assert 0.02 < mark.mean() < 0.1, "the mark is a small part of the picture"
    predicted = {
        n: (s.result["logit"].values.argmax(1) == CLASS)[label != CLASS].mean() for n, s in seen.items()
    }
    assert predicted["birds-cnn-watermark"] > 0.8, "it predicts bird 04 wherever the mark is"
    assert predicted["birds-cnn"] < 0.1


def test_a_cluster_covers_the_mark(seen):
    hans = seen["birds-cnn-watermark"]
    assert (hans.recall > 0.9).all()


def test_it_is_the_top_contributor_in_most_marked_pictures(seen):
    assert seen["birds-cnn-watermark"].top.mean() > 0.9
    assert seen["birds-cnn"].top.mean() < 0.5


def test_it_contributes_many_times_what_it_does_in_the_network_that_never_saw_it(seen):
    hans, other = seen["birds-cnn-watermark"], seen["birds-cnn"]
    assert hans.contribution.mean() > 5
    assert hans.contribution.mean() > 5 * abs(other.contribution.mean())
    assert (hans.contribution > 0).all()
    share = hans.contribution / (hans.logit - float(hans.result["bias"][CLASS]))
    assert np.median(share) > 0.5, "more than all other clusters together, in most pictures"


def test_without_it_the_logit_falls_and_in_the_other_network_it_hardly_does(seen):
    rows = range(0, 23, 2)
    hans, other = (seen[n].drop(rows) for n in ("birds-cnn-watermark", "birds-cnn"))
    assert (hans > 1).all()
    assert hans.mean() > 5 * abs(other.mean())


def test_the_very_same_region_decides_in_one_network_only(marked, seen):
    """The pixels of the mark as a cluster for both networks, independent of their own clusterings."""
    samples, mark = marked
    labels = torch.from_numpy(mark.astype(np.int64))
    mean = {}
    for name, s in seen.items():
        head = find_head(s.model)
        _, kept = capture(s.model, s.model.tensor(samples["image"].values), [head.tap])
        parts = cluster_contribution(kept[head.tap], labels, head, 2)[:, CLASS]
        np.testing.assert_allclose(parts.sum(1) + head.bias[CLASS], s.logit, atol=1e-4)
        mean[name] = float(parts[:, 1].mean())
    assert mean["birds-cnn-watermark"] > 0.5
    assert mean["birds-cnn-watermark"] > 5 * abs(mean["birds-cnn"])


def test_without_the_mark_the_same_pictures_are_not_taken_for_that_bird(seen):
    hans = seen["birds-cnn-watermark"]
    samples = open_samples("birds-watermark/test")
    has = (samples["part"].values == MARK).any((1, 2))
    plain = explain(hans.model, samples.isel(sample=np.flatnonzero(~has)[::9]), hans.ask)
    away = plain["label"].values != CLASS
    assert plain["logit"].values[away, CLASS].mean() < hans.logit.mean() - 5
