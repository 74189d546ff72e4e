"""Support records in a real browser: table, sheets, explained class, edits and the map on the paper are linked."""

from __future__ import annotations

import re

import pytest
from acts import becomes, number, press, tab, until
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app([])


def opened(page, server, query: str = ""):
    """Open the app and wait for its first record and for the sheets below it."""
    page.goto(f"{server.url}/ecg?model=ecg-sic&sample=ecg-test-00002{query}")
    page.locator(".xe[data-state=idle]:not([data-key=''])").first.wait_for(timeout=90_000)
    return page.get_by_role("region", name="Evidence of the support records", exact=True)


def rows(listing):
    """Texts of the table's cells, row by row, once there are some."""
    listing.locator("tbody tr").first.wait_for(timeout=60_000)
    return [r.locator("td").all_inner_texts() for r in listing.locator("tbody tr").all()]


def words(page):
    return page.get_by_text(re.compile(r"evidence of \d+ support records"))


def sheet(page, label: str):
    """The sheet whose text twin begins like this."""
    return page.get_by_label(re.compile(label)).first


def test_bill_table_and_sheets_are_one(page, server):
    listing = opened(page, server)
    said = words(page).inner_text()
    found = rows(listing)
    bias, total, logit = (
        number(re.search(rf"{word} ([+−\d.]+)", said)[1]) for word in ("bias", "support records", "logit")
    )
    assert bias + total == pytest.approx(logit, abs=0.011)
    name = re.search(r", ([^,:]+): bias", said)[1]
    assert sum(number(r[2]) for r in found if r[1] == name) == pytest.approx(total, abs=0.011)
    chosen = next(r for r in found if r[1] == name)[0]  # the strongest of the explained class
    sheet(page, rf"Record ecg-test-00002: where it resembles {chosen}").wait_for(timeout=60_000)
    sheet(page, rf"Support record {chosen} of {name}").wait_for(timeout=60_000)
    assert page.problems == []


def test_a_row_of_another_class_is_explained_and_kept_in_the_address(page, server):
    listing = opened(page, server)
    found = rows(listing)
    name = re.search(r", ([^,:]+): bias", words(page).inner_text())[1]
    other = next(i for i, r in enumerate(found) if r[1] != name)
    said = becomes(page, lambda: listing.locator("tbody tr").nth(other).click(), words(page))
    assert f", {found[other][1]}: bias" in said
    assert f"{found[other][0]} adds" in said
    sheet(page, rf"Support record {found[other][0]} of {found[other][1]}").wait_for(timeout=60_000)
    page.wait_for_function("new URLSearchParams(location.search).has('support')")
    page.reload()
    words(page).wait_for(timeout=90_000)
    expect(words(page)).to_have_text(said)
    assert page.problems == []


def test_another_record_and_an_edit_have_other_evidence(page, server):
    opened(page, server)
    words(page).wait_for(timeout=60_000)
    paper = page.locator(".xe").first
    paper.focus()
    said = becomes(page, lambda: page.keyboard.press("ArrowRight"), words(page))
    assert said.startswith("ecg-test-00003, ")
    tab(page, "Edit")
    press(page, "Mute lead")
    page.locator(".xe[data-state=idle]").get_by_label(
        re.compile(r"Record ecg-test-00003 \(edited\)")
    ).first.wait_for()
    tab(page, "Support records")
    page.get_by_text(re.compile(r"^ecg-test-00003 \(edited\), .*support records")).wait_for(timeout=60_000)
    assert page.problems == []


def test_the_map_lies_on_the_paper(page, server):
    opened(page, server, "&shown=attribution&attribution=contribution map")
    expect(page.get_by_role("combobox", name="Attribution", exact=True)).to_have_text("contribution map")
    tab(page, "Ledger")
    page.locator("p", has_text="the network's logit for").first.wait_for(timeout=60_000)
    assert page.problems == []


def test_it_stays_in_the_window_of_a_telephone(page, server):
    page.set_viewport_size({"width": 390, "height": 844})
    listing = opened(page, server)
    rows(listing)
    sheet(page, r"Support record ").wait_for(timeout=60_000)
    assert until(page, lambda: page.evaluate("document.documentElement.scrollWidth") <= 390)
