"""Any installed method on the current sample: its declared parameters, and its explanation drawn by role."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import Future
from dataclasses import dataclass
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui
import xarray as xr

from xai_views.contract import registry
from xai_views.contract.ask import Ask
from xai_views.contract.explanation import with_roles
from xai_views.contract.method import QUESTIONS, Method
from xai_views.errors import XaiViewsError
from xai_views.views import Canvas, ECGPaper, Listing, roles
from xai_views.views.ecg_paper.record import Record
from xai_views_dashboard.core.controls import control
from xai_views_dashboard.core.job import Job, Told
from xai_views_dashboard.core.method_pages import link
from xai_views_dashboard.core.page import caption

COLUMNS = [
    {"key": "what", "title": "quantity"},
    {"key": "value", "title": "value", "kind": "number", "digits": 4},
]
#: What the status line says meanwhile.
METHODS = "Checking which methods fit the model"


@dataclass(eq=False)
class Asked:
    """The request for one sample, and the sample once it is read."""

    ask: Ask
    sample: int
    name: str
    image: Any = None


class ExplainPanel(Job):
    """Explain the current sample by any installed method that fits the model.

    Parameters
    ----------
    app : App
        Gives session and state.
    """

    title = "Explain"
    question = "compared"
    watched = ("sample",)
    verb = "Explain"
    doing = "Computing an explanation"
    stopped = "Cancelled; the pictures show what was computed until then."

    def __init__(self, app: Any) -> None:
        self.choice = pmui.Select(label="Method", options=[], width=280, size="small")
        # The choice is added once its options are known: changes while a tab opens are lost.
        self.offer = pn.Column()
        self.settings = pn.FlexBox(gap="8px", margin=(0, 8), align_items="center")
        self.about = pn.pane.HTML("", sizing_mode="stretch_width", margin=(0, 16))
        self.others = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.pictures = pn.Column(sizing_mode="stretch_width")
        self.listing = Listing(label="Values of the explanation", columns=COLUMNS)
        self.code = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.drawn = pn.Column(sizing_mode="stretch_width")
        self.method: Method | None = None
        self.result: xr.Dataset | None = None
        self._canvas: Canvas | None = None
        self._turns, self._frame = 0, b""
        self._answers, self._records = 0, dict[str, Record]()
        super().__init__(app)
        self.choice.param.watch(lambda e: self.choose(e.new), "value")
        self.go.disabled = True  # until a method is chosen

    # -- methods -------------------------------------------------------------------------------------------------

    async def compute(self) -> dict[str, str]:
        """Return for each installed method "" or why it does not fit; checked on the worker, which owns the model."""
        model = self.app.session.model

        def reasons(progress: Any) -> dict[str, str]:  # noqa: ARG001 - passed by the kernel
            return {m.key: m.fits(model) for m in registry.methods()}

        run = self.app.session.job(("methods", model.sha256), reasons, title=METHODS)
        return await asyncio.wrap_future(run)

    def write(self, reasons: dict[str, str]) -> None:
        """Offer the methods that fit, list why others do not, and say when the pictures are of another sample."""
        fitting = {registry.plain(k).title: k for k, reason in reasons.items() if not reason}
        if self.choice.options != fitting:
            self.choice.options = fitting
            self.choice.value = next(iter(fitting.values()), None)
            self.offer.objects = [self.choice]
            if self.method is None and self.choice.value is not None:
                self.choose(self.choice.value)
        closed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons.values() if reason)
        self.others.object = (
            f"<details><summary>Methods that do not fit this model</summary><ul>{closed}</ul></details>"
            if closed
            else ""
        )
        if self.running:
            self.cancel()
        elif self.result is not None:
            self.say("The pictures are of another sample; press Explain to explain this one.")

    def choose(self, key: str | None) -> None:
        """Show the declared parameters of a method."""
        if key is None:
            return
        self.method = registry.method(key)
        made = (control(self.method, name) for name in self.method.declared())
        self.settings.objects = [widget for widget in made if widget is not None]
        question = escape(QUESTIONS.get(self.method.question, ""))
        self.about.object = f"<p><strong>{question}</strong> Cost: {escape(self.method.cost)}.{link(key)}</p>"
        self.go.disabled = False

    # -- running ------------------------------------------------------------------------------------------------

    def wish(self) -> Asked:
        """Return the current sample and the request."""
        app = self.app
        if self.method is None:
            raise XaiViewsError("Choose a method from the list.")
        held = app.state.asked(self.method)
        target = {"targets": held["targets"]} if "targets" in held else {}  # the explained class of the page
        return Asked(self.method.ask(**target), app.state.sample, app.session.names[app.state.sample])

    async def submit(self, wish: Asked, told: Told) -> Future:
        """Request the explanation; partial answers are drawn as they come."""
        session = self.app.session
        wish.image = await asyncio.to_thread(session.image, wish.sample)
        self._canvas, self._turns = None, self._turns + 1

        def partial(_: int, ds: xr.Dataset | None, done: int, total: int) -> None:
            told(done, total, ds)

        return session.request(wish.sample, wish.image, wish.ask, priority=1, partial=partial)

    def refine(self, part: xr.Dataset, done: int, total: int) -> None:  # noqa: ARG002
        """Draw a partial answer."""
        self.draw(part, self.wished, final=False)
        self.say("The pictures show a partial result, which is refined until all is done.")

    def take(self, answer: list[xr.Dataset]) -> None:
        """Draw the answer, and show how to reproduce it."""
        self.result = self.draw(answer[0], self.wished)
        self.say(roles.sentence(self.result, self.wished.name))

    # -- drawing ------------------------------------------------------------------------------------------------

    def draw(self, ds: xr.Dataset, wish: Asked, final: bool = True) -> xr.Dataset:
        """Draw an explanation by the roles of its variables; return it with roles."""
        method = registry.plain(wish.ask.method)
        ds = with_roles(
            ds.assign_coords({"class": list(self.app.model.classes)}) if "class" in ds.dims else ds,
            method.gives,
        )
        if self.app.model.kind == "signal":
            self._papers(ds, wish.name, wish.image)
        else:
            self._tiles(ds, wish.name, wish.image, final)
        self.listing.rows = roles.figures(ds)
        self.code.object = reproduce(self.app, wish.name, wish.ask)
        wanted = [self.pictures, self.listing, *([self.code] if final else [])]
        if self.drawn.objects != wanted:
            self.drawn.objects = wanted
        return ds

    def _tiles(self, ds: xr.Dataset, name: str, image: Any, final: bool) -> None:
        frame = self._frame = roles.frame(f"{name}|{self._turns}", ds, image, name, final=final)
        if self._canvas is None:

            async def provider(key: str) -> bytes:  # noqa: ARG001 - one picture
                return self._frame

            self._canvas = Canvas(
                provider,
                order=[name],
                context=str(self._turns),
                layout=roles.layout(roles.pictures(ds)),
                page_keys=False,
                sizing_mode="stretch_width",
                settings={"prefetch": False},
            )
            self.pictures.objects = [self._canvas]
        else:
            self._canvas.push(frame)

    def _papers(self, ds: xr.Dataset, name: str, signal: Any) -> None:
        """Draw a paper for each map; existing ones are updated, so that partial answers are seen."""
        session = self.app.session
        found = {r.id: r for r in roles.records(ds, signal, session.leads, session.rate, name)}
        self._records, self._answers = found, self._answers + 1
        if [paper.order for paper in self.pictures.objects] == [[i] for i in found]:
            for paper in self.pictures.objects:
                paper.context = str(self._answers)
            return

        async def provider(key: str) -> Record:
            return self._records[key.partition("|")[0]]

        self.pictures.objects = [
            ECGPaper(
                provider,
                order=[i],
                context=str(self._answers),
                settings={"minimap": False, "toolbar": n == 0},
                page_keys=False,
                sizing_mode="stretch_width",
            )
            for n, i in enumerate(found)
        ]

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Run any installed method that fits this model, with its parameters. Signed maps have a neutral zero. "
                "Maps of different methods answer different questions, so they need not agree."
            ),
            self.offer,
            self.buttons(),
            self.about,
            self.settings,
            self.words,
            self.drawn,
            self.others,
            sizing_mode="stretch_width",
        )


def reproduce(app: Any, name: str, ask: Ask) -> str:
    """Return the call that reproduces this explanation, as HTML."""
    plain = registry.plain(ask.method).ask().parameters()
    changed = {k: v for k, v in ask.parameters().items() if v != plain[k]}
    said = "".join(f", {k}={_short(v)}" for k, v in changed.items())
    samples = app.session.population.title or "my-samples"
    call = (
        f'model = xv.open_model("{app.model.name}")\nsamples = xv.open_samples("{samples}")\n'
        f'one = samples.isel(sample=samples.name == "{name}")\nxv.explain(model, one, "{ask.method}"{said})'
    )
    return f"<details><summary>Reproduce in Python</summary><pre>{escape(call)}</pre></details>"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return repr(value) if len(text) < 200 else "…"
