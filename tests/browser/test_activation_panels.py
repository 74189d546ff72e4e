"""The panels of the Activations app in a real browser: codebook, saliency, edits of the photo, tokens, uploads."""

from __future__ import annotations

import re

import numpy as np
import pytest
from acts import at_rest, choose, tab, until
from acts import pixels as shown
from PIL import Image
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
MODEL = "birds-cnn-watermark"


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app([])


def opened(page, server, query: str = "", model: str = MODEL):
    """Open the app and wait for its first picture."""
    page.goto(f"{server.url}/activations?model={model}{query}")
    page.locator(".xv[data-state=idle]:not([data-key=''])").first.wait_for(timeout=90_000)
    return page.locator(".xv").first


def pixels(page, tile: str) -> np.ndarray:
    return shown(page.locator(f"[data-tile='{tile}']").first)


def drawn(page, tile: str) -> None:
    """Wait until a tile of a panel has its picture."""
    page.locator(f"[data-tile='{tile}']").first.wait_for()
    page.wait_for_function(
        """(tile) => { const find = (r) => { for (const e of r.querySelectorAll('*')) {
            if (e.matches(`[data-tile='${tile}']`)) return e
            if (e.shadowRoot) { const x = find(e.shadowRoot); if (x) return x } } }
            return find(document)?.closest('.xv')?.dataset.state === 'idle' }""",
        arg=tile,
        timeout=30_000,
    )
    page.wait_for_timeout(300)


def test_the_codebook_names_the_watermark_and_its_crops_lead_to_samples(page, server):
    opened(page, server, "&k=8&target=4")
    tab(page, "Codebook")
    page.get_by_role("button", name="Fit on all samples").click()
    table = page.locator("table", has_text="share of all positions")
    table.locator("tbody tr").nth(7).wait_for(timeout=90_000)
    page.wait_for_function("() => new URLSearchParams(location.search).get('mode') === 'codebook'")
    table.locator("tbody tr").first.click()
    page.wait_for_function("() => Number(new URLSearchParams(location.search).get('cluster')) >= 0")
    film = page.get_by_role("listbox", name="Best crops of the selected cluster")
    film.wait_for()
    sample = page.evaluate("new URLSearchParams(location.search).get('sample')")
    box = film.bounding_box()
    page.mouse.click(box["x"] + 180, box["y"] + 36)
    page.wait_for_function("s => new URLSearchParams(location.search).get('sample') !== s", arg=sample)


def test_saliency_raw_and_on_superpixels(page, server):
    opened(page, server)
    tab(page, "Saliency")
    drawn(page, "difference")
    page.get_by_text("of the map's variance").wait_for()
    expect(page.locator("table", has_text="share / area").locator("tbody tr")).to_have_count(5)
    before = at_rest(page.locator("[data-tile='read']").first)
    choose(page, "Saliency map Attribution method or control.", "random")
    page.get_by_text("random for").first.wait_for()
    assert until(page, lambda: np.abs(pixels(page, "read") - before).mean() > 0.5)


def test_saliency_methods_are_compared_by_known_part(page, server):
    opened(page, server, model="birds-cnn")
    tab(page, "Methods by part")
    page.get_by_role("button", name="Evaluate saliency methods").click()
    table = page.locator("table", has_text="rank, superpixels")
    table.wait_for(timeout=90_000)
    expect(table.locator("tbody tr").last).to_contain_text("chance")
    expect(page.get_by_text("superpixels change the order")).to_contain_text("Kendall")


def test_relevance_curves_grow_and_can_be_stopped(page, server):
    opened(page, server)
    tab(page, "Saliency")
    drawn(page, "raw")
    go = page.get_by_role("button", name="Draw relevance curves")
    go.click()
    page.get_by_role("button", name="Cancel").first.click()
    page.wait_for_function("e => !e.disabled", arg=go.element_handle(), timeout=30_000)
    go.click()
    page.locator("table", has_text="order inside a region").locator("tbody tr").nth(4).wait_for(
        timeout=90_000
    )
    page.get_by_text("depending on").wait_for()


def test_touching_the_photo_changes_the_answer_and_undo_brings_it_back(page, server):
    opened(page, server, "&target=4")
    tab(page, "Edit")
    drawn(page, "after-photo")
    before = at_rest(page.locator("[data-tile='after-photo']").first)
    page.get_by_role("button", name="Apply to brushed region").click()
    page.get_by_role("alert").filter(has_text="No region is brushed").wait_for()
    box = page.locator("[data-tile='before-photo']").first.bounding_box()
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + 4, box["y"] + 0.6 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.8 * box["height"])
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + box["height"] - 4)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.wait_for_function("() => (new URLSearchParams(location.search).get('region') ?? '[]').length > 4")
    page.get_by_role("button", name="Apply to brushed region").click()
    page.get_by_text("1 edit: ").wait_for()
    assert until(page, lambda: np.abs(pixels(page, "after-photo") - before).mean() > 0.5)
    page.get_by_role("button", name="Undo edit").click()
    page.get_by_text("No edits yet").wait_for()


def test_factorization_stands_beside_kmeans(page, server):
    opened(page, server)
    tab(page, "Factorization")
    drawn(page, "dff")
    table = page.locator("table", has_text="explained variance")
    table.locator("tbody tr").nth(2).wait_for(timeout=30_000)
    for peer in ("k-means", "Deep Feature Factorization"):
        table.locator("tbody tr td:first-child", has_text=re.compile(rf"^{peer}$")).wait_for()


def test_what_the_caches_answer_at_once_is_written_too(page, server):
    """Results that arrived before the browser had loaded the page were lost and never sent again."""
    for _ in range(3):  # the first visit fills the caches
        opened(page, server, "&cluster=1&tab=0&k=6")
        page.get_by_text("of the positions").first.wait_for(timeout=15_000)
        page.locator("table", has_text="Shapley").locator("tbody tr").nth(1).wait_for(timeout=15_000)


@pytest.mark.parametrize("model", ["birds-vit", "birds-vit-registers"])
def test_norms_and_fragmentation_of_tokens(page, server, model):
    opened(page, server, model=model)
    tab(page, "Norms")
    drawn(page, "norm-2")
    page.locator("table", has_text="scattered clusters").locator("tbody tr").nth(2).wait_for(timeout=30_000)


def test_an_own_image_is_clustered(page, server, tmp_path):
    file = tmp_path / "grey.png"
    Image.fromarray(np.tile(np.arange(90, dtype=np.uint8), (120, 1))).save(file)
    root = opened(page, server)
    tab(page, "Your image")
    page.set_input_files("input[type=file]:not([aria-label='Case file'])", file)
    page.get_by_text("upload-1: cropped").wait_for(timeout=30_000)  # the picture's title begins alike
    page.wait_for_function(
        "e => e.dataset.state === 'idle' && e.dataset.key.startsWith('upload-1|')",
        arg=root.element_handle(),
        timeout=30_000,
    )
