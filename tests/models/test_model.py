"""User modules, and the images passed to a model."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from xai_views.errors import ModelError
from xai_views.models import Model, open_model
from xai_views.models.bare_module import module_sha256
from xai_views.models.families.cnn.network import BcosCNN, PlainCNN
from xai_views.models.families.sic.network import SIC, class_bias


class Mean(nn.Module):
    def __init__(self, out=4):
        super().__init__()
        self.head = nn.Linear(3, out)

    def forward(self, x):
        return self.head(x.mean((2, 3)))


def test_own_module():
    module = Mean().train()
    model = open_model(module, classes=["a", "b", "c", "d"], size=(8, 9), name="mine")
    assert (model.name, model.classes, model.size, model.supports) == (
        "mine",
        ["a", "b", "c", "d"],
        (8, 9),
        None,
    )
    assert not module.training
    assert open_model(Mean()).classes == ["class 0", "class 1", "class 2", "class 3"]
    assert open_model(Mean()).name == "Mean"
    assert open_model(model) is model
    assert open_model(Mean().double()).tensor(np.zeros((1, 4, 4, 3), np.uint8)).dtype == torch.float64
    assert open_model(PlainCNN(1, 2, [[4, 3, 1, 2]]), channels=1).classes == ["class 0", "class 1"]


def test_content_keys():
    torch.manual_seed(0)
    module = Mean()
    key = module_sha256(module)
    assert module_sha256(module) == key
    module.head.bias.data[0] += 1e-6
    assert module_sha256(module) != key

    def sic(t):
        torch.manual_seed(0)
        return SIC(BcosCNN(3, [[4, 3, 1, 1]]), 2, 5, t)

    assert module_sha256(sic(1)) == module_sha256(sic(1))
    assert module_sha256(sic(1)) != module_sha256(sic(2)), (
        "the temperature is not a weight and changes every logit"
    )


def defined(square=False, power=1.0):
    """A network as defined in a notebook cell, repeatedly under one name."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.power, self.shape = nn.Linear(3, 4), power, (1, (2, "x"))

        if square:

            def forward(self, x):
                return self.head(x.mean((2, 3)) * x.mean((2, 3)))

        else:

            def forward(self, x):
                return self.head(x.mean((2, 3)) ** self.power)

    torch.manual_seed(0)
    return Net()


def test_equal_weights_that_compute_something_else_have_another_key():
    key = module_sha256(defined())
    assert module_sha256(defined()) == key, "the same cell run twice"
    assert module_sha256(copy.deepcopy(defined()).train()) == key
    assert module_sha256(defined(power=2.0)) != key, "an attribute"
    assert module_sha256(defined(square=True)) != key, "another forward"
    inner = nn.Sequential(nn.Identity(), defined(power=2.0))
    assert module_sha256(inner) != module_sha256(nn.Sequential(nn.Identity(), defined()))


class Silent(nn.Module):
    def forward(self, x):
        raise AssertionError


def own_mistakes():
    return {
        "class count": (lambda: open_model(Mean(), classes=["a"]), "1 class names"),
        "maps": (lambda: open_model(nn.Identity()), "[1, 3, 64, 64]"),
        "tuple": (lambda: open_model(nn.MaxPool2d(2, return_indices=True)), "tuple"),
        "channels": (lambda: open_model(Mean(), channels=1), "channels="),
        "no message": (lambda: open_model(Silent()), "AssertionError"),
        "grey sic": (lambda: open_model(SIC(BcosCNN(1, [[4, 3, 1, 1]]), 2, 5)), "channels="),
        "two dimensions": (lambda: tensor(np.zeros((4, 4), np.uint8)), "[4, 4]"),
        "missing dimension": (lambda: tensor(np.zeros((8, 8, 3), np.uint8)), "images[None]"),
        "channels first": (lambda: tensor(np.zeros((2, 3, 8, 8), np.uint8)), "transpose(0, 2, 3, 1)"),
        "grey": (lambda: tensor(np.zeros((2, 8, 8, 1), np.uint8)), "3 channel"),
        "size": (lambda: tensor(np.zeros((2, 9, 8, 3), np.uint8)), "9x8"),
        "range": (lambda: tensor(np.full((1, 8, 8, 3), 255.0)), "255"),
        "negative": (lambda: tensor(np.full((1, 8, 8, 3), -0.5)), "-0.5"),
        "integers": (lambda: tensor(np.full((1, 8, 8, 3), 200)), "int64"),
        "nan": (lambda: tensor(np.full((1, 8, 8, 3), np.nan)), "not finite"),
        "infinite": (lambda: tensor(np.full((1, 8, 8, 3), np.inf)), "not finite"),
    }


def tensor(images):
    return open_model(Mean(), size=(8, 8)).tensor(images)


@pytest.mark.parametrize("name", own_mistakes())
def test_mistakes_are_one_sentence(name):
    call, says = own_mistakes()[name]
    with pytest.raises(ModelError) as caught:
        call()
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert len(message) < 300, message
    assert message.endswith(".")


def test_tensor_keeps_every_value():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    x = tensor(images)
    assert x.shape == (2, 3, 8, 8)
    for n, y, i, c in [(0, 1, 2, 0), (1, 7, 0, 2), (1, 3, 3, 1)]:
        assert float(x[n, c, y, i]) == pytest.approx(images[n, y, i, c] / 255)
    floats = rng.random((1, 8, 8, 3))
    assert torch.equal(tensor(floats), torch.from_numpy(floats.transpose(0, 3, 1, 2)).float())
    assert tensor(images[:0]).shape == (0, 3, 8, 8)
    assert torch.equal(tensor(images[:, ::-1]), x.flip(2))
    assert float(tensor(np.ones((1, 8, 8, 3), bool)).min()) == 1


def test_a_model_is_frozen_and_says_what_it_is():
    model = Model("m", "", Mean().train(), ["a"] * 4)
    assert not any(p.requires_grad for p in model.module.parameters())
    assert "any size" in repr(model)
    assert str(model.to("cpu").device) == "cpu"


@pytest.mark.parametrize(
    ("classes", "bias"), [(1, 0.6931472), (2, 0.6931472), (3, 0.6931472), (120, 4.779123)]
)
def test_bias_of_a_sic(classes, bias):
    assert class_bias(classes) == pytest.approx(-bias)
    with torch.no_grad():
        logits = SIC(BcosCNN(3, [[4, 3, 1, 1]]), classes, 5).eval()(torch.rand(2, 3, 6, 6))
    torch.testing.assert_close(logits, torch.full((2, classes), -bias))
