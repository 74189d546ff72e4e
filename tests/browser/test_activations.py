"""The Activations app in a real browser: every pair of linked views, the address, and errors."""

from __future__ import annotations

import numpy as np
import pytest
from acts import at_rest, changed, number, query, tab, until, wait_query
from acts import pixels as shown
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
MODEL = "birds-sic"


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app([])


def opened(page, server, query: str = "", model: str = MODEL):
    """Open the app and wait for its first picture."""
    page.goto(f"{server.url}/activations?model={model}{query}")
    root = page.locator(".xv").first
    root.wait_for(timeout=90_000)
    page.locator(".xv[data-state=idle]:not([data-key=''])").first.wait_for(timeout=60_000)
    return root


def rows(page) -> list[str]:
    """The ids of the ledger's lines."""
    return [r.get_attribute("data-row") for r in page.locator(".xv-ledger tbody tr").all()]


def footer(page) -> dict[str, str]:
    lines = page.locator(".xv-ledger tfoot tr").all()
    return {r.locator("th").inner_text(): r.locator("td").inner_text() for r in lines}


def pixels(page, tile: str) -> np.ndarray:
    return shown(page.locator(f"[data-tile='{tile}']").first)


def click(page, tile: str, x: float, y: float) -> None:
    box = page.locator(f"[data-tile='{tile}']").first.bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def test_the_ledger_adds_up(page, server):
    opened(page, server)
    lines = footer(page)
    parts = [number(t) for t in page.locator(".xv-ledger tbody .xv-number").all_inner_texts()]
    total = number(lines["sum of the clusters"])
    assert sum(parts) == pytest.approx(total, abs=5e-4 * len(parts))
    rest = number(lines["bias"]) + number(lines["residual (not attributed to clusters)"])
    assert total + rest == pytest.approx(number(lines["the network's logit"]), abs=5e-4)


def test_a_click_on_the_map_chooses_the_cluster_everywhere(page, server):
    root = opened(page, server)
    before = at_rest(page.locator("[data-tile='sample']").first)
    click(page, "sample", 0.5, 0.5)
    page.locator(".xv-ledger tr.xv-selected").wait_for()
    chosen = page.locator(".xv-ledger tr.xv-selected").get_attribute("data-row")
    wait_query(page, "cluster", chosen)
    page.mouse.move(5, 5)
    darker = until(page, lambda: pixels(page, "sample").mean() < before.mean() - 5)
    assert darker, "all but the chosen cluster step back"
    expect(page.locator("p", has_text="of the positions").first).to_contain_text(f"Cluster {chosen}")
    click(page, "sample", 0.5, 0.5)  # again: nothing is chosen
    page.wait_for_function("() => !new URLSearchParams(location.search).has('cluster')")
    page.mouse.move(5, 5)
    assert until(page, lambda: np.abs(pixels(page, "sample") - before).mean() < 3)
    root.focus()
    page.keyboard.press("ArrowDown")
    page.locator(".xv-ledger tr.xv-selected").wait_for()
    wait_query(page, "cluster", rows(page)[0])


def test_k_follows_the_keys_and_keeps_nested_clusters(page, server):
    root = opened(page, server)
    lines = page.locator(".xv-ledger tbody tr")
    expect(lines).to_have_count(5)
    root.focus()
    changed(page, root, lambda: page.keyboard.press("]"))
    expect(lines).to_have_count(6)
    changed(page, root, lambda: page.keyboard.press("["))
    changed(page, root, lambda: page.keyboard.press("["))
    expect(lines).to_have_count(4)
    wait_query(page, "k", "4")


def test_weights_change_the_clusters(page, server):
    root = opened(page, server)
    tab(page, "Layers")
    slider = page.get_by_role("slider", name="encoder.layers.11").first
    slider.wait_for()
    before = at_rest(page.locator("[data-tile='sample']").first)
    slider.focus()
    changed(page, root, lambda: page.keyboard.press("End"))
    assert until(page, lambda: query(page)["weights"].startswith("["))
    assert until(page, lambda: np.abs(pixels(page, "sample") - before).mean() > 1)


def test_hovering_says_cluster_second_best_and_layers(page, server):
    opened(page, server)
    box = page.locator("[data-tile='sample']").first.bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    words = page.locator(".xv-read", has_text="second-best cluster").first
    words.wait_for()
    text = words.inner_text()
    assert "cluster" in text
    assert text.count("share of") == 3


def test_a_cluster_is_removed_beside_the_ledger_and_brought_back(page, server):
    root = opened(page, server)
    click(page, "sample", 0.5, 0.5)
    chosen = page.locator(".xv-ledger tr.xv-selected").get_attribute("data-row")
    logit = footer(page)["the network's logit"]
    edits = page.locator(".xv-acts")
    changed(page, root, edits.get_by_role("button", name=f"Remove cluster {chosen}").click)
    after = footer(page)
    assert after["the network's logit"] == logit
    before, removed = after["logit, before → after removal"].split(" → ")
    assert before == logit != removed
    expect(edits).to_contain_text("Edits apply to bird-test-00000 only.")
    changed(page, root, edits.get_by_role("button", name="Undo").click)
    assert "logit, before → after removal" not in footer(page)
    tab(page, "Cluster")
    changed(page, root, page.get_by_role("button", name="Keep only this cluster").click)
    wait_query(page, "keep", "true")


def test_a_name_is_shown_in_the_ledger_and_kept_in_the_address(page, server):
    root = opened(page, server)
    click(page, "sample", 0.5, 0.5)
    tab(page, "Cluster")
    field = page.get_by_label("Name of this cluster")
    page.wait_for_function("e => !e.disabled", arg=field.element_handle())
    field.fill("the <b>bird</b>")
    changed(page, root, lambda: page.keyboard.press("Enter"))
    expect(page.locator(".xv-ledger tr.xv-selected")).to_contain_text("the <b>bird</b>")
    assert until(page, lambda: "bird" in query(page)["names"])


def test_similar_places_follow_the_click(page, server):
    opened(page, server)
    tab(page, "Similar positions")
    page.locator("[data-tile='layer-0']").first.wait_for()
    page.locator(".xv[data-state=idle] [data-tile='layer-0']").first.wait_for()
    before = at_rest(page.locator("[data-tile='layer-2']").first)
    click(page, "layer-0", 0.1, 0.1)
    page.wait_for_function("() => location.search.includes('place=%5B')")
    page.mouse.move(5, 5)
    assert until(page, lambda: np.abs(pixels(page, "layer-2") - before).mean() > 1)


def test_each_depth_has_its_clusters(page, server):
    opened(page, server)
    tab(page, "Depth")
    page.get_by_text("effective").nth(1).wait_for()
    page.get_by_text("ARI").nth(1).wait_for()


def test_models_are_compared_on_one_scale(page, server):
    opened(page, server, "&compared=%5B%22birds-vit%22%5D")
    tab(page, "Compare models")
    page.locator("[data-tile='clusters-1']").wait_for()
    page.locator("table", has_text="ARI with this model").locator("tbody tr").nth(1).wait_for(timeout=30_000)
    for tile in ("clusters-0", "clusters-1", "parts-0", "parts-1", "difference"):
        assert until(page, lambda tile=tile: pixels(page, tile).std() > 3), tile
    click(page, "clusters-1", 0.5, 0.5)
    page.locator(".xv-ledger tr.xv-selected").wait_for()


def test_the_sample_follows_strip_and_keys(page, server):
    root = opened(page, server)
    first = query(page).get("sample")
    root.focus()
    changed(page, root, lambda: page.keyboard.press("ArrowRight"))
    page.wait_for_function("f => new URLSearchParams(location.search).get('sample') !== f", arg=first)


def test_the_address_restores_the_page(page, server):
    opened(page, server, "&k=7&cluster=2&weights=equal&shown=entropy")
    expect(page.locator(".xv-ledger tbody tr")).to_have_count(7)
    expect(page.locator(".xv-ledger tr.xv-selected")).to_have_attribute("data-row", "2")
    expect(page.get_by_role("combobox", name="Main picture")).to_have_text("uncertainty")


def test_a_wrong_address_is_a_sentence_for_each_mistake(page, server):
    opened(page, server, "&k=99&mode=magic&touched=%5B%7B%22kind%22%3A%22x%22%7D%5D&taps=5")
    for said in ("sets k to '99'", "sets mode to 'magic'", "sets touched", "sets taps"):
        expect(page.get_by_role("alert").first).to_contain_text(said)


def test_a_narrow_page_has_no_sideways_scroll_and_a_long_title_leaves_room(page, server):
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, server, model="birds-cnn-watermark")
    assert until(page, lambda: page.evaluate("document.documentElement.scrollWidth") <= 390)
    box = page.get_by_label("Toggle theme").bounding_box()
    assert box["x"] + box["width"] <= 390
