"""The population in a browser: list, arrow keys and picture are one set in every app; by keyboard, hidden, narrow."""

from __future__ import annotations

import re

import pytest
from acts import query, until, wait_query
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
# app, model, number of samples, errors among them
APPS = [
    ("sic", "birds-sic", 200, 4),
    ("activations", "birds-vit", 200, 14),
    ("ecg", "ecg-resnet", 150, 4),
]
apps = pytest.mark.parametrize(("app", "model", "count", "errors"), APPS)
READY = 90_000
#: Class of the element that has the focus, through shadow roots.
FOCUSED = """() => { let e = document.activeElement; while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
    return e?.className }"""


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app([])


def opened(page, server, app: str, model: str, more: str = ""):
    """Open an app and wait until the model has been run on all samples; return what is at the left."""
    page.goto(f"{server.url}/{app}?model={model}{more}")
    form = page.get_by_role("region", name="Population")
    expect(form.get_by_role("status")).to_contain_text("accuracy", timeout=READY)
    return form


def said(form) -> str:
    return form.get_by_role("status").inner_text()


def listed(page) -> str:
    """What the list says of the sample in view: its name and its place."""
    return page.locator(".xv-list [role=option]").inner_text()


def shown(page) -> str:
    """Name of the sample in the picture, of frames that are not waited for."""
    key = page.locator("[data-state=idle][data-key]").first.get_attribute("data-key")
    return key.split("|")[0]


def agree(page, place: str) -> str:
    """Wait until list, stepper and picture stand at a place, such as "2 / 4"; return the name of the sample."""
    at, of = place.split(" / ")
    expect(page.locator(".xv-place").first).to_have_text(place)
    assert until(page, lambda: listed(page).endswith(f"({at} of {of})")), listed(page)
    assert until(page, lambda: listed(page).split(":")[0] == shown(page)), (listed(page), shown(page))
    return shown(page)


@apps
def test_errors_only_is_what_is_listed_walked_and_shown(page, server, app, model, count, errors):
    form = opened(page, server, app, model)
    assert said(form).startswith(f"{count} shown of {count}")
    form.get_by_label("Errors only").check()
    expect(form.get_by_role("status")).to_contain_text(f"{errors} shown of {count}")
    first = agree(page, f"1 / {errors}")
    expect(page.locator(".xa-mark")).to_contain_text("wrong")
    page.keyboard.press("ArrowRight")  # the keys walk again without another click
    second = agree(page, f"2 / {errors}")
    assert second != first
    expect(page.locator(".xa-mark")).to_contain_text("wrong")
    wait_query(page, "outcome", "errors")
    wait_query(page, "sample", second)
    form.get_by_role("button", name="Reset filters").click()
    expect(form.get_by_role("status")).to_contain_text(f"{count} shown of {count}")
    assert until(page, lambda: shown(page) == second), "what was in view stays"
    page.reload()
    opened(page, server, app, model, f"&outcome=errors&sample={second}")
    assert agree(page, f"2 / {errors}") == second


@apps
def test_search_filters_and_enter_jumps(page, server, app, model, count, errors):
    form = opened(page, server, app, model)
    field = form.get_by_label("Search", exact=True)
    field.press_sequentially("-0001")
    assert until(
        page, lambda: re.match(r"10 shown|\d+ shown", said(form)) and not said(form).startswith(str(count))
    )
    total = int(said(form).split()[0])
    page.locator("[data-state=idle][data-key]").first.wait_for()
    field.press("Enter")
    name = agree(page, f"1 / {total}")
    assert "-0001" in name
    assert query(page)["search"] == "-0001"
    page.keyboard.press("ArrowRight")
    assert agree(page, f"2 / {total}") != name
    field.fill("nothing is called like this")
    expect(form.get_by_role("status")).to_contain_text("matches; the list still shows")
    agree(page, f"2 / {total}")
    form.get_by_role("button", name="Reset filters").click()
    expect(form.get_by_role("status")).to_contain_text(f"{count} shown of {count}")


def test_a_cell_of_the_confusion_matrix_filters_by_keyboard(page, server):
    form = opened(page, server, "ecg", "ecg-resnet")
    form.get_by_role("button", name="Confusion matrix").focus()
    page.keyboard.press("Enter")
    matrix = page.get_by_role("dialog", name="Confusion matrix")
    cell = matrix.get_by_role("button", name="true class normal, predicted class anterior ST elevation: 3")
    matrix.get_by_role("button", name="true class normal, predicted class normal").wait_for()
    assert until(page, lambda: page.evaluate(FOCUSED) == "xp-cell")
    box = matrix.bounding_box()
    assert 0 <= box["x"] <= 1440 - box["width"]
    assert 0 <= box["y"] <= 900 - box["height"]
    cell.focus()
    page.keyboard.press("Enter")
    expect(matrix).to_be_hidden()
    expect(form.get_by_role("status")).to_contain_text("3 shown of 150")
    agree(page, "1 / 3")
    expect(form.get_by_label("True class", exact=True)).to_have_value("0")
    expect(page.locator(".xa-predicted")).to_have_text("anterior ST elevation")
    page.keyboard.press("ArrowRight")
    agree(page, "2 / 3")


def test_many_classes_are_typed_and_confusions_listed(page, server):
    form = opened(page, server, "sic", "birds-sic")
    field = form.get_by_label("True class", exact=True)
    field.fill("bird 12")
    field.press("Enter")
    expect(form.get_by_role("status")).to_contain_text("4 shown of 200")
    agree(page, "1 / 4")
    expect(page.locator(".xa")).to_contain_text("label bird 12")
    form.get_by_role("button", name="Confusion matrix").click()
    page.get_by_role("dialog", name="Confusion matrix").get_by_role(
        "button", name="bird 12 → bird 33 2"
    ).click()
    expect(form.get_by_role("status")).to_contain_text("2 shown of 200")
    expect(form.get_by_label("Predicted class", exact=True)).to_have_value("bird 33")
    field.fill("any")
    field.press("Enter")
    wait_query(page, "predicted_class", "33")
    assert until(page, lambda: query(page).get("true_class") is None)


def test_loss_in_two_choices_and_a_disabled_order_says_why(page, server):
    form = opened(page, server, "activations", "birds-cnn-watermark")
    sort = form.get_by_label("Sort by", exact=True)
    reason = sort.locator("option", has_text="distance to training data (not known for this model)")
    expect(reason).to_be_disabled()
    sort.select_option("loss")
    form.get_by_label("Descending").check()
    wait_query(page, "sort", "loss")
    wait_query(page, "descending", "true")
    form.get_by_label("Search", exact=True).press("Enter")  # the first: the largest loss
    agree(page, "1 / 285")
    expect(page.locator(".xa-mark")).to_contain_text("wrong")


def test_hidden_output_leaves_names(page, server):
    form = opened(page, server, "ecg", "ecg-resnet", "&outcome=errors")
    agree(page, "1 / 4")
    page.get_by_role("button", name="Hide output").click()
    expect(form.get_by_role("status")).to_have_text("150 shown of 150.")
    for name in ("Errors only", "Predicted class", "Sort by"):
        expect(form.get_by_label(name, exact=True)).to_be_hidden()
    expect(form.get_by_role("button", name="Confusion matrix")).to_be_hidden()
    assert until(page, lambda: re.fullmatch(r"ecg-test-\d+ \(\d+ of 150\)", listed(page))), listed(page)
    assert until(page, lambda: "error" not in page.locator(".xv-list").inner_text())
    left = page.locator(".xv-area-population").inner_text()
    assert not re.search(r"predicted|accuracy|label|error", left, re.IGNORECASE), left


@apps
def test_a_narrow_page_has_a_strip(page, server, app, model, count, errors):
    page.set_viewport_size({"width": 390, "height": 844})
    form = opened(page, server, app, model)
    film = page.locator(".xv-list .xf")
    expect(film).to_have_attribute("data-mode", "strip")
    assert film.bounding_box()["height"] < 90
    form.get_by_role("button", name="Filters").click()
    form.get_by_label("Errors only").check()
    expect(form.get_by_role("status")).to_contain_text(f"{errors} shown of {count}")
    assert until(page, lambda: page.evaluate("document.documentElement.scrollWidth") <= 390)


@apps
def test_a_step_sends_nothing_of_the_list(page, server, app, model, count, errors):
    messages = []
    page.on("websocket", lambda ws: ws.on("framereceived", lambda data: messages.append(str(data))))
    opened(page, server, app, model)
    agree(page, f"1 / {count}") if app != "activations" else None
    page.wait_for_timeout(1500)
    messages.clear()
    before = listed(page)
    page.keyboard.press("ArrowRight")
    assert until(page, lambda: listed(page) != before), "the list follows in the browser"
    page.wait_for_timeout(1000)
    for part in ('"captions"', '"marks"', '"items"', '"confusion"', '"values"', '"current"'):
        assert not [m[:200] for m in messages if part in m], part
