"""Heads: found when the logits are linear in a map, and only then."""

import pytest
import torch
from torch import nn

from xai_views import open_model
from xai_views.errors import ModelError
from xai_views.models import passes
from xai_views.models.families.cnn.network import BcosCNN, PlainCNN
from xai_views.models.families.sic.network import SIC
from xai_views.models.families.vit.network import ViT
from xai_views.models.heads import Head, find_head
from xai_views.models.taps import capture

SIZE = (16, 24)


def stem():
    return nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3, 2, 1)


class Stages(nn.Module):
    """A small ResNet; the mean is computed by ``pool`` or, without it, by a function."""

    def __init__(self, pool=True, bias=True):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 1, 1)
        for i in range(1, 5):
            block = nn.Sequential(
                nn.Conv2d(4, 4, 3, 1 if i == 1 else 2, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
            )
            setattr(self, f"layer{i}", block)
        if pool:
            self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 5, bias=bias)

    def forward(self, x):
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        x = self.avgpool(x) if hasattr(self, "avgpool") else x.mean((2, 3), keepdim=True)
        return self.fc(x.flatten(1))


class Reads(nn.Module):
    """A map, followed by any function before a linear layer."""

    def __init__(self, function, features=8, layers=(), after=lambda x: x):
        super().__init__()
        self.map, self.function, self.after = nn.Sequential(*stem()), function, after
        self.layers, self.fc = nn.ModuleList(layers), nn.Linear(features, 3)

    def forward(self, x):
        x = self.function(self.map(x))
        for layer in self.layers:
            x = layer(x)
        return self.after(self.fc(x))


class TokenMean(nn.Module):
    """Tokens whose mean is read, with or without the class token."""

    def __init__(self, every):
        super().__init__()
        self.every, self.embed = every, nn.Conv2d(3, 8, 4, 4)
        self.cls_token = nn.Parameter(torch.randn(1, 1, 8))
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2))
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        return self.fc(x.mean(1) if self.every else x[:, 1:].mean(1))


class Beside(nn.Module):
    """As in transformers: a module returns its map and the mean, and only the mean is read."""

    class Part(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(*stem())

        def forward(self, x):
            x = self.inner(x)
            return x, x.mean((2, 3))

    def __init__(self):
        super().__init__()
        self.part, self.fc = Beside.Part(), nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.part(x)[1])


def mean(x):
    return x.mean((2, 3))


LINEAR = {
    "resnet": (Stages, "gap", "layer4"),
    "no pooling module": (lambda: Stages(pool=False), "gap", "layer4"),
    "no bias": (lambda: Stages(bias=False), "gap", "layer4"),
    "plain cnn": (lambda: PlainCNN(3, 4, [[4, 3, 1, 2], [5, 3, 1, 2], [6, 3, 1, 1]]), "gap", "layers.10"),
    "dropout before": (lambda: Reads(mean, layers=[nn.Dropout()]), "gap", "map.3"),
    "flatten": (lambda: Reads(lambda x: x.flatten(1), 8 * 4 * 6), "flatten", "map.3"),
    "flatten module": (
        lambda: nn.Sequential(*stem(), nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(), nn.Linear(48, 3)),
        "flatten",
        "4",
    ),
    "function between": (lambda: Reads(lambda x: x.relu().mean((2, 3)), layers=[]), "none", "map.3"),
    "pooled by nothing that is a module": (
        lambda: nn.Sequential(*stem(), nn.Hardtanh(), nn.AvgPool2d(4, (4, 6)), nn.Flatten(), nn.Linear(8, 3)),
        "none",
        "4",
    ),
    "a channel per class": (
        lambda: nn.Sequential(*stem(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "gap",
        "3",
    ),
    "mean of patches": (lambda: TokenMean(every=False), "gap", "blocks.1"),
    "mean beside the map": (Beside, "gap", "part.inner.3"),
}


def made(build, dtype=torch.float32):
    torch.manual_seed(0)
    net = build().to(dtype).eval()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.uniform_(-0.3, 0.1)
    return net


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LINEAR)
def test_linear_heads(name, dtype):
    build, kind, tap = LINEAR[name]
    net = made(build, dtype)
    head = find_head(net, SIZE)
    assert (head.kind, head.tap) == (kind, tap)
    assert head.exact == (kind != "none")
    if kind == "none":
        return
    x = torch.rand(3, 3, *SIZE, dtype=dtype)
    logits, kept = capture(net, x, [head.tap])
    close = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-14}
    torch.testing.assert_close(head.logits(kept[tap]), logits, **close)
    parts = head.parts(kept[tap])
    assert parts.shape == (3, logits.shape[1], *kept[tap].shape[2:])
    torch.testing.assert_close(parts.flatten(2).sum(2) + head.bias, logits, **close)
    row, column = 0, 1
    weight = head.weight / kept[tap][0, 0].numel() if kind == "gap" else head.weight[:, :, row, column]
    torch.testing.assert_close(parts[:, :, row, column], kept[tap][:, :, row, column] @ weight.T, **close)


def test_efficientnet_lite():
    package = pytest.importorskip("efficientnet_lite_pytorch")
    torch.manual_seed(0)
    net = package.EfficientNet.from_name("efficientnet-lite0", num_classes=7).eval()
    head = find_head(net, (64, 64))
    assert (head.kind, head.tap) == ("gap", "_avg_pooling@in")
    assert torch.equal(head.weight, net._fc.weight)
    assert torch.equal(head.bias, net._fc.bias)
    for dtype in (torch.float32, torch.float64):
        x = torch.rand(2, 3, 64, 96).to(dtype)
        logits, kept = capture(net.to(dtype), x, [head.tap])
        assert kept[head.tap].shape == (2, 1280, 2, 3)
        torch.testing.assert_close(find_head(net, (64, 64)).logits(kept[head.tap]), logits)


def none():
    return {
        "two layers": lambda: Reads(mean, 5, [nn.Linear(8, 5), nn.ReLU()]),
        "maximum": lambda: Reads(lambda x: x.amax((2, 3))),
        "normalised": lambda: Reads(mean, 8, [nn.LayerNorm(8)]),
        "mean and maximum": lambda: Reads(lambda x: torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1), 16),
        "sigmoid after": lambda: Reads(mean, after=torch.sigmoid),
        "temperature": lambda: Reads(mean, after=lambda x: x / 3),
        "class token in the mean": lambda: TokenMean(every=True),
        "weighted by place": lambda: Reads(lambda x: (x * torch.linspace(0, 1, 6)).mean((2, 3))),
    }


@pytest.mark.parametrize("name", none())
def test_other_heads_are_none(name):
    head = find_head(made(none()[name]), SIZE)
    assert (head.kind, head.exact, head.weight.numel(), head.bias.tolist()) == ("none", False, 0, [0.0] * 3)
    assert head.tap == ("blocks.0@in" if "token" in name else "map.3")
    for call in (head.logits, head.parts):
        with pytest.raises(ValueError, match="linear"):
            call(torch.zeros(1, 8, 4, 6))


def test_transformers_are_taken_apart_where_all_is_in_the_patches():
    net = made(lambda: ViT(3, 4, SIZE, patch=8, dim=12, depth=3, heads=3, registers=1))
    head = find_head(net, SIZE)
    assert (head.kind, head.tap) == ("none", "blocks.0@in")
    assert capture(net, torch.rand(2, 3, *SIZE), [head.tap])[1][head.tap].shape == (2, 12, 2, 3)


def test_sic_is_not_linear():
    torch.manual_seed(0)
    net = SIC(BcosCNN(3, [[4, 3, 1, 1], [5, 3, 2, 1]]), 3, 8)
    net.set_supports(torch.rand(6, 8), torch.arange(6) % 3)
    head = find_head(open_model(net, size=(12, 12)))
    assert (head.kind, head.tap, len(head.bias)) == ("none", "encoder.layers.3", 3)


def test_a_dead_network_has_its_head_by_another_map():
    net = made(Stages)
    net.layer4[0].weight.data.zero_()
    net.layer4[0].bias.data.fill_(-1)
    assert find_head(net, SIZE).tap == "layer4"
    mlp = made(none()["two layers"])
    mlp.map[3].weight.data.zero_()
    mlp.map[3].bias.data.zero_()
    assert find_head(mlp, SIZE).kind == "none"


def test_found_once():
    model = open_model(made(Stages), size=SIZE)
    start = passes.snapshot()
    head = find_head(model)
    first = passes.snapshot()
    assert first["forward_calls"] - start["forward_calls"] == 3, (
        "shapes, two images, and the same with another map"
    )
    assert find_head(model) is head
    assert passes.snapshot() == first
    model.module.double()
    assert find_head(model).weight.dtype == torch.float64, "weights of another precision give another head"
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.module.modules())


def test_a_network_in_training_is_looked_at_in_peace():
    net = made(lambda: Reads(mean, layers=[nn.Dropout(0.9)])).train()
    assert find_head(net, SIZE).kind == "gap"
    assert net.training


def test_what_the_network_refuses_is_a_sentence():
    with pytest.raises(ModelError, match="larger image"):
        find_head(nn.Sequential(nn.Conv2d(3, 4, 9), nn.Flatten(), nn.Linear(4, 2)), (6, 6))


def test_heads_differ_by_identity():
    a = Head("gap", "x", torch.eye(2), torch.zeros(2))
    assert a != Head("gap", "x", torch.eye(2), torch.zeros(2))
