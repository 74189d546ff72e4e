"""Checkpoint folders: saving and loading agree, and damage raises one sentence."""

import pickle
from dataclasses import fields

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from xai_views.errors import ModelError
from xai_views.models import Latents, Supports, load, open_model, save, select
from xai_views.models.bcos import add_inverse
from xai_views.models.checkpoint import build

ARCHITECTURE = {
    "family": "sic",
    "channels": 3,
    "size": [8, 8],
    "classes": 2,
    "plan": [[6, 3, 1, 2]],
    "latent": 5,
    "temperature": 4.0,
}


def write(folder):
    torch.manual_seed(0)
    net = build(ARCHITECTURE).eval()
    images = np.random.default_rng(0).integers(0, 255, (10, 8, 8, 3)).astype(np.uint8)
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        z = net.latent(add_inverse(x)).numpy()
    latents = Latents(z, np.arange(10) % 2, np.arange(10), "toys/train")
    rows, label = select(latents, 2, 2)
    supports = Supports(
        z[rows], label, rows, images[rows], np.random.default_rng(1).random((4, 8, 8), np.float32)
    )
    net.set_supports(torch.from_numpy(z[rows]), torch.from_numpy(label))
    save(
        folder,
        net,
        supports,
        latents,
        {"name": "toy", "classes": ["red", "blue"], "architecture": ARCHITECTURE},
    )
    return net, supports, latents, x


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "toy")
    return tmp_path / "toy"


def test_round_trip_is_exact_to_the_bit(tmp_path):
    net, supports, latents, x = write(tmp_path / "toy")
    model = load(tmp_path / "toy")
    for key, value in net.state_dict().items():
        assert torch.equal(model.module.state_dict()[key], value), key
    for kind, old, new in ((Supports, supports, model.supports), (Latents, latents, model.latents)):
        for f in fields(kind):
            a, b = getattr(old, f.name), getattr(new, f.name)
            np.testing.assert_array_equal(a, b)
            assert isinstance(a, str) or a.dtype == b.dtype
    with torch.no_grad():
        assert torch.equal(model.module(x), net(x))
    assert (model.name, model.classes, model.channels, model.size) == ("toy", ["red", "blue"], 3, (8, 8))
    assert not model.module.training
    assert not any(p.requires_grad for p in model.module.parameters())
    assert load(tmp_path / "toy").sha256 == model.sha256
    assert open_model(tmp_path / "toy").sha256 == model.sha256


def test_the_key_changes_with_anything_that_changes_an_answer(folder):
    before = load(folder).sha256
    card = yaml.safe_load((folder / "card.yaml").read_text())
    card["architecture"]["temperature"] = 5.0
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    assert load(folder).sha256 != before


def card(**changes):
    def change(folder):
        fields = yaml.safe_load((folder / "card.yaml").read_text())
        for key, value in changes.items():
            at, key = (fields["architecture"], key[5:]) if key.startswith("arch_") else (fields, key)
            if value is None:
                at.pop(key)
            else:
                at[key] = value
        (folder / "card.yaml").write_text(yaml.safe_dump(fields))

    return change


def tensors(name, change):
    def apply(folder):
        held = load_file(folder / f"{name}.safetensors")
        change(held)
        save_file(held, folder / f"{name}.safetensors")
        card(sha256={})(folder)

    return apply


def truncated(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    card(sha256={})(folder)


def pickled(folder):
    for path in folder.iterdir():
        path.unlink()
    (folder / "weights.pt").write_bytes(pickle.dumps({"a": 1}))


def disguised(folder):
    (folder / "model.safetensors").write_bytes(pickle.dumps({"a": 1}))
    card(sha256={})(folder)


def flipped(folder):
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(data))


DAMAGES = {
    "unknown key": (tensors("model", lambda t: t.update(extra=torch.zeros(1))), "'extra'"),
    "missing key": (tensors("model", lambda t: t.pop("projection.weight")), "'projection.weight'"),
    "wrong shape": (tensors("model", lambda t: t.update({"projection.weight": torch.zeros(5, 9)})), "[5, 9]"),
    "other plan": (card(arch_plan=[[6, 5, 1, 2]]), "[6, 6, 5, 5]"),
    "pickle folder": (pickled, "weights.pt"),
    "pickle in disguise": (disguised, "not a complete safetensors file"),
    "truncated": (truncated, "not a complete safetensors file"),
    "one bit": (flipped, "sha256"),
    "no card": (lambda f: (f / "card.yaml").unlink(), "card.yaml"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors"),
    "no supports": (lambda f: (f / "supports.safetensors").unlink(), "supports.safetensors"),
    "no yaml": (lambda f: (f / "card.yaml").write_text("a: [1, {\nb"), "not YAML"),
    "yaml list": (lambda f: (f / "card.yaml").write_text("- 1\n- 2\n"), "not YAML"),
    "binary card": (lambda f: (f / "card.yaml").write_bytes(b"\xff\xfe\x00"), "not YAML"),
    "code in yaml": (
        lambda f: (f / "card.yaml").write_text("a: !!python/object/apply:os.getcwd []"),
        "not YAML",
    ),
    "other family": (card(arch_family="resnet"), "'resnet'"),
    "no entry": (card(arch_latent=None), "'latent'"),
    "plan of words": (card(arch_plan=["wide", "deep"]), "architecture"),
    "plan of nothing": (card(arch_plan=7), "architecture"),
    "no classes": (card(classes=None), "class names"),
    "too few classes": (card(classes=["red"]), "1 class names"),
    "sha256 of nothing": (card(sha256="abc"), "mapping"),
    "supports of another size": (
        tensors("supports", lambda t: t.update(vectors=torch.zeros(4, 9))),
        "size 5",
    ),
    "supports without maps": (tensors("supports", lambda t: t.pop("self_contribution")), "self_contribution"),
    "supports of other lengths": (
        tensors("supports", lambda t: t.update(label=torch.zeros(3).long())),
        "[3, 4]",
    ),
    "supports of other classes": (
        tensors("supports", lambda t: t.update(label=torch.full((4,), 2))),
        "2 classes",
    ),
    "latents without labels": (tensors("latents", lambda t: t.pop("label")), "label"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_one_sentence(folder, damage):
    harm, says = DAMAGES[damage]
    harm(folder)
    with pytest.raises(ModelError) as caught:
        load(folder)
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert len(message) < 300, message
    assert message.endswith(".")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("w.pt", "pickle"),
        ("w.pkl", "pickle"),
        ("w.onnx", "is a file"),
        ("nowhere", "no model or folder"),
        (".", "card.yaml"),
    ],
)
def test_paths_that_are_no_checkpoint(tmp_path, name, says):
    if "." in name[1:]:
        (tmp_path / name).write_bytes(pickle.dumps(1))
    with pytest.raises(ModelError, match=says) as caught:
        open_model(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_missing_latents_are_no_damage(folder):
    (folder / "latents.safetensors").unlink()
    assert load(folder).latents is None
