"""Browsing and editing the support samples: what changes, for this sample and for all, without a forward pass."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.errors import XaiViewsError
from xai_views.methods.sic.support_sets import RULES, UNCHANGED, support_set
from xai_views.methods.sic.what_if import WhatIf
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.tasks import on_page
from xai_views_dashboard.sic.candidates import Candidates
from xai_views_dashboard.sic.edits import adding, effect_words, excluding, later, when_done
from xai_views_dashboard.sic.support_card import SupportCard
from xai_views_dashboard.sic.support_table import SupportTable

MOST = 10  # supports per class that the slider offers
OWN = (
    "These are the model's own support samples; exclude, replace or add one, or change their number or rule, "
    "and the effect on this sample and on the test accuracy is written here."
)
CSS = """
p { margin: 0; line-height: 1.5; max-width: 90ch; font-variant-numeric: tabular-nums; }
.effect { padding: 10px 14px; border-radius: 8px; border: 1px solid var(--mui-palette-divider);
  border-left: 4px solid var(--panel-primary-color); background: var(--panel-surface-color);
  color: var(--panel-on-surface-color); font-size: 0.9375rem; }
.why { font-size: 0.8125rem; color: var(--mui-palette-text-secondary); }
"""


class SupportPanel(pn.viewable.Viewer):
    """The support samples of all classes, and the tools to exclude, replace and add them.

    Parameters
    ----------
    app : SicApp
        Gives session, state and canvas.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        population = app.session.population
        self.what_if = WhatIf(app.model, population.z, population.label)
        self.table = SupportTable(app, self.refresh)
        self.card = SupportCard(app)
        self.candidates = Candidates(app, self._buttons)
        self._observed: dict[int, np.ndarray] = {}
        self._writing = self._busy = self._loaded = False
        self._make()
        self._link()
        self.refresh()
        pn.state.onload(self._open)
        when_done(app.session.population.ready, lambda: self._loaded and self.refresh())

    def _make(self) -> None:
        state = self.app.state
        self.count = pmui.IntSlider(
            label="Supports per class (0 = as shipped)",
            start=0,
            end=MOST,
            value=min(state.per_class, MOST),
            width=280,
            margin=0,
        )
        names = {"as shipped" if r == "model" else r: r for r in RULES}
        self.rule = pmui.Select(
            label="Chosen by rule", options=names, value=state.rule, width=170, size="small", margin=0
        )
        self.exclude, self.replace = _button("Exclude it"), _button("Replace it by the nearest")
        self.add, self.reset = _button("Add the candidate"), _button("Back to the model's own")
        self.undo, self.redo = _button("Undo"), _button("Redo")
        self.effect, self.why = _words(), _words()

    def _link(self) -> None:
        state = self.app.state
        state.param.watch(lambda *_: self.refresh(), ["sample", "target"])
        state.param.watch(lambda *_: self._follow(), "support")
        self.exclude.on_click(lambda _: self._exclude())
        self.replace.on_click(lambda _: self._replace())
        self.add.on_click(lambda _: self._add())
        self.undo.on_click(lambda _: state.undo())
        self.redo.on_click(lambda _: state.redo())
        self.reset.on_click(lambda _: state.edit(**UNCHANGED))
        self.count.param.watch(lambda e: self._writing or self._edit(per_class=e.new), "value_throttled")
        self.rule.param.watch(lambda e: self._writing or self._edit(rule=e.new), "value")

    def _open(self) -> None:
        """Begin to follow what arrives later; what is written between building and opening a page may be lost."""
        self._loaded = True
        self.refresh()

    # -- editing ------------------------------------------------------------------------------------------------

    def _edit(self, **changes: Any) -> None:
        """Change the support set; a choice that may take long is made beside the event loop."""
        edits = {**self.app.state.edits(), **changes}
        slow = edits["per_class"] or edits["rule"] != "model"
        if slow and later(lambda: self._prepare(edits, changes)):
            self._busy = True
            self._buttons()
            self._say("Choosing support samples …")
        else:
            self.app.state.edit(**changes)

    async def _prepare(self, edits: dict, changes: dict) -> None:
        """Choose the supports, which are kept, then change the state."""
        problem, session = "", self.app.session
        try:
            await asyncio.to_thread(support_set, session.model, session.method.ask(**edits))
        except XaiViewsError as e:
            problem = str(e)
        on_page(lambda: self._chosen_by_rule(changes, problem))

    def _chosen_by_rule(self, changes: dict, problem: str) -> None:
        self._busy = False
        if problem:
            self.app.problem = problem
        else:
            self.app.state.edit(**changes)
        self.refresh()

    def _exclude(self) -> None:
        if not self.exclude.disabled:
            self._edit(**excluding(self.app.state, *self.table.chosen))

    def _replace(self) -> None:
        if self.replace.disabled:
            return
        new = self.candidates.chosen or self.candidates.first
        after = self.app.state.edits() | excluding(self.app.state, *self.table.chosen)
        self.table.choose(new[0])
        self._edit(excluded=after["excluded"], added=[*after["added"], list(new)])

    def _add(self) -> None:
        if not self.add.disabled:
            new = self.candidates.chosen
            self.table.choose(new[0])
            self._edit(**adding(self.app.state, self.app.model.supports, *new))

    # -- what is shown ------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Write tables, effect and buttons again; products of cached vectors only."""
        self._writing = True
        self.count.value, self.rule.value = min(self.app.state.per_class, MOST), self.app.state.rule
        self._writing = False
        z = self._z()
        if z is None and self._loaded:
            later(self._observe)
        self.table.fill(z)
        if not self._busy:
            self._say(self.sentence())
        self._chosen()

    def sentence(self) -> str:
        """Say what the edited support set changes for this sample and for the test set."""
        if not self.app.state.edited:
            return OWN
        effect = self.what_if.effect(self.app.session.supports, self._z(), self.app.state.target)
        return effect_words(effect, self.app.model.classes)

    def _say(self, text: str) -> None:
        self.effect.object = f'<p class="effect" role="status">{escape(text)}</p>'

    def _z(self) -> np.ndarray | None:
        """Evidence vector ``[1, p]`` of the sample in view, None where it was not observed yet."""
        population, i = self.app.session.population, self.app.state.sample
        if i < population.n and not np.isnan(population.z[i]).any():
            return population.z[i : i + 1]
        return self._observed.get(i)

    async def _observe(self) -> None:
        """Take the vector from the explanation in view, which the canvas asks for as well."""
        session, s = self.app.session, self.app.state
        i, ask = s.sample, session.ask(s.target, s.against, s.colours)
        try:
            result = await session.explain(i, ask, priority=1)
        except (XaiViewsError, asyncio.CancelledError):
            return  # the canvas says what went wrong
        self._observed[i] = result["latent"].values[:1]
        if i == self.app.state.sample:
            self.refresh()

    def _follow(self) -> None:
        self.table.follow()
        self._chosen()

    def _chosen(self) -> None:
        """Show the chosen support large, and what could take its place."""
        z, row = self.table.z, self.table.row
        self.card.show(row, z)
        reference, what = (None, "") if z is None else (z[0], "this sample")
        if z is None and row is not None:
            reference, what = self.app.session.supports.vectors[row], "this support"
        if self._loaded:
            self.candidates.offer(reference, self.table.target, what)
        self._buttons()

    def _buttons(self) -> None:
        """Switch off what is not possible now, and say why."""
        s, reasons = self.app.state, {}
        candidate, words = self.candidates.chosen, self.app.model.classes[self.table.target]
        if not self.table.chosen:
            reasons[self.exclude] = reasons[self.replace] = "choose a support sample to exclude or replace it"
        elif len(self.app.session.supports) < 2:
            reasons[self.exclude] = "the last support sample cannot be excluded"
        if self.table.chosen and not self.candidates.first:
            reasons[self.replace] = f"there is no other training image for {words}"
        if not candidate:
            reasons[self.add] = f"choose a candidate to add it to {words}"
        if not s.can_undo:
            reasons[self.undo] = "there is nothing to undo"
        if not s.can_redo:
            reasons[self.redo] = "there is nothing to redo"
        if not s.edited:
            reasons[self.reset] = "these are the model's own support samples"
        if self.app.model.latents is None:
            reasons[self.count] = reasons[self.rule] = "the model holds no training vectors to choose from"
        for widget in (
            self.exclude, self.replace, self.add, self.undo, self.redo, self.reset, self.count, self.rule,
        ):  # fmt: skip
            widget.disabled = self._busy or widget in reasons
        self.add.label = f"Add the candidate to {words}"
        self.replace.label = "Replace it by the candidate" if candidate else "Replace it by the nearest"
        text = "; ".join(dict.fromkeys(reasons.values()))
        text = f"{text[:1].upper()}{text[1:]}." if text else ""
        self.why.object = f'<p class="why">{escape(text)}</p>'

    def __panel__(self) -> Any:
        row = {"gap": "12px", "align_items": "center", "margin": (6, 16), "sizing_mode": "stretch_width"}
        half = {
            "styles": {"flex": "1 1 440px", "min-width": "min(100%, 300px)"},
            "sizing_mode": "stretch_width",
        }
        chosen = pn.Column(
            self.card,
            pn.FlexBox(self.exclude, self.replace, **row),
            self.candidates,
            pn.FlexBox(self.add, **row),
            **half,
        )
        return pn.Column(
            caption(
                "A logit is a bias plus the evidence of its class' support samples, which are training images; "
                "choosing others from cached vectors needs no pass of the network."
            ),
            pn.FlexBox(self.count, self.rule, self.undo, self.redo, self.reset, **row),
            self.effect,
            self.why,
            pn.FlexBox(
                pn.Column(self.table, **half),
                chosen,
                gap="8px 0",
                align_items="flex-start",
                sizing_mode="stretch_width",
            ),
            caption(
                "Evidence is what a support sample adds to the logit of its class for the sample in view, so that a "
                "class with fewer of them has less; it says how similar the network finds two images, not why."
            ),
            sizing_mode="stretch_width",
        )


def _button(label: str) -> pmui.Button:
    return pmui.Button(label=label, size="small", variant="outlined", margin=0)


def _words() -> pn.pane.HTML:
    return pn.pane.HTML("", stylesheets=[CSS], sizing_mode="stretch_width", margin=(6, 16))
