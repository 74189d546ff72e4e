"""Taps: finding, capturing and replacing, against the same network called by hand."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xai_views import open_model
from xai_views.errors import ModelError
from xai_views.models.families.cnn.network import PlainCNN
from xai_views.models.taps import capture, capture_with_grad, default_taps, replace, taps

from .tap_nets import ResNet, forwards, images, made, vit

# -- finding ----------------------------------------------------------------------------------------------------


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
    assert forwards() - start == 1, "the scan of equal weights is cached"


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
    ):  # the first block of a stage has the resolution of the stage before: its inside is not the end of a resolution
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
    """A transformer with the attribute names of another library."""

    def __init__(self, extra=1, named=None, conv=True, size=(16, 16), patch=4, dim=8, depth=2):
        super().__init__()
        self.patch, self.dim, self.extra = patch, dim, extra
        self.embed = nn.Conv2d(3, dim, patch, patch) if conv else nn.Linear(3 * patch * patch, dim)
        if named:
            setattr(self, named, nn.Parameter(torch.randn(1, extra, dim)))
        self.more = nn.Parameter(torch.randn(1, 0 if named else extra, dim))  # a name without meaning
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
