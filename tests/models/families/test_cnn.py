"""Small convolutional network: logits are sums over positions, and its folder needs no supports."""

import pytest
import torch

from xai_views.errors import ModelError
from xai_views.models import load, save
from xai_views.models.checkpoint import build
from xai_views.models.families.cnn.network import CNN_PLAN

ARCHITECTURE = {"family": "cnn", "channels": 3, "size": [64, 64], "classes": 5, "plan": CNN_PLAN}


def cnn(seed=0, **changes):
    torch.manual_seed(seed)
    return build({**ARCHITECTURE, **changes}).eval()


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_every_position_adds_its_share(dtype, close):
    net = cnn().to(dtype)
    x = torch.rand(2, 3, 64, 64, dtype=dtype)
    last = net.layers(x * 2 - 1)
    assert last.shape == (2, 128, 8, 8)
    logits = net.head.bias.repeat(2, 1)
    for row in range(8):
        for col in range(8):
            logits = logits + last[:, :, row, col] @ net.head.weight.T / 64
    torch.testing.assert_close(net(x), logits, rtol=0, atol=close)


def test_round_trip_without_supports(tmp_path):
    net, card = cnn(), {"name": "c", "classes": list("abcde"), "architecture": ARCHITECTURE}
    save(tmp_path / "c", net, None, None, card)
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["card.yaml", "model.safetensors"]
    model = load(tmp_path / "c")
    for key, value in net.state_dict().items():
        assert torch.equal(model.module.state_dict()[key], value), key
    assert (model.supports, model.latents, model.size) == (None, None, (64, 64))
    save(tmp_path / "d", cnn(1), None, None, card)
    assert load(tmp_path / "d").sha256 != model.sha256 == load(tmp_path / "c").sha256
    (tmp_path / "c" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load(tmp_path / "c")


@pytest.mark.parametrize(
    "changes", [{"plan": 7}, {"plan": ["wide"]}, {"classes": "five"}, {"channels": None}]
)
def test_a_bad_card_is_one_sentence(changes):
    with pytest.raises(ModelError, match="cannot be built") as caught:
        cnn(**changes)
    assert "\n" not in str(caught.value)
