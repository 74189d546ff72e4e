"""The ECG app in a real browser: codebook, two records, uploads, the address, narrow pages, and permanent notes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from acts import changed, tab, table, until, wait_query
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
RECORD = "ecg-test-00002"
# What reaches beyond the right edge, other than tables and tabs, which scroll by themselves.
WIDE = """() => {
  const found = [];
  const look = (root) => {
    for (const e of root.querySelectorAll("button, input, table, p")) {
      const box = e.getBoundingClientRect();
      const shown = box.width && e.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true});
      if (shown && box.right > 391 && !e.closest(".xl-scroll, .xv-toolbar, [role=tablist]")) found.push(e.outerHTML.slice(0, 90));
    }
    for (const e of root.querySelectorAll("*")) if (e.shadowRoot) look(e.shadowRoot);
  };
  look(document);
  return found;
}"""


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app([])


def opened(page, server, query: str = f"&sample={RECORD}"):
    """Open the app and wait for its first record."""
    page.goto(f"{server.url}/ecg?model=ecg-resnet{query}")
    root = page.locator(".xe").first
    root.wait_for(timeout=90_000)
    page.locator(".xe[data-state=idle]:not([data-key=''])").first.wait_for(timeout=60_000)
    return root


def test_another_codebook_colours_every_record_anew(page, server):
    root = opened(page, server, f"&sample={RECORD}&k=4")
    tab(page, "Codebook")
    table(page, "The clusters of the codebook").locator("tbody tr").nth(7).wait_for()
    changed(page, root, page.get_by_role("button", name="Fit codebook").click)
    page.get_by_text("4 clusters of").wait_for(timeout=90_000)
    rows = table(page, "The clusters of the codebook").locator("tbody tr")
    expect(rows).to_have_count(4)
    named = root.locator("[data-cluster]:visible")
    assert until(page, lambda: set(named.all_inner_texts()) <= {"0", "1", "2", "3"})
    rows.first.click()
    wait_query(page, "cluster", "0")
    tab(page, "Ledger")
    ledger = table(page, "What each cluster contributes")
    ledger.locator('tr.xl-selected[data-id="0"]').wait_for()
    expect(ledger.locator("tbody tr")).to_have_count(4)


def test_two_records_share_one_limit(page, server):
    opened(page, server, f"&sample={RECORD}&shown=contribution")
    tab(page, "Compare")
    page.get_by_text("Choose another record").wait_for()
    field = page.get_by_role("combobox", name="Another record", exact=True)
    field.click()
    page.get_by_role("option").nth(100).wait_for(state="attached")  # all records at once
    field.fill("00003")  # any part of the name
    page.get_by_text("ecg-test-00003", exact=True).last.click()
    wait_query(page, "beside", "record:ecg-test-00003")
    papers = page.locator(".xe[data-state=idle]:not([data-key=''])")
    papers.nth(2).wait_for(timeout=30_000)
    limits = [papers.nth(i).locator(".xv-scale") for i in (1, 2)]
    assert until(page, lambda: len({e.get_attribute("data-limit") for e in limits}) == 1)
    answers = table(page, "Both predictions").locator("tbody tr")
    answers.nth(1).wait_for()
    expect(answers.nth(0)).to_contain_text("ecg-test-00002 (ecg-resnet)")
    expect(answers.nth(1)).to_contain_text("ecg-test-00003 (ecg-resnet)")
    page.locator("p", has_text="Both records share the codebook").wait_for()


def csv(seconds: float = 6, rate: int = 250) -> bytes:
    """Two leads with a beat every 0.8 s, in mV."""
    t = np.arange(0, seconds, 1 / rate)
    beat = np.exp(-((((t + 0.4) % 0.8) - 0.4) ** 2) / (2 * 0.012**2))
    lines = "\n".join(f"{a:.3f},{b:.4f},{0.7 * b:.4f}" for a, b in zip(t, beat, strict=True))
    return f"time,I (mV),II (mV)\n{lines}\n".encode()


def upload(page, name: str, data: bytes) -> None:
    page.locator("input[type=file]:not([aria-label='Case file'])").set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": data}
    )


def test_an_uploaded_record_is_brought_to_the_network_and_a_bad_file_is_a_sentence(page, server):
    root = opened(page, server)
    tab(page, "Your record")
    upload(page, "mine.csv", csv())
    page.wait_for_function(
        "e => e.dataset.key.startsWith('upload-1|') && e.dataset.state === 'idle'", arg=root.element_handle()
    )
    row = table(page, "Your records on this page").locator("tbody tr").first
    for said in ("upload-1", "mine.csv", "2 leads, 6.0 s at 250 Hz", "resampled to 400 Hz", "V1"):
        expect(row).to_contain_text(said)
    for name, data, sentence in (
        ("bad.csv", b"these,are\nno,numbers\n", "The file has no sampling rate"),
        ("cut.zip", b"PK\x03\x04 not more", "is not a complete .zip"),
        ("empty.csv", b"", "The upload is empty"),
    ):
        upload(page, name, data)
        alert = page.locator("p").filter(has_text=sentence).first
        alert.wait_for()
        assert "Traceback" not in alert.inner_text()
        assert alert.inner_text().count("\n") == 0
    assert root.get_attribute("data-key").startswith("upload-1|"), "nothing else changed"
    assert table(page, "Your records on this page").locator("tbody tr").count() == 1
    tab(page, "Ledger")
    page.locator("p", has_text="the network's logit for").wait_for()


def test_what_a_file_does_not_say_is_asked_on_the_page(page, server):
    root = opened(page, server)
    tab(page, "Your record")
    plain = "\n".join(["I,II", *(f"{a:.4f},{b:.4f}" for a, b in np.sin(np.arange(3000)[:, None] / (9, 12)))])
    upload(page, "plain.csv", plain.encode())
    page.get_by_text("The file has no sampling rate. Enter it in Hz").wait_for()
    field = page.get_by_label("Sampling rate (Hz)")
    field.fill("250")
    field.press("Enter")
    page.get_by_role("button", name="Read file again").click()
    page.wait_for_function(
        "e => e.dataset.key.startsWith('upload-1|') && e.dataset.state === 'idle'", arg=root.element_handle()
    )
    row = table(page, "Your records on this page").locator("tbody tr").first
    for said in ("2 leads, 12.0 s at 250 Hz", "the network uses 10.2 s of it", "no unit given: mV assumed"):
        expect(row).to_contain_text(said)


def test_the_address_restores_the_page(page, server):
    query = (
        "&sample=ecg-test-00005&cluster=3&shown=contribution&target=3&truth=true&tab=Edit&interval=%5B1,0.5,1.5%5D"
        "&edits_made=%5B%7B%22kind%22:%22mute%22,%22lead%22:7%7D%5D&names=%7B%223%22:%22my%20name%22%7D"
    )
    root = opened(page, server, query)
    page.get_by_text("V2 muted.").wait_for()
    expect(root).to_have_attribute("data-key", re.compile(r"^ecg-test-00005\|"))
    expect(page.get_by_role("tab", name="Edit")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("combobox", name="Explained class")).to_have_text("wide QRS")
    expect(page.get_by_role("switch", name="Ground truth")).to_be_checked()
    expect(page.get_by_label("From (s)")).to_have_value("0.5")
    root.locator('[data-cluster="3"][aria-pressed=true]', has_text="my name").wait_for()
    root.locator(".xv-scale", has_text="wide QRS").wait_for()


def test_a_wrong_state_in_the_address_is_a_sentence_for_each_mistake(page, server):
    opened(page, server, "&k=99&shown=magic&edits_made=%5B%7B%22kind%22%3A%22x%22%7D%5D&interval=%5B1,2%5D")
    for said in ("k to '99'", "shown to 'magic'", "sets edits_made", "sets interval"):
        expect(page.get_by_role("alert").first).to_contain_text(said)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("model=ecg-resnot", "There is no model 'ecg-resnot' here; the nearest: 'ecg-resnet'"),
        ("model=ecg-resnet&samples=nothing", "There are no samples 'nothing' here"),
        (
            "model=ecg-resnet&samples=birds/test",
            "these samples are images, and the ECG explorer needs ECG records",
        ),
    ],
)
def test_a_wrong_model_or_samples_is_a_sentence(page, server, query, said):
    page.goto(f"{server.url}/ecg?{query}")
    page.get_by_role("alert").filter(has_text=said).wait_for(timeout=60_000)
    page.get_by_role("link", name="XAI Views").first.wait_for()


def test_a_model_of_images_is_opened_by_the_app_that_can(page, server):
    page.goto(f"{server.url}/ecg?model=birds-cnn")
    page.get_by_role("note").filter(has_text="ECG cannot open birds-cnn").wait_for(timeout=60_000)
    page.get_by_role("link", name="Open it in Activations").wait_for()


def test_a_narrow_page_does_not_scroll_sideways_and_says_what_it_is_not(page, server):
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, server)
    expect(page.get_by_role("note").filter(has_text="Not for clinical use").first).to_be_visible()
    first, second = (
        page.get_by_role("combobox", name=name, exact=True).bounding_box()
        for name in ("Explanation", "Explained class")
    )
    assert first["y"] == pytest.approx(second["y"], abs=2), "two controls side by side"
    for name in ("Ledger", "Edit", "Records", "Codebook", "Compare"):
        tab(page, name)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        wide = page.evaluate(WIDE)
        assert not wide, name
