"""The parts of the start page: examples that show what they promise, what lies in the folder, and uploads."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xai_views import apps, catalogue
from xai_views.contract import registry
from xai_views.errors import XaiViewsError
from xai_views.samples import dataset, open_samples
from xai_views.samples.uploaded import Uploaded
from xai_views_dashboard.shell import examples, found, offers, own, uploads
from xai_views_dashboard.shell.shelf import Shelf

# --- examples ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", examples.EXAMPLES, ids=lambda e: f"{e.key}-{e.model}")
def test_an_example_opens_what_is_there(example):
    kind = registry.load("apps", example.app)
    assert example.model in catalogue.models()
    names = [str(n) for n in open_samples(example.samples)["name"].values]
    state = kind.state_kind()(name="")
    assert state.restore(example.state, names) == []
    assert names[state.sample] == example.state["sample"]
    assert 2 <= example.guide.count(". ") + 1 <= 4


def test_removing_the_logo_changes_the_answer():
    import xai_views as xv

    example = next(e for e in examples.EXAMPLES if e.key == "shortcut")
    samples = open_samples(example.samples)
    one = samples.isel(sample=np.flatnonzero(samples["name"] == example.state["sample"]))
    cluster = json.loads(example.state["cluster"])
    whole = xv.explain(example.model, one, "nave").isel(sample=0)
    without = xv.explain(example.model, one, "nave", ablated=[cluster]).isel(sample=0)
    logo = one["part"].values[0] == list(one.attrs["parts"]).index("watermark")
    assert (whole["segment"].values[logo] == cluster).mean() > 0.8, "the chosen cluster is the logo"
    assert whole["cluster_contribution"].values[0].argmax() == cluster
    assert whole["logit"].values.argmax() == 4
    label = int(one["label"][0])
    assert without["ablated_logit"].values.argmax() == label
    assert f"becomes bird {label:02d}." in example.guide


def test_an_example_that_cannot_be_opened_is_left_out():
    kinds, sets = apps.classes(), catalogue.samples()
    models = {name: offers.model_offer(name, name) for name in catalogue.models()}
    assert {e.key for e in examples.shown(kinds, models, sets)} == {e.key for e in examples.EXAMPLES}
    assert examples.shown(kinds, {}, sets) == []
    missing = offers.Offer("efficientnet-lite0", "E", card={"weights": {"module": "not_installed_here"}})
    shown = examples.shown(kinds, {**models, "efficientnet-lite0": missing}, sets)
    assert [e.model for e in shown if e.key == "alike"] == ["birds-cnn"]


def test_the_guide_stays_with_its_model():
    assert "Remove cluster 2" in examples.guide("shortcut", "birds-cnn-watermark")
    assert examples.guide("shortcut", "birds-sic") == ""
    assert examples.guide("<script>", "birds-sic") == ""


# --- the current folder ------------------------------------------------------------------------------------


def test_what_lies_in_the_folder_is_found_and_not_run(tmp_path):
    (tmp_path / "mine.py").write_text("raise SystemExit('run')\ndef load():\n    pass\n")
    (tmp_path / "other.py").write_text("def load(path):\n    pass\n")
    (tmp_path / "broken.py").write_text("def load(:\n")
    (tmp_path / "run1").mkdir()
    for file in ("card.yaml", "model.safetensors"):
        (tmp_path / "run1" / file).touch()
    (tmp_path / "pictures" / "cats").mkdir(parents=True)
    (tmp_path / "pictures" / "cats" / "a.png").touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.png").touch()
    (tmp_path / "ecg").mkdir()
    (tmp_path / "ecg" / "r.hea").touch()
    here = found.found(tmp_path)
    assert here.models == ("mine.py:load", "run1/")
    assert here.samples == ("ecg/", "pictures/")
    assert str(tmp_path) not in str(here)
    assert found.found(tmp_path / "nowhere") == found.Found()


# --- uploads -----------------------------------------------------------------------------------------------


def test_an_upload_opens_under_a_name_that_cannot_be_guessed(samples):
    shelf = Shelf()
    image = np.zeros((90, 70, 3), np.uint8)
    names = {shelf.uploads.add(Uploaded("a.png", "image", ("a",), (image,))) for _ in range(3)}
    assert len(names) == 3
    name = names.pop()
    assert len(name) > 20
    assert shelf.asked({"model": [b"birds-cnn"], "samples": [name.encode()]}) == ("birds-cnn", name)
    model, opened = shelf.open("birds-cnn", name).result(60)
    assert opened["image"].shape == (1, *model.size, 3)
    links = own.ways(shelf, name)
    assert f"samples={name}" in links
    assert "ecg-resnet" not in links, "it takes signals"


def test_the_oldest_uploads_go_first_and_say_so(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_SETS", 2)
    shelf = Shelf()
    names = [
        shelf.uploads.add(Uploaded(f"{i}", "image", ("a",), (np.zeros((8, 8, 3), np.uint8),)))
        for i in range(2)
    ]
    shelf.open("birds-cnn", names[0]).result(60)
    shelf.uploads.add(Uploaded("third", "image", ("a",)))
    assert names[0] not in shelf.uploads
    assert names[1] in shelf.uploads
    assert ("birds-cnn", names[0]) not in shelf._open, "nor what was opened with it"
    with pytest.raises(XaiViewsError, match="upload them again"):
        shelf.asked({"samples": [names[0].encode()]})


async def test_what_cannot_be_read_is_one_sentence_beside_the_button():
    place = own.Upload(Shelf())
    await place.take(b"nothing", "x.exe")
    assert "of an unsupported type" in place.answer.objects[0].object
    data = dataset(np.zeros((1, 8, 8, 3), np.uint8))  # a Dataset is no file
    await place.take(data, "x.png")
    assert "choose one file" in place.answer.objects[0].object
