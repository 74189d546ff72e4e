"""Actions of the tests of whole pages, and their waits: a page changes when its server has answered, so never read at once.

A test states what it expects with ``expect`` or ``until``; both retry until the page shows it.
"""

import io
import re
import time
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image
from playwright.sync_api import expect

#: Names of the tabs that hold the tabs of panels.
QUESTIONS = re.compile(r"\?$|^About$")
PATIENCE = 30_000  # ms; long, since the other core runs tests too
expect.set_options(timeout=PATIENCE)


def until(page, ask):
    """Retry until the result is true, and return the last result."""
    end = time.monotonic() + PATIENCE / 1000
    while not (answer := ask()) and time.monotonic() < end:
        page.wait_for_timeout(100)
    return answer


def query(page) -> dict[str, str]:
    return {k: v[0] for k, v in parse_qs(urlsplit(page.url).query).items()}


def wait_query(page, key: str, wanted: str) -> None:
    page.wait_for_function(
        "([k, v]) => new URLSearchParams(location.search).get(k) === v", arg=[key, wanted], timeout=PATIENCE
    )


def changed(page, root, act) -> None:
    """Do something and wait until the picture shows another frame."""
    before = root.get_attribute("data-key")
    act()
    page.wait_for_function(
        "([e, k]) => e.dataset.key !== k && e.dataset.state === 'idle'",
        arg=[root.element_handle(), before],
        timeout=PATIENCE,
    )


def becomes(page, act, locator) -> str:
    """Do something and return the text of the locator once it is another one."""
    before = locator.inner_text()
    act()
    assert until(page, lambda: locator.inner_text() != before), f"still: {before}"
    return locator.inner_text()


def number(text: str) -> float:
    return float(text.replace("−", "-").replace("+", ""))


def tab(page, name: str) -> None:
    """Open the tab of a panel: a question first, where another one is open."""
    wanted = page.get_by_role("tab", name=name, exact=True)
    page.get_by_role("tab", name=QUESTIONS).first.wait_for()
    if not wanted.count():
        for question in page.get_by_role("tab", name=QUESTIONS).all():
            question.click()
            if until_soon(page, lambda: wanted.count()):
                break
    wanted.last.click()


def until_soon(page, ask):
    """``until`` with a limit of one second, for what appears at once or never."""
    for _ in range(20):
        if answer := ask():
            return answer
        page.wait_for_timeout(50)
    return ask()


def choose(page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_text(option, exact=True).last.click()


def press(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def table(page, name: str):
    """Return the table below a heading."""
    return page.get_by_role("region", name=name, exact=True)


def at_rest(locator) -> np.ndarray:
    """Return ``pixels`` once two readings are equal."""
    shots = [pixels(locator), pixels(locator)]
    while not np.array_equal(*shots):
        shots = [shots[1], pixels(locator)]
    return shots[1]


def pixels(locator) -> np.ndarray:
    """Return the pixels of an element, ``[y, x, 3]`` int."""
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB")).astype(int)
