"""Captured and replaced activations, and side effects, against the same network called by hand."""

import threading

import pytest
import torch
from torch import nn

from xai_views import open_model
from xai_views.errors import ModelError
from xai_views.models import passes
from xai_views.models.families.cnn.network import BcosCNN
from xai_views.models.families.sic.network import SIC
from xai_views.models.taps import capture, capture_with_grad, default_taps, integrate, replace, taps

from .tap_nets import DTYPES, ResNet, forwards, hooks, images, made, vit

# -- capturing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_are_those_of_the_network(dtype):
    net, x = made(ResNet, dtype), images(dtype=dtype)
    logits, kept = capture(net, x, ["layer1", "layer2.0.bn1", "layer3@in", "avgpool@in"])
    with torch.no_grad():
        one = net.layer1(net.maxpool(net.conv1(x)))
        two = net.layer2(one)
        torch.testing.assert_close(kept["layer1"], one)
        torch.testing.assert_close(kept["layer2.0.bn1"], net.layer2[0].bn1(net.layer2[0].conv1(one)))
        assert kept["layer2.0.bn1"].min() < 0, "the ReLU that follows works in place"
        torch.testing.assert_close(kept["layer3@in"], two)
        torch.testing.assert_close(kept["avgpool@in"], net.layer4(net.layer3(two)))
        torch.testing.assert_close(logits, net(x))
    assert not any(t.requires_grad for t in [logits, *kept.values()])


class Twice(nn.Module):
    """Calls one convolution three times."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 3, 3, 1, 1), nn.Linear(3, 2)

    def forward(self, x):
        a = torch.tanh(self.conv(x))
        b = torch.tanh(self.conv(a))
        return self.fc((torch.tanh(self.conv(b)) + a).mean((2, 3)))


def test_of_several_calls_the_last_counts():
    net, x = made(Twice, torch.float64), images(2, (6, 6), dtype=torch.float64)
    logits, kept = capture(net, x, ["conv", "conv@in"])
    a = torch.tanh(net.conv(x)).detach()
    last_in = torch.tanh(net.conv(a)).detach()
    leaf = net.conv(last_in).detach().requires_grad_()
    torch.testing.assert_close(kept["conv"], leaf.detach())
    torch.testing.assert_close(kept["conv@in"], last_in)

    def answer(c):
        return net.fc((torch.tanh(c) + a).mean((2, 3)))

    torch.testing.assert_close(answer(leaf), logits)
    _, _, gradient = capture_with_grad(net, x, "conv", [1, 0])
    torch.testing.assert_close(gradient[:, 0], torch.autograd.grad(answer(leaf)[:, 1].sum(), leaf)[0])
    new = torch.randn_like(leaf)
    torch.testing.assert_close(replace(net, x, "conv", new), answer(new).detach())
    torch.testing.assert_close(replace(net, x, "conv@in", new), answer(net.conv(new)).detach())


class Odd(nn.Module):
    """Modules that return tuples and mappings and take keywords."""

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, 1, 1)

        def forward(self, x):
            return None, (self.conv(x), 7)

    class Named(Pair):
        def forward(self, *, hidden, scale):
            return {"nothing": None, "hidden": self.conv(hidden) * scale}

    def __init__(self):
        super().__init__()
        self.pair, self.named, self.fc = Odd.Pair(), Odd.Named(), nn.Linear(3, 2)

    def forward(self, x):
        _, (x, seven) = self.pair(x)
        x = self.named(scale=seven, hidden=x)["hidden"]
        return self.fc(x.mean((2, 3)))


def test_tuples_mappings_and_keywords():
    net, x = made(Odd), images(2, (6, 6))
    logits, kept = capture(net, x, ["pair", "named", "named@in"])
    torch.testing.assert_close(kept["pair"], kept["named@in"])
    torch.testing.assert_close(net.fc(kept["named"].mean((2, 3))).detach(), logits)
    for path in kept:
        torch.testing.assert_close(replace(net, x, path, kept[path]), logits)
        other = replace(net, x, path, 2 * kept[path] + 1)
        assert (other - logits).abs().min() > 1e-3, path


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("path", ["layer1", "layer2.0.bn1", "layer4@in"])
def test_gradients_are_those_of_autograd(dtype, path):
    net, x = made(ResNet, dtype), images(dtype=dtype)
    before = passes.snapshot()
    logits, activation, gradient = capture_with_grad(net, x, path, [3, 0, 3])
    after = passes.snapshot()
    assert after["forward_calls"] - before["forward_calls"] == 1
    assert after["backward_calls"] - before["backward_calls"] == 3
    assert after["backward"] - before["backward"] == 6
    kept = []
    module = net.get_submodule(path.removesuffix("@in"))

    def keep(_m, args, out=None):
        t = (args[0] if out is None else out).detach().requires_grad_()
        kept.append(t)
        return t.clone()

    hook = (
        module.register_forward_pre_hook(keep) if path.endswith("@in") else module.register_forward_hook(keep)
    )
    slow = net(x)
    hook.remove()
    for t, c in enumerate([3, 0, 3]):
        want = torch.autograd.grad(slow[:, c].sum(), kept[0], retain_graph=True)[0]
        torch.testing.assert_close(gradient[:, t], want)
    torch.testing.assert_close(activation, kept[0].detach())
    torch.testing.assert_close(logits, slow.detach())
    assert not gradient.requires_grad


def test_gradient_of_what_nothing_depends_on_is_zero():
    net, x = vit(), images(2, (16, 24))
    _, activation, gradient = capture_with_grad(net, x, "blocks.3", [0])
    assert gradient.shape == (2, 1, *activation.shape[1:])
    assert not gradient.any(), "only the class token is read"
    assert capture_with_grad(net, x, "blocks.1", [0])[2].any()
    assert capture_with_grad(net, x, "blocks.1", [])[2].shape == (2, 0, 12, 2, 3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_times_activation_is_exact_in_a_sic_network(dtype):
    torch.manual_seed(0)
    net = SIC(BcosCNN(3, [[8, 3, 1, 1], [10, 3, 2, 1], [12, 3, 1, 1]]), 3, 16, temperature=0.1).to(dtype)
    for m in net.modules():
        if hasattr(m, "running_var"):
            m.running_var.uniform_(0.002, 0.02)
    net.set_supports(torch.rand(6, 16), torch.arange(6) % 3)
    model = open_model(net, size=(12, 12))
    x = images(2, (12, 12), dtype=dtype)
    assert default_taps(model) == ("encoder.layers.1", "encoder.layers.5")
    for path in default_taps(model):
        logits, activation, gradient = capture_with_grad(model, x, path, [0, 1, 2])
        torch.testing.assert_close(logits, net(x), rtol=0, atol=0)
        assert (logits - net.bias).abs().min() > 1e-2
        total = (gradient * activation[:, None]).flatten(2).sum(2)
        torch.testing.assert_close(total + net.bias, logits)
    assert not any(getattr(m, "detached", False) for m in net.modules())
    assert {t.path for t in taps(net, (12, 12))} == {t.path for t in taps(model)}, (
        "a bare SIC takes three channels"
    )


# -- replacing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_replacing_is_what_follows(dtype):
    net, x = made(ResNet, dtype), images(dtype=dtype)
    new = torch.randn(2, 16, 2, 3, generator=torch.Generator().manual_seed(3)).to(dtype)
    with torch.no_grad():
        want = net.fc(net.layer4(new).mean((2, 3)))
    torch.testing.assert_close(replace(net, x, "layer3", new), want)
    torch.testing.assert_close(replace(net, x, "layer4@in", new), want)


def test_prefix_tokens_stay():
    net, x = vit(), images(2, (16, 24))
    new = torch.randn(2, 12, 2, 3)
    with torch.no_grad():
        tokens = net.blocks[1](net.blocks[0](net.tokens(x)))
        tokens = torch.cat([tokens[:, :3], new.flatten(2).transpose(1, 2)], 1)
        want = net.head(net.norm(net.blocks[3](net.blocks[2](tokens)))[:, 0])
    torch.testing.assert_close(replace(net, x, "blocks.1", new), want)


def test_a_replacement_has_the_shape_of_the_tap():
    net, x = made(ResNet), images()
    with pytest.raises(ModelError, match=r"\[2, 16, 2, 3\] and got \[2, 16, 3, 2\]"):
        replace(net, x, "layer3", torch.zeros(2, 16, 3, 2))
    assert hooks(net) == 0


@pytest.mark.parametrize("start", ["mean", "zero"])
def test_the_way_to_an_activation_adds_up(start):
    net, x = vit(dtype=torch.float64), images(3, (16, 24), dtype=torch.float64)
    before = passes.snapshot()
    logits, began, way, gradient = integrate(net, x, "blocks.0@in", [2, 0], 24, start, batch=7)
    after = passes.snapshot()
    assert after["forward"] - before["forward"] - 24 * 3 in (6, 7), "capture, start, and a scan"
    assert after["backward"] - before["backward"] == 24 * 3 * 2
    total = (gradient * way[:, None]).flatten(2).sum(2)
    tolerance = 1e-7 if start == "mean" else 0.05  # a normalised token changes direction abruptly near zero
    torch.testing.assert_close(began + total, logits[:, [2, 0]], rtol=0, atol=tolerance)
    assert (logits[:, [2, 0]] - began).abs().min() > 1e-3


def test_the_way_is_straight():
    """Compare with a fine sum over the path."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, 1, 1), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    net = net.append(nn.Tanh()).append(nn.Linear(3, 2)).double()
    torch.manual_seed(0)
    x = images(2, (5, 6), dtype=torch.float64)
    _, _, way, gradient = integrate(net, x, "0", [1], 12)
    a = net[0](x).detach()
    start = a.mean((2, 3), keepdim=True).expand_as(a)
    torch.testing.assert_close(way, a - start)
    slow = torch.zeros_like(a)
    for i in range(400):
        leaf = (start + (i + 0.5) / 400 * (a - start)).requires_grad_()
        slow += torch.autograd.grad(net[1:](leaf)[:, 1].sum(), leaf)[0] / 400
    torch.testing.assert_close(gradient[:, 0], slow, rtol=0, atol=1e-6)


# -- errors, and side effects -----------------------------------------------------------------------------------


def mistakes():
    deep = nn.Sequential(*[nn.Conv2d(3, 3, 3, 2) for _ in range(4)], nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return {
        "typo": (lambda: capture(made(ResNet), images(), ["layer5"]), "'layer4', 'layer3'"),
        "attribute": (lambda: capture(made(ResNet), images(), ["layer3.weight"]), "'layer3"),
        "nothing": (lambda: capture(made(ResNet), images(), [""]), "no layer ''"),
        "vector": (lambda: capture(made(ResNet), images(), ["fc"]), "no layer 'fc' with positions"),
        "input of a vector": (lambda: capture(made(ResNet), images(), ["fc@in"]), "'fc@in'"),
        "gradient": (lambda: capture_with_grad(made(ResNet), images(), "layer2.9", [0]), "'layer2"),
        "never called": (
            lambda: replace(vit(), images(2, (16, 24)), "blocks", torch.zeros(2, 12, 2, 3)),
            "'blocks.3'",
        ),
        "small": (lambda: taps(deep, (16, 16)), "larger image"),
        "channels": (lambda: capture(made(ResNet), images(channels=1), ["layer1"]), "[2, 1, 32, 48]"),
    }


@pytest.mark.parametrize("name", mistakes())
def test_mistakes_are_one_sentence(name):
    call, says = mistakes()[name]
    with pytest.raises(ModelError) as caught:
        call()
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert len(message) < 400, message
    assert message.endswith(".")


def test_a_refused_input_is_no_pass():
    start = forwards()
    with pytest.raises(ModelError):
        capture(made(ResNet), images(channels=1), [])
    assert forwards() == start


def test_hooks_never_stay():
    net = made(ResNet)
    capture(net, images(), ["layer1", "avgpool@in"])
    capture_with_grad(net, images(), "layer1", [0])
    for call in (
        lambda: capture(net, images(channels=1), ["layer1"]),
        lambda: capture_with_grad(net, images(), "layer1", [99]),
        lambda: capture(net, images(), ["layer1", "layer9"]),
    ):
        with pytest.raises((ModelError, IndexError)):
            call()
        assert hooks(net) == 0


def test_a_network_in_training_does_not_learn_from_being_looked_at():
    net = made(ResNet).train()
    net.layer2.eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    taps(net)
    first, _ = capture(net, images(), [])
    capture_with_grad(net, images(), "layer2", [0])
    assert net.training
    assert net.layer1[0].bn1.training
    assert not net.layer2.training
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key]), key
    torch.testing.assert_close(first, net.eval()(images()).detach())
    assert all(p.grad is None for p in net.parameters())


def test_one_network_in_two_threads():
    net = made(ResNet)
    taps(net, (32, 48))
    inputs = [images(3, seed=s) for s in range(4)]
    want = [capture(net, x, ["layer2", "layer4"]) for x in inputs]
    wrong = []

    def work(i):
        for _ in range(15):
            logits, kept = capture(net, inputs[i], ["layer2", "layer4"])
            same = torch.equal(logits, want[i][0]) and all(torch.equal(kept[p], want[i][1][p]) for p in kept)
            if not same:
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert hooks(net) == 0
