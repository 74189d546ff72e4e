"""Method ``ecg_clusters``: invalid input gives one-sentence errors."""

from __future__ import annotations

import numpy as np
import pytest

from xai_views.errors import MethodError, ModelError, XaiViewsError
from xai_views.methods import explain
from xai_views.methods.ecg_clusters.method import EcgClustersMethod
from xai_views.methods.explaining import observed_whole

from ..nave_nets import picture, pictures
from ..nave_nets import planted as image_model
from .ecg_nets import TAPS, by, fitted, local, noisy, records, silence

METHOD = EcgClustersMethod()
ASK = METHOD.ask(taps=TAPS, k=5)


def asked(model, signal, ask):
    (seen,) = observed_whole(METHOD.observe(model, signal[None], [ask], [None]))
    return METHOD.interpret(model, seen, ask)


def one_sentence(e: BaseException) -> bool:
    return str(e).endswith(".") and "\n" not in str(e) and len(str(e)) < 330


def test_images_are_one_sentence():
    model = image_model()
    assert METHOD.fits(model).startswith(
        "method 'ecg_clusters' takes signals and 'planted-gap' takes images;"
    )
    assert METHOD.fits(local()) == ""
    with pytest.raises(MethodError, match="takes signals and 'planted-gap' takes images") as e:
        METHOD.observe(model, picture()[0][None], [METHOD.ask()], [None])
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
        METHOD.observe(local(), np.zeros(shape, np.float32), [METHOD.ask()] * shape[0], [None] * shape[0])
    assert one_sentence(e.value)


def test_asks_that_cannot_be_answered_are_one_sentence():
    model, signal = local(), noisy(1)[0]
    book = fitted(model, records(noisy(3)), ASK, members=0)
    wrong = {
        "30 clusters were requested and the record has 25 steps": ASK.replace(k=30, length=400),
        "class 9 was requested": ASK.replace(targets=(9,)),
        "no class was requested": ASK.replace(targets=[], attribution="occlusion"),
        "lead 3 was given": ASK.replace(edits=[silence(3, 0.0, 1.0)]),
        "fill 'data' needs the mean": ASK.replace(ablated=[0], fill="data"),
        "an ensemble was requested with mode='own'": ASK.replace(ensemble=True),
        "a codebook was given with mode='own'": ASK.replace(codebook=book),
        "no codebook is shipped with 'local-gap'": ASK.replace(mode="codebook"),
        "an ensemble was requested and the codebook has none": ASK.replace(**by(book), ensemble=True),
        "5 weights were given for 3 layers": ASK.replace(weights=[1.0] * 5),
        "weights 'heavy' are not known": ASK.replace(weights="heavy"),
        "has no layer 'nothing'": ASK.replace(taps=("nothing",)),
        "exact Shapley values of 11 clusters": ASK.replace(k=11, shapley=True),
    }
    for said, ask in wrong.items():
        with pytest.raises(XaiViewsError, match=said) as e:
            asked(model, signal, ask)
        assert one_sentence(e.value)
    other = local(seed=8)
    with pytest.raises(MethodError, match="was fitted on another model") as e:
        asked(other, signal, ASK.replace(**by(book)))
    assert one_sentence(e.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"attribution": "magic"},
        {"soft": "x"},
        {"mode": "both"},
        {"k": 33},
        {"fill": "blur"},
        {"targets": ["all"]},
        {"edits": ["mute"]},
        {"codebook": "mine"},
        {"codebook": {"book": {}}},
        {"mute": []},
    ],
)
def test_parameters_that_are_not_possible_are_one_sentence(wrong):
    with pytest.raises(MethodError, match=next(iter(wrong))) as e:
        EcgClustersMethod(**wrong)
    assert one_sentence(e.value)
