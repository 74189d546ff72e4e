"""The support samples: browse, exclude, replace and add them, and see the effect without running the network."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.contract.ask import Ask
from xai_views.contract.method import PREDICTED
from xai_views.engine.predictions import Predictions
from xai_views.errors import XaiViewsError, without_folders
from xai_views.methods.sic.observation import logits
from xai_views.methods.sic.support_sets import RULES, UNCHANGED
from xai_views.methods.sic.what_if import Change, effect
from xai_views.models.supports import Supports
from xai_views.views import Listing
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import ASK, Panel
from xai_views_dashboard.core.tasks import on_page, start
from xai_views_dashboard.core.wishes import Wish
from xai_views_dashboard.sic import support_rows as rows_of
from xai_views_dashboard.sic.support_card import CSS as CARD_CSS
from xai_views_dashboard.sic.support_card import card

ALL, EXPLAINED = -2, -1
MOST = 10  # supports per class on the slider
REST_S = 0.15  # long work starts after this long without a change
OWN = (
    "These are the original support samples. Exclude, replace or add one, or change number or rule: the effect on this sample "
    "and on the test accuracy is shown here."
)
CSS = """
p { margin: 0; line-height: 1.5; max-width: 90ch; font-variant-numeric: tabular-nums; }
.effect { padding: 10px 14px; border-radius: 8px; border: 1px solid var(--mui-palette-divider);
  border-left: 4px solid var(--panel-primary-color); background: var(--panel-surface-color);
  color: var(--panel-on-surface-color); font-size: 0.9375rem; }
.why { font-size: 0.8125rem; color: var(--mui-palette-text-secondary); }
"""


@dataclass(frozen=True, eq=False)
class Seen:
    """The content of the panel."""

    supports: Supports
    z: np.ndarray  # [1, p] of the current sample
    which: int
    target: int  # class of the candidates
    row: int | None  # of the selected support
    card: str  # the selected support, large
    mapless: bool  # its own map is not computed yet
    rows: list[dict[str, Any]]
    candidates: list[dict[str, Any]]
    said: str


class SupportPanel(Panel):
    """The support samples of all classes, and the tools to exclude, replace and add them.

    Parameters
    ----------
    app : SicApp
        Gives session, state and the population.
    """

    title = "Supports"
    question = "what-if"
    watched = ("sample", ASK, "support")

    def __init__(self, app: Any) -> None:
        self.seen: Seen | None = None
        self._writing = self._busy = self._choosing = self._bring = False
        self._make(app.state, app.model.classes)
        super().__init__(app)
        self._link(app.state)
        app.listed.param.watch(self.update, "predictions")

    def _make(self, state: Any, classes: list[str]) -> None:
        # Changes between the first drawing of a widget and the start of its listening are lost: begin with the usual values.
        small = {"size": "small", "margin": (10, 16)}
        self.count = pmui.IntSlider(
            label="Supports per class (0 = original)", end=MOST, value=min(state.per_class, MOST), width=280, margin=0
        )  # fmt: skip
        names = {"original" if r == "model" else r: r for r in RULES}
        self.rule = pmui.Select(
            label="Selection rule", options=names, value=state.rule, width=170, size="small", margin=0
        )
        which = {"explained class": EXPLAINED, "all classes": ALL} | {c: i for i, c in enumerate(classes)}
        self.which = pmui.Select(label="Supports of", options=which, value=EXPLAINED, width=240, **small)
        pool = {"of this class": False, "of all classes": True}
        self.pool = pmui.Select(label="Candidates", options=pool, value=False, width=220, **small)
        self.table = Listing(columns=rows_of.COLUMNS, page=60, height_limit=620, margin=(4, 16))
        self.candidates = Listing(
            columns=rows_of.CANDIDATES, page=rows_of.NEAREST, height_limit=300, margin=(4, 16)
        )
        self.card = pn.pane.HTML("", stylesheets=[CARD_CSS], sizing_mode="stretch_width", margin=(8, 16))
        self.exclude, self.replace, self.add, self.undo, self.redo, self.reset = (
            pmui.Button(label=label, size="small", variant="outlined", margin=0, disabled=True)
            for label in (
                "Exclude", "Replace with nearest", "Add candidate", "Undo", "Redo", "Restore original supports",
            )
        )  # fmt: skip
        self.effect, self.why = (
            pn.pane.HTML("", stylesheets=[CSS], sizing_mode="stretch_width", margin=(6, 16)) for _ in "12"
        )

    def _link(self, state: Any) -> None:
        self.which.param.watch(lambda *_: self._writing or self.update(), "value")
        self.pool.param.watch(self.update, "value")
        self.table.on_select(self.choose)
        self.candidates.on_select(lambda _: self._buttons())
        self.exclude.on_click(lambda _: self._exclude())
        self.replace.on_click(lambda _: self._replace())
        self.add.on_click(lambda _: self._add())
        self.undo.on_click(lambda _: state.undo())
        self.redo.on_click(lambda _: state.redo())
        self.reset.on_click(lambda _: self.edit(**UNCHANGED))
        self.count.param.watch(lambda e: self._writing or self.edit(per_class=e.new), "value_throttled")
        self.rule.param.watch(lambda e: self._writing or self.edit(rule=e.new), "value")

    # -- choosing and editing -----------------------------------------------------------------------------------

    @property
    def chosen(self) -> tuple[int, int] | None:
        """Training position and class of the selected support, if it is listed."""
        return rows_of.pair(self.table.selected) if self.table.selected else None

    def choose(self, identity: str) -> None:
        """Select a row of the table; one training image may support several classes."""
        position, state = rows_of.pair(identity)[0], self.app.state
        if state.support == position:
            self.update()
        state.support = position

    def edit(self, **changes: Any) -> None:
        """Change the support set; a selection that may take long runs on a thread and is cached by the session."""
        if self._busy:
            return  # the panel does not show the current set yet
        edits = {**self.app.state.edits(), **{n: v for n, v in changes.items() if n in UNCHANGED}}
        self._busy = True
        self._choosing = bool(edits["per_class"] or edits["rule"] != "model")
        self._buttons()
        if self._choosing:
            self._say("Selecting support samples …")
            start(self._prepare(self.app.ask(**edits), changes))
        else:
            self._prepared(changes)

    async def _prepare(self, ask: Ask, changes: dict[str, Any]) -> None:
        problem = ""
        try:
            await asyncio.to_thread(self.app.session.supports, ask)
        except XaiViewsError as error:
            problem = without_folders(error)
        on_page(lambda: self._prepared(changes, problem))

    def _prepared(self, changes: dict[str, Any], problem: str = "") -> None:
        self._choosing = False
        if problem:
            self.app.problem = problem
        else:
            self.app.state.edit(**changes)
        self.update()

    def _exclude(self) -> None:
        if self.chosen is not None:
            self.edit(**rows_of.excluding(self.app.state, *self.chosen))

    def _replace(self) -> None:
        if self.chosen is None:
            return
        new = rows_of.pair(self.candidates.selected or self.candidates.rows[0]["id"])
        after = self.app.state.edits() | rows_of.excluding(self.app.state, *self.chosen)
        self.edit(support=new[0], excluded=after["excluded"], added=[*after["added"], list(new)])

    def _add(self) -> None:
        new = rows_of.pair(self.candidates.selected)
        self.edit(support=new[0], **rows_of.adding(self.app.state, self.app.model.supports, *new))

    # -- what is shown ------------------------------------------------------------------------------------------

    def update(self, *events: Any) -> None:
        """Update the panel; a support selected elsewhere is brought into the table."""
        self._bring |= any(e.name == "support" for e in events)
        super().update(*events)

    async def compute(self) -> Seen:
        """Return tables, card and effect; products of cached vectors, on a thread."""
        app, s = self.app, self.app.state
        shown = {"which": self.which.value, "selected": self.table.selected, "bring": self._bring}
        wish = Wish(app.ask(), {"support": s.support, "everything": self.pool.value, **shown}, s.sample)
        known = app.listed.predictions
        z = await self.vector(wish, known)
        return await asyncio.to_thread(self.look, wish, known, z)

    async def vector(self, wish: Wish, known: Predictions | None) -> np.ndarray:
        """Return the evidence vector ``[1, p]`` of the current sample, from the cache or by running the network."""
        i = wish.sample
        latent = None if known is None else known.latent
        if latent is not None and i < len(latent):
            return latent[i : i + 1]
        ask = wish.ask.replace(**UNCHANGED, matches=False, rendering=False, everything=False)
        return (await self.app.session.explain(i, ask, priority=1))["latent"].values[:1]

    def look(self, wish: Wish, known: Predictions | None, z: np.ndarray) -> Seen:
        """Return the content of the panel, on a thread."""
        model, ask, drawn = self.app.model, wish.ask, wish.drawn
        supports, explained = self.app.session.supports(ask), ask.targets[0]
        if explained == PREDICTED:
            explained = int(logits(model, supports, z)[0].argmax())

        def listed(which: int) -> np.ndarray:
            return (
                np.arange(len(supports))
                if which == ALL
                else supports.of_class(explained if which == EXPLAINED else which)
            )

        def holding(which: int) -> list[int]:
            return [int(r) for r in listed(which) if supports.index[r] == drawn["support"]]

        which = drawn["which"]
        if drawn["bring"]:  # selected elsewhere: the first list with it, if any
            which = next((w for w in (which, EXPLAINED, ALL) if holding(w)), which)
        same = [r for r in holding(which) if _identity(supports, r) == drawn["selected"]]
        row = next(iter(same or holding(which)), None)
        target = int(supports.label[row]) if row is not None else which if which >= 0 else explained
        mapless = row is not None and row in supports.missing
        own_map = None if row is None or mapless else supports.self_contribution[row]
        return Seen(
            supports, z, which, target, row, card(model, supports, row, z, own_map), mapless,
            rows_of.support_rows(model, supports, listed(which), z),
            rows_of.candidate_rows(model, supports, z, target, drawn["everything"]),
            self.sentence(ask, known, supports, z),
        )  # fmt: skip

    def sentence(self, ask: Ask, known: Predictions | None, supports: Supports, z: np.ndarray) -> str:
        """Describe the effect of the set on this sample and on the test set."""
        model, session, own = self.app.model, self.app.session, ask.replace(**UNCHANGED)
        if ask == own:
            return OWN
        both = None if known is None else Change(*(session.figures(a, known.latent) for a in (own, ask)))
        return rows_of.effect_words(effect(model, supports, z, ask.targets[0], both), model.classes)

    def failed(self, sentence: str) -> None:
        """Show the error, and enable the controls again."""
        self._busy = self._choosing
        self._buttons()
        super().failed(sentence)

    def write(self, answer: Seen) -> None:
        """Write the content; pictures and maps that are not cached follow."""
        self._bring, self._writing, self._busy = False, True, self._choosing
        state, supports, row = self.app.state, answer.supports, answer.row
        self.count.value, self.rule.value = min(state.per_class, MOST), state.rule
        self.which.value = answer.which
        self._writing = False
        count = len(answer.rows)
        shown = "all classes" if answer.which == ALL else f"class {self.app.model.classes[answer.target]}"
        self.table.label = f"{count} support sample{'' if count == 1 else 's'} of {shown}"
        self.table.rows = answer.rows
        self.table.selected = "" if row is None else _identity(supports, row)
        if not self._busy:
            self._say(answer.said)
        self.complete(answer)
        if answer.mapless or not all(r["picture"] for r in answer.candidates):
            start(self._completed(self._turn, answer))

    def complete(self, seen: Seen) -> None:
        """Write the card and the candidates."""
        self.seen, words = seen, self.app.model.classes[seen.target]
        self.card.object = seen.card
        self.candidates.label = (
            f"Nearest training images not yet used as supports of {words}"
            if self.app.model.latents is not None
            else "The model holds no training vectors, so there are no candidates"
        )
        self.candidates.rows = seen.candidates
        if self.candidates.selected not in {r["id"] for r in seen.candidates}:
            self.candidates.selected = ""
        self._buttons()

    async def _completed(self, turn: int, seen: Seen) -> None:
        """Read the pictures of candidates, and take the map of a new support from the current explanation."""
        await asyncio.sleep(REST_S)
        if turn != self._turn or not self._active:
            return
        app, model, sample, wish = self.app, self.app.model, self.app.state.sample, self.app.wish()
        rows = await asyncio.to_thread(rows_of.with_pictures, model, seen.candidates, True)
        seen = replace(seen, candidates=rows)
        on_page(lambda: turn == self._turn and self.complete(seen))
        if seen.mapless:
            try:
                own_map = (await app.explained(sample, wish, priority=1))["self_contribution"].values[
                    seen.row
                ]
            except XaiViewsError:
                return  # the canvas says what went wrong
            drawn = await asyncio.to_thread(card, model, seen.supports, seen.row, seen.z, own_map)
            on_page(lambda: turn == self._turn and self.complete(replace(seen, card=drawn)))

    def _say(self, text: str) -> None:
        self.effect.object = f'<p class="effect" role="status">{escape(text)}</p>'

    def _buttons(self) -> None:
        """Disable what is impossible now, and say why."""
        s = self.app.state
        reasons: dict[Any, str] = {}
        if self.seen is None:
            return
        candidate, words = self.candidates.selected, self.app.model.classes[self.seen.target]
        if not self.chosen:
            reasons[self.exclude] = reasons[self.replace] = (
                "Select a support sample to exclude or replace it."
            )
        elif len(self.seen.supports) < 2:
            reasons[self.exclude] = "The last support sample cannot be excluded."
        if self.chosen and not self.candidates.rows:
            reasons[self.replace] = f"There is no other training image for {words}."
        if not candidate:
            reasons[self.add] = "Select a candidate to add it."
        if not s.can_undo:
            reasons[self.undo] = ""
        if not s.can_redo:
            reasons[self.redo] = ""
        if not s.edited:
            reasons[self.reset] = ""
        if self.app.model.latents is None:
            reasons[self.count] = reasons[self.rule] = "The model holds no training vectors to select from."
        for widget in (
            self.exclude, self.replace, self.add, self.undo, self.redo, self.reset, self.count, self.rule,
        ):  # fmt: skip
            widget.disabled = self._busy or widget in reasons
        self.add.label = f"Add candidate to {words}"
        self.replace.label = "Replace with candidate" if candidate else "Replace with nearest"
        said = [reasons[w] for w in (self.count, self.exclude, self.replace, self.add) if w in reasons]
        text = escape(" ".join(dict.fromkeys(said)))
        self.why.object = f'<p class="why">{text}</p>' if text else ""

    def __panel__(self) -> Any:
        row = {"gap": "12px", "align_items": "center", "margin": (6, 16), "sizing_mode": "stretch_width"}
        half = {
            "styles": {"flex": "1 1 440px", "min-width": "min(100%, 300px)"},
            "sizing_mode": "stretch_width",
        }
        return pn.Column(
            caption(
                "A logit is a bias plus the evidence of its class's support samples (training images). Changing them needs no "
                "new pass of the network."
            ),
            pn.FlexBox(self.count, self.rule, self.undo, self.redo, self.reset, **row),
            self.effect,
            self.why,
            pn.FlexBox(
                pn.Column(self.which, self.table, **half),
                pn.Column(
                    self.card,
                    pn.FlexBox(self.exclude, self.replace, **row),
                    self.pool,
                    self.candidates,
                    pn.FlexBox(self.add, **row),
                    **half,
                ),
                gap="8px 0",
                align_items="flex-start",
                sizing_mode="stretch_width",
            ),
            caption(
                "Evidence is what a support sample adds to its class's logit for the current image; a class with fewer supports "
                "gets less. It says how similar two images are to the network, not why."
            ),
            sizing_mode="stretch_width",
        )


def _identity(supports: Supports, row: int) -> str:
    return f"{supports.index[row]}-{supports.label[row]}"
