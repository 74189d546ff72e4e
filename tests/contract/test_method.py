"""Everything derived from a method's declarations."""

from types import SimpleNamespace

import param
import pytest

from xai_views.contract import registry
from xai_views.contract.method import Method
from xai_views.errors import MethodError, XaiViewsError


class Fits(Method):
    """For images and signals of a network with supports."""

    key = "fits"
    title = "Fits"
    takes = ("image", "signal")
    needs = ("logits", "supports")
    observed_by = ("masks",)
    masks = param.Integer(10)
    quantile = param.Number(0.5)


def model(kind="image", outputs=("logits",), parts=("supports",)):
    return SimpleNamespace(name="net", kind=kind, outputs=frozenset(outputs), parts=frozenset(parts))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (model(), ""),
        (model("signal"), ""),
        (model("table"), "takes images and signals and 'net' takes tables"),
        (model(outputs=("embedding",)), "needs logits"),
        (model(parts=()), "needs supports"),
    ],
)
def test_fits_follows_from_what_is_declared(given, words):
    said = Fits().fits(given)
    assert (said == "") == (words == "")
    assert words in said


def test_a_method_may_add_a_reason_of_its_own():
    class Own(Fits):
        def reason(self, model):
            return f"{model.name!r} is too small."

    assert Own().fits(model()) == "'net' is too small."
    assert "tables" in Own().fits(model("table"))


def test_observations_are_told_apart_by_what_is_declared():
    key = Fits().observation_key
    assert key(Fits().ask(quantile=0.1)) == key(Fits().ask())
    assert key(Fits().ask(masks=20)) != key(Fits().ask())


def test_the_registry_answers_in_sentences():
    with pytest.raises(MethodError, match=r"^method 'navve' is not known; choose one of"):
        registry.method("navve")
    with pytest.raises(XaiViewsError, match=r"^there is no app 'sik'; the nearest of those installed: 'sic'"):
        registry.load("apps", "sik")
    with pytest.raises(XaiViewsError, match=r"^there is no group 'method'"):
        registry.entries("method")
