"""The ECG app in a real browser: every pair of linked views, the address, and errors."""

from __future__ import annotations

import re

import numpy as np
import pytest
from acts import at_rest, becomes, changed, choose, number, press, query, tab, table, until, wait_query
from acts import pixels as shown
from playwright.sync_api import expect

from xai_views.views.ecg_paper.layout import LEADS, sheet

pytestmark = pytest.mark.browser
RECORD = "ecg-test-00002"


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


def wait_default(page, key: str) -> None:
    """Wait until the address does not name a parameter, which then has its default."""
    page.wait_for_function("k => !new URLSearchParams(location.search).has(k)", arg=key)


def ledger(page):
    """The ledger's table, once it has rows."""
    found = table(page, "What each cluster contributes")
    found.locator("tbody tr").first.wait_for()
    return found


def closing(page):
    """The line that closes the ledger."""
    return page.locator("p", has_text="the network's logit for").first


def place(root, lead: str, time: float, down: float = 1.0) -> tuple[float, float]:
    """The point of the window that shows a time of a lead, ``down`` mm under the top of its row."""
    canvas = root.locator(".xe-sheet")
    canvas.scroll_into_view_if_needed()
    box, ppm = canvas.bounding_box(), float(root.get_attribute("data-ppm"))
    segments = sheet("3x4+1", LEADS, bands=True).segments
    s = next(s for s in segments if LEADS[s.lead] == lead and s.start <= time < s.stop)
    return box["x"] + (s.x + (time - s.start) * 25) * ppm, box["y"] + (s.y + down) * ppm


def pixels(root) -> np.ndarray:
    return shown(root.locator(".xe-sheet"))


def coloured(root) -> float:
    """Share of the paper that has the colours of clusters, which are stronger than the pink of its grid."""
    shot = pixels(root)
    return float((shot.max(-1) - shot.min(-1) > 80).mean())


def test_arrow_keys_scrub_and_the_ledger_follows_and_adds_up(page, server):
    root = opened(page, server)
    for key, name in (("ArrowRight", "ecg-test-00003"), ("ArrowLeft", RECORD)):
        ledger(page)
        root.focus()
        words = becomes(page, lambda key=key: page.keyboard.press(key), closing(page))
        wait_query(page, "sample", name)
        expect(root).to_have_attribute("data-key", re.compile(rf"^{name}\|"))
        parts = {k: number(v) for k, v in re.findall(r"(\w+) ([+−]?[\d.]+)", words)}
        rows = [number(t) for t in ledger(page).locator(".xl-figure").all_inner_texts()]
        assert sum(rows) == pytest.approx(parts["clusters"], abs=5e-4 * (len(rows) + 1))
        assert sum(parts[k] for k in ("bias", "clusters", "padding", "residual")) == pytest.approx(
            number(re.search(r"= ([+−][\d.]+),", words)[1]), abs=3e-3
        )


def test_a_cluster_is_chosen_on_the_paper_and_in_the_ledger(page, server):
    root = opened(page, server)
    rows = ledger(page)
    at_rest(root.locator(".xe-sheet"))
    before = coloured(root)
    at = place(root, "II", 1.3)
    page.mouse.move(*at)
    said = root.locator(".xe-readout", has_text="cluster")
    said.wait_for()
    chosen = re.search(r"cluster (\d+)", said.inner_text())[1]
    page.mouse.click(*at)
    rows.locator("tr.xl-selected").wait_for()
    expect(rows.locator("tr.xl-selected")).to_have_attribute("data-id", chosen)
    wait_query(page, "cluster", chosen)
    assert until(page, lambda: coloured(root) < 0.6 * before), "all but the chosen cluster step back"
    other = rows.locator("tbody tr:not(.xl-selected)").first
    wanted = other.get_attribute("data-id")
    other.click()
    root.locator(f'[data-cluster="{wanted}"][aria-pressed=true]').wait_for()
    expect(root.locator("[data-cluster][aria-pressed=true]")).to_have_count(1)
    root.focus()
    page.keyboard.press("Escape")
    wait_default(page, "cluster")
    expect(rows.locator("tr.xl-selected")).to_have_count(0)
    assert until(page, lambda: coloured(root) == pytest.approx(before, rel=0.02))


def test_a_click_in_the_table_of_records_opens_one(page, server):
    root = opened(page, server)
    tab(page, "Records")
    listing = table(page, "All records")
    page.get_by_text("150 records; 146 of 150 classified correctly.").wait_for(timeout=90_000)
    choose(page, "Rows", "label-quality queue")
    page.get_by_text(re.compile(r"^\d+ of 150 records")).wait_for()
    names = [r.get_attribute("data-id") for r in listing.locator("tbody tr").all()]
    changed(page, root, listing.locator(f'tr[data-id="{names[1]}"]').click)
    wait_query(page, "sample", names[1])
    listing.locator(f'tr.xl-selected[data-id="{names[1]}"]').wait_for()


def test_the_explained_class_changes_strip_legend_and_ledger(page, server):
    root = opened(page, server, f"&sample={RECORD}&shown=contribution")
    legend = root.locator(".xv-scale")
    ledger(page)
    choose(page, "Explained class", "wide QRS")
    root.locator(".xv-scale", has_text="wide QRS").wait_for()
    page.locator("p", has_text="the network's logit for wide QRS").wait_for()
    limit = legend.get_attribute("data-limit")
    before = at_rest(root.locator(".xe-sheet"))
    becomes(page, lambda: choose(page, "Explained class", "normal"), ledger(page))
    root.locator(".xv-scale", has_text="normal").wait_for()
    expect(legend).not_to_have_attribute("data-limit", limit)
    assert until(page, lambda: np.abs(pixels(root) - before).mean() > 0.1)


def test_a_brushed_interval_fills_the_fields(page, server):
    root = opened(page, server)
    tab(page, "Edit")
    start = page.get_by_label("From (s)")
    start.wait_for()
    page.keyboard.down("Shift")
    page.mouse.move(*place(root, "V1", 5.4, 12))
    page.mouse.down()
    page.mouse.move(*place(root, "V1", 6.2, 12), steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.wait_for_function("() => (new URLSearchParams(location.search).get('interval') ?? '').length > 4")
    for field, wanted in ((start, 5.4), (page.get_by_label("To (s)"), 6.2)):
        near = pytest.approx(wanted, abs=0.02)
        assert until(page, lambda field=field, near=near: float(field.input_value() or -1) == near)
    expect(page.get_by_role("combobox", name="Lead", exact=True)).to_have_text("V1")
    chip = root.locator(".xe-chip", has_text="of the absolute contribution (all leads)")
    chip.wait_for()
    sheet_box, box = root.locator(".xe-stage").bounding_box(), chip.bounding_box()
    assert sheet_box["y"] <= box["y"]
    assert box["y"] + box["height"] <= sheet_box["y"] + sheet_box["height"], "the result stands on the paper"
    root.focus()
    page.keyboard.press("Escape")
    expect(chip).to_be_hidden()


def test_muting_a_lead_changes_the_answer_and_undo_restores_it(page, server):
    root = opened(page, server)
    tab(page, "Edit")
    answer = table(page, "Prediction before and after the edits")
    answer.locator("tbody tr").first.wait_for()
    same = [r.split("\t") for r in answer.locator("tbody tr").all_inner_texts()]
    assert all(r[1] == r[2] for r in same)
    choose(page, "Lead", "V3")
    changed(page, root, lambda: press(page, "Mute lead"))
    page.get_by_text("V3 muted.").wait_for()

    def edited() -> bool:
        rows = [r.split("\t") for r in answer.locator("tbody tr").all_inner_texts()]
        kept = [r[1] for r in rows if r[0] == same[0][0]] == [same[0][1]]
        return kept and any(r[1] != r[2] for r in rows)

    assert until(page, edited)
    root.focus()
    changed(page, root, lambda: page.keyboard.press("u"))
    page.get_by_text(re.compile("^No edits yet")).wait_for()
    assert until(page, lambda: answer.locator("tbody tr").all_inner_texts() == ["\t".join(r) for r in same])


def test_the_output_of_the_model_is_hidden_everywhere(page, server):
    root = opened(page, server)
    rows = root.locator("[data-cluster]:visible")
    rows.first.wait_for()
    assert until(page, lambda: coloured(root) > 0.01)
    says = root.locator(".xe-sheet").get_attribute("aria-label")
    assert "predicts" in says
    press(page, "Hide output")
    wait_query(page, "hidden", "true")
    assert until(page, lambda: coloured(root) < 0.0005), "paper and trace alone"
    expect(rows).to_have_count(0)
    expect(root.locator(".xe-ledger")).to_be_hidden()
    expect(root.locator(".xe-legend")).to_be_hidden()
    assert root.locator(".xe-sheet").get_attribute("aria-label") == f"{RECORD}: 12 leads, 10.0 s."
    page.mouse.move(*place(root, "II", 1.3))
    said = root.locator(".xe-readout", has_text="lead II")
    said.wait_for()
    assert "cluster" not in said.inner_text()
    words = root.evaluate("e => e.getRootNode().textContent")
    assert "anterior ST elevation" not in words, "nor in the text twin"
    root.focus()
    page.keyboard.press("h")
    wait_default(page, "hidden")
    assert until(page, lambda: coloured(root) > 0.01)


def test_ground_truth_draws_brackets(page, server):
    root = opened(page, server)
    ledger(page)  # the page has loaded: what is changed before may be lost
    before = at_rest(root.locator(".xe-sheet"))
    changed(page, root, page.get_by_role("switch", name="Ground truth").click)
    page.mouse.move(5, 5)

    def differs() -> bool:
        return (np.abs(pixels(root) - before).max(-1) > 60).any(-1).mean() > 0.01

    assert until(page, differs)
    root.focus()
    changed(page, root, lambda: page.keyboard.press("t"))  # the paper's key and the switch are one setting
    expect(page.get_by_role("switch", name="Ground truth")).not_to_be_checked()
    assert until(page, lambda: not differs())


def test_a_cluster_is_removed_beside_the_paper_and_belongs_to_its_record(page, server):
    root = opened(page, server)
    remove, after = root.locator(".xe-act", has_text="Remove cluster"), root.locator(".xe-after")
    expect(remove).to_be_disabled()
    rows = root.locator(".xe-ledger tbody tr")
    cluster = rows.first.get_attribute("data-id")
    rows.first.locator("button").click()
    wait_query(page, "cluster", cluster)
    changed(page, root, remove.click)
    expect(after).to_contain_text(
        re.compile(r"anterior ST elevation: logit [+−][\d.]+ → [+−][\d.]+, probability")
    )
    expect(root.locator(".xe-edits")).to_have_text(
        f"Edits apply to {RECORD} only; they are dropped when you open another record."
    )
    wait_query(page, "ablated", f"[{cluster}]")
    expect(root.locator(".xe-removed")).to_have_attribute("data-id", cluster)
    changed(page, root, root.locator(".xe-act", has_text="Reset").click)
    expect(after).to_be_hidden()
    changed(page, root, root.locator(".xe-act", has_text="Undo").click)
    expect(after).to_be_visible()
    changed(page, root, lambda: page.keyboard.press("ArrowRight"))
    expect(after).to_be_hidden()
    wait_default(page, "ablated")
    expect(root.locator(".xe-removed")).to_have_count(0)


def test_a_cluster_is_named(page, server):
    root = opened(page, server)
    rows = ledger(page)
    rows.locator("tbody tr").first.click()
    cluster = rows.locator("tbody tr").first.get_attribute("data-id")
    wait_query(page, "cluster", cluster)
    page.get_by_label("Name of the selected cluster").fill("the <b>ST</b>")
    changed(page, root, lambda: page.keyboard.press("Enter"))
    page.locator(".xl-selected", has_text="the <b>ST</b>").wait_for()
    root.locator(f'[data-cluster="{cluster}"]', has_text="the <b>ST</b>").wait_for()
    assert until(page, lambda: "ST" in query(page)["names"])


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (1440, 900)])
def test_paper_and_ledger_stand_on_the_first_screen(page, server, width, height):
    page.set_viewport_size({"width": width, "height": height})
    root = opened(page, server, f"&sample={RECORD}&shown=contribution")
    tabs = page.get_by_role("tab", name="Why?", exact=True)
    tabs.wait_for()

    def whole(locator) -> bool:
        box = locator.bounding_box()
        return (
            bool(box)
            and box["x"] >= 0
            and box["x"] + box["width"] <= width
            and box["y"] + box["height"] <= height - 26
        )

    for part in (".xe-sheet", ".xe-toolbar", ".xe-ledger", ".xe-ledger .xe-sum", ".xe-acts", ".xe-scale"):
        assert until(page, lambda part=part: whole(root.locator(part))), part
    assert until(page, lambda: whole(tabs)), "the questions"
    paper, bill = root.locator(".xe-sheet").bounding_box(), root.locator(".xe-ledger").bounding_box()
    assert paper["x"] + paper["width"] <= bill["x"], "beside the paper"
    assert root.locator(".xe-toolbar").bounding_box()["height"] <= 36, "one row"
    assert float(root.get_attribute("data-ppm")) >= 2.1
    assert "fitted to the window" in root.locator(".xe-line").inner_text()


def test_the_arrow_keys_scrub_again_after_a_control_was_used(page, server):
    root = opened(page, server)
    root.locator("select[name=gain]").select_option("20")
    root.locator("summary", has_text="Display").click()
    root.get_by_label("Stripe uncertain clusters").click()
    page.keyboard.press("Escape")
    changed(page, root, lambda: page.keyboard.press("ArrowRight"))
    wait_query(page, "sample", "ecg-test-00003")
