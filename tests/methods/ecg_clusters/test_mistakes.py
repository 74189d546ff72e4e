"""Method ``ecg_clusters``: what does not fit is one sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xai_views.engine.clusters.observed import Ablation
from xai_views.errors import MethodError, ModelError, XaiViewsError
from xai_views.methods import explain
from xai_views.methods.ecg_clusters.fit import finished, fit
from xai_views.methods.ecg_clusters.method import EcgClustersMethod
from xai_views.methods.ecg_clusters.observation import EcgAsk

from ..nave_nets import picture, pictures
from ..nave_nets import planted as image_model
from .ecg_nets import TAPS, local, noisy, records

ASK = EcgAsk(taps=TAPS, k=5)
METHOD = EcgClustersMethod()


def asked(model, signal, ask):
    (seen,) = METHOD.observe(model, signal[None], [ask], [None])
    return METHOD.interpret(model, seen, ask)


def one_sentence(e: BaseException) -> bool:
    return str(e).endswith(".") and "\n" not in str(e) and len(str(e)) < 330


def test_images_are_one_sentence():
    model = image_model()
    assert "is for networks of signals" in METHOD.fits(model)
    assert METHOD.fits(local()) == ""
    with pytest.raises(
        MethodError, match="is for networks of signals and 'planted-gap' is given images"
    ) as e:
        METHOD.observe(model, picture()[0][None], [EcgAsk()], [None])
    assert one_sentence(e.value)
    with pytest.raises(XaiViewsError, match="expects signals") as e:
        explain(local(), pictures(picture()[0]), METHOD)
    assert one_sentence(e.value)


@pytest.mark.parametrize(
    ("shape", "said"),
    [((1, 4, 640), "expects 3 lead"), ((1, 3, 500), "640 steps and got 500"), ((3, 640), "expects")],
)
def test_records_that_do_not_fit_are_one_sentence(shape, said):
    with pytest.raises(ModelError, match=said) as e:
        METHOD.observe(local(), np.zeros(shape, np.float32), [EcgAsk()] * shape[0], [None] * shape[0])
    assert one_sentence(e.value)


def test_asks_that_cannot_be_answered_are_one_sentence():
    model, signal = local(), noisy(1)[0]
    book = finished(fit(model, records(noisy(3)), ASK, members=1))
    wrong = {
        "41 clusters were asked for and the record has 40 steps": replace(ASK, k=41),
        "class 9 was asked for": replace(ASK, targets=(9,)),
        "lead 3 was to be muted": replace(ASK, mute=((3, 0.0, 1.0, "zero"),)),
        "muted intervals|mute intervals": replace(ASK, ablation=Ablation((0,), where="input")),
        "fill 'data' needs the mean": replace(ASK, ablation=Ablation((0,), fill="data")),
        "without its codebook": replace(ASK, ensemble=book.ensemble),
        "has no layer 'nothing'": replace(ASK, taps=("nothing",)),
        "the ensemble is of another codebook": replace(
            ASK, codebook=replace(book.book, taps=("one", "two", "three")), ensemble=book.ensemble
        ),
        "exact Shapley values of 11 clusters": replace(ASK, k=11, shapley=True),
        "attribution 'magic' is not known": replace(ASK, attribution="magic"),
        "soft assignment 'x' is not known": replace(ASK, soft="x"),
    }
    for said, ask in wrong.items():
        with pytest.raises(XaiViewsError, match=said) as e:
            asked(model, signal, ask)
        assert one_sentence(e.value)
    other = local(seed=8)
    with pytest.raises(MethodError, match="was fitted on another model") as e:
        asked(other, signal, replace(ASK, codebook=book.book))
    assert one_sentence(e.value)
