"""Another package adds samples, a family of networks and a recipe with one line each, without a change of our files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = '''
"""Dots: bright ones and dark ones."""

import numpy as np
import param
import torch
from xai_views.contract.family import Family
from xai_views.contract.sample_set import SampleFamily
from xai_views.kinds.image import dataset
from xai_views.training.recipe import TrainingRecipe


class Dots(SampleFamily):
    """Dots, made when they are looked at."""

    names = ("dots/train", "dots/test")
    made = {"dots/train": "", "dots/test": ""}
    trained = "Trained on dots."

    def open(self, name, folder, card):
        label = np.arange(20) % 2
        image = np.random.default_rng(len(name)).integers(0, 100, (20, 8, 8, 1)) + 150 * label[:, None, None, None]
        return dataset(image.astype(np.uint8), label, classes=card["classes"], title=name)


class Brightness(torch.nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.head = torch.nn.Linear(1, classes)

    def forward(self, x):
        return self.head(x.mean((2, 3)))


class BrightnessFamily(Family):
    """Networks that see how bright an image is."""

    names = ("bright-by-name",)
    outputs = frozenset({"logits", "heat map"})

    def build(self, architecture):
        return Brightness(architecture["classes"])

    def open(self, name):
        from xai_views.models import open_model
        return open_model(Brightness(2), channels=1, name=name)


class BrightnessRecipe(TrainingRecipe):
    """A network that sees how bright an image is."""

    key, family = "brightness", "brightness"
    presets = {"dots": {"batch": 4}}
    epochs = param.Integer(3, bounds=(1, None), doc="passes")
    strength = param.Number(1.0, bounds=(0, None), doc="how strongly it learns, 100% is 1")

    def architecture(self, data):
        return {"family": self.family, **data.inputs(), "classes": len(data.classes)}
'''

LINES = """
[xai_views.samples]
dots = alien:Dots
broken = alien_that_is_not_there:Nothing
[xai_views.families]
brightness = alien:BrightnessFamily
[xai_views.recipes]
brightness = alien:BrightnessRecipe
"""

CARD = "name: dots\ntitle: Dots, test set\nclasses: [dark, bright]\nsynthetic: true\nlicence: MIT\norigin: alien\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """An installed package folder, as pip would create it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "alien.py").write_text(CODE)
    (folder / "dots").mkdir()
    (folder / "dots" / "card.yaml").write_text(CARD)
    info = folder / "alien-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: alien\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(LINES)
    return folder


def command(place: Path, *words: str) -> str:
    path = os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=place,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_list_names_what_it_adds(place):
    said = command(place, "-m", "xai_views.cli", "list")
    lines = {" ".join(line.split()) for line in said.splitlines()}
    assert "brightness Networks that see how bright an image is." in lines
    assert "brightness A network that sees how bright an image is." in lines
    assert {"dots/test Dots, test set, synthetic", "dots/train Dots, test set, synthetic"} <= lines
    assert "birds/test" in said, "shipped sets are listed too"
    assert "Skipped the samples broken" in said


def test_its_samples_and_networks_open_by_name(place):
    code = (
        "import xai_views as xv\n"
        "ds = xv.open_samples('dots', split='test')\n"
        "print(ds.attrs['classes'], ds.attrs['title'], dict(ds.sizes)['sample'])\n"
        "model = xv.open_model('bright-by-name')\n"
        "print(model.name, model.module(model.tensor(xv.samples.images(ds, [0]))).shape)\n"
    )
    said = command(place, "-c", code)
    assert "['dark', 'bright'] dots/test 20" in said
    assert "bright-by-name torch.Size([1, 2])" in said


@pytest.mark.slow
def test_its_recipe_is_a_command_whose_network_opens(place, tmp_path):
    train = ("-m", "xai_views.cli", "train")
    assert "A network that sees how bright an image is" in command(place, *train, "--help")
    said = command(place, *train, "brightness", "--help")
    assert "--strength STRENGTH" in said
    assert "100% is 1 (default: 1.0)" in " ".join(said.split())
    out = tmp_path / "net"
    command(place, *train, "brightness", "--samples", "dots", "--out", str(out), "--quiet", "--strength", "2")
    code = (
        "import sys, xai_views as xv\n"
        "model = xv.open_model(sys.argv[1])\n"
        "card = model.card\n"
        "print(sorted(model.outputs), card['family'], card['kind'], card['note'], card['samples'])\n"
        "print(card['recipe']['batch'], card['recipe']['strength'], card['command'].partition('--out')[0])\n"
    )
    said = command(place, "-c", code, str(out))
    assert "['heat map', 'logits'] brightness image Trained on dots. dots/test" in said
    assert "4 2.0 xai-views train brightness --samples dots" in said
