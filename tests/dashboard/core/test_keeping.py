"""Notes, labels and case files, and the files that a page makes of the sample in view."""

import asyncio
import base64
import json

import pytest

import xai_views as xv
from xai_views.contract import registry
from xai_views.errors import XaiViewsError
from xai_views_dashboard.core.keeping import exports
from xai_views_dashboard.core.keeping.cases import MOST_CASES, Case, CaseFile, read

PAGES = {
    "sic": ("digits-sic", "digits/test"),
    "activations": ("digits-sic", "digits/test"),
    "ecg": ("ecg-resnet", "ecg/test"),
}


@pytest.fixture(scope="module")
def opened():
    return {
        key: (xv.open_model(m), xv.open_samples(s).isel(sample=slice(0, 6))) for key, (m, s) in PAGES.items()
    }


@pytest.fixture
def open_page(opened):
    return lambda key="sic", **state: registry.load("apps", key)(*opened[key], **state)


def saved(app) -> str:
    return base64.b64decode(app.kept.menu.file["data"]).decode()


def choose(app, entry):
    app.kept.menu._handle_msg({"type": "choose", "id": entry})


# -- cases --------------------------------------------------------------------------------------------------------


def test_a_case_file_brings_state_notes_and_labels_back(open_page):
    app = open_page()
    names = app.session.names
    app.kept.editor.note.value = "first"
    app.state.sample = 2
    assert app.kept.editor.note.value == "", "each sample has its own"
    app.kept.editor.note.value, app.kept.editor.label.value = "seen <b>twice</b>", "my own class"
    app.state.param.update(per_class=4, region=[[1.0, 2.0], [3.0, 4.0], [5.0, 1.0]])
    choose(app, "case")
    text = saved(app)
    other = open_page(sample=1, smoothing=5)
    other.kept.menu._handle_msg({"type": "open", "text": text})
    assert (other.state.sample, other.state.per_class, other.state.smoothing) == (2, 4, app.state.smoothing)
    assert other.state.region == [[1.0, 2.0], [3.0, 4.0], [5.0, 1.0]]
    editor = other.kept.editor
    assert (editor.note.value, editor.label.value) == ("seen <b>twice</b>", "my own class")
    assert {r["sample"]: r["note"] for r in editor.listing.rows} == {
        names[0]: "first",
        names[2]: "seen <b>twice</b>",
    }
    editor._chosen(names[0])
    assert (other.state.sample, editor.note.value) == (0, "first")
    assert "Opened 2 cases." in other.kept.menu.said["text"]


def good(**changes):
    found = json.loads(CaseFile("sic", "m", "s", "x", (Case("a"),)).text())
    return json.dumps({**found, **changes})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a case file"),
        (json.dumps({"format": "other"}), "not a case file"),
        (good(v=99), "version 99"),
        (good(v="2"), "version 2"),
        (good(cases=[]), "damaged"),
        (good(cases=[{"sample": 3}]), "damaged"),
        (good(cases=[{"sample": "a", "state": {"k": 3}}]), "damaged"),
        (good(cases=[{"sample": "a", "state": [1]}]), "damaged"),
        (good(cases=[{"sample": "a"}] * (MOST_CASES + 1)), "damaged"),
        (good(model="x"), "damaged"),
        (good(samples="x" * 2_000_000), "larger than 1 MB"),
    ],
)
def test_files_that_are_no_case_files_are_refused_in_a_sentence(open_page, text, said):
    with pytest.raises(XaiViewsError, match=said):
        read(text)
    app = open_page(sample=3)
    app.kept.menu._handle_msg({"type": "open", "text": text})
    assert said in app.kept.menu.said["text"]
    assert app.state.sample == 3


def test_a_case_of_another_page_says_which_and_leads_there(open_page):
    ecg, sic = open_page("ecg", sample=1), open_page()
    choose(ecg, "case")
    sic.kept.menu._handle_msg({"type": "open", "text": saved(ecg)})
    said = sic.kept.menu.said
    assert "model 'ecg-resnet' with samples 'ecg/test' in the app 'ecg'" in said["text"]
    assert said["href"].startswith("ecg?model=ecg-resnet&samples=ecg%2Ftest&")
    found = json.loads(saved(ecg)) | {"app": "javascript:alert(1)//"}
    sic.kept.menu._handle_msg({"type": "open", "text": json.dumps(found)})
    assert sic.kept.menu.said["href"] == "", "only what is installed"


def test_other_weights_and_other_pixels_are_said(open_page):
    app = open_page()
    choose(app, "case")
    found = json.loads(saved(app))
    found["model"]["sha256"], found["cases"][0]["digest"] = "0" * 64, "0"
    app.kept.menu._handle_msg({"type": "open", "text": json.dumps(found)})
    said = app.kept.menu.said["text"]
    assert "weights of 'digits-sic' differ" in said
    assert "has changed since" in said


def test_a_case_of_an_upload_says_that_it_is_not_here(open_page):
    app = open_page()
    text = CaseFile(
        "sic", "digits-sic", app.model.sha256, "digits/test", (Case("upload-1", note="n"),)
    ).text()
    app.kept.menu._handle_msg({"type": "open", "text": text})
    assert "'upload-1' is not available here" in app.kept.menu.said["text"]


# -- the menu -----------------------------------------------------------------------------------------------------


def test_hidden_output_is_in_no_file(open_page):
    app = open_page(hidden=True)
    disabled = {e["id"]: e["disabled"] for e in app.kept.menu.entries}
    assert {n for n, reason in disabled.items() if not reason} == {"case", "open"}
    for entry in ("png", "svg", "csv", "tab", "report"):
        choose(app, entry)
        asyncio.run(app.kept.chosen(entry))
    assert app.kept.menu.file == {}
    app.state.hidden = False
    assert not {e["id"]: e["disabled"] for e in app.kept.menu.entries}["report"]


def test_output_that_is_hidden_meanwhile_is_not_saved(open_page, monkeypatch):
    app = open_page()

    async def slow(entry):
        app.state.hidden = True
        return "the answer", False

    monkeypatch.setattr(app.kept, "made", slow)
    asyncio.run(app.kept.chosen("report"))
    assert app.kept.menu.file == {}


def test_an_upload_is_not_in_a_link(open_page):
    app = open_page()
    assert app.kept.menu.remark == ""
    app.session.add(app.session.image(0))
    app.state.sample = len(app.session) - 1
    assert app.kept.menu.remark == "A copied link cannot include your image."


# -- files of the sample in view ----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", PAGES)
def test_report_and_table_are_those_of_the_explanation(open_page, key):
    app = open_page(key, sample=1)
    ds, wanted = asyncio.run(exports.explained(app)), app.result()
    assert ds.identical(wanted)
    table = asyncio.run(exports.table_of(app))
    assert f"# parameters: {wanted.attrs['parameters']}" in table
    logit = wanted["logit"].values[0]
    assert f"logit,{app.model.classes[int(logit.argmax())]},{float(logit.max())!r}" in table
    app.kept.write(note="my note", label="my label")
    page = asyncio.run(exports.report_of(app, app.kept.notebook.of(app.kept.sample)))
    for said in ("my note", "my label", wanted.attrs["model_sha256"], app.session.names[1], "probability"):
        assert said in page, said
    assert ("Not for clinical use" in page) == (key == "ecg")
    assert ("Synthetic data" in page) == (key == "ecg")
    assert "<svg" in page if key == "ecg" else "data:image/png" in page
    assert "<script" not in page


def test_the_table_of_the_open_tab(open_page):
    app = open_page()
    app.tabs.bring("Case")
    app.kept.write(note="n")
    app.kept.editor.read()
    table = exports.open_table_of(app)
    assert "# model_sha256:" in table
    assert table.splitlines()[-1].startswith(f"{app.kept.sample},,n,")
