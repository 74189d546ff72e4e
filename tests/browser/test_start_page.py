"""The start page and error pages in a real browser: no errors, links, dark theme, usable at 390 px."""

from __future__ import annotations

import pytest
from acts import until
from playwright.sync_api import expect

from xai_views import catalogue
from xai_views_dashboard.shell import serving
from xai_views_dashboard.shell.shelf import app_of

pytestmark = pytest.mark.browser

FAILING = """
import panel as pn
import panel_material_ui as pmui
from xai_views.errors import XaiViewsError
from xai_views_dashboard.core.page import page, note

def known():
    raise XaiViewsError("The <b>layer</b> 'conv9' has no maps.")

def unknown():
    return 1 / 0

def half():
    pn.pane.Markdown("half a page").servable()
    raise KeyError("x")

def button():
    press = pmui.Button(label="Press")
    press.on_click(lambda event: 1 / 0)
    select = pmui.Select(label="Method", options=["a", "b"])
    return page("Buttons", [note("All is well."), press], sidebar=select, status=pn.pane.HTML("cpu, idle"))

apps = {"known": known, "unknown": unknown, "half": half, "button": button}
"""


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app([])


@pytest.fixture(scope="module")
def failing(serve_app):
    return serve_app(FAILING)


def opened(page, url: str):
    page.goto(url)
    page.get_by_role("heading", name="Look into a trained model").wait_for()
    return page


def width(page) -> int:
    """Return the right edge of the page's content in pixels, shadow roots included."""
    return page.evaluate(
        """() => {
          let right = document.documentElement.scrollWidth
          const visit = root => root.querySelectorAll("*").forEach(e => {
            if (e.closest("pre")) return
            right = Math.max(right, Math.round(e.getBoundingClientRect().right))
            if (e.shadowRoot) visit(e.shadowRoot)
          })
          visit(document)
          return right
        }"""
    )


def ground(page) -> tuple[int, ...]:
    colour = page.locator("main").evaluate("e => getComputedStyle(e).backgroundColor")
    return tuple(int(float(c)) for c in colour.strip("rgba()").split(",")[:3])


def test_it_lists_what_is_shipped_and_every_link_leads_somewhere(page, server):
    opened(page, server.url)
    expect(page).to_have_title("XAI Views")
    links = page.get_by_role("article").get_by_role("link")
    targets = [link.get_attribute("href") for link in links.all()]
    for name in catalogue.models():
        assert f"{app_of(name)}?model={name}" in targets
        images = app_of(name) != "ecg"
        assert (f"activations?model={name}" in targets) == images, (
            "every network of images can be opened there"
        )
    for target in dict.fromkeys(targets):
        assert server.get(f"/{target}", timeout=60)[0] == 200
    families = {name.partition("/")[0] for name in catalogue.samples()}
    assert page.get_by_role("article").count() >= len(catalogue.models()) + len(families)


def test_synthetic_data_are_labelled(page, server):
    opened(page, server.url)
    shipped = catalogue.samples().items()
    synthetic = {name.partition("/")[0] for name, path in shipped if catalogue.card(path).get("synthetic")}
    assert page.get_by_text("synthetic data", exact=True).count() >= len(synthetic) > 0


def test_a_link_opens_the_app(page, server):
    name = next(iter(catalogue.models()), None)
    if name is None:
        pytest.skip("No model is shipped yet.")
    opened(page, server.url)
    page.locator(f'a[href="{app_of(name)}?model={name}"]').first.click()
    page.wait_for_url(f"**/{app_of(name)}?model={name}*")
    page.locator("canvas").first.wait_for(timeout=60_000)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_dark_is_one_click_and_stays_over_pages(page, server):
    opened(page, server.url)
    assert until(page, lambda: min(ground(page)) > 200)
    page.get_by_label("Toggle theme").click()
    assert until(page, lambda: max(ground(page)) < 60)
    opened(page, server.url)
    assert until(page, lambda: max(ground(page)) < 60)
    opened(page, f"{server.url}/?theme=light")
    assert until(page, lambda: min(ground(page)) > 200)


def test_everything_fits_on_a_telephone(page, server):
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, server.url)
    assert until(page, lambda: width(page) <= 390)


def test_it_can_be_walked_with_the_tab_key(page, server):
    opened(page, server.url)
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate(
                """() => {
                  let e = document.activeElement
                  while (e && e.shadowRoot && e.shadowRoot.activeElement) e = e.shadowRoot.activeElement
                  return e ? e.getAttribute("href") || e.getAttribute("aria-label") || e.tagName : ""
                }"""
            )
        )
    assert "Toggle theme" in seen
    for name in list(catalogue.models())[:3]:
        assert f"{app_of(name)}?model={name}" in seen


def test_an_unknown_model_is_one_sentence(page, server):
    page.goto(f"{server.url}/sic?model=../../etc/passwd")
    page.get_by_role("alert").filter(has_text="There is no model '../../etc/passwd' here").wait_for()
    page.get_by_role("link", name="All apps, models and samples").click()
    page.get_by_role("heading", name="Look into a trained model").wait_for()


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("known", "The <b>layer</b> 'conv9' has no maps."),
        ("unknown", serving.FAILED),
        ("half", serving.FAILED),
    ],
)
def test_a_page_that_fails_shows_one_sentence(page, failing, path, sentence):
    page.goto(f"{failing.url}/{path}")
    expect(page.get_by_role("alert")).to_have_text(sentence)
    assert page.get_by_text("Traceback").count() == 0
    assert page.get_by_text("half a page").count() == 0


def test_a_callback_that_fails_shows_one_sentence(page, failing):
    page.goto(f"{failing.url}/button")
    page.get_by_role("button", name="Press").click()
    page.get_by_text(serving.FAILED_LATER).wait_for()


def test_the_drawer_starts_closed_on_a_telephone_only(page, failing):
    page.goto(f"{failing.url}/button")
    page.get_by_text("All is well.").wait_for()
    page.get_by_role("combobox", name="Method").wait_for()
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{failing.url}/button")
    page.get_by_text("All is well.").wait_for()
    page.get_by_label("Open drawer").wait_for()
    assert until(page, lambda: width(page) <= 390)
    page.get_by_label("Open drawer").click()
    page.get_by_role("combobox", name="Method").wait_for()


def test_the_status_line_is_at_the_bottom(page, failing):
    page.goto(f"{failing.url}/button")
    line = page.get_by_text("cpu, idle")
    line.wait_for()

    def bottom() -> float:
        box = line.bounding_box()
        return box["y"] + box["height"]

    assert until(page, lambda: bottom() > 860)


def test_other_origins_are_refused(page, failing):
    page.goto(f"{failing.url}/button")
    page.get_by_text("All is well.").wait_for()
    refused = page.evaluate(
        """() => new Promise(done => {
          document.addEventListener("securitypolicyviolation", e => done(e.blockedURI))
          const link = document.createElement("link")
          link.rel = "stylesheet"
          link.href = "https://fonts.googleapis.com/css?family=Open+Sans"
          document.head.append(link)
        })"""
    )
    assert "fonts.googleapis.com" in refused
    assert until(page, lambda: any("fonts.googleapis.com" in problem for problem in page.problems))
    page.problems.clear()


def test_a_password_opens_the_server(page, serve_app):
    server = serve_app(["--basic-auth", "secret"])
    page.goto(server.url)
    for password in ("wrong", "secret"):
        page.get_by_label("Name").fill("ann")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        if password == "wrong":
            expect(page.get_by_role("alert")).to_contain_text("Invalid")
    page.get_by_role("heading", name="Look into a trained model").wait_for()
