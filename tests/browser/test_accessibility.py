"""Every page under axe-core: nothing serious or critical in light and dark, on a desk and on a telephone; one main heading."""

from __future__ import annotations

import pytest
from acts import PATIENCE, QUESTIONS, until
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
APPS = {"sic": "digits-sic", "activations": "birds-cnn", "ecg": "ecg-resnet"}
TELEPHONE = {"width": 390, "height": 844}
WORK = ".xv[data-state=idle]:not([data-key=''])"
#: What axe-core finds, without what people cannot act on: [rule, impact, elements with what is wrong].
RUN = """(options) => axe.run(options).then(({violations}) => violations
  .filter((v) => v.impact === "serious" || v.impact === "critical")
  .flatMap((v) => v.nodes.map((n) => [v.id, [n.target].flat(9).join(" "), n.html.slice(0, 160),
    [...n.any, ...n.all, ...n.none].map((c) => c.message).join("; ")])))"""


#: The number of elements in all shadow roots, and whether none of them is on its way to another look.
STATE = """() => {
  const count = (root) => {
    const all = [...root.querySelectorAll("*")];
    return all.reduce((n, e) => n + (e.shadowRoot ? count(e.shadowRoot) : 0), all.length);
  };
  const moves = (a) => a.playState === "running" && a.effect.getTiming().iterations !== Infinity;
  const still = (root) => !root.getAnimations().some(moves)
    && [...root.querySelectorAll("*")].every((e) => !e.shadowRoot || still(e.shadowRoot));
  return [count(document), still(document)];
}"""


@pytest.fixture(scope="module")
def server(serve_app):
    return serve_app([])


class Checked:
    """A page whose faults are collected, each with where it was seen."""

    def __init__(self, page):
        self.page, self.faults = page, []
        page.set_default_timeout(3 * PATIENCE)

    def look(self, where: str, **options) -> None:
        """Run axe-core; ``options`` are its own."""
        if not self.page.evaluate("Boolean(window.axe)"):
            self.page.evaluate(AXE_SCRIPT)
        found = self.page.evaluate(RUN, {"resultTypes": ["violations"], **options})
        self.faults += [f"{where}: {' | '.join(fault)}" for fault in found]
        headings = self.page.get_by_role("heading", level=1).count()
        if headings != 1:
            self.faults.append(f"{where}: {headings} headings of the first level")

    def look_in_both_themes(self, where: str) -> None:
        """Look at everything as it is, and at the colours in the other theme."""
        self.settle()
        self.look(where)
        toggle = self.page.get_by_label("Toggle theme")
        if toggle.count():
            dark = "document.documentElement.classList.contains('dark')"
            before = self.page.evaluate(dark)
            toggle.click()
            until(self.page, lambda: self.page.evaluate(dark) != before)
        else:
            self.page.emulate_media(color_scheme="dark")
        self.settle()
        self.look(f"{where}, dark", runOnly=["color-contrast"])
        if toggle.count():
            toggle.click()
            until(self.page, lambda: self.page.evaluate(dark) == before)
        else:
            self.page.emulate_media(color_scheme="light")
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is added and no colour is on its way to another one."""
        self.page.mouse.move(0, 400)  # away from what has a tooltip
        before, now = None, self.page.evaluate(STATE)
        while before != now or not now[1]:
            self.page.wait_for_timeout(400)
            before, now = now, self.page.evaluate(STATE)

    def end(self) -> None:
        assert not self.faults, "\n".join(dict.fromkeys(self.faults))


def test_the_start_page(page, server):
    checked = Checked(page)
    page.goto(server.url)
    page.get_by_role("heading", name="Look inside a trained model").wait_for()
    checked.look_in_both_themes("start")
    page.set_viewport_size(TELEPHONE)
    checked.look("start, telephone")
    checked.end()


def test_a_page_of_the_documentation(page, server):
    checked = Checked(page)
    page.goto(f"{server.url}/docs-sic")
    page.get_by_role("heading", level=1).first.wait_for()
    checked.look_in_both_themes("docs")
    page.set_viewport_size(TELEPHONE)
    checked.look("docs, telephone")
    checked.end()


def test_the_login_page(page, serve_app):
    checked = Checked(page)
    page.goto(serve_app(["--basic-auth", "secret"]).url)
    page.get_by_label("Password").wait_for()
    checked.look_in_both_themes("login")
    page.set_viewport_size(TELEPHONE)
    checked.look("login, telephone")
    checked.end()


@pytest.mark.parametrize("app", APPS)
def test_an_app_and_the_first_tab_of_each_question(page, server, app):
    checked = Checked(page)
    page.goto(f"{server.url}/{app}?model={APPS[app]}")
    page.locator(WORK).first.wait_for(timeout=3 * PATIENCE)
    page.get_by_role("tab", name=QUESTIONS).first.wait_for()
    checked.look_in_both_themes(app)
    for question in page.get_by_role("tab", name=QUESTIONS).all()[1:]:
        question.click()
        expect(question).to_have_attribute("aria-selected", "true")
        checked.settle()
        checked.look_in_both_themes(f"{app}, {question.inner_text()}")
    page.set_viewport_size(TELEPHONE)
    checked.settle()
    page.locator(WORK).first.wait_for()
    checked.look(f"{app}, telephone")
    checked.end()
