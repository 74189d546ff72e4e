"""Taps: what is found, kept and replaced, against the same network called by hand."""

import gc
import threading
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xai_views import open_model
from xai_views.errors import ModelError
from xai_views.models import passes
from xai_views.models.encoders import BcosCNN, PlainCNN
from xai_views.models.sic import SIC
from xai_views.models.taps import capture, capture_with_grad, default_taps, integrate, replace, taps
from xai_views.models.vit import ViT

DTYPES = [torch.float32, torch.float64]


class BasicBlock(nn.Module):
    """As in torchvision: ReLU works in place and runs twice."""

    def __init__(self, before, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = nn.Conv2d(before, width, 1, stride, bias=False)

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, classes=5, width=4):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for i in range(1, 5):
            stage = BasicBlock(width * max(1, 2 ** (i - 2)), width * 2 ** (i - 1), 1 if i == 1 else 2)
            setattr(self, f"layer{i}", nn.Sequential(stage))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width * 8, classes)

    def forward(self, x):
        x = self.layer2(self.layer1(self.maxpool(self.conv1(x))))
        return self.fc(self.avgpool(self.layer4(self.layer3(x))).flatten(1))


def made(build, dtype=torch.float32, seed=0):
    """A network whose batch norms do something, with random weights."""
    torch.manual_seed(seed)
    net = build().to(dtype).eval()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.uniform_(-0.2, 0.2)
            m.running_var.uniform_(0.5, 1)
    return net


def images(n=2, size=(32, 48), channels=3, dtype=torch.float32, seed=1):
    return torch.rand(n, channels, *size, generator=torch.Generator().manual_seed(seed)).to(dtype)


def forwards():
    return passes.snapshot()["forward_calls"]


def hooks(net):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())


def vit(registers=2, dtype=torch.float32, stem="patch"):
    return made(lambda: ViT(3, 4, (16, 24), 8, 12, depth=4, heads=3, registers=registers, stem=stem), dtype)


# -- what is found ----------------------------------------------------------------------------------------------


def test_one_pass_shows_all_and_is_kept():
    model = open_model(made(ResNet), name="small")
    start = forwards()
    found = {t.path: t for t in taps(model, (32, 48))}
    assert forwards() - start == 1
    assert taps(model, (32, 48)) == list(found.values())
    assert default_taps(model, (32, 48)) == ("layer2", "layer3", "layer4")
    assert forwards() - start == 1
    assert found["layer3"].grid == (2, 3)
    assert (found["layer3"].kind, found["layer3"].channels, found["layer3"].default) == ("map", 16, True)
    assert found["avgpool@in"].grid == (1, 2)
    assert not {"fc", "avgpool", ""} & set(found)
    order = list(found)
    assert (
        order.index("conv1") < order.index("layer1.0.conv1") < order.index("layer1") < order.index("layer4")
    )
    other = open_model(made(ResNet), name="twin")
    taps(other, (32, 48))
    assert forwards() - start == 1, "what equal weights showed is known"


def test_a_capture_is_one_pass_even_of_an_unknown_network():
    net = made(ResNet)
    start = forwards()
    _, kept = capture(net, images(), ["layer4", "layer2"])
    assert forwards() - start == 1
    assert list(kept) == ["layer4", "layer2"]
    assert len(taps(net, (32, 48))) > 10
    assert forwards() - start == 1
    capture_with_grad(net, images(), "layer4", [0])
    replace(net, images(), "layer4", kept["layer4"])
    assert forwards() - start == 3


def test_what_is_known_of_a_bare_module_dies_with_it_and_with_its_parts():
    net = made(ResNet)
    assert default_taps(net) == ("layer2", "layer3", "layer4")
    net.layer4 = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1))
    assert "layer4.0" in {t.path for t in taps(net)}
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_ends_of_resolutions():
    torch.manual_seed(0)
    plan = [[4, 3, 1, 2], [5, 3, 1, 2], [6, 3, 1, 2], [7, 3, 1, 1]]
    assert default_taps(PlainCNN(3, 2, plan)) == ("layers.6", "layers.10", "layers.14")
    assert default_taps(open_model(PlainCNN(1, 2, plan), channels=1)) == (
        "layers.6",
        "layers.10",
        "layers.14",
    )

    class Deep(
        nn.Module
    ):  # the first block of a stage works at the stage before: its inside ends no resolution
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3, 2, 1)
            self.stages = nn.ModuleList(
                nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 3, 2, 1)) for _ in range(4)
            )
            self.fc = nn.Linear(4, 2)

        def forward(self, x):
            x = self.stem(x)
            for s in self.stages:
                x = s(x)
            return self.fc(x.mean((2, 3)))

    assert default_taps(Deep(), (128, 128)) == ("stages.1", "stages.2", "stages.3")


def test_a_resolution_that_only_a_pooling_made_is_no_end():
    vgg = nn.Sequential(
        *(
            nn.Conv2d(3, 4, 3, 1, 1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 5, 3, 1, 1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ),
        *(nn.Flatten(), nn.Linear(5 * 16 * 16, 2)),
    )
    assert default_taps(vgg) == ("1", "4")


def test_one_resolution_is_tapped_at_thirds():
    net = nn.Sequential(*[nn.Conv2d(3, 3, 3, 1, 1) for _ in range(6)], nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert default_taps(net) == ("1", "3", "5")


def test_efficientnet_lite():
    package = pytest.importorskip("efficientnet_lite_pytorch")
    torch.manual_seed(0)
    net = package.EfficientNet.from_name("efficientnet-lite0").eval()
    assert default_taps(net, (64, 96)) == ("_blocks.4", "_blocks.10", "_blocks.15")
    grids = {t.path: t.grid for t in taps(net, (64, 96))}
    assert [grids[p] for p in ("_blocks.4", "_blocks.10", "_blocks.15")] == [(8, 12), (4, 6), (2, 3)]


@pytest.mark.parametrize("registers", [0, 2, 4])
@pytest.mark.parametrize("stem", ["patch", "convolutions"])
def test_tokens_of_our_transformer(registers, stem):
    net = vit(registers, stem=stem)
    assert default_taps(net, (16, 24)) == ("blocks.1", "blocks.2", "blocks.3")
    tap = next(t for t in taps(net, (16, 24)) if t.path == "blocks.2")
    assert (tap.kind, tap.channels, tap.grid, tap.prefix) == ("tokens", 12, (2, 3), 1 + registers)
    x = images(3, (16, 24))
    with torch.no_grad():
        tokens = net.tokens(x)
        for block in net.blocks[:3]:
            tokens = block(tokens)
    logits, kept = capture(net, x, ["blocks.2"])
    for row in range(2):
        for column in range(3):
            torch.testing.assert_close(
                kept["blocks.2"][:, :, row, column], tokens[:, 1 + registers + 3 * row + column]
            )
    torch.testing.assert_close(logits, net(x).detach())


class Tokens(nn.Module):
    """A transformer in other people's words."""

    def __init__(self, extra=1, named=None, conv=True, size=(16, 16), patch=4, dim=8, depth=2):
        super().__init__()
        self.patch, self.dim, self.extra = patch, dim, extra
        self.embed = nn.Conv2d(3, dim, patch, patch) if conv else nn.Linear(3 * patch * patch, dim)
        if named:
            setattr(self, named, nn.Parameter(torch.randn(1, extra, dim)))
        self.more = nn.Parameter(torch.randn(1, 0 if named else extra, dim))  # says nothing
        self.named = named
        self.encoder = nn.ModuleDict(
            {
                f"encoder_layer_{i}": nn.TransformerEncoderLayer(dim, 2, 16, batch_first=True, dropout=0.1)
                for i in range(depth)
            }
        )
        self.head = nn.Linear(dim, 3)

    def forward(self, x):
        if isinstance(self.embed, nn.Conv2d):
            x = self.embed(x).flatten(2).transpose(1, 2)
        else:
            x = F.unfold(x, self.patch, stride=self.patch).transpose(1, 2)
            x = self.embed(x)
        first = getattr(self, self.named) if self.named else self.more
        x = torch.cat([first.expand(len(x), -1, -1), x], 1)
        for layer in self.encoder.values():
            x = layer(x)
        return self.head(x.mean(1))


LAST = "encoder.encoder_layer_1"


def prefix_of(net, size=(16, 16)):
    tap = next(t for t in taps(net, size) if t.path == LAST)
    return tap.prefix, tap.grid


@pytest.mark.parametrize("conv", [True, False])
@pytest.mark.parametrize("name", ["cls_token", "class_token", "register_tokens"])
def test_learned_tokens_are_known_by_name(name, conv):
    assert prefix_of(Tokens(3, name, conv)) == (3, (4, 4))


def test_what_the_network_says_comes_first():
    net = Tokens(4, None, conv=False)
    with pytest.raises(ModelError, match="4 or 13 tokens before its grid"):
        taps(net, (20, 20))  # 29 tokens: no usual number fits, two unusual ones do
    net.num_prefix_tokens = 4
    assert prefix_of(net, (20, 20)) == (4, (5, 5))
    assert prefix_of(Tokens(7, None, conv=False)) == (7, (4, 4)), "the only number that fits"


@pytest.mark.parametrize("extra", [0, 1, 3, 6])
def test_the_map_before_shows_the_grid(extra):
    assert prefix_of(Tokens(extra), (24, 16)) == (extra, (6, 4))


@pytest.mark.parametrize("extra", [0, 1, 2, 5])
def test_usual_numbers_are_guessed_from_the_proportions(extra):
    assert prefix_of(Tokens(extra, conv=False), (16, 32)) == (extra, (4, 8))


def test_a_count_with_two_meanings_is_a_sentence():
    net = Tokens(5, None, conv=False)
    with pytest.raises(ModelError) as caught:
        taps(net, (8, 8))  # 9 tokens: 3x3, or 2x2 after 5
    said = str(caught.value)
    assert "0 or 5" in said
    assert "\n" not in said
    assert said.endswith(".")
    net.prefix = 5
    assert prefix_of(net, (8, 8)) == (5, (2, 2))
    net.prefix = 3
    with pytest.raises(ModelError, match=r"21 tokens .* fits no grid after 3 tokens"):
        taps(net, (16, 16))


def test_dropped_patches_are_a_sentence():
    class Masked(Tokens):
        def forward(self, x):
            x = self.embed(x).flatten(2).transpose(1, 2)[:, ::4]
            for layer in self.encoder.values():
                x = layer(x)
            return self.head(x.mean(1))

    with pytest.raises(ModelError, match="4 tokens for 16 patches"):
        taps(Masked(0), (16, 16))


def test_attention_weights_and_vectors_are_no_taps():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.drop, self.q_norm = nn.Linear(8, 24), nn.Dropout(), nn.LayerNorm(4)

        def forward(self, x):
            q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
            w = self.drop((self.q_norm(q) @ k.transpose(-2, -1)).softmax(-1))
            return x + (w @ v).transpose(1, 2).flatten(2)

    class Net(Tokens):
        def __init__(self):
            super().__init__(1, "cls_token")
            self.encoder = nn.ModuleDict({f"encoder_layer_{i}": Attention() for i in range(2)})

    assert [t.path for t in taps(Net(), (16, 16)) if t.kind == "map"] == ["embed"]
    assert prefix_of(Net()) == (1, (4, 4))


class LastChannels(nn.Module):
    """Stages ``[N, h, w, C]``, as Swin has them."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.GELU()) for _ in range(2)
        )
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.stem(x).permute(0, 2, 3, 1)
        x = self.layers[0](x)
        x = self.layers[1](x[:, ::2, ::2])
        return self.head(self.norm(x).mean((1, 2)))


def test_channels_last():
    net, x = made(LastChannels), images(2, (32, 48))
    found = {t.path: t for t in taps(net, (32, 48))}
    assert (found["layers.1"].grid, found["layers.1"].channels, found["layers.1"].channels_last) == (
        (4, 6),
        8,
        True,
    )
    assert (found["stem"].grid, found["stem"].channels_last) == ((8, 12), False)
    assert default_taps(net, (32, 48)) == ("layers.0", "layers.1")
    logits, kept = capture(net, x, ["layers.1", "norm"])
    assert kept["norm"].shape == (2, 8, 4, 6)
    torch.testing.assert_close(net.head(kept["norm"].mean((2, 3))).detach(), logits)
    torch.testing.assert_close(replace(net, x, "layers.1", kept["layers.1"]), logits)
    assert not torch.allclose(replace(net, x, "layers.1", kept["layers.1"].flip(1)), logits)


def test_signals():
    torch.manual_seed(0)
    net = nn.Sequential(
        *(
            nn.Conv1d(12, 6, 5, 2, 2),
            nn.ReLU(),
            nn.Conv1d(6, 7, 5, 2, 2),
            nn.ReLU(),
            nn.Conv1d(7, 8, 5, 2, 2),
        ),
        *(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 3)),
    )
    assert {t.kind for t in taps(net)} == {"sequence"}
    model = open_model(net, channels=12, size=(250,))
    assert default_taps(model) == ("1", "3", "4")
    assert [t.grid for t in taps(model) if t.default] == [(125,), (63,), (32,)]
    x = torch.rand(2, 12, 250)
    logits, kept = capture(model, x, ["3", "5@in"])
    assert kept["5@in"].shape == (2, 8, 32)
    torch.testing.assert_close(net[7](kept["5@in"].mean(2)).detach(), logits)
    assert capture_with_grad(model, x, "3", [0, 2])[2].shape == (2, 2, 7, 63)


def test_tokens_of_signals():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv1d(2, 8, 10, 10)
            self.cls_token = nn.Parameter(torch.randn(1, 1, 8))
            self.blocks = nn.ModuleList(
                nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(3)
            )
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            x = self.embed(x).transpose(1, 2)
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
            for b in self.blocks:
                x = b(x)
            return self.head(x[:, 0])

    found = {t.path: t for t in taps(made(Net), (200,))}
    assert (found["blocks.2"].kind, found["blocks.2"].grid, found["blocks.2"].prefix) == ("tokens", (20,), 1)
    assert (found["embed"].kind, found["embed"].channels) == ("sequence", 8)
    assert default_taps(made(Net), (200,)) == ("blocks.0", "blocks.1", "blocks.2")


# -- what is kept -----------------------------------------------------------------------------------------------


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
    assert not gradient.any(), "the answer reads the class token alone"
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


# -- what is replaced -------------------------------------------------------------------------------------------


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
    assert after["forward"] - before["forward"] - 24 * 3 in (6, 7), "capture, start, and a look for shapes"
    assert after["backward"] - before["backward"] == 24 * 3 * 2
    total = (gradient * way[:, None]).flatten(2).sum(2)
    tolerance = (
        1e-7 if start == "mean" else 0.05
    )  # a normalised token turns all at once where it is near zero
    torch.testing.assert_close(began + total, logits[:, [2, 0]], rtol=0, atol=tolerance)
    assert (logits[:, [2, 0]] - began).abs().min() > 1e-3


def test_the_way_is_straight():
    """Against a fine sum over the way, by hand."""
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


# -- mistakes, and what must not be left behind -----------------------------------------------------------------


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
