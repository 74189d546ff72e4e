"""The start page and error pages in a real browser: no errors, links, dark theme, usable at 390 px."""

from __future__ import annotations

import io
import re
import zipfile

import pytest
from acts import query, until
from PIL import Image
from playwright.sync_api import expect

from xai_views import catalogue
from xai_views.samples import open_samples
from xai_views_dashboard.shell import serving
from xai_views_dashboard.shell.examples import EXAMPLES
from xai_views_dashboard.shell.offers import model_offer, reasons
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
    page.get_by_role("heading", name="Look inside a trained model").wait_for()
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
    table = page.get_by_role("region", name="Models", exact=True)
    targets = [link.get_attribute("href") for link in page.locator("section a").all()]
    for name in catalogue.models():
        offer = model_offer(name, name)
        assert table.get_by_role("link", name=offer.title, exact=True).count() == 1
        for app, reason in reasons(offer).items():
            assert (f"./{app}?model={name}" in targets) == (not reason)
    for target in dict.fromkeys(targets):
        assert server.get(target.removeprefix("."), timeout=60)[0] == 200
    tasks = page.locator("section", has=page.get_by_role("heading", name="Tasks"))
    assert tasks.get_by_role("article").count() == len({e.key for e in EXAMPLES})
    data = page.locator("section", has=page.get_by_role("heading", name="Data sets"))
    assert data.get_by_role("article").count() == len({n.partition("/")[0] for n in catalogue.samples()})


def test_each_set_says_whether_it_is_synthetic_or_real(page, server):
    opened(page, server.url)
    for name, path in catalogue.samples().items():
        row = page.get_by_role("article").get_by_role("row").filter(has=page.get_by_text(name, exact=True))
        kind = "synthetic" if catalogue.card(path).get("synthetic") else "real"
        expect(row.get_by_text(kind, exact=True)).to_have_count(1)


def test_few_words_stand_on_the_first_screen(page, server):
    opened(page, server.url)
    words = page.locator(".hero").inner_text() + " ".join(
        page.get_by_role("heading", level=2).all_inner_texts()
    )
    assert len(words.split()) <= 60
    assert page.get_by_role("heading", level=1).count() == 1


def test_the_command_is_copied(page, server):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page, server.url)
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.get_by_role("region", name="Command").inner_text()
    assert copied.startswith("xai-views serve --model ")


def test_nothing_takes_a_path_or_code(page, server):
    opened(page, server.url)
    assert page.get_by_role("textbox").count() == 0


def test_uploaded_images_open_in_the_apps_that_take_them(page, server, tmp_path):
    images = open_samples("birds/test")["image"].values[:3]
    file = tmp_path / "my birds.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for i, image in enumerate(images):
            out = io.BytesIO()
            Image.fromarray(image).save(out, "PNG")
            archive.writestr(f"bird {i}.png", out.getvalue())
    opened(page, server.url)
    page.locator("input[type=file]").set_input_files(file)
    ways = page.get_by_role("status").filter(has_text="my birds.zip")
    expect(ways).to_contain_text("3 images")
    ways.get_by_role("link", name="SIC on birds").click()
    page.locator("canvas").first.wait_for()
    expect(page.get_by_role("combobox", name="Samples", exact=True)).to_have_value("my birds.zip")
    page.get_by_role("link", name="Activations", exact=True).click()
    page.wait_for_url("**/activations?*samples=upload-*")
    expect(page.get_by_role("combobox", name="Samples", exact=True)).to_have_value("my birds.zip")
    page.locator("canvas").first.wait_for()


def test_a_task_opens_with_its_guide(page, server):
    opened(page, server.url)
    page.get_by_role("link", name="Find a shortcut").click()
    guide = page.get_by_role("complementary", name="Guide")
    expect(guide).to_contain_text("Press “Remove cluster 2”")
    page.get_by_role("button", name="Close the guide").click()
    expect(guide).to_have_count(0)


# --- the header --------------------------------------------------------------------------------------------


def test_model_and_samples_travel_from_app_to_app(page, server):
    page.goto(f"{server.url}/sic?model=birds-sic&samples=birds/train&sample=bird-train-00003")
    header = page.get_by_role("navigation", name="Apps")
    expect(header.get_by_role("link", name="SIC", exact=True)).to_have_attribute("aria-current", "page")
    header.get_by_role("link", name="Activations", exact=True).click()
    page.wait_for_url("**/activations?*")
    assert {k: query(page)[k] for k in ("model", "samples", "sample")} == {
        "model": "birds-sic",
        "samples": "birds/train",
        "sample": "bird-train-00003",
    }
    expect(page.get_by_role("combobox", name="Model", exact=True)).to_have_value("SIC on birds")


def test_an_app_that_cannot_open_the_model_says_why_and_leads_nowhere(page, server):
    page.goto(f"{server.url}/sic?model=birds-sic")
    link = page.get_by_role("link", name="ECG", exact=True)
    expect(link).to_have_attribute("aria-disabled", "true")
    expect(link).to_have_accessible_description(re.compile("signals"))
    link.focus()
    expect(page.locator(".tip")).to_contain_text("signals")
    link.press("Enter")
    assert "/sic" in page.url


def test_a_model_is_found_by_typing_and_opens_where_it_can(page, server):
    page.goto(f"{server.url}/sic?model=birds-sic")
    model = page.get_by_role("combobox", name="Model", exact=True)
    options = page.get_by_role("listbox", name="Model", exact=True).get_by_role("option")
    model.click()
    expect(options).to_have_count(len(catalogue.models()))
    model.fill("vision no reg")
    expect(options).to_have_count(1)
    model.press("Escape")
    expect(model).to_have_value("SIC on birds")
    model.click()
    model.fill("vision no reg")
    model.press("Enter")
    page.wait_for_url(re.compile(r"/activations\?model=birds-vit\b"))


def test_samples_that_do_not_fit_cannot_be_chosen(page, server):
    page.goto(f"{server.url}/sic?model=birds-sic")
    samples = page.get_by_role("combobox", name="Samples", exact=True)
    samples.click()
    samples.fill("digits/test")
    option = page.locator(".choice", has=samples).get_by_role("option")
    expect(option).to_have_attribute("aria-disabled", "true")
    expect(option).to_contain_text("28 × 28")
    samples.press("Enter")
    expect(option).to_be_visible()
    assert "digits" not in page.url


def test_an_app_asked_to_open_what_it_cannot_leads_to_the_app_that_can(page, server):
    page.goto(f"{server.url}/ecg?model=birds-sic")
    page.get_by_text("ECG cannot open birds-sic").wait_for()
    page.get_by_role("link", name="Open it in SIC").click()
    page.wait_for_url("**/sic?model=birds-sic*")


def test_samples_that_cannot_be_opened_leave_the_choices(page, server):
    page.goto(f"{server.url}/sic?model=digits-sic&samples=birds/test")
    page.get_by_role("alert").wait_for()
    expect(page.get_by_role("combobox", name="Samples", exact=True)).to_be_visible()


@pytest.mark.parametrize("width_", [1440, 1366])
def test_the_header_is_one_row_of_48_pixels_and_the_status_line_26(page, server, width_):
    page.set_viewport_size({"width": width_, "height": 768})
    page.goto(f"{server.url}/sic?model=birds-sic")
    page.get_by_role("combobox", name="Model", exact=True).wait_for()
    parts = (".home", "nav", ".choice", ".help", "[aria-label='Toggle theme']")

    def one_row() -> bool:
        bar = page.locator(".MuiAppBar-root").bounding_box()
        boxes = [page.locator(at).first.bounding_box() for at in parts]
        middles = {round(b["y"] + b["height"] / 2) for b in boxes if b}
        return all(boxes) and (bar["y"], bar["height"]) == (0, 48) and middles <= {23, 24, 25}

    assert until(page, one_row)
    line = page.get_by_text(re.compile(" cached · "))
    line.wait_for()
    assert until(page, lambda: line.bounding_box()["y"] >= 768 - 26)
    assert page.get_by_role("heading", level=1).count() == 1


def test_on_a_telephone_the_header_is_a_menu(page, server):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server.url}/sic?model=birds-sic")
    page.get_by_role("button", name="SIC: apps, model and samples").click()
    expect(page.get_by_role("link", name="Activations", exact=True)).to_be_visible()
    expect(page.get_by_role("combobox", name="Samples", exact=True)).to_be_visible()
    page.get_by_role("link", name="Activations", exact=True).focus()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Activations", exact=True)).to_be_hidden()


def test_help_is_asked_of_the_page(page, server):
    page.goto(f"{server.url}/sic?model=birds-sic")
    page.get_by_role("button", name="Help", exact=True).wait_for()
    page.evaluate("document.addEventListener('xv-help', () => { window.asked = true })")
    page.get_by_role("button", name="Help", exact=True).first.click()
    assert page.evaluate("window.asked")


def test_a_link_opens_the_app(page, server):
    name = next(iter(catalogue.models()), None)
    if name is None:
        pytest.skip("No model is shipped yet.")
    opened(page, server.url)
    page.locator(f'a[href="./{app_of(name)}?model={name}"]').first.click()
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


def test_the_theme_follows_the_system_until_one_is_chosen(page, server):
    page.emulate_media(color_scheme="dark")
    opened(page, server.url)
    assert until(page, lambda: max(ground(page)) < 60)
    page.emulate_media(color_scheme="light")
    assert until(page, lambda: min(ground(page)) > 200), "also while the page is open"
    page.get_by_label("Toggle theme").click()
    assert until(page, lambda: max(ground(page)) < 60)
    page.emulate_media(color_scheme="dark")
    page.emulate_media(color_scheme="light")
    opened(page, server.url)
    assert until(page, lambda: max(ground(page)) < 60), "a choice stays"


def test_everything_fits_on_a_telephone(page, server):
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, server.url)
    assert until(page, lambda: width(page) <= 390)


def test_it_can_be_walked_with_the_tab_key(page, server):
    opened(page, server.url)
    seen = set()
    for _ in range(60):
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
    assert any("task=shortcut" in at for at in seen)
    for name in list(catalogue.models())[:3]:
        assert f"./{app_of(name)}?model={name}" in seen


def test_an_unknown_model_is_one_sentence(page, server):
    page.goto(f"{server.url}/sic?model=../../etc/passwd")
    page.get_by_role("alert").filter(has_text="There is no model '../../etc/passwd' here").wait_for()
    page.get_by_role("link", name="All apps, models and samples").click()
    page.get_by_role("heading", name="Look inside a trained model").wait_for()


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
    page.get_by_role("heading", name="Look inside a trained model").wait_for()


def test_everything_stays_under_a_prefix(page, serve_app):
    server = serve_app(["--basic-auth", "secret", "--prefix", "lab/xai"])
    page.goto(f"{server.url}/lab/xai/sic?model=birds-sic")
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/lab/xai/sic?model=birds-sic*")
    page.locator("canvas").first.wait_for(timeout=90_000)
    page.get_by_role("link", name="XAI Views").click()
    page.get_by_role("heading", name="Look inside a trained model").wait_for()
    assert page.url == f"{server.url}/lab/xai/"
    page.get_by_role("link", name="Small CNN on birds", exact=True).click()
    page.wait_for_url(f"{server.url}/lab/xai/activations?model=birds-cnn*")
    page.locator("canvas").first.wait_for(timeout=90_000)
