"""What every app is: a page of declarations over one session, one state, one canvas and its panels."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import panel as pn
import param
import xarray as xr

from xai_views.contract import registry
from xai_views.contract.ask import Ask
from xai_views.contract.method import Method
from xai_views.errors import XaiViewsError
from xai_views.views import AnswerLine, Canvas, with_header
from xai_views_dashboard.core.answers import answer_of, typical_words
from xai_views_dashboard.core.keeping.keeping import Keeping
from xai_views_dashboard.core.method_pages import link as link_to_page
from xai_views_dashboard.core.page import connection, note, page
from xai_views_dashboard.core.panel import Panel, offered
from xai_views_dashboard.core.population import Population
from xai_views_dashboard.core.protocols import PageSession
from xai_views_dashboard.core.question_tabs import QuestionTabs
from xai_views_dashboard.core.session import Session
from xai_views_dashboard.core.state import AppState
from xai_views_dashboard.core.status import StatusLine
from xai_views_dashboard.core.tasks import on_page, start
from xai_views_dashboard.core.wishes import Wish, Wishes
from xai_views_dashboard.core.workbench import brief, under, workbench

#: Settings of the canvas that are not the hand's.
OF_PAGE = ("hidden", "stepper")
#: Keys of every app, with the words for the help.
KEYS = {"h": "hide or show the model's output", "p": "pin or unpin this sample"}

#: What is said first, whoever says it.
CLINICAL = "Not for clinical use."

#: The tab in which a pinned sample stands beside the one in view.
PINNED = "Pinned"


class App(pn.viewable.Viewer):
    """An app on a model and its samples.

    A subclass declares what it is; it writes ``frame`` (one explanation as bytes for its canvas) and whatever links of its
    own it has. Everything else, from the address to the tabs, is the same in every app.

    Parameters
    ----------
    model : Model
        An opened model that :meth:`fits`.
    samples : xarray.Dataset
        Samples that fit it.
    **state
        First values of the state; ``sample`` may be an id.

    Attributes
    ----------
    key, title : str
        Name in addresses, and for people.
    method : str
        Key of the method that the main picture shows; its parameters are part of the state.
    beside : tuple of str
        Keys of further methods that its panels ask; what they declare beyond the main method is part of the state too.
    selection : type of AppState
        What is selected beside the methods' parameters.
    session_kind : type of Session
        One visitor's samples and requests.
    view : type of Canvas
        The main picture.
    panels_own : tuple of type of Panel
        Its own tabs; those of the group ``xai_views.panels`` come in every app.
    drawn : tuple of str
        Parameters of the state that change the main picture and not what is asked.
    words : str
        Under the main picture: what it shows and what it does not.
    always : str
        Said at the top of every page, once, whatever samples and model say.
    source : str
        In the tab About: where the method comes from.
    noun : str
        What a sample is called.
    keys : mapping
        Further keys of the canvas with the words for the help.
    preference : int
        Among the apps that fit a model, the one with the largest opens when none is named.
    """

    key: ClassVar[str]
    title: ClassVar[str] = ""
    method: ClassVar[str]
    beside: ClassVar[tuple[str, ...]] = ()
    selection: ClassVar[type[AppState]] = AppState
    session_kind: ClassVar[type[Session]] = Session
    view: ClassVar[type[Canvas]] = Canvas
    panels_own: ClassVar[tuple[type[Panel], ...]] = ()
    drawn: ClassVar[tuple[str, ...]] = ()
    words: ClassVar[str] = ""
    always: ClassVar[str] = ""
    source: ClassVar[str] = ""
    noun: ClassVar[str] = "Sample"
    keys: ClassVar[Mapping[str, str]] = {}
    preference: ClassVar[int] = 0

    problem = param.String("", doc="The last thing that went wrong, in one sentence; shown on the page.")

    def __init__(self, model: Any, samples: xr.Dataset, **state: Any) -> None:
        super().__init__()
        session: PageSession = self.session_kind(model, samples)
        self.session: Any = session
        self.model, self.samples = self.session.model, samples
        begins = self.begins()
        self.state: Any = self.state_kind().first(self.session.names, **{**begins, **state})
        self.state.begin(begins)
        self.wishes = Wishes()
        self._newly_pinned = False
        self.prepare()
        self.canvas = self.make_canvas()
        self.canvas.channel = self.session.channel
        self.line = AnswerLine(
            channel=self.session.channel, noun=self.noun, hidden=self.state.hidden, pinned=self.state.pinned
        )
        self.status = StatusLine(self.session.kernel)
        self.kept = Keeping(self)
        self.listed = Population(self)
        self.panels = offered(self, self.panel_kinds())
        self.tabs = QuestionTabs(self.panels, self.opened, self.state.tab)
        self._link()
        self.link()

    # -- what is declared ---------------------------------------------------------------------------------------

    @classmethod
    def main_method(cls) -> Method:
        """The method that the main picture shows, with its defaults."""
        return registry.plain(cls.method)

    @classmethod
    def state_kind(cls) -> type[AppState]:
        """The class of the state: the selection, and the methods' parameters as the methods declare them."""
        return cls.selection.derived(*(type(registry.plain(key)) for key in (cls.method, *cls.beside)))

    @classmethod
    def fits(cls, model: Any) -> str:
        """Return "" when the app can open ``model``, else the reason in one sentence."""
        return cls.main_method().fits(model)

    @classmethod
    def panel_kinds(cls) -> list[type[Panel]]:
        """The app's own panels, then those that every app has."""
        return [*cls.panels_own, *registry.loaded("panels").values()]

    # -- for subclasses -----------------------------------------------------------------------------------------

    def begins(self) -> Mapping[str, Any]:
        """What the state begins with for this model, beside the defaults; what an address or Python says comes later."""
        return {}

    def prepare(self) -> None:
        """Make what the first wish and the canvas need, before there is a canvas."""

    def make_canvas(self) -> Canvas:
        """The main picture."""
        return self.view(
            self.answer,
            order=self.session.names,
            layout=self.layout(),
            position=self.state.sample,
            context=self.context(),
            settings=self.composed(self.state.look),
            sizing_mode="stretch_width",
            keys={**KEYS, **self.keys},
        )

    def layout(self) -> dict[str, Any]:
        """Tiles of the canvas; none for a view that has its own."""
        return {}

    def link(self) -> None:
        """Links of the app's own; those of every app are there already."""

    def controls(self) -> list[pn.viewable.Viewable]:
        """What stands above the main picture."""
        return []

    def ask(self, method: str = "", /, **changes: Any) -> Ask:
        """What the state asks of a method, by default the main one; ``changes`` are other values of its parameters."""
        asked = registry.plain(method or self.method)
        return asked.ask(**{**self.state.asked(asked), **changes})

    def asked_by(self) -> list[str]:
        """The parameters of the state that decide what is asked of the main method."""
        held = (self.state.HELD_AS.get(n, n) for n in self.main_method().declared())
        return [n for n in dict.fromkeys([*held, *self.state.TARGETS]) if n in self.state.param]

    def frame(self, key: str, sample: int, result: xr.Dataset, wish: Wish) -> Any:
        """One explanation as what the view takes, for a canvas the bytes of a frame.

        Called on a thread, reads the wish and not the state.
        """
        raise NotImplementedError

    def pressed(self, key: str) -> None:
        """Take a key of the canvas; ``h`` is taken already."""

    def selected(self, message: Mapping[str, Any]) -> None:
        """Take a click on the canvas."""

    def facts(self) -> Mapping[str, Any]:
        """Further lines of the tab About."""
        return {}

    # -- frames -------------------------------------------------------------------------------------------------

    def wish(self) -> Wish:
        """Everything that the main picture depends on now."""
        state = self.state
        drawn = {n: AppState.frozen(getattr(state, n)) for n in self.drawn}
        alone = any(n in state.OF_SAMPLE and getattr(state, n) for n in [*self.asked_by(), *self.drawn])
        return Wish(self.ask(), drawn, state.sample, alone)

    def context(self) -> str:
        """Remember the wish of this moment and return its name."""
        return self.wishes.add(self.wish())

    async def explained(self, sample: int, wish: Wish, priority: int = 0) -> xr.Dataset:
        """The explanation of one sample for a wish."""
        ask = await asyncio.to_thread(self.session.asked_of, sample, wish)  # may read another sample
        return await self.session.explain(sample, ask, priority)

    async def made(self, key: str, sample: int, wish: Wish, priority: int = 0) -> Any:
        """Explain one sample and make what the view takes of it."""
        result = await self.explained(sample, wish, priority)
        made = await asyncio.to_thread(self.frame, key, sample, result, wish)
        return self.with_answer(made, answer_of(self.session, sample, result, self.changed(sample, wish)))

    def with_answer(self, made: Any, answer: Mapping[str, Any] | None) -> Any:
        """Add what the answer line says to what the view takes, by default the bytes of a frame."""
        return with_header(made, answer=answer)

    def changed(self, sample: int, wish: Wish) -> str:  # noqa: ARG002 - for subclasses
        """What was changed for this answer, in a few words, such as an edited input; "" for nothing."""
        return ""

    async def answer(self, key: str, priority: int = 0) -> bytes:
        """Answer one wish of the canvas; encoded frames are shared by all sessions."""
        session = self.session
        sample, wish = self.wishes.find(key, session.names)
        # by the content of the wish, not by the name that the browser gave it
        cached = (
            self.key,
            session.model.sha256,
            session.population.key,
            session.digest(sample),
            key,
            wish.context,
        )
        frame = session.kernel.frames.get(cached)
        if frame is None:
            frame = await self.made(key, sample, wish, priority)
            session.kernel.frames.put(cached, frame)
        return frame

    # -- what the page consists of ------------------------------------------------------------------------------

    def __panel__(self) -> Any:
        pn.state.onload(self.begin)
        return workbench(
            notes=self.notes(),
            population=self.population(),
            answer=[*connection(), self.line],
            controls=self.controls(),
            case=[*self.case(), under(self.words, self.link_to_method())],
            tabs=[self.beneath()],
        )

    def begin(self) -> None:
        """Begin what sends to the browser, once it has loaded the page."""
        self.tabs.begin()
        self.look_typical()
        self.listed.begin()

    def population(self) -> list[Any]:
        """What stands at the left: all samples."""
        return [self.listed]

    def case(self) -> list[Any]:
        """What stands in the middle: the sample with its explanation, and how it adds up."""
        return [self.canvas]

    def beneath(self) -> Any:
        """What stands under the first screen: the tabs, and a sentence instead while the model's output is hidden."""
        place = pn.Column(sizing_mode="stretch_width", styles={"max-height": "none"}, margin=0)

        def show(*_: Any) -> None:
            hidden = note("The model's output is hidden. Press h, or 'Show output', to see the tabs.")
            # A reader who does not see the answer can write one's own.
            place.objects = [hidden, self.kept.editor] if self.state.hidden else [self.tabs]

        self.state.param.watch(show, "hidden")
        show()
        return place

    def opened(self, title: str) -> None:
        """Remember which tab is in view."""
        first = self.tabs.groups[0][0].title
        self.state.tab = "" if title == first else title  # the first one needs no word in an address

    def notes(self) -> list[pn.viewable.Viewable]:
        """What the samples and the model want said, and the place for problems."""
        words = [self.session.population.samples.attrs.get("note", ""), self.model.card.get("note", "")]
        text = " ".join(dict.fromkeys(w for w in words if w))
        always = self.always or (CLINICAL if CLINICAL in text else "")
        if always:  # first, since the line is cut where there is no room
            text = " ".join(text.replace(always, "").split())
        first, *rest = re.split(r"(?<=[.!?]) (?=[A-Z])", text, maxsplit=1)
        guide = str(self.model.card.get("guide") or "")
        lines = [guide, f"{always} {text}"] if guide else [f"{always} {first}".strip(), *rest]
        said = [brief(*lines)] if guide or always or text else []
        place = pn.Column(sizing_mode="stretch_width")

        def show(*_: Any) -> None:
            place.objects = [note(self.problem, "error")] if self.problem else []

        self.param.watch(show, "problem")
        show()
        return [*said, place]

    def link_to_method(self) -> str:
        """A link to the page of the main method, as HTML; "" where pages are not served."""
        return link_to_page(self.method)

    def actions(self) -> list[pn.viewable.Viewable]:
        """Small buttons for the page's header: "Copy link" and the menu "Save"."""
        return [self.kept.menu]

    # -- links --------------------------------------------------------------------------------------------------

    def _link(self) -> None:
        state, canvas = self.state, self.canvas
        canvas.on_position(self.show_position)
        canvas.on_select(self.selected)
        canvas.on_key(self.key_pressed)
        canvas.on_settings(self.looked)
        canvas.on_region(lambda m: setattr(state, "region", m.get("polygon") or []))
        state.param.watch(self.moved, "sample")
        state.param.watch(self.asked, [*dict.fromkeys([*self.asked_by(), *self.drawn])])
        state.param.watch(lambda *_: canvas.compose(**self.composed(state.look)), ["look", "hidden"])
        state.param.watch(lambda e: setattr(self.line, "hidden", e.new), "hidden")
        state.param.watch(lambda e: setattr(self.line, "pinned", e.new), "pinned")
        state.param.watch(lambda e: e.new != self.tabs.open.title and self.tabs.bring(e.new), "tab")
        self.line.on_hide(self.hide)
        self.line.on_pin(self.pin)

    def key_pressed(self, key: str) -> None:
        """Take a key of every app, or leave it to this one."""
        if key == "h":
            self.hide()
        elif key == "p":
            self.pin()
        else:
            self.pressed(key)

    def hide(self) -> None:
        """Hide everything that the model says, or show it again."""
        self.state.hidden = not self.state.hidden

    def pin(self) -> None:
        """Keep the sample in view beside those that follow, or let it go."""
        name = self.session.names[self.state.sample]
        self.state.pinned = "" if self.state.pinned == name else name
        self._newly_pinned = bool(self.state.pinned)

    def look_typical(self, *_: Any) -> None:
        """Let the answer line say how typical the sample in view is of the training data."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # no page
            return
        start(self._typical(self.state.sample))

    async def _typical(self, sample: int) -> None:
        try:
            found = await self.session.typicality(sample)
        except (asyncio.CancelledError, XaiViewsError):
            return  # the canvas says what went wrong
        name = self.session.names[sample]
        on_page(
            lambda: setattr(self.line, "typical", {"sample": name, **typical_words(found, self.noun.lower())})
        )

    def composed(self, look: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the canvas for what the state says of them."""
        return {**self.view.defaults, **look, "hidden": self.state.hidden, "stepper": False}

    def looked(self, settings: Mapping[str, Any]) -> None:
        """Keep what was changed in the browser."""
        self.state.look = {
            k: v for k, v in settings.items() if k not in OF_PAGE and self.view.defaults.get(k) != v
        }

    def asked(self, *_: Any) -> None:
        """Ask for what the state now says."""
        for name in self.state.TARGETS:
            if getattr(self.state, name) >= len(self.model.classes):
                setattr(self.state, name, -1)  # an address made with another model
                return
        self.canvas.context = self.context()

    def show_position(self, position: int) -> None:
        """Go to a position of the canvas' order, which is the population's order after sorting and filtering."""
        if position < len(self.canvas.order):
            self.state.sample = self.session.names.index(self.canvas.order[position])

    def moved(self, *_: Any) -> None:
        """Bring the sample of the state into view."""
        if self.state.sample >= len(self.session):
            self.state.sample = len(self.session) - 1
            return
        self.into_view()
        self.state.leave()
        self.look_typical()
        if self._newly_pinned and self.session.names[self.state.sample] != self.state.pinned:
            self._newly_pinned = False  # the second of two: show both
            self.tabs.bring(PINNED)
            self.kept.menu.reveal("xv-area-tabs")

    def into_view(self) -> None:
        """Let the canvas show the sample of the state."""
        self.listed.admit(self.state.sample)
        name = self.session.names[self.state.sample]
        self.canvas.sample = name

    # -- for people who write Python ----------------------------------------------------------------------------

    def result(self) -> xr.Dataset:
        """The explanation of the sample in view, with its provenance: what ``xv.explain`` gives for these parameters.

        Waits for the kernel: for notebooks and scripts, never for a page.
        """
        sample = self.state.sample
        ask = self.session.asked_of(sample, self.wish())
        return self.session.explained_now(sample, ask)

    def ipywidget(self) -> Any:
        """Return the app as an ipywidget, to stand among others."""
        return pn.ipywidget(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        if pn.config.comms in {"vscode", "ipywidgets"}:
            return self.ipywidget()._repr_mimebundle_(include=include, exclude=exclude)
        return super()._repr_mimebundle_(include, exclude)

    def servable(self, title: str = "", **params: Any) -> Self:  # type: ignore[override]  # of a whole page
        """Put the app into the page that is being served, with its state in the address."""
        location = pn.state.location
        if location is not None:
            self._follow(location)
        page(
            title or self.model.card.get("title") or f"{self.title}: {self.model.name}",
            [self],
            status=self.status,
            **{"actions": self.actions(), **params},
        ).servable()
        return self

    def _follow(self, location: Any) -> None:
        """Restore the state from the address, then keep the address in step with it."""
        query = {k: v[0].decode("utf-8", "replace") for k, v in (pn.state.session_args or {}).items()}
        problems = self.state.restore(query, self.session.names)
        self.problem = " ".join(filter(None, [self.problem, *problems]))  # what the app itself refused of it
        kept = {k: query[k] for k in ("model", "samples", "theme") if k in query}

        def write(*_: Any) -> None:
            location.search = self.state.address(self.session.names, **kept)

        self.state.param.watch(write, [n for n in self.state.param if n != "name"])
