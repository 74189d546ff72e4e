"""The canvas in a real Chromium: pixels, messages and texts."""

import ast
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import canvas_app as app
import numpy as np
import pytest
from acts import until
from PIL import Image
from playwright.sync_api import expect

from xai_views.views import decode

pytestmark = pytest.mark.browser

PIXEL = """(canvas, [x, y]) => {
  const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1];
  return [...canvas.getContext("2d").getImageData(...at).data];
}"""


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app(
        f"import sys\nsys.path.insert(0, {str(Path(app.__file__).parent)!r})\nfrom canvas_app import APPS as apps"
    )


class View:
    """A page with the canvas: its root, its tiles and what it sent."""

    def __init__(self, page, url, width=1440):
        self.page, self.sent = page, []
        page.on("websocket", lambda socket: socket.on("framesent", lambda data: self.sent.append(str(data))))
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(url)
        self.root = page.locator(".xv")
        self.shows("s0|")

    def shows(self, key):
        self.page.wait_for_selector(f'.xv[data-key="{key}"][data-state=idle]')

    def settle(self, cached=9):
        """Wait until nothing is sent any more: the neighbours are there."""
        self.page.wait_for_selector(f'.xv[data-cached="{cached}"]')
        count = -1
        while count != len(self.sent):
            count = len(self.sent)
            self.page.wait_for_timeout(400)

    def tile(self, name):
        return self.page.locator(f'canvas[data-tile="{name}"]')

    def pixel(self, tile, x, y):
        return np.array(self.tile(tile).evaluate(PIXEL, [x, y]))[:3]

    def image(self, tile):
        return self.tile(tile).evaluate("canvas => canvas.toDataURL()")

    def index(self, tile="sample"):
        """The sample that the pixels of a tile show (with the overlay off)."""
        red, green, _ = self.pixel(tile, 0.05, 0.95)
        return round((red - 8) / 16) + 16 * round((green - 8) / 16)

    def at(self, tile, x, y):
        box = self.tile(tile).bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def drag(self, tile, points, key):
        self.page.keyboard.down(key)
        self.page.mouse.move(*self.at(tile, *points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(tile, *point), steps=2)
        self.page.mouse.up()
        self.page.keyboard.up(key)

    def told(self, kind, check=lambda value: True):
        """Return the last message to Python, once it passes the check (messages take time)."""
        for _ in range(300):
            text = self.page.locator(".told pre").inner_text()
            if text.startswith(f"{kind} ") and check(
                value := ast.literal_eval(text.removeprefix(f"{kind} "))
            ):
                return value
            self.page.wait_for_timeout(100)
        raise AssertionError(f"Python was last told: {text}")

    def set(self, name, value):
        self.page.locator(f"input[name={name}]").evaluate(
            "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value
        )


@pytest.fixture
def view(page, server):
    return View(page, f"{server.url}/app")


def place_of(values, pick):
    """The position (shares of the picture) of a cell, and its value."""
    row, column = np.unravel_index(pick(values), values.shape)
    return ((column + 0.5) / values.shape[1], (row + 0.5) / values.shape[0]), values[row, column]


def test_keys_scrub_and_the_pixels_follow(view):
    view.page.keyboard.press("o")
    assert view.index() == 0
    for step in (1, 2, 3):
        view.page.keyboard.press("ArrowRight")
        view.shows(f"s{step}|")
        assert view.index() == step
        assert view.index("clusters") == step
    view.page.keyboard.press("ArrowLeft")
    view.shows("s2|")
    view.page.keyboard.press("Shift+ArrowRight")
    view.shows("s12|")
    view.told("position", lambda position: position == 12)


def test_a_cached_neighbour_is_drawn_without_a_message(page, server):
    view = View(page, f"{server.url}/few")
    page.keyboard.press("o")
    view.settle(cached=5)
    before = len(view.sent)
    shown = page.evaluate("""() => {
      const inside = (e) => (e.shadowRoot ? all(e.shadowRoot) : []);
      const all = (node) => [...node.querySelectorAll("*")].flatMap((e) => [e, ...inside(e)]);
      const root = all(document).find((e) => e.matches(".xv")), keys = [];
      for (let i = 0; i < 4; i++) {
        root.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true, composed: true}));
        keys.push(root.dataset.key);
      }
      return keys;
    }""")  # drawn within the very event
    assert shown == ["s1|", "s2|", "s3|", "s4|"]
    assert view.index() == 4
    page.wait_for_timeout(500)
    assert view.told("position") == 4
    after = "".join(view.sent[before:])
    assert "want" not in after
    assert after.count("MessageSent") == 1  # the position, once, when the hand rests


def test_opacity_and_colours_need_no_message(view):
    place, _ = place_of(app.contribution(0), np.argmax)
    view.settle()
    before, strong = len(view.sent), view.pixel("sample", *place)
    view.set("opacity", 0.1)
    weak = view.pixel("sample", *place)
    view.page.locator(".xv-more summary").click()
    view.page.select_option("select[name=map]", "CET_D6")
    view.set("opacity", 1)
    other = view.pixel("sample", *place)
    assert min(np.abs(strong - weak).max(), np.abs(strong - other).max()) > 20
    view.page.get_by_label("Overlay").uncheck()
    assert np.abs(view.pixel("sample", *place) - other).max() > 20
    view.page.wait_for_timeout(300)
    assert len(view.sent) == before


def test_sign_and_threshold(view):
    values = app.contribution(0)
    positive, _ = place_of(values, np.argmax)
    negative, _ = place_of(values, np.argmin)
    weak, _ = place_of(np.abs(np.abs(values) - 0.2 * np.abs(values).max()), np.argmin)
    places = {"for": positive, "against": negative, "weak": weak}
    with_map = {name: view.pixel("sample", *place) for name, place in places.items()}
    view.page.keyboard.press("o")
    plain = {name: view.pixel("sample", *place) for name, place in places.items()}
    view.page.keyboard.press("o")
    for sign, other in (("for", "against"), ("against", "for")):
        view.page.select_option("select[name=sign]", sign)
        np.testing.assert_allclose(view.pixel("sample", *places[sign]), with_map[sign], atol=3)
        np.testing.assert_allclose(view.pixel("sample", *places[other]), plain[other], atol=3)
    view.page.select_option("select[name=sign]", "both")
    view.page.locator(".xv-more summary").click()
    view.page.select_option("select[name=limits]", "per panel")
    view.set("threshold", 0.5)
    np.testing.assert_allclose(view.pixel("sample", *weak), plain["weak"], atol=3)
    assert np.abs(view.pixel("sample", *positive) - plain["for"]).max() > 10


def test_legend_has_numbers_words_and_warns(view):
    maps = decode(app.frame("s0|")).maps
    top = max(np.abs(values).max() for (_, layer), values in maps.items() if layer == "contribution")
    view.page.locator(".xv-more summary").click()
    view.page.select_option("select[name=percentile]", "100")
    bar = view.page.locator(".xv-scale").first
    assert float(bar.get_attribute("data-limit")) == pytest.approx(top, rel=1e-6)
    text = bar.inner_text()
    for part in (f"lowers {app.CLASS}", f"raises {app.CLASS}", f"{top:.4f}", "logit"):
        assert part in text
    warning = view.page.locator(".xv-warning")
    expect(warning).to_be_hidden()
    view.page.select_option("select[name=limits]", "per panel")
    expect(warning).to_be_visible()
    expect(view.page.locator("figcaption").first).to_contain_text("limit")


def test_zoom_is_shared_and_comes_back(view):
    before = {name: view.image(name) for name in ("sample", "clusters", "support-0")}
    view.page.mouse.move(*view.at("sample", 0.5, 0.5))
    view.page.mouse.wheel(0, -300)
    expect(view.page.locator(".xv-hint:visible")).to_have_text("Ctrl + wheel zooms")
    assert view.image("sample") == before["sample"]
    view.page.keyboard.down("Control")
    view.page.mouse.wheel(0, -300)
    view.page.keyboard.up("Control")
    for name, same in (("sample", False), ("clusters", False), ("support-0", True)):
        assert (view.image(name) == before[name]) is same
    view.page.mouse.dblclick(*view.at("sample", 0.5, 0.5))
    assert view.image("sample") == before["sample"]
    view.page.keyboard.press("+")
    assert view.image("sample") != before["sample"]
    view.page.keyboard.press("0")
    assert view.image("sample") == before["sample"]


def test_cross_hair_and_read_out(view):
    values = decode(app.frame("s0|")).maps["sample", "contribution"]
    place, value = place_of(values, np.argmin)
    view.page.mouse.move(*view.at("sample", *place))
    other = view.page.locator("figure", has=view.tile("target"))
    line = other.locator(".xv-cross-x")
    expect(line).to_be_visible()
    assert float(line.evaluate("e => parseFloat(e.style.left)")) == pytest.approx(100 * place[0], abs=1)
    read = view.page.locator("figure", has=view.tile("sample")).locator(".xv-read")
    read.wait_for(state="visible")
    text = read.inner_text().replace("−", "-")
    x, y, shown = re.search(r"x (\d+), y (\d+) · contribution ([-+.\d]+) logit", text).groups()
    assert (int(x), int(y)) == (int(place[0] * app.SIDE), int(place[1] * app.SIDE))
    assert float(shown) == pytest.approx(value, rel=6e-3)
    assert float(shown) == pytest.approx(app.contribution(0).min(), abs=np.abs(values).max() / 254 + 1e-4)
    cluster = view.page.locator("figure", has=view.tile("clusters")).locator(".xv-read").inner_text()
    number = app.clusters(0)[int(place[1] * app.CELLS), int(place[0] * app.CELLS)]
    assert f"{number} {app.NAMES[number]}" in cluster


def test_regions_in_image_pixels(view):
    view.drag("sample", [(0.25, 0.25), (0.5, 0.6), (0.75, 0.5)], "Shift")
    event = view.told("region")
    assert event["tile"] == "sample"
    corners = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.5], [0.25, 0.5]]) * app.SIDE
    np.testing.assert_allclose(event["polygon"], corners, atol=0.6)
    marked = view.image("clusters")
    view.page.keyboard.press("Escape")
    view.told("region", lambda event: event["polygon"] == [])
    assert until(view.page, lambda: view.image("clusters") != marked)
    view.drag("sample", [(0.2, 0.2), (0.8, 0.3), (0.5, 0.9)], "Alt")
    polygon = np.array(view.told("region", lambda event: event["polygon"])["polygon"])
    for corner in ((0.2, 0.2), (0.8, 0.3), (0.5, 0.9)):
        assert np.abs(polygon - np.array(corner) * app.SIDE).sum(1).min() < 1.5


def test_table_says_what_the_frame_says(view):
    table = decode(app.frame("s0|")).header["table"]
    ledger = view.page.locator(".xv-ledger")
    assert ledger.locator("caption").inner_text() == table["caption"]
    rows = ledger.locator("tbody tr")
    assert rows.count() == app.SUPPORTS
    for i, row in enumerate(table["rows"]):
        text = rows.nth(i).inner_text().replace("−", "-")
        assert row["cells"][0] in text
        assert float(re.search(r"[-+][.\d]+", text).group()) == pytest.approx(row["value"], rel=6e-3)
        assert rows.nth(i).locator("canvas").count() == 2
    footer = ledger.locator("tfoot tr").all_inner_texts()
    assert [line.split("\t") for line in footer] == table["footer"]


def test_rows_by_key_and_by_click(view):
    view.page.keyboard.press("ArrowDown")
    view.page.keyboard.press("ArrowDown")
    view.page.locator(".xv-ledger tr.xv-selected[data-row='support-1']").wait_for()
    view.told("select", lambda event: event["row"] == "support-1")
    view.page.locator("tbody tr").nth(4).locator("td").nth(3).click()
    view.told("select", lambda event: event["row"] == "support-4")
    view.page.mouse.click(*view.at("sample", 0.5, 0.25))
    event = view.told("select", lambda event: event["tile"] == "sample")
    assert event["x"] == pytest.approx(app.SIDE / 2, abs=0.6)


def test_python_moves_the_canvas(view):
    view.page.get_by_role("button", name="half").click()
    view.page.wait_for_function("""() => {
      const all = (node) => [...node.querySelectorAll("*")].flatMap((e) =>
        [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
      return all(document).find((e) => e.matches("input[name=opacity]")).value === "0.5";
    }""")
    view.page.get_by_role("button", name="other class").click()
    view.shows("s0|sooty tern")
    view.page.get_by_role("button", name="jump to 29").click()
    view.shows("s29|sooty tern")


def test_slow_sample_keeps_the_old_picture_and_errors_are_a_sentence(view):
    view.page.get_by_role("button", name="jump to 29").click()
    view.shows("s29|")
    view.page.keyboard.press("ArrowRight")
    error = view.page.locator(".xv-error")
    error.wait_for(state="visible")
    expect(error).to_contain_text("4 channels, the model expects 3")
    view.page.keyboard.press("ArrowRight")
    error.get_by_text("RuntimeError").wait_for()
    assert "secret" not in view.page.content()
    assert "Traceback" not in error.inner_text()
    view.page.keyboard.press("ArrowRight")
    view.shows("s32|")
    expect(error).to_be_hidden()


def test_waiting_is_shown_and_ends(page, server):
    view = View(page, f"{server.url}/app")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_selector(".xv.xv-dim[data-state=waiting]")
    assert view.root.get_attribute("data-key") in {"s0|", "s10|"}
    view.shows("s20|")
    page.wait_for_selector(".xv:not(.xv-dim)")


def test_empty_tile_says_why(page, server):
    View(page, f"{server.url}/empty")
    expect(page.locator(".xv-empty:visible")).to_have_text("Nothing to show here for this sample.")


def test_text_twin_and_names(view):
    assert view.tile("sample").get_attribute("role") == "img"
    assert view.tile("sample").get_attribute("aria-label") == f"Sample 0 with its contribution to {app.CLASS}"
    live = view.page.locator(".xv-live")
    assert live.get_attribute("aria-live") == "polite"
    view.page.locator(".xv-live", has_text="Sample 0 is called").wait_for(state="attached")
    assert live.text_content().startswith("Sample 0 is called")
    for control in ("Sample", "Opacity", "Sign", "Hide values below"):
        assert view.page.get_by_label(control, exact=True).count() == 1


def test_help_and_foreign_keys(view):
    view.page.keyboard.press("?")
    dialog = view.page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("previous cluster")
    view.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    view.page.keyboard.press("[")
    view.page.locator(".told pre", has_text="key [").wait_for()
    prevented = view.page.evaluate("""() => ["x", "PageDown", "Tab"].map((key) => {
      const event = new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true, composed: true});
      document.body.dispatchEvent(event);
      return event.defaultPrevented;
    })""")
    assert prevented == [False, False, False]
    view.page.locator("input[name=opacity]").focus()
    view.page.keyboard.press("ArrowRight")
    view.page.wait_for_timeout(100)
    assert view.root.get_attribute("data-key") == "s0|"


def test_dark(page, server):
    view = View(page, f"{server.url}/dark")
    assert view.root.get_attribute("data-theme") == "dark"
    ground = view.root.evaluate("e => getComputedStyle(e).backgroundColor")
    assert max(map(int, re.findall(r"\d+", ground)[:3])) < 60
    other = View(page, f"{server.url}/app")
    assert other.root.get_attribute("data-theme") == "light"
    page.evaluate("() => document.documentElement.classList.add('dark')")
    page.wait_for_selector('.xv[data-theme="dark"]')


def test_a_narrow_screen_does_not_overflow(page, server):
    view = View(page, f"{server.url}/app", width=390)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    for canvas in page.locator(".xv canvas[data-tile]:visible").all():
        box = canvas.bounding_box()
        assert 0 <= box["x"] <= 390 - box["width"]
    page.locator(".xv-more summary").click()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Next sample").click()
    view.shows("s1|")


@pytest.mark.parametrize("width", [1016, 1116, 1196])
def test_one_row_of_controls_and_ledger_beside_pictures(page, server, width):
    view = View(page, f"{server.url}/app", width=width)
    bar = page.locator(".xv-toolbar")
    assert bar.bounding_box()["height"] == 36
    middles = {
        round(e.bounding_box()["y"] + e.bounding_box()["height"] / 2) for e in bar.locator("> :visible").all()
    }
    assert max(middles) - min(middles) <= 1  # one row
    assert bar.evaluate("e => e.scrollWidth <= e.clientWidth")
    if width > 1100:
        expect(bar.locator("input[name=threshold]")).to_be_visible()
    picture, ledger = view.tile("sample").bounding_box(), page.locator(".xv-ledger").bounding_box()
    assert picture["width"] >= 300
    assert ledger["x"] >= picture["x"] + picture["width"]
    assert ledger["y"] < picture["y"]
    assert page.locator(".xv-legend").bounding_box()["height"] < 60


def test_narrow_shows_pictures_then_controls_then_legend_then_ledger(page, server):
    view = View(page, f"{server.url}/app", width=390)
    tops = [
        view.tile("sample").bounding_box()["y"],
        page.locator(".xv-toolbar").bounding_box()["y"],
        page.locator(".xv-legend").bounding_box()["y"],
        page.locator(".xv-ledger").bounding_box()["y"],
    ]
    assert tops == sorted(tops)
    assert page.locator(".xv-toolbar").bounding_box()["height"] == 36
    page.locator(".xv-more summary").click()
    menu = page.locator(".xv-panel").bounding_box()
    assert menu["x"] >= 0
    assert menu["x"] + menu["width"] <= 390
    assert menu["y"] + menu["height"] <= 900
    expect(page.get_by_label("Opacity", exact=True)).to_be_visible()
    page.mouse.click(200, 100)
    expect(page.locator(".xv-panel")).to_be_hidden()


def test_a_ledger_that_scrolls_says_so_and_keeps_its_sum_in_view(view):
    page, scroll = view.page, view.page.locator(".xv-scroll")
    assert scroll.get_attribute("tabindex") is None  # whole: nothing to scroll
    page.set_viewport_size({"width": 1200, "height": 600})
    expect(scroll).to_have_attribute("data-more", "down")
    expect(page.get_by_role("region", name="Ledger")).to_have_attribute("tabindex", "0")
    box = scroll.bounding_box()
    assert box["height"] == 270
    total, head = page.locator(".xv-ledger tfoot tr").last, page.locator(".xv-ledger thead")
    for more in ("down", "up down", "up"):
        expect(scroll).to_have_attribute("data-more", more)
        assert total.bounding_box()["y"] + total.bounding_box()["height"] <= box["y"] + box["height"] + 1
        if more != "down":
            assert head.bounding_box()["y"] == pytest.approx(box["y"], abs=1)
        scroll.evaluate("(e, more) => e.scrollBy(0, more === 'down' ? 80 : 1000)", more)
    scroll.evaluate("e => e.scrollTo(0, 0)")
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    row = page.locator("tr.xv-selected")
    expect(row).to_have_attribute("data-row", "support-3")
    foot = page.locator(".xv-ledger tfoot").bounding_box()
    assert row.bounding_box()["y"] + row.bounding_box()["height"] <= foot["y"] + 1
    scroll.focus()
    before = scroll.evaluate("e => e.scrollTop")
    page.keyboard.press("End")
    assert until(page, lambda: scroll.evaluate("e => e.scrollTop") > before)


def test_an_optional_tile_is_there_only_with_something_to_show(view):
    tile = view.page.locator("figure", has=view.tile("truth"))
    expect(tile).to_be_hidden()
    view.page.keyboard.press("ArrowRight")
    view.shows("s1|")
    expect(tile).to_be_visible()
    view.page.wait_for_function("""() => {
      const all = (node) => [...node.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
      const canvas = all(document).find((e) => e.dataset.tile === "truth");
      return canvas.width && canvas.getContext("2d").getImageData(20, 20, 1, 1).data[3] > 0;
    }""")
    view.page.keyboard.press("ArrowLeft")
    view.shows("s0|")
    expect(tile).to_be_hidden()


def test_hidden_output_leaves_the_photo_and_nothing_else(view):
    page, words = view.page, f"{app.CLASS}|contribution|logit|sky|beak|evidence|support"
    expect(view.root).to_have_attribute("data-hidden", "false")
    page.locator(".xv-live", has_text=app.CLASS).wait_for(state="attached")
    place, _ = place_of(app.contribution(0), np.argmax)
    explained = view.pixel("sample", *place)
    page.keyboard.press("o")
    plain = view.pixel("sample", *place)
    page.keyboard.press("o")
    assert np.abs(explained - plain).max() > 10
    page.get_by_role("button", name="hide").click()
    expect(view.root).to_have_attribute("data-hidden", "true")
    np.testing.assert_array_equal(view.pixel("sample", *place), plain)
    assert page.locator(".xv figure:visible").count() == 1
    expect(page.locator(".xv-ledger")).to_be_hidden()
    expect(page.locator(".xv-legend")).to_be_hidden()
    assert view.tile("sample").get_attribute("aria-label") == "s0; the model's output is hidden"
    page.locator(".xv-live", has_text="s0. The model's output is hidden.").wait_for(state="attached")
    page.mouse.move(*view.at("sample", *place))
    read = page.locator(".xv-read:visible")
    read.wait_for()
    assert re.fullmatch(r"x \d+, y \d+", read.inner_text())
    page.keyboard.press("ArrowRight")
    view.shows("s1|")
    page.locator(".xv-live", has_text="s1. The model's output is hidden.").wait_for(state="attached")
    said = view.root.evaluate("e => [e.innerText, e.outerHTML.replace(/<style>.*?<\\/style>/s, '')].join()")
    said = re.sub(r'data-[a-z]+="[^"]*"|name="[^"]*"|class="[^"]*"', "", said)
    assert not re.findall(words, said.replace("Support", ""), re.IGNORECASE), re.findall(
        f".{{40}}(?:{words}).{{40}}", said, re.IGNORECASE
    )
    page.get_by_role("button", name="hide").click()
    expect(page.locator(".xv-ledger caption")).to_contain_text(app.CLASS)
    expect(page.locator(".xv-legend")).to_be_visible()


def test_a_locked_colour_range_stays(view):
    page, bar = view.page, view.page.locator(".xv-scale").first
    limit = bar.get_attribute("data-limit")
    view.page.locator(".xv-more summary").click()
    page.get_by_label("Lock colour range").check()
    expect(bar.locator(".xv-locked")).to_be_visible()
    page.keyboard.press("ArrowRight")
    view.shows("s1|")
    assert bar.get_attribute("data-limit") == limit
    page.locator(".xv-more summary").click()
    page.get_by_role("button", name="other class").click()
    view.shows("s1|sooty tern")
    assert bar.get_attribute("data-limit") == limit
    page.locator(".xv-more summary").click()
    page.get_by_label("Lock colour range").uncheck()
    expect(bar.locator(".xv-locked")).to_be_hidden()
    assert bar.get_attribute("data-limit") != limit


def test_small_pictures_are_drawn_pixel_by_pixel(view):
    page = view.page
    page.keyboard.press("o")
    colours = """canvas => {
      const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height), seen = new Set();
      for (let i = 0; i < data.length; i += 4) seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
      return [...seen];
    }"""
    picture = app.photo(0).reshape(-1, 3).astype(int)
    own = set((picture[:, 0] << 16 | picture[:, 1] << 8 | picture[:, 2]).tolist())
    assert set(view.tile("sample").evaluate(colours)) == own  # without loss, and nothing in between
    page.locator(".xv-more summary").click()
    smooth = page.get_by_label("Smooth")
    page.keyboard.press("o")
    expect(smooth).not_to_be_checked()
    smooth.check()
    page.keyboard.press("o")
    assert len(set(view.tile("sample").evaluate(colours)) - own) > 1000


def test_a_region_shows_its_result_where_it_was_brushed(view):
    chip = view.page.locator("figure", has=view.tile("sample")).locator(".xv-chip")
    view.drag("sample", [(0.1, 0.5), (0.5, 0.6), (0.98, 0.98)], "Shift")
    expect(chip).to_have_text("4 corners")
    tile, box = view.tile("sample").bounding_box(), chip.bounding_box()
    assert tile["x"] <= box["x"]
    assert box["x"] + box["width"] <= tile["x"] + tile["width"]
    assert (
        tile["y"] <= box["y"] <= tile["y"] + 0.5 * tile["height"]
    )  # over the region: there is no room under it
    assert view.page.locator(".xv-chip:visible").count() == 1
    view.page.keyboard.press("Escape")
    expect(chip).to_be_hidden()
    view.drag("sample", [(0.1, 0.1), (0.5, 0.3), (0.6, 0.3)], "Shift")
    expect(chip).to_have_text("4 corners")
    assert chip.bounding_box()["y"] >= tile["y"] + 0.3 * tile["height"]
    view.page.keyboard.press("ArrowRight")
    view.shows("s1|")
    expect(chip).to_be_hidden()
    view.page.keyboard.press("ArrowLeft")
    view.shows("s0|")
    expect(chip).to_be_hidden()
    view.page.keyboard.press("ArrowRight")  # at once after a step: Python knows the sample before the region
    view.shows("s1|")
    view.page.keyboard.press("r")
    view.page.keyboard.press("Enter")
    expect(chip).to_have_text("4 corners")


def test_a_region_by_keys(view):
    page, before = view.page, view.image("sample")
    page.keyboard.press("r")
    page.locator(".xv-live", has_text="Rectangle: x 48 to 80, y 48 to 80 pixels").wait_for(state="attached")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    event = view.told("region", lambda event: event["polygon"])
    assert event["polygon"] == [[44, 52], [80, 52], [80, 84], [44, 84]]
    assert view.root.get_attribute("data-key") == "s0|"  # the arrows moved the rectangle, not the sample
    page.keyboard.press("Escape")
    view.told("region", lambda event: not event["polygon"])
    page.keyboard.press("r")
    page.keyboard.press("Escape")
    assert view.image("sample") == before
    page.keyboard.press("ArrowRight")
    view.shows("s1|")


def test_arrow_keys_scrub_again_after_any_control(view):
    page, at = view.page, 0

    def scrubs():
        nonlocal at
        at += 1
        page.keyboard.press("ArrowRight")
        view.shows(f"s{at}|")

    page.select_option("select[name=sign]", "for")
    scrubs()
    page.locator("input[name=opacity]").click()
    scrubs()
    page.get_by_label("Overlay").click()
    scrubs()
    page.locator("input.xv-scrubber").click(position={"x": 4, "y": 10})
    scrubs_from = int(view.root.get_attribute("data-key")[1:-1])
    page.keyboard.press("ArrowRight")
    view.shows(f"s{scrubs_from + 1}|")
    at = scrubs_from + 1
    page.locator(".xv-more summary").click()
    page.select_option("select[name=map]", "CET_D6")
    scrubs()
    page.locator(".xv-more summary").click()
    scrubs()
    page.locator(".noUi-handle").click()  # a slider of the page
    scrubs()
    page.locator("input[name=opacity]").focus()  # by keys it keeps them, until Enter
    value = page.locator("input[name=opacity]").input_value()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert float(page.locator("input[name=opacity]").input_value()) == pytest.approx(float(value) - 0.02)
    page.keyboard.press("Enter")
    scrubs()


def test_help_lies_over_everything_and_keeps_the_focus(view):
    page = view.page
    page.evaluate("() => document.dispatchEvent(new Event('xv-help'))")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    for words in (
        "10 samples back / forward",
        "previous / next row",
        "this help",
        "draw a rectangle",
        "next cluster",
    ):
        expect(dialog).to_contain_text(words)
    assert dialog.evaluate(
        "e => e.matches(':modal')"
    )  # over all else, and what lies behind it takes no focus
    page.keyboard.press("ArrowRight")
    assert view.root.get_attribute("data-key") == "s0|"
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("ArrowRight")
    view.shows("s1|")


def test_pictures_are_saved_as_they_are_seen(view):
    page = view.page
    with page.expect_download() as got:
        page.get_by_role("button", name="save png").click()
    assert got.value.suggested_filename == "a-bird-1.png"
    saved = np.asarray(Image.open(got.value.path()).convert("RGB")).astype(int)
    tile = view.tile("sample").bounding_box()
    groups = page.locator(".xv-groups").bounding_box()
    assert saved.shape[1] >= 2 * (tile["width"] + 32)
    assert saved.shape[0] >= 2 * groups["height"] * 0.8
    code = np.abs(saved - app.code(0)).max(-1) <= 30
    assert code.sum() >= 2 * (0.1 * tile["width"]) ** 2  # the block of the sample's colour
    with page.expect_download() as got:
        page.get_by_role("button", name="save svg").click()
    text = Path(got.value.path()).read_text(encoding="utf-8")
    root = ET.fromstring(text)
    words = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    for part in (
        "Sample",
        f"lowers {app.CLASS}",
        f"raises {app.CLASS}",
        "contribution (logit)",
        "0 sky",
        "A made-up bird & its contribution.",
    ):
        assert part in words
    assert any(word.startswith("≥ +0.0") for word in words)
    images = list(root.iter("{http://www.w3.org/2000/svg}image"))
    assert len(images) >= 3
    assert all(e.get("href").startswith("data:image/png;base64,") for e in images)


def test_no_two_controls_have_one_name(view):
    view.page.locator(".xv-more summary").click()
    names = view.page.evaluate("""() => {
      const all = (node) => [...node.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
      const root = all(document).find((e) => e.matches(".xv"));
      return [...root.querySelectorAll("input, select, button, summary, [role=region]")].filter((e) => e.getClientRects().length)
        .map((e) => e.getAttribute("aria-label") ?? e.labels?.[0]?.innerText ?? e.innerText);
    }""")
    assert len(names) > 15
    assert len(set(names)) == len(names), sorted(names)


def test_a_filmstrip_in_a_column(page, server):
    page.goto(f"{server.url}/narrow")
    page.wait_for_selector(".xf[data-state=idle]")
    box = page.locator(".xf-scroll").bounding_box()
    assert 230 < box["height"] < 300
    assert box["width"] <= 200
    assert page.locator(".xf").bounding_box()["height"] == pytest.approx(300, abs=12)
    expect(page.locator(".xf-scroll")).to_have_attribute("data-more", "down")
    text = page.locator(".xf-text")
    expect(text).to_have_text("s0: predicted gull (1 of 40) · 6 errors")
    pixel = """(canvas, [x, y]) => [...canvas.getContext("2d").getImageData(x, y, 1, 1).data].slice(0, 3)"""
    grid, place = page.locator(".xf canvas"), lambda i: (6 + i % 3 * 50, 6 + i // 3 * 50)
    for i in (0, 3, 4, 6):  # three in a row; the sixth is broken and the others are there
        x, y = place(i)
        assert np.abs(np.array(grid.evaluate(pixel, [x + 4, y + 40])) - app.code(i)).max() < 30
    x, y = place(5)
    assert grid.evaluate(pixel, [x + 4, y + 20]) == [236, 239, 242]  # empty
    page.mouse.move(box["x"] + x + 20, box["y"] + y + 20)
    tip = page.locator(".xf-tip")
    expect(tip).to_have_text("s5: the file 's5.png' is not an image; replace it.")
    inside = tip.bounding_box()
    assert inside["x"] >= 0
    assert "secret" not in page.content()
    page.locator(".xf-scroll").focus()
    page.keyboard.press("ArrowDown")
    expect(text).to_contain_text("s3: predicted gull, wrong (4 of 40)")
    page.get_by_role("button", name="hide").click()
    expect(text).to_have_text("s3 (4 of 40)")
    page.get_by_role("button", name="none").click()
    expect(page.locator(".xf-empty")).to_have_text("No samples to show.")
    expect(page.locator(".xf-scroll")).to_be_hidden()


@pytest.mark.parametrize("mode", ["strip", "grid"])
def test_filmstrip(page, server, mode):
    page.goto(f"{server.url}/{mode}")
    page.wait_for_selector(".xf[data-state=idle]")
    assert int(page.locator(".xf").get_attribute("data-drawn")) < 200
    box = page.locator(".xf-scroll").bounding_box()
    page.mouse.click(box["x"] + 6 + 62 * 3 + 20, box["y"] + 20)
    page.locator(".told pre").get_by_text("select 3").wait_for()
    expect(page.locator(".xf-text")).to_contain_text("sample s3, wrong (4 of 10000) · 1429 errors")
    expect(page.locator(".xf-tip")).to_have_text("sample s3, wrong")
    page.keyboard.press("End")
    page.locator(".told pre").get_by_text("select 9999").wait_for()
    expect(page.locator(".xf-text")).to_contain_text("10000 of 10000")
