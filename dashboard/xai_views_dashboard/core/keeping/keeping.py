"""What the header's buttons do: copy a link, save and open cases, and save pictures, tables and reports."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from xai_views import catalogue
from xai_views.contract import registry
from xai_views.errors import XaiViewsError, without_folders
from xai_views.views import Canvas, SaveMenu
from xai_views_dashboard.core.keeping import exports
from xai_views_dashboard.core.keeping.cases import Case, CaseFile, Notebook, read
from xai_views_dashboard.core.keeping.editor import CaseEditor
from xai_views_dashboard.core.tasks import on_page, start

HIDDEN = "The model's output is hidden."
NO_TABLE = "The open tab has no table."
REMARK = "A copied link cannot include your {noun}."

ENTRIES = {
    "case": "Save case",
    "open": "Open case",
    "png": "Picture (PNG)",
    "svg": "Picture (SVG)",
    "csv": "Table (CSV)",
    "tab": "Table of the open tab (CSV)",
    "report": "Report (HTML)",
}
#: What holds no answer of the model, and can be had while that is hidden.
WITHOUT_ANSWER = ("case", "open")
KINDS = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "csv": "text/csv",
    "tab": "text/csv",
    "report": "text/html",
}
ENDINGS = {"tab": "csv", "report": "html"}


class Keeping:
    """The visitor's notes and labels, and the menu that saves and opens what the page shows.

    Parameters
    ----------
    app : App
        The page; its canvas and state are there, its panels need not be.

    Attributes
    ----------
    notebook : Notebook
        What the visitor wrote.
    menu : SaveMenu
        The buttons of the header.
    heard : list of callable
        Called with no argument when cases were opened from a file.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.notebook = Notebook()
        self.heard: list[Callable[[], Any]] = []
        self.menu = SaveMenu(
            entries=self.entries(), fixed=exports.fixed(app), styles={"align-self": "center"}
        )
        self.menu.on_choose(lambda entry: start(self.chosen(entry)))
        self.menu.on_open(self.opened)
        app.state.param.watch(self.refresh, ["hidden", "sample", "tab"])
        self.refresh()

    @cached_property
    def editor(self) -> CaseEditor:
        """Note and label of the sample in view."""
        return CaseEditor(self.app)

    # -- the menu -----------------------------------------------------------------------------------------------

    def entries(self) -> list[dict[str, str]]:
        """Return the entries of the menu; what cannot be had now says why."""
        return [{"id": n, "label": label, "disabled": self.reason(n)} for n, label in ENTRIES.items()]

    def reason(self, entry: str) -> str:
        """Return why an entry cannot be chosen now; "" when it can."""
        if self.app.state.hidden and entry not in WITHOUT_ANSWER:
            return HIDDEN
        tabs = getattr(self.app, "tabs", None)
        if entry == "tab" and (tabs is None or getattr(tabs.open, "listing", None) is None):
            return NO_TABLE
        return ""

    def refresh(self, *_: Any) -> None:
        """Bring the menu in step with the page."""
        app = self.app
        entries, own = self.entries(), app.state.sample >= app.session.population.n
        noun = "image" if app.session.model.kind == "image" else app.noun.lower()
        remark = REMARK.format(noun=noun) if own else ""
        if entries != self.menu.entries or remark != self.menu.remark:
            self.menu.param.update(entries=entries, remark=remark)

    async def chosen(self, entry: str) -> None:
        """Make the file of an entry and let the browser save it."""
        if self.reason(entry):
            return
        if entry == "case":
            self.save_case()
            return
        if entry in {"png", "svg"} and isinstance(self.app.canvas, Canvas):  # what it shows, as it shows it
            self.app.canvas.caption = exports.under(self.app)
            self.app.canvas.save(entry, self.name(entry).rpartition(".")[0])
            self.menu.say(f"Saving {self.name(entry)}.")
            return
        on_page(lambda: self.menu.say("Making the file …", lasting=True))
        hidden_before = self.app.state.hidden
        try:
            name, (made, by_browser) = self.name(entry), await self.made(entry)
        except asyncio.CancelledError:
            return
        except XaiViewsError as error:
            sentence = without_folders(error)
            on_page(lambda: self.menu.say(sentence, lasting=True))
            return
        if self.app.state.hidden != hidden_before:  # hidden while it was made
            on_page(lambda: self.menu.say(HIDDEN))
            return
        on_page(lambda: self.deliver(name, made, KINDS[entry], by_browser))

    async def made(self, entry: str) -> tuple[str | bytes, bool]:
        """Return what a file will hold, and whether the browser has to draw it."""
        app = self.app
        if entry == "report":
            return await exports.report_of(app, self.notebook.of(self.sample)), False
        if entry == "csv":
            return await exports.table_of(app), False
        if entry != "tab":
            return await exports.picture_of(app, entry)
        if exports.listing_of(app) is None:
            raise XaiViewsError("The table of the open tab has no rows yet; fill it first.")
        return exports.open_table_of(app), False

    def deliver(self, name: str, data: str | bytes, kind: str, drawn: bool = False) -> None:
        """Let the browser save a file, and say so."""
        self.menu.hand_over(name, data, kind, drawn)
        self.menu.say(f"Saved {name}.")

    @property
    def sample(self) -> str:
        """Name of the sample in view."""
        return self.app.session.names[self.app.state.sample]

    def name(self, entry: str) -> str:
        """Return the name of a file: app, sample and what it is; letters that file systems take."""
        plain = re.sub(r"[^\w.-]+", "_", f"{self.app.key}-{self.sample}")[:80].strip("._") or "sample"
        word = {"report": "-report", "case": "-case", "tab": "-tab"}.get(entry, "")
        return f"{plain}{word}.{ENDINGS.get(entry, 'json' if entry == 'case' else entry)}"

    # -- cases --------------------------------------------------------------------------------------------------

    def write(self, **changes: Any) -> None:
        """Keep a note or a label of the sample in view, with the state of the page."""
        self.notebook.write(self.sample, **changes, **self._here())

    def _here(self) -> dict[str, Any]:
        app = self.app
        return {"state": app.state.query(app.session.names), "digest": app.session.digest(app.state.sample)}

    def file(self) -> CaseFile:
        """Return the case in view, and the others about which something was written."""
        app, model = self.app, self.app.session.model
        self.write()
        first = self.notebook.of(self.sample)
        others = [c for c in self.notebook.written if c.sample != first.sample]
        return CaseFile(app.key, model.name, model.sha256, app.session.population.title, (first, *others))

    def save_case(self) -> None:
        """Let the browser save the case file."""
        found = self.file()
        self.menu.hand_over(self.name("case"), found.text(), "application/json")
        count = len(found.cases)
        self.menu.say(f"Saved {count} case{'' if count == 1 else 's'} to {self.name('case')}.")

    def opened(self, text: str) -> None:
        """Take a file that the visitor chose: restore its first case, or say which page it belongs to."""
        try:
            found = read(text)
        except XaiViewsError as error:
            self.menu.say(without_folders(error), lasting=True)
            return
        elsewhere = self.elsewhere(found)
        if elsewhere:
            self.menu.say(elsewhere, *self.link_to(found), lasting=True)
            return
        self.notebook.take(found.cases)
        said = self.restore(found.cases[0])
        if found.sha256 != self.app.session.model.sha256:
            said.insert(
                0,
                f"The weights of {found.model!r} differ from those the case was saved with; values may differ.",
            )
        for call in self.heard:
            call()
        count = len(found.cases)
        self.menu.say(
            " ".join([f"Opened {count} case{'' if count == 1 else 's'}.", *said]), lasting=bool(said)
        )

    def elsewhere(self, found: CaseFile) -> str:
        """Return which page a file belongs to, in one sentence; "" when it is this one."""
        app = self.app
        here = (app.key, app.session.model.name, app.session.population.title)
        if (found.app, found.model, found.samples) == here:
            return ""
        where = (
            f"model {found.model!r} with samples {found.samples or 'of your own'!r} in the app {found.app!r}"
        )
        return f"This case belongs to {where}; open that page, then open the file there."

    def link_to(self, found: CaseFile) -> tuple[str, str]:
        """Return address and words of the page of a file; empty where it is not offered here."""
        there = found.app in registry.entries("apps") and found.model in catalogue.models()
        if not there or (found.samples and found.samples not in catalogue.samples()):
            return "", ""
        query = {"model": found.model, **({"samples": found.samples} if found.samples else {})}
        return f"{found.app}?{urlencode({**query, **_plain(found.cases[0])})}", "Open that page"

    def restore(self, case: Case) -> list[str]:
        """Bring the state of a case into view; return one sentence for each thing that is not as it was."""
        app = self.app
        names = app.session.names
        if case.sample not in names:
            return [f"{app.noun} {case.sample!r} is not available here; only its note was opened."]
        said = app.state.restore({**_plain(case), "sample": case.sample}, names, whole=True)
        if case.digest and app.session.digest(names.index(case.sample)) != case.digest:
            said.append(f"{app.noun} {case.sample!r} has changed since the case was saved.")
        return said


def _plain(case: Case) -> dict[str, str]:
    """The state of a case; what decides which page opens is not taken from a file."""
    return {k: v for k, v in case.state.items() if k not in {"model", "samples", "theme"}}
