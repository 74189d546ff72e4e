"""Links, files and the pinned side in a real browser: copied, saved, opened offline, and seen in three clicks."""

from __future__ import annotations

import json

import pytest
from acts import query, until
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
PAGES = {"sic": "digits-sic", "activations": "birds-cnn", "ecg": "ecg-resnet"}
CASE = "Save case"


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app([])


def opened(page, server, app: str, more: str = ""):
    page.goto(f"{server.url}/{app}?model={PAGES[app]}{more}")
    page.locator("[data-state=idle]:not([data-key=''])").first.wait_for(timeout=90_000)
    expect(page.get_by_role("button", name="Copy link")).to_be_visible()


def menu(page):
    page.get_by_role("button", name="Save", exact=True).click()
    return page.get_by_role("menu", name="Save")


def saved(page, entry: str, folder):
    """Choose an entry of the menu and return the file that the browser saves."""
    with page.expect_download() as download:
        menu(page).get_by_role("menuitem", name=entry, exact=True).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_copied_link_opens_the_same_page(page, server):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page, server, "sic", "&theme=dark")
    page.keyboard.press("ArrowRight")
    until(page, lambda: "sample" in query(page))
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Link copied.")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert "theme" not in link, "how it looks is each reader's"
    wanted = query(page)["sample"]
    assert set(query(page)) == {"model", "theme", "v", "sample"}, "only what differs"
    page.goto(link)
    expect(page.get_by_role("region", name="Answer")).to_have_attribute("data-sample", wanted, timeout=60_000)


def test_the_menu_is_worked_by_keyboard_and_stays_on_the_screen(page, server):
    opened(page, server, "sic")
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 844})
        button = page.get_by_role("button", name="Save", exact=True)
        if not button.is_visible():
            continue
        sample = query(page).get("sample")
        button.focus()
        page.keyboard.press("ArrowDown")
        items = page.get_by_role("menuitem")
        expect(items.first).to_be_focused()
        page.keyboard.press("ArrowUp")
        expect(items.last).to_be_focused()
        box = page.get_by_role("menu").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= 844
        page.keyboard.press("Escape")
        expect(page.get_by_role("menu")).to_be_hidden()
        expect(button).to_be_focused()
        assert query(page).get("sample") == sample, "arrows in the menu are not those of the page"


@pytest.mark.parametrize("app", PAGES)
def test_a_report_opens_offline_and_asks_for_nothing(page, server, chromium, app, tmp_path):
    opened(page, server, app)
    report = saved(page, "Report (HTML)", tmp_path)
    context = chromium.new_context(offline=True, java_script_enabled=False)
    offline = context.new_page()
    requests, said = [], []
    offline.on("request", lambda r: requests.append(r.url))
    offline.on("console", lambda m: said.append(m.text))
    offline.goto(report.as_uri())
    for heading in ("Answer", "Pictures", "How the logit adds up", "Provenance"):
        expect(offline.get_by_role("heading", name=heading)).to_be_visible()
    expect(offline.get_by_role("heading", level=1)).to_have_count(1)
    expect(offline.get_by_role("link", name="Open this page in XAI Views")).to_have_attribute(
        "href", page.url + "&v=2"
    )
    assert [r for r in requests if not r.startswith(("file:", "data:"))] == []
    assert said == []
    pictures = offline.locator("figure img")
    for i in range(pictures.count()):
        assert pictures.nth(i).evaluate("e => e.complete && e.naturalWidth > 0")
    assert pictures.count() or offline.locator("figure svg").count()
    assert offline.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def test_pictures_and_tables_are_saved(page, server, tmp_path):
    opened(page, server, "ecg")
    assert saved(page, "Picture (PNG)", tmp_path).read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in saved(page, "Picture (SVG)", tmp_path).read_text(encoding="utf-8")
    table = saved(page, "Table (CSV)", tmp_path).read_text(encoding="utf-8")
    assert "# use: Not for clinical use" in table
    assert "cluster_contribution,cluster 0," in table


def test_a_case_is_saved_and_opened_again(page, server, tmp_path):
    opened(page, server, "sic")
    page.get_by_role("button", name="Hide output").click()
    page.get_by_role("textbox", name="Note").fill("odd one")
    page.get_by_role("textbox", name="Note").press("Tab")
    until(page, lambda: page.get_by_role("cell", name="odd one").count())
    entries = menu(page)
    expect(entries.get_by_role("menuitem", name="Report (HTML)")).to_have_attribute("aria-disabled", "true")
    expect(entries.get_by_role("menuitem", name="Report (HTML)")).to_contain_text(
        "The model's output is hidden."
    )
    page.keyboard.press("Escape")
    case = saved(page, CASE, tmp_path)
    assert json.loads(case.read_text(encoding="utf-8"))["cases"][0]["note"] == "odd one"
    opened(page, server, "sic")
    page.locator("input[type=file][aria-label='Case file']").set_input_files(case)
    expect(page.get_by_role("button", name="Show output")).to_be_visible()
    expect(page.get_by_role("textbox", name="Note")).to_have_value("odd one")
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    page.locator("input[type=file][aria-label='Case file']").set_input_files(bad)
    expect(page.get_by_text("not a case file")).to_be_visible()


@pytest.mark.parametrize("app", PAGES)
def test_two_samples_and_their_difference_in_three_clicks(page, server, app):
    opened(page, server, app)
    page.get_by_role("button", name="Pin", exact=True).click()
    page.get_by_role("button", name="Next", exact=False).first.click()
    table = page.get_by_role("region", name="Both answers")
    expect(table.get_by_role("columnheader", name="difference of logits")).to_be_visible()
    expect(page.get_by_role("tab", name="Pinned")).to_have_attribute("aria-selected", "true")
    assert query(page)["pinned"]
    box = until(page, lambda: page.get_by_role("tab", name="Pinned").bounding_box())
    assert until(page, lambda: page.get_by_role("tab", name="Pinned").bounding_box()["y"] < 400), box
