"""The transformer against a slow, simple version, and its checkpoint folder."""

import math

import pytest
import torch

from xai_views.errors import ModelError
from xai_views.models import load, save
from xai_views.models.checkpoint import build
from xai_views.models.families.vit.network import Attention, ViT

ARCHITECTURE = {
    "family": "vit",
    "channels": 3,
    "size": [16, 24],
    "classes": 5,
    "patch": 8,
    "dim": 12,
    "depth": 2,
    "heads": 3,
    "registers": 2,
}


def vit(seed=0, **changes):
    torch.manual_seed(seed)
    return build({**ARCHITECTURE, **changes}).eval()


def slow_attention(layer: Attention, x):
    """Loops over images, heads and tokens."""
    n, t, d = x.shape
    width = d // layer.heads
    out = torch.zeros_like(x)
    for i in range(n):
        qkv = x[i] @ layer.qkv.weight.T + layer.qkv.bias
        for h in range(layer.heads):
            q, k, v = (qkv[:, s * d + h * width : s * d + (h + 1) * width] for s in range(3))
            for a in range(t):
                weight = torch.stack([q[a] @ k[b] / math.sqrt(width) for b in range(t)]).softmax(0)
                out[i, a, h * width : (h + 1) * width] = sum(weight[b] * v[b] for b in range(t))
    return out @ layer.proj.weight.T + layer.proj.bias


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_attention_against_loops(dtype, close):
    torch.manual_seed(0)
    layer = Attention(12, 3).to(dtype)
    x = torch.randn(2, 5, 12, dtype=dtype)
    torch.testing.assert_close(layer(x), slow_attention(layer, x), rtol=0, atol=close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_step_by_step(dtype):
    net = vit().to(dtype)
    x = torch.rand(2, 3, 16, 24, dtype=dtype)
    patches = []
    for row in range(2):
        for col in range(3):
            cut = (x * 2 - 1)[:, :, row * 8 : row * 8 + 8, col * 8 : col * 8 + 8].flatten(1)
            weight = net.patch_embed.weight.flatten(1)
            patches.append(cut @ weight.T + net.patch_embed.bias + net.position[:, row * 3 + col])
    tokens = torch.cat([net.prefix_tokens.expand(2, -1, -1), torch.stack(patches, 1)], 1)
    torch.testing.assert_close(net.tokens(x), tokens, rtol=0, atol=1e-5)
    for block in net.blocks:
        tokens = tokens + block.attn(block.norm1(tokens))
        tokens = tokens + block.mlp(block.norm2(tokens))
    wanted = net.head(net.norm(tokens)[:, 0])
    torch.testing.assert_close(net(x), wanted, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("registers", [0, 4])
@pytest.mark.parametrize("stem", ["patch", "convolutions"])
def test_blocks_carry_prefix_and_grid(registers, stem):
    net = vit(registers=registers, stem=stem)
    assert (net.prefix, net.grid) == (1 + registers, (2, 3))
    seen = {}
    for name, module in net.named_modules():
        if name in ("blocks.0", "blocks.1"):
            module.register_forward_hook(lambda m, a, out, name=name: seen.update({name: out}))
    net(torch.rand(2, 3, 16, 24))
    assert {k: tuple(v.shape) for k, v in seen.items()} == {
        "blocks.0": (2, 7 + registers, 12),
        "blocks.1": (2, 7 + registers, 12),
    }


def test_a_patch_is_where_its_pixels_are():
    """Before the first block, a changed patch changes only its own token."""
    net = vit()
    x = torch.rand(1, 3, 16, 24)
    y = x.clone()
    y[:, :, 8:16, 16:24] += 0.1
    changed = (net.tokens(x) - net.tokens(y)).abs().sum(2)[0] > 0
    assert changed.tolist() == [False] * (net.prefix + 5) + [True]


@pytest.mark.parametrize("changes", [{}, {"stem": "convolutions"}, {"registers": 0}])
def test_round_trip_without_supports(tmp_path, changes):
    net = vit(**changes)
    card = {"name": "v", "classes": list("abcde"), "architecture": {**ARCHITECTURE, **changes}}
    save(tmp_path / "v", net, None, None, card)
    assert sorted(p.name for p in (tmp_path / "v").iterdir()) == ["card.yaml", "model.safetensors"]
    model = load(tmp_path / "v")
    x = torch.rand(2, 3, 16, 24)
    with torch.no_grad():
        assert torch.equal(model.module(x), net(x))
    assert isinstance(model.module, ViT)
    assert (model.supports, model.latents, model.size) == (None, None, (16, 24))
    save(tmp_path / "w", vit(1, **changes), None, None, card)
    assert load(tmp_path / "w").sha256 != model.sha256 == load(tmp_path / "v").sha256


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"patch": 7}, "do not tile 16x24"),
        ({"heads": 5}, "12 is not divisible by 5 heads"),
        ({"depth": 0}, "too small"),
        ({"registers": -1}, "too small"),
        ({"stem": "fir"}, "'fir' is not known"),
        ({"patch": "wide"}, "cannot be built"),
        ({"size": None}, "cannot be built"),
        ({"dim": None}, "cannot be built"),
    ],
)
def test_a_bad_card_is_one_sentence(changes, says):
    with pytest.raises(ModelError, match=says) as caught:
        vit(**changes)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_missing_entry_is_named():
    with pytest.raises(ModelError, match="lacks the entry 'patch'"):
        build({k: v for k, v in ARCHITECTURE.items() if k != "patch"})


def test_a_convolutional_stem_needs_a_power_of_two():
    with pytest.raises(ModelError, match="patches of 6 pixels"):
        vit(size=[12, 12], patch=6, stem="convolutions")
