"""Pages do no work before the browser has loaded them, nor for closed tabs. Notebooks do not wait."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import panel as pn
import pytest
from bokeh.document import Document
from panel.io.state import set_curdoc

from xai_views import apps
from xai_views_dashboard.activations.app import ActivationsApp
from xai_views_dashboard.activations.codebook import CodebookPanel
from xai_views_dashboard.core import panel as panels
from xai_views_dashboard.core import tasks
from xai_views_dashboard.core.panel import Panel
from xai_views_dashboard.ecg.app import EcgApp
from xai_views_dashboard.sic.app import SicApp

APPS = {"activations": ActivationsApp, "ecg": EcgApp, "sic": SicApp}
MODELS = {"activations": "birds-cnn-watermark", "ecg": "ecg-resnet", "sic": "birds-sic"}
FIRST = {"activations": "ClusterPanel", "ecg": "LedgerPanel", "sic": "AnswerPanel"}
ABOVE = {"RegionResult", "IntervalResult"}  # at the picture and not in a tab
MOVED = {"activations": {"sample": 1, "cluster": 0}, "ecg": {"sample": 1}, "sic": {"sample": 1}}
OTHER = {
    "activations": ("ComparePanel", []),
    "ecg": ("TouchPanel", ["TouchPanel"]),
    "sic": ("RegionPanel", ["RegionPanel"]),
}  # another tab, what follows in it


class Page:
    """An app in a page as the server creates it, with a record of computed and written panels."""

    def __init__(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind, self.asked, self.written = kind, [], []
        self.doc = Document()
        context = SimpleNamespace(id="page", request=SimpleNamespace(arguments={}, cookies={}, headers={}))
        self.doc._session_context = lambda: context
        monkeypatch.setattr(panels, "on_page", lambda call: call())  # nobody turns the ticks of this document
        self._watched(Panel, monkeypatch)

    def _watched(self, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
        follow, written = kind._follow, kind._written

        def asked(panel, turn):
            if type(panel).__name__ not in ABOVE:
                self.asked.append(type(panel).__name__)
            return follow(panel, turn)

        def wrote(panel, answer):
            if type(panel).__name__ not in ABOVE:
                self.written.append(type(panel).__name__)
            written(panel, answer)

        monkeypatch.setattr(kind, "_follow", asked)
        monkeypatch.setattr(kind, "_written", wrote)

    def build(self, **state) -> None:
        """Do what the server does for an address: build, restore, lay out."""
        self.app = APPS[self.kind](*apps.opened(MODELS[self.kind]))
        self.app.state.param.update(**MOVED[self.kind], **state)
        self.app.__panel__()
        self.tabs = self.app.tabs

    @staticmethod
    async def quiet() -> None:
        """Wait until everything that was started has ended."""
        while running := [t for t in tasks._running if not t.done()]:
            await asyncio.wait(running, timeout=60)
        await asyncio.sleep(0)


@pytest.fixture
def page(request, monkeypatch):
    return Page(request.param, monkeypatch)


kinds = pytest.mark.parametrize("page", APPS, indirect=True)
only_activations = pytest.mark.parametrize("page", ["activations"], indirect=True)


@kinds
def test_a_page_waits_for_the_browser_and_writes_the_open_tab_once(page):
    async def main():
        with set_curdoc(page.doc):
            page.build()
            await page.quiet()
            assert page.asked == []
            pn.state._on_load(page.doc)  # what the browser's first message calls
            await page.quiet()
            assert page.written == page.asked == [FIRST[page.kind]]

    asyncio.run(main())


@kinds
def test_nothing_is_computed_for_a_tab_that_nobody_opened(page):
    async def main():
        with set_curdoc(page.doc):
            tab, follows = OTHER[page.kind]
            page.build()
            page.tabs.bring(next(p.title for p in page.app.panels if type(p).__name__ == tab))
            pn.state._on_load(page.doc)
            await page.quiet()
            assert page.asked == follows
            page.app.state.sample = 2
            await page.quiet()
            assert page.asked == 2 * follows
            page.tabs.bring(page.app.panels[0].title)
            await page.quiet()
            assert page.asked == [*follows, *follows, FIRST[page.kind]]

    asyncio.run(main())


@kinds
def test_in_a_notebook_nobody_waits(page):
    """In a notebook there is an event loop and no document."""

    async def main():
        page.build()
        await page.quiet()
        assert page.written == [FIRST[page.kind]]
        page.app.state.sample = 2
        await page.quiet()
        assert page.written == 2 * [FIRST[page.kind]]

    asyncio.run(main())


@only_activations
def test_a_codebook_that_the_address_asks_for_waits_too(page, monkeypatch):
    ran = []

    async def run(panel):
        ran.append(panel)

    monkeypatch.setattr(CodebookPanel, "run", run)

    async def main():
        with set_curdoc(page.doc):
            page.build(mode="codebook")
            await page.quiet()
            assert ran == []
            pn.state._on_load(page.doc)
            await page.quiet()
            assert len(ran) == 1

    asyncio.run(main())


@only_activations
def test_a_fitted_codebook_reaches_the_open_tab(page):
    async def main():
        page.build(mode="codebook")
        await page.quiet()
        assert page.app.state.codebook is not None
        assert page.written.count("ClusterPanel") == 2, "before and after the fit"

    asyncio.run(main())
