"""Pages that are closed during work, tabs that are left at once, and a server that ends: what is said, and what is not."""

from __future__ import annotations

import time

import acts  # noqa: F401 - sets how long is waited
import pytest
from playwright.sync_api import Error, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

READY = 120_000  # ms until an app is opened by a server that has just begun, beside other tests

APPS = ("sic?model=birds-sic", "activations?model=birds-cnn", "ecg?model=ecg-resnet")
LOUD = (
    "Task exception was never retrieved",
    "reference already known",
    "Traceback",
    "Failed sending message",
)


def at_work(page, server, app: str) -> None:
    """Open an app, move on, and leave its tabs before they are filled."""
    page.goto(f"{server.url}/{app}", timeout=READY)
    page.locator("canvas").first.wait_for(timeout=READY)
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    tabs = page.get_by_role("tab")
    for i in range(tabs.count()):
        try:
            tabs.nth(i).click(timeout=2_000)
        except Error:  # a tab of the question that was left
            continue


def test_pages_closed_during_work_leave_nothing_in_the_log(page, chromium, serve_app):
    server = serve_app([])
    page.goto(server.url)
    for app in APPS:
        context = chromium.new_context()
        other = context.new_page()
        problems = []
        other.on("console", lambda m, p=problems: p.append(m.text) if m.type == "error" else None)
        at_work(other, server, app)
        context.close()
        assert problems == []
    # A request that is answered shows that the server lives; sessions of closed pages end after some seconds.
    end = time.monotonic() + 15
    while time.monotonic() < end:
        assert server.get("/")[0] == 200
        time.sleep(1)
    log = server.log()
    assert [line for line in log.splitlines() if any(word in line for word in LOUD)] == []


def test_a_page_says_that_its_server_was_restarted(page, serve_app):
    server = serve_app([])
    page.goto(f"{server.url}/sic?model=birds-sic", timeout=READY)
    page.locator("canvas").first.wait_for(timeout=READY)
    server.stop()
    lost = page.get_by_role("alert").filter(has_text="connection to the server was lost")
    expect(lost).to_be_visible(timeout=READY)
    assert page.locator("main").evaluate("e => e.inert"), "what it shows cannot be used any more"
    serve_app([], port=server.port)
    restarted = page.get_by_text("The server was restarted; reload the page.")
    expect(restarted).to_be_visible(timeout=READY)
    page.get_by_role("button", name="Reload").click()
    expect(restarted).to_have_count(0, timeout=READY)
    page.locator("canvas").first.wait_for(timeout=READY)
    page.problems.clear()  # what could not be asked for while there was no server
