"""What people come for, walked as they would: a researcher, a clinician and a teacher, each in few clicks and keys."""

from __future__ import annotations

import json
import re
from urllib.parse import urlencode

import numpy as np
import pytest
from acts import PATIENCE, query, until, wait_query
from PIL import Image
from playwright.sync_api import expect

import xai_views as xv
from xai_views.engine.predictions import predict

pytestmark = pytest.mark.browser
OWN = """
import torch
import xai_views as xv

def load():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 2),
    )
    return xv.open_model(module, classes=["cat", "dog"], size=(32, 32))
"""
DRAWN = ".xv[data-state=idle]:not([data-key=''])"
#: What attributes say to people beside the text and the names of elements, in all shadow roots.
ATTRIBUTES = """() => {
  const said = [document.title];
  const look = (root) => {
    for (const e of root.querySelectorAll("*")) {
      if (e.closest("option, datalist")) continue; // every class is a choice
      for (const name of ["title", "alt", "aria-label", "aria-description", "aria-valuetext", "placeholder"])
        if (e.hasAttribute(name) && e.checkVisibility()) said.push(e.getAttribute(name));
      if (e.shadowRoot) look(e.shadowRoot);
    }
  };
  look(document);
  return said.join("\\n");
}"""


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app([])


@pytest.fixture
def page(page):
    """A page that also waits for a server with little of a processor."""
    page.set_default_timeout(3 * PATIENCE)
    return page


class Hand:
    """Clicks and keys, counted; choosing an option of a native list takes two."""

    def __init__(self, page):
        self.page, self.used = page, 0

    def click(self, locator, **options) -> None:
        locator.click(**options)
        self.used += 1

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.used += 1

    def choose(self, locator, option: str) -> None:
        locator.select_option(option)
        self.used += 2

    def used_at_most(self, number: int) -> None:
        """Compare what was used since the last call."""
        assert self.used <= number
        self.used = 0


def opened(page, server, app: str, **state: str) -> None:
    page.goto(f"{server.url}/{app}?{urlencode(state)}")
    page.locator(DRAWN).first.wait_for(timeout=3 * PATIENCE)


def answer(page):
    return page.get_by_role("region", name="Answer", exact=True)


def predicted(page) -> str:
    """The predicted class on the answer line, once it is there."""
    name = answer(page).locator(".xa-predicted")
    expect(name).not_to_be_empty()
    return name.inner_text()


# --- a researcher ------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    """A model in a file and a folder of images, one folder per class."""
    rng, photos = np.random.default_rng(0), tmp_path / "photos"
    for name in ("cat", "dog"):
        (photos / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(photos / name / f"{i}.png")
    (tmp_path / "mine.py").write_text(OWN)
    return f"{tmp_path}/mine.py:load", str(photos)


def test_own_model_and_folder_to_the_first_explanation(page, serve_app, own):
    model, photos = own
    server = serve_app(["--model", model, "--samples", photos, "--device", "cpu"])
    page.goto(server.url)
    hand = Hand(page)
    hand.click(page.get_by_role("region", name="Models").get_by_role("link", name="mine", exact=True))
    onward = page.get_by_role("link", name=re.compile("^Open it in"))
    page.locator(DRAWN).or_(onward).first.wait_for(timeout=3 * PATIENCE)
    if onward.count():  # what a model is shows when it is opened
        hand.click(onward)
    page.locator(DRAWN).first.wait_for(timeout=3 * PATIENCE)
    assert predicted(page) in {"cat", "dog"}
    expect(answer(page)).to_contain_text("/ 6")
    expect(page.locator(".xv-ledger tfoot")).to_contain_text("logit")
    hand.used_at_most(5)


def test_wrong_predictions_by_loss_and_two_of_them_side_by_side(page, server):
    samples = xv.open_samples("digits/test")
    steps = predict(xv.open_model("digits-sic"), samples)
    found = result_of(steps)
    names = samples["name"].values.astype(str)
    opened(page, server, "sic", model="digits-sic", samples="digits/test")
    hand, population = Hand(page), page.get_by_role("region", name="Population")
    expect(population.get_by_role("status")).to_contain_text(re.compile(r"\d+ errors?"), timeout=3 * PATIENCE)
    hand.click(population.get_by_role("checkbox", name="Errors only"))
    expect(answer(page)).to_contain_text(f"/ {found.errors}")
    expect(answer(page)).to_contain_text("wrong")
    hand.used_at_most(3)
    worst = found.ranked(np.flatnonzero(found.rows("errors")), "loss", descending=True)
    hand.click(population.get_by_role("checkbox", name="Descending"))
    hand.choose(population.get_by_role("combobox", name="Sort by"), "loss")
    first = names[np.flatnonzero(found.rows("errors"))[0]]  # it stays in view, at its place in the new order
    expect(answer(page)).to_contain_text(f"{names[worst].tolist().index(first) + 1} / {found.errors}")
    hand.used_at_most(3)
    hand.click(
        page.get_by_role("listbox", name="Samples"), position={"x": 25, "y": 25}
    )  # the first thumbnail
    expect(answer(page)).to_have_attribute("data-sample", names[worst[0]])
    hand.used_at_most(1)
    hand.click(page.get_by_role("button", name="Pin", exact=True))
    hand.press("ArrowRight")
    expect(answer(page)).to_have_attribute("data-sample", names[worst[1]])
    both = page.get_by_role("region", name="Both answers")
    wait_query(page, "pinned", names[worst[0]])
    expect(both.get_by_role("columnheader", name="difference of logits")).to_be_visible()
    hand.used_at_most(3)


def result_of(steps):
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_a_shortcut_is_removed_and_the_prediction_changes(page, server):
    page.goto(server.url)
    hand = Hand(page)
    hand.click(page.get_by_role("link", name="Find a shortcut"))
    page.locator(DRAWN).first.wait_for(timeout=3 * PATIENCE)
    assert predicted(page) == "bird 04"
    hand.click(page.get_by_role("button", name="Remove cluster 2"))
    expect(page.locator(".xv-ledger tfoot").first).to_contain_text(re.compile(r"0\.99\d* → 0\.0"))
    wait_query(page, "ablated", "[2]")
    hand.used_at_most(3)


# --- a clinician -------------------------------------------------------------------------------------------


def everything_said(page) -> str:
    """All that a person or a screen reader meets on a page, shadow roots included."""
    return f"{page.locator('body').aria_snapshot()}\n{page.evaluate(ATTRIBUTES)}"


@pytest.mark.parametrize(
    ("app", "model", "sample"),
    [
        ("ecg", "ecg-resnet", "ecg-test-00020"),
        ("sic", "birds-sic", "bird-test-00007"),
        ("activations", "birds-cnn", "bird-test-00007"),
    ],
)
def test_a_link_to_a_reading_hides_the_answer_everywhere_until_one_press(page, server, app, model, sample):
    opened(page, server, app, model=model, sample=sample, hidden="true")
    expect(page.get_by_text("The model's output is hidden. Press h")).to_be_visible()
    expect(answer(page)).to_have_attribute("data-sample", sample)
    before = everything_said(page)
    hand = Hand(page)
    hand.click(page.get_by_role("button", name="Show output"))
    name = predicted(page)
    hand.used_at_most(1)
    expect(page.get_by_role("tab").first).to_be_visible()
    assert name in everything_said(page), "the search finds what is there"
    assert lines_with(name, before) == []
    page.get_by_role("button", name="Hide output").click()
    expect(page.get_by_text("The model's output is hidden. Press h")).to_be_visible()
    assert until(page, lambda: lines_with(name, everything_said(page)) == []), lines_with(
        name, everything_said(page)
    )


def lines_with(name: str, text: str) -> list[str]:
    """The lines that hold a name as a word."""
    word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])", re.IGNORECASE)
    return [line for line in text.splitlines() if word.search(line)]


@pytest.mark.parametrize(("app", "model"), [("ecg", "ecg-resnet"), ("sic", "nuclei-sic")])
def test_a_medical_report_is_saved_in_two_clicks_and_opens_offline(
    page, server, chromium, app, model, tmp_path
):
    opened(page, server, app, model=model)
    name = predicted(page)
    hand = Hand(page)
    with page.expect_download(timeout=3 * PATIENCE) as download:
        hand.click(page.get_by_role("button", name="Save", exact=True))
        hand.click(page.get_by_role("menuitem", name="Report (HTML)"))
    hand.used_at_most(2)
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    context = chromium.new_context(offline=True)
    offline, asked = context.new_page(), []
    offline.on("request", lambda r: asked.append(r.url))
    offline.goto(file.as_uri())
    assert [r for r in asked if not r.startswith(("file:", "data:"))] == []
    for heading in ("Answer", "Pictures", "How the logit adds up", "Limits", "Provenance"):
        expect(offline.get_by_role("heading", name=heading)).to_be_visible()
    said = offline.locator("main")
    for part in (name, "Not for clinical use", model):
        expect(said).to_contain_text(part)
    figures = offline.locator("figure")
    assert figures.count()
    assert all(text.strip() for text in offline.locator("figure figcaption").all_inner_texts())
    assert re.search(r"[+−-]\d", figures.first.inner_text()), "a legend with its values"
    context.close()


# --- a teacher ---------------------------------------------------------------------------------------------

#: A page with edits of one sample, and where it says that something was changed.
EDITED = {
    "ecg": {
        "model": "ecg-resnet", "sample": "ecg-test-00004", "edits_made": json.dumps([{"kind": "mute", "lead": 1}]),
        "ablated": "[2]", "cluster": "3",
    },
    "activations": {"model": "birds-cnn", "sample": "bird-test-00003", "ablated": "[1]", "k": "6"},
    "sic": {"model": "digits-sic", "sample": "digit-0952", "target": "3", "per_class": "2"},
}  # fmt: skip
SAYS_SO = {"ecg": ".xa-note", "activations": ".xv-ledger tfoot tr:has-text('→')", "sic": ".xa-note"}


@pytest.mark.parametrize("app", EDITED)
def test_a_shared_link_with_edits_opens_alike_in_any_order(page, server, app):
    entries = list(EDITED[app].items())
    shown = []
    for order in (entries, entries[::-1]):
        opened(page, server, app, **dict(order))
        expect(answer(page)).to_have_attribute("data-sample", EDITED[app]["sample"])
        changed = page.locator(SAYS_SO[app]).first
        expect(changed).not_to_be_empty()
        sums = page.locator("tfoot:visible").first
        shown.append((predicted(page), changed.inner_text(), sums.inner_text()))
        assert {key: query(page)[key] for key, _ in entries} == dict(entries)
    assert shown[0] == shown[1]
