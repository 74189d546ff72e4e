"""Third-party networks: their outputs, their configuration, and their taps."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from xai_views import open_model
from xai_views.errors import ModelError
from xai_views.models.foreign import Foreign, class_names, logits_of, natural_size, normalisation, wrap
from xai_views.models.heads import find_head
from xai_views.models.taps import capture, default_taps, replace, taps

HALF = {"mean": [0.5] * 3, "std": [0.5] * 3}


class Out(dict):
    """An output whose entries are also attributes, as in transformers."""

    __getattr__ = dict.get


class Classifier(nn.Module):
    """Network that returns ``pack`` applied to its map and logits."""

    def __init__(self, pack, classes=4):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1))
        self.classifier, self.pack = nn.Linear(8, classes), pack

    def forward(self, pixel_values):
        x = self.features(pixel_values)
        return self.pack(x, self.classifier(x.mean((2, 3))))


RETURNS = {
    "logits": lambda x, y: Out(loss=None, logits=y, hidden_states=(x,)),
    "attribute": lambda x, y: SimpleNamespace(logits=y),
    "tuple": lambda x, y: (y, x),
    "mapping": lambda x, y: {"out": y, "aux": -y},
    "pooled": lambda x, y: Out(last_hidden_state=x, pooler_output=y[:, :, None, None]),
    "embedding": lambda x, y: Out(image_embeds=y, last_hidden_state=x),
}


def made(pack, seed=0):
    torch.manual_seed(seed)
    return Classifier(pack).eval()


@pytest.mark.parametrize("name", RETURNS)
def test_what_others_return(name):
    net = made(RETURNS[name])
    model = open_model(net, **HALF)
    assert (model.name, model.classes, model.size) == ("Classifier", [f"class {i}" for i in range(4)], None)
    x = torch.rand(2, 3, 12, 12)
    with torch.no_grad():
        want = net.classifier(net.features((x - 0.5) / 0.5).mean((2, 3)))
    torch.testing.assert_close(model.module(x), want)
    assert default_taps(model) == ("net.features.1", "net.features.2")
    head = find_head(model)
    assert (head.kind, head.tap) == ("gap", "net.features.2")
    assert {t.path for t in taps(net)} == {t.path.removeprefix("net.") for t in taps(model)} - {""}, (
        "bare as well"
    )


def test_encoders_without_a_pooler_answer_with_a_mean():
    x = torch.rand(2, 5, 3, 4)
    tokens = torch.rand(2, 7, 5)
    torch.testing.assert_close(logits_of(Out(last_hidden_state=x)), x.mean((2, 3)))
    torch.testing.assert_close(logits_of(Out(last_hidden_state=tokens, pooler_output=None)), tokens.mean(1))
    assert logits_of(x) is x


@pytest.mark.parametrize(
    "pack",
    [
        lambda x, y: Out(boxes=[1]),
        lambda x, y: (x, y),
        lambda x, y: [],
        lambda x, y: None,
        lambda x, y: Out(logits=x),
    ],
)
def test_without_logits_there_is_a_sentence(pack):
    with pytest.raises(ModelError, match="without logits") as caught:
        open_model(made(pack), **HALF)
    assert "\n" not in str(caught.value)


def test_unnormalised_images_are_a_warning_where_nobody_said_anything():
    with pytest.warns(UserWarning, match="mean= and std=") as said:
        model = open_model(made(RETURNS["logits"]))
    assert "opening.py" not in said[0].filename
    x = torch.rand(1, 3, 12, 12)
    torch.testing.assert_close(model.module(x), model.module.net(x).logits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_model(made(RETURNS["logits"]), **HALF)
        open_model(made(lambda x, y: y))


def test_normalisation_changes_the_content_key():
    keys = [open_model(made(lambda x, y: y), **k).sha256 for k in ({}, HALF, {"mean": 0.4, "std": [1, 1, 2]})]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    "cfg", [{"mean": (0.1, 0.2, 0.3), "std": (1, 2, 4), "input_size": (3, 20, 24)}, None]
)
@pytest.mark.parametrize("mapping", [True, False])
def test_what_timm_says_is_used(cfg, mapping):
    net = made(lambda x, y: y)
    if cfg is not None:
        net.pretrained_cfg = cfg if mapping else SimpleNamespace(**cfg)
    else:
        net.default_cfg = {"mean": None, "input_size": None}
    model = open_model(net)
    if cfg is None:
        assert model.module is net
        assert natural_size(net) is None
        return
    assert normalisation(net) == ((0.1, 0.2, 0.3), (1, 2, 4))
    assert natural_size(net) == natural_size(model.module) == (20, 24)
    assert model.size is None, "a convolutional network takes any size"
    x = torch.rand(2, 3, 12, 12)
    shifted = (x - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([1.0, 2, 4]).view(3, 1, 1)
    torch.testing.assert_close(model.module(x), net(shifted).detach())
    assert torch.equal(open_model(net, mean=0, std=1).module(x), net(x)), "explicit arguments take precedence"


class Fixed(nn.Module):
    """A transformer of one size with torchvision's names: class_token, encoder.layers.encoder_layer_N, image_size."""

    def __init__(self, size=32, patch=8, registers=0, name="image_size"):
        super().__init__()
        if name:
            setattr(self, name, size)
        self.conv_proj = nn.Conv2d(3, 8, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, 8))
        tokens = 1 + (size // patch) ** 2
        self.encoder = nn.Module()
        self.encoder.pos_embedding = nn.Parameter(torch.randn(1, tokens, 8))
        self.encoder.layers = nn.Sequential()
        for i in range(3):
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder.layers.add_module(f"encoder_layer_{i}", layer)
        self.heads = nn.Sequential(nn.Linear(8, 5))

    def forward(self, x):
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1) + self.encoder.pos_embedding
        return self.heads(self.encoder.layers(x)[:, 0])


def test_a_network_of_one_size_is_asked_with_its_own():
    torch.manual_seed(0)
    model = open_model(Fixed(), **HALF)
    assert model.size == (32, 32)
    assert default_taps(model) == tuple(f"net.encoder.layers.encoder_layer_{i}" for i in range(3))
    assert find_head(model).tap == "net.encoder.layers.encoder_layer_0@in"
    assert {t.prefix for t in taps(model) if t.default} == {1}
    assert default_taps(Fixed()) == tuple(f"encoder.layers.encoder_layer_{i}" for i in range(3))
    with pytest.raises(ModelError, match="size="):
        open_model(Fixed(name=None))
    assert open_model(Fixed(name=None), size=(32, 32)).size == (32, 32)


def test_class_names_of_a_configuration():
    net = made(RETURNS["logits"])
    net.config = SimpleNamespace(
        id2label={0: "tench, Tinca tinca", 1: "crane", 2: "owl", 3: "d"}, image_size=(16, 20)
    )
    assert open_model(net, **HALF).classes == ["tench", "crane", "owl", "d"]
    assert open_model(net, classes=list("abcd"), **HALF).classes == list("abcd")
    assert natural_size(net) == (16, 20)
    net.config.id2label = {0: "crane, bird", 1: "crane, machine", 2: "c", 3: "d"}
    assert class_names(net, 4) == ["crane, bird", "crane, machine", "c", "d"]
    assert class_names(net, 5) is None
    net.config.id2label = {1: "a", 2: "b", 3: "c", 4: "d"}
    assert class_names(net, 4) is None


@pytest.mark.parametrize(
    ("mean", "std", "says"),
    [
        ([0.5] * 3, None, "give both"),
        (None, [0.5] * 3, "give both"),
        ([0.5, 0.5], [0.5] * 3, "one per channel"),
        ([0.5], [0.0], "above 0"),
        ([float("nan")], [1], "above 0"),
        ("half", [1], "numbers"),
    ],
)
def test_normalisations_that_are_none(mean, std, says):
    with pytest.raises(ModelError, match=says) as caught:
        open_model(made(lambda x, y: y), mean=mean, std=std)
    assert str(caught.value).endswith(".")


def test_wrapping_keeps_precision_and_signals():
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten()).double()
    wrapped = wrap(net, [0.1, 0.2], [2, 4])
    assert isinstance(wrapped, Foreign)
    x = torch.rand(2, 2, 9, dtype=torch.float64)
    want = net(torch.stack([(x[:, 0] - 0.1) / 2, (x[:, 1] - 0.2) / 4], 1))
    torch.testing.assert_close(wrapped(x), want, rtol=1e-14, atol=1e-15)
    model = open_model(net, channels=2, size=(9,), mean=[0.1, 0.2], std=[2, 4])
    torch.testing.assert_close(model.module(x), want.detach(), rtol=1e-14, atol=1e-15)


# -- real networks, where installed -------------------------------------------------------------------------------

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
}


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


def check(model, size, blocks, prefix, head):
    """Taps, captures and replacements of a transformer whose blocks are modules ``blocks.N``."""
    net = model.module.net
    assert default_taps(model, size) == tuple(f"net.{blocks}.{i}" for i in (1, 2, 3))
    found = {t.path: t for t in taps(model, size)}
    grid = (size[0] // 8, size[1] // 8)
    last = found[f"net.{blocks}.3"]
    assert (last.kind, last.channels, last.grid, last.prefix) == ("tokens", 16, grid, prefix)
    assert find_head(model, size).tap == f"net.{head}"
    x = model.tensor(np.random.default_rng(0).random((2, *size, 3)).astype(np.float32))
    hidden = net(
        (x - 0.5) / 0.5, output_hidden_states=True
    ).hidden_states  # [0] is the input of the first block
    paths = [f"net.{blocks}.{i}" for i in range(3)] + [f"net.{blocks}.0@in"]
    logits, kept = capture(model, x, paths)
    torch.testing.assert_close(logits, model.module(x).detach())
    for i, path in enumerate(paths):
        tokens = hidden[i + 1 if i < 3 else 0].detach()
        assert kept[path].shape == (2, 16, *grid)
        torch.testing.assert_close(kept[path].flatten(2).transpose(1, 2), tokens[:, prefix:])
        torch.testing.assert_close(replace(model, x, path, kept[path]), logits)
        assert not torch.allclose(replace(model, x, path, kept[path].flip(1)), logits, atol=1e-4)


def test_transformers_vit(transformers):
    torch.manual_seed(0)
    config = transformers.ViTConfig(**SMALL, id2label={0: "cat, house cat", 1: "dog", 2: "owl"})
    net = transformers.ViTForImageClassification(config)
    torch.nn.init.normal_(net.classifier.weight)
    model = open_model(net, **HALF)
    assert (model.size, model.classes) == ((32, 32), ["cat", "dog", "owl"])
    blocks = next(n for n, m in net.named_modules() if isinstance(m, nn.ModuleList))
    check(model, (32, 32), blocks, 1, f"{blocks}.0@in")


@pytest.mark.parametrize("registers", [0, 4])
def test_transformers_dinov2_with_registers(transformers, registers):
    torch.manual_seed(0)
    config = transformers.Dinov2WithRegistersConfig(**SMALL, num_register_tokens=registers, num_labels=3)
    net = transformers.Dinov2WithRegistersForImageClassification(config)
    torch.nn.init.normal_(net.classifier.weight)
    model = open_model(net, **HALF)
    assert model.size is None, "it interpolates its positions"
    blocks = next(n for n, m in net.named_modules() if isinstance(m, nn.ModuleList))
    check(model, (48, 64), blocks, 1 + registers, f"{blocks}.0@in")


def test_transformers_encoder_without_classes(transformers):
    torch.manual_seed(0)
    net = transformers.Dinov2WithRegistersModel(
        transformers.Dinov2WithRegistersConfig(**SMALL, num_register_tokens=4)
    )
    model = open_model(net, **HALF)
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(model.module(x), net((x - 0.5) / 0.5).pooler_output)
    assert len(model.classes) == 16
    assert {t.prefix for t in taps(model, (32, 48)) if t.default} == {5}


def test_transformers_resnet(transformers):
    torch.manual_seed(0)
    sizes = {
        "embedding_size": 8,
        "hidden_sizes": [8, 12, 16, 20],
        "depths": [1, 1, 2, 1],
        "layer_type": "basic",
    }
    model = open_model(transformers.ResNetForImageClassification(transformers.ResNetConfig(**sizes)), **HALF)
    stage = "net.resnet.encoder.stages."
    assert default_taps(model) == (stage + "1", stage + "2", stage + "3")
    assert (find_head(model).kind, find_head(model).tap) == ("gap", stage + "3")
