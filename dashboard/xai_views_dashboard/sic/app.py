"""The SIC app: a test sample, the support samples its logit consists of, and the pixels that carry them.

``panel serve dashboard/sic.py`` serves it alone; ``xai-views serve`` serves it at ``/sic``.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
import xarray as xr

from xai_views.contract.ask import Ask
from xai_views.errors import XaiViewsError
from xai_views.methods.explaining import finish
from xai_views.methods.sic.support_sets import UNCHANGED, support_set
from xai_views.views import SETTINGS, Canvas
from xai_views_dashboard.core import method_pages
from xai_views_dashboard.core.following import follow_tabs, open_only
from xai_views_dashboard.core.former_app import App
from xai_views_dashboard.core.page import HALVES, caption, halved
from xai_views_dashboard.core.state import NONE, PREDICTED
from xai_views_dashboard.core.status import StatusLine
from xai_views_dashboard.panels.about import about
from xai_views_dashboard.panels.upload import UploadPanel
from xai_views_dashboard.sic import frame as sic_frame
from xai_views_dashboard.sic.answer import AnswerPanel, RegionPanel
from xai_views_dashboard.sic.population import PopulationPanel
from xai_views_dashboard.sic.session import SicSession
from xai_views_dashboard.sic.state import SicState
from xai_views_dashboard.sic.supports import SupportPanel

CAPTION = (
    "Red pixels raise the logit of the asked class, blue ones lower it; the rows below are the training images that the logit "
    "consists of. It shows what this network computed, not whether that is medically or biologically right."
)


ABOUT = (
    "After Wolf et al., SIC (ICCV 2025), on B-cos networks (Boehle et al., 2024). Evidence is never negative; single "
    "pixels may be, because they also say what does not match."
)


class SicApp(App):
    """Explore a SIC network.

    Parameters
    ----------
    model : Model
        An opened SIC network with supports.
    samples : xarray.Dataset
        Samples that fit it.
    **state
        First values of :class:`xai_views_dashboard.sic.state.SicState`; ``sample`` may be an id.

    Attributes
    ----------
    state : SicState
        What is selected; may be read and written.
    """

    title = "SIC"

    def __init__(self, model: Any, samples: xr.Dataset, **state: Any) -> None:
        super().__init__()
        self.session = SicSession(model, samples)
        self.model, self.samples = self.session.model, samples
        self.state = SicState.first(self.session.names, **state)
        self._asks: dict[str, Ask] = {}
        self.canvas = Canvas(
            self._frame,
            order=self.session.names,
            layout=self._layout(),
            position=self.state.sample,
            context=self._context(),
            settings=dict(self.state.look),
            sizing_mode="stretch_width",
            keys={"u": "undo the last change of the support set"},
        )
        self.population = PopulationPanel(self)
        self.answer = AnswerPanel(self)
        self.supports = SupportPanel(self)
        self.region = RegionPanel(self)
        self.upload = UploadPanel(self, "; whether it resembles the training images stands under All classes")
        self.status = StatusLine(self.session.kernel)
        self._link()
        self._edited()

    # -- what the page consists of ------------------------------------------------------------------------------

    def __panel__(self) -> Any:
        tabs = pmui.Tabs(
            ("All classes", self.answer),
            ("Supports", self.supports),
            ("Region", self.region),
            ("Population", self.population.tab),
            ("Your image", self.upload),
            ("About", about(self, ABOUT, {"Supports": len(self.model.supports)})),
            sizing_mode="stretch_width",
            dynamic=False,
        )
        panels = (self.answer, self.supports, self.region)  # the others follow nothing
        follow_tabs(tabs, lambda tab: open_only(panels, tab))
        return pn.Column(
            *self.notes(),
            self.population.strip,
            self.controls(),
            self.canvas,
            caption(CAPTION, method_pages.link("sic")),
            tabs,
            sizing_mode="stretch_width",
            styles={"max-height": "none"},  # Panel's own limit makes what is long overlap what follows
        )

    def controls(self) -> pn.viewable.Viewable:
        """The two class choices and the colour switch, each linked to the state."""
        classes = self.model.classes
        target = pmui.Select(
            label="Explain class",
            options={"the predicted class": PREDICTED} | _numbered(classes),
            value=self.state.target,
            width=180,
            size="small",
        )
        against = pmui.Select(
            label="Compare with class",
            options={"no other class": NONE} | _numbered(classes),
            value=self.state.against,
            width=180,
            size="small",
        )
        colours = pmui.Checkbox(label="Colour rendering", value=self.state.colours)
        for widget, name in ((target, "target"), (against, "against"), (colours, "colours")):
            widget.link(self.state, value=name, bidirectional=True)
        parts = [*self.population.controls, target, against, colours]
        return pn.FlexBox(
            *(halved(part) for part in parts),
            align_items="center",
            gap="4px",
            margin=(4, 8),
            stylesheets=[HALVES],
        )

    def _layout(self) -> dict:
        layout = {**sic_frame.LAYOUT, "tiles": dict(sic_frame.LAYOUT["tiles"])}
        if not ({"part", "mask"} & set(self.samples.data_vars)):
            layout["tiles"].pop("truth")
        return layout

    # -- links --------------------------------------------------------------------------------------------------

    def _link(self) -> None:
        state, canvas = self.state, self.canvas
        canvas.on_position(self.show_position)
        canvas.on_select(self._selected)
        canvas.on_key(self._key)
        canvas.on_settings(
            lambda settings: setattr(
                state, "look", {k: v for k, v in settings.items() if SETTINGS.get(k) != v}
            )
        )
        canvas.on_region(lambda m: setattr(state, "region", m.get("polygon") or []))
        state.param.watch(self.moved, "sample")
        state.param.watch(self._asked, ["target", "against", "colours"])
        state.param.watch(lambda *_: self._edited(), list(state.EDITS))
        state.param.watch(lambda e: setattr(canvas, "row", str(e.new) if e.new >= 0 else ""), "support")
        state.param.watch(lambda e: canvas.compose(**{**SETTINGS, **e.new}), "look")

    def _asked(self, *_: Any) -> None:
        for name in ("target", "against"):
            if getattr(self.state, name) >= len(self.model.classes):
                setattr(self.state, name, -1)
                return
        self.canvas.context = self._context()

    def _edited(self) -> None:
        try:
            self.session.edit(**self.state.edits())
        except XaiViewsError as e:
            if not self.state.undo():  # an address may ask for a set that this model cannot have
                self.state.param.update(**UNCHANGED)
            self.problem = str(e)
            return
        self.problem = ""
        self.canvas.context = self._context()
        self.population.refresh()
        self.supports.refresh()

    def _selected(self, message: Any) -> None:
        row = message.get("row")
        if row is not None and str(row).lstrip("-").isdigit():
            self.state.support = int(row)

    def _key(self, key: str) -> None:
        if key.isdigit() and key != "0":
            order = np.argsort(-self.result()["logit"].values[0], kind="stable")
            if int(key) <= len(order):
                self.state.target = int(order[int(key) - 1])
        elif key == "u":
            self.state.undo()

    # -- frames -------------------------------------------------------------------------------------------------

    def _context(self) -> str:
        """Everything that a frame depends on besides the sample."""
        s = self.state
        ask = self.session.ask(s.target, s.against, s.colours)
        self._asks[ask.key] = ask
        return ask.key

    async def _frame(self, key: str, priority: int = 0) -> bytes:
        """Answer one wish of the canvas; encoded frames are shared by all sessions."""
        name, _, context = key.partition("|")
        session = self.session
        if context not in self._asks or name not in session.names:
            raise XaiViewsError(f"the page asked for {name!r}, which is not here any more; reload the page.")
        i = session.names.index(name)
        cached = (
            "sic",
            session.model.sha256,
            session.population.key,
            session.digest(i),
            key,
        )
        frame = session.kernel.frames.get(cached)
        if frame is None:
            ask = self._asks[context]
            result = await session.explain(i, ask, priority)
            frame = await asyncio.to_thread(
                sic_frame.build,
                key,
                name,
                session.image(i),
                session.label(i),
                result,
                support_set(session.model, ask),
                self.model.classes,
                session.truth(i),
            )
            session.kernel.frames.put(cached, frame)
        return frame

    # -- for people who write Python ----------------------------------------------------------------------------

    def result(self) -> xr.Dataset:
        """The explanation of the sample in view, with its provenance; the same numbers that the page shows."""
        s, session = self.state, self.session
        ask = session.ask(s.target, s.against, s.colours)
        one = session.explain_now(s.sample, ask)
        samples = xr.Dataset(
            {
                "image": (("sample", "y", "x", "channel"), session.image(s.sample)[None]),
                "name": ("sample", [session.names[s.sample]]),
                "label": ("sample", [session.label(s.sample)]),
            }
        )
        return finish([one], self.model, samples, session.method, ask)


def _numbered(classes: list[str]) -> dict[str, int]:
    return {c: i for i, c in enumerate(classes)}
