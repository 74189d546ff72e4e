"""Any installed method on the sample in view: its parameters as it declares them, its answer drawn by role while it comes."""

from __future__ import annotations

import asyncio
import json
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
from xai_views_dashboard.core.controls import control
from xai_views_dashboard.core.method_pages import link
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import Panel
from xai_views_dashboard.core.tasks import caller, on_page, start

COLUMNS = [
    {"key": "what", "title": "figure"},
    {"key": "value", "title": "value", "kind": "number", "digits": 4},
]


class ExplainPanel(Panel):
    """Explain the sample in view by any installed method that fits the model.

    Parameters
    ----------
    app : App
        Gives session and state.
    """

    title = "Explain"
    question = "compared"
    watched = ("sample",)

    def __init__(self, app: Any) -> None:
        self.choice = pmui.Select(label="Method", options=[], width=280, size="small")
        self.settings = pn.FlexBox(gap="8px", margin=(0, 8), align_items="center")
        self.go = pmui.Button(label="Explain", variant="contained", size="small", disabled=True)
        self.stop = pmui.Button(label="Stop", variant="outlined", size="small", disabled=True)
        self.bar = pmui.LinearProgress(value=0, width=160, visible=False, variant="determinate")
        self.about = pn.pane.HTML("", sizing_mode="stretch_width", margin=(0, 16))
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.others = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.pictures = pn.Column(sizing_mode="stretch_width")
        self.listing = Listing(label="Figures of the explanation", columns=COLUMNS)
        self.code = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.drawn = pn.Column(sizing_mode="stretch_width")
        self.method: Method | None = None
        self.result: xr.Dataset | None = None
        self._canvas: Canvas | None = None
        self._run: Any = None
        self._turns, self._frame = 0, b""
        super().__init__(app)
        self.choice.param.watch(lambda e: self.choose(e.new), "value")
        self.go.on_click(lambda _: start(self.run()))
        self.stop.on_click(lambda _: self.cancel())

    # -- what can be asked --------------------------------------------------------------------------------------

    async def compute(self) -> dict[str, str]:
        """For every installed method "" or why it does not fit; the worker owns the model, so the worker looks."""
        model = self.app.session.model

        def reasons(progress: Any) -> dict[str, str]:  # noqa: ARG001 - the kernel passes it
            methods = [registry.plain(key) for key in registry.entries("methods")]
            return {m.key: m.fits(model) for m in methods if isinstance(m, Method)}

        run = self.app.session.job(("methods", model.sha256), reasons)
        return await asyncio.wrap_future(run)

    def write(self, reasons: dict[str, str]) -> None:
        """Offer what fits, say why the rest does not, and that what is drawn is of another sample."""
        fitting = {registry.plain(k).title: k for k, reason in reasons.items() if not reason}
        if self.choice.options != fitting:
            self.choice.options = fitting
            self.choice.value = next(iter(fitting.values()), None)
            if self.method is None and self.choice.value is not None:
                self.choose(self.choice.value)
        closed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons.values() if reason)
        self.others.object = (
            f"<details><summary>Methods that do not fit here</summary><ul>{closed}</ul></details>"
            if closed
            else ""
        )
        if self.running:
            self.cancel()
        elif self.result is not None:
            self.say("Another sample is in view; ask again to explain it.")

    def choose(self, key: str | None) -> None:
        """Show the parameters of a method, as it declares them."""
        if key is None:
            return
        self.method = registry.method(key)
        made = (control(self.method, name) for name in self.method.declared())
        self.settings.objects = [widget for widget in made if widget is not None]
        self.about.object = f"<p><strong>{escape(QUESTIONS.get(self.method.question, ''))}</strong> Cost: {escape(self.method.cost)}.{link(key)}</p>"
        self.go.disabled = False

    # -- running ------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether an explanation is being made."""
        return self._run is not None and not self._run.done()

    async def run(self) -> None:
        """Explain; partial answers are drawn as they come, and the last one stays."""
        if self.method is None or self.running:
            return
        app, page = self.app, caller()
        sample, session = app.state.sample, app.session
        name = session.names[sample]
        try:
            ask = self.method.ask()
        except XaiViewsError as error:
            self.say(str(error))
            return
        self.go.disabled, self.stop.disabled = True, False
        self.say(f"Explaining {name}; every other part of the page can be used meanwhile.")
        image = await asyncio.to_thread(session.image, sample)
        self._canvas, self._turns = None, self._turns + 1

        def partial(_: int, ds: xr.Dataset | None, done: int, total: int) -> None:
            page(lambda: self._refined(run, ds, done, total, sample, image, ask))

        answer, said = None, ""
        run = self._run = session.request(sample, image, ask, priority=1, partial=partial)
        try:
            answer = (await asyncio.wrap_future(run))[0]
        except asyncio.CancelledError:
            said = "Stopped; what is drawn is what was known until then."
        except XaiViewsError as error:
            said = str(error)
        on_page(lambda: self._ended(run, answer, said, sample, image, ask))

    def _refined(
        self, run: Any, ds: xr.Dataset | None, done: int, total: int, sample: int, image: Any, ask: Ask
    ) -> None:
        if run is not self._run or run.done():
            return  # the final answer, or another run, is there
        if total > 0:
            self.bar.param.update(visible=True, value=min(100, round(100 * done / total)))
        if ds is not None:
            self.draw(ds, sample, image, ask, final=False)
            self.say(f"{done} of {total} done; what is drawn is refined until all are.")

    def _ended(
        self, run: Any, answer: xr.Dataset | None, said: str, sample: int, image: Any, ask: Ask
    ) -> None:
        if run is not self._run:
            return
        self.bar.visible = False
        self.go.disabled, self.stop.disabled = False, True
        if answer is None:
            self.say(said)
            return
        self.result = self.draw(answer, sample, image, ask)
        self.say(roles.sentence(self.result, self.app.session.names[sample]))

    def cancel(self) -> None:
        """Stop at the next step."""
        if self.running:
            self._run.cancel()

    def say(self, sentence: str) -> None:
        """Write one sentence beside the button."""
        self.words.object = f"<p>{escape(sentence)}</p>"

    # -- drawing ------------------------------------------------------------------------------------------------

    def draw(self, ds: xr.Dataset, sample: int, image: Any, ask: Ask, final: bool = True) -> xr.Dataset:
        """Draw an explanation by the roles of its variables; return it with them."""
        method = registry.plain(ask.method)
        ds = with_roles(
            ds.assign_coords({"class": list(self.app.model.classes)}) if "class" in ds.dims else ds,
            method.gives,
        )
        name = self.app.session.names[sample]
        if self.app.model.kind == "signal":
            self._papers(ds, name, image)
        else:
            self._tiles(ds, name, image, final)
        self.listing.rows = roles.figures(ds)
        self.code.object = reproduce(self.app, name, ask)
        wanted = [self.pictures, self.listing, *([self.code] if final else [])]
        if self.drawn.objects != wanted:
            self.drawn.objects = wanted
        return ds

    def _tiles(self, ds: xr.Dataset, name: str, image: Any, final: bool) -> None:
        frame = self._frame = roles.frame(f"{name}|{self._turns}", ds, image, name, final=final)
        if self._canvas is None:

            async def provider(key: str) -> bytes:  # noqa: ARG001 - there is one picture
                return self._frame

            self._canvas = Canvas(
                provider, order=[name], context=str(self._turns), layout=roles.layout(roles.pictures(ds)), page_keys=False, sizing_mode="stretch_width",
                settings={"toolbar": True, "prefetch": False},
            )  # fmt: skip
            self.pictures.objects = [self._canvas]
        else:
            self._canvas.push(frame)

    def _papers(self, ds: xr.Dataset, name: str, signal: Any) -> None:
        session = self.app.session
        found = roles.records(ds, signal, session.leads, session.rate, name)
        self.pictures.objects = [
            ECGPaper.of(
                [r],
                settings={"minimap": False, "toolbar": n == 0},
                page_keys=False,
                sizing_mode="stretch_width",
            )
            for n, r in enumerate(found)
        ]

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Every installed method that fits this model, with the parameters that it declares. What it gives is drawn by what "
                "it is: signed maps around a neutral zero, regions, figures. Maps of different methods answer different questions."
            ),
            pn.FlexBox(
                self.choice, self.go, self.stop, self.bar, align_items="center", gap="8px", margin=(4, 16)
            ),
            self.about,
            self.settings,
            self.words,
            self.drawn,
            self.others,
            sizing_mode="stretch_width",
        )


def reproduce(app: Any, name: str, ask: Ask) -> str:
    """The call that makes this explanation again, as HTML: what the provenance of the dataset holds."""
    plain = registry.plain(ask.method).ask().parameters()
    changed = {k: v for k, v in ask.parameters().items() if v != plain[k]}
    said = "".join(f", {k}={_short(v)}" for k, v in changed.items())
    samples = app.session.population.title or "my-samples"
    call = (
        f'model = xv.open_model("{app.model.name}")\nsamples = xv.open_samples("{samples}")\n'
        f'one = samples.isel(sample=samples.name == "{name}")\nxv.explain(model, one, "{ask.method}"{said})'
    )
    return f"<details><summary>Make it again in Python</summary><pre>{escape(call)}</pre></details>"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return repr(value) if len(text) < 200 else "…"
