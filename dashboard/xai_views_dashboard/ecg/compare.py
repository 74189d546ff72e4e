"""Two records, or one record under two models, on one scale."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views import catalogue
from xai_views.errors import XaiViewsError
from xai_views.kernel import get_kernel
from xai_views.views import Listing
from xai_views_dashboard.core.following import Following
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.tasks import on_page
from xai_views_dashboard.ecg import frame as ecg_frame
from xai_views_dashboard.ecg.paired_sheets import sheets
from xai_views_dashboard.ecg.session import EcgSession

COLUMNS = [
    {"key": "what", "title": ""},
    {"key": "predicted", "title": "network"},
    {"key": "p", "title": "probability", "kind": "number", "digits": 3},
    {"key": "logit", "title": "logit of the explained class", "kind": "signed", "digits": 3},
    {"key": "entropy", "title": "mean uncertainty", "kind": "number", "digits": 3},
]
RECORD, MODEL = "record:", "model:"


def models_of_signals() -> list[str]:
    """Names of the shipped models that take signals."""
    found = []
    for name, folder in catalogue.models().items():
        try:
            architecture = catalogue.card(folder).get("architecture") or {}
        except XaiViewsError:
            continue
        if len(architecture.get("size") or ()) == 1:
            found.append(name)
    return found


class ComparePanel(Following):
    """The record in view above, another one or another model's reading below; contributions share one limit.

    Parameters
    ----------
    app : EcgApp
        Gives session and state.
    """

    watched = (
        "sample", "beside", "shown", "fade", "target", "mode", "k", "temperature", "attribution", "truth", "names",
    )  # fmt: skip

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.record = pmui.AutocompleteInput(
            label="Another record", options=list(app.session.population.names[:2000]), width=220, size="small"
        )
        others = [m for m in models_of_signals() if m != app.model.name]
        self.model = pmui.Select(
            label="Another model",
            options=["", *others],
            value="",
            width=200,
            size="small",
            visible=bool(others),
        )
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="Both answers", columns=COLUMNS)
        self.papers = pn.Column(sizing_mode="stretch_width")
        self._sessions: dict[str, EcgSession] = {}
        self._brought: dict[tuple[str, int], int] = {}
        self.record.param.watch(lambda e: e.new and self._choose(f"{RECORD}{e.new}"), "value")
        self.model.param.watch(lambda e: e.new and self._choose(f"{MODEL}{e.new}"), "value")

    def _choose(self, beside: str) -> None:
        self.app.state.beside = beside

    async def other(self, beside: str) -> tuple[EcgSession, int]:
        """The session and position of what stands beside the record in view."""
        app = self.app
        if beside.startswith(MODEL):
            name = beside.removeprefix(MODEL)
            if name not in models_of_signals():
                raise XaiViewsError(f"there is no shipped model of signals {name!r} to compare with.")
            if name not in self._sessions:

                def opened(progress: Any) -> Any:  # noqa: ARG001 - the kernel passes it
                    from xai_views import open_model

                    return open_model(name)

                model = await asyncio.wrap_future(get_kernel().run(opened))
                self._sessions[name] = await asyncio.to_thread(EcgSession, model, app.samples)
            return self._sessions[name], await asyncio.to_thread(self._of_other, name, app.state.sample)
        name = beside.removeprefix(RECORD)
        if name not in app.session.names:
            raise XaiViewsError(f"there is no record {name!r} to compare with; choose one of the list.")
        return app.session, app.session.names.index(name)

    def _of_other(self, name: str, i: int) -> int:
        """Where record ``i`` is among those of another model's session; an upload is brought there when first asked for."""
        session = self.app.session
        if i < session.population.n:
            return i
        if (name, i) not in self._brought:
            self._brought[name, i] = self._sessions[name].take(session.origin[i], [session.names[i]])[1][0]
        return self._brought[name, i]

    async def compute(self) -> Any:
        """Both explanations, and both records drawn with one limit."""
        app, state = self.app, self.app.state
        if not state.beside:
            return None
        session, j = await self.other(state.beside)
        i = state.sample
        one = await app.session.explain(i, app.session.ask(state, i, ablated=[]), priority=1)
        target = int(one["target_class"].values[0, 0])
        fixed = target if session is app.session else state.target
        two = await session.explain(j, session.ask(state, j, ablated=[], targets=[fixed]), priority=1)
        limit = 0.0
        for result in (one, two):
            kind = {"contribution": "time_contribution", "attribution": "attribution"}.get(state.shown, "")
            if kind in result:
                values = result[kind].values[0]
                values = ecg_frame.binned(values, ecg_frame.STRIP) if kind == "attribution" else values
                limit = max(limit, float(np.abs(values).max()))
        wish = {
            "shown": state.shown,
            "fade": state.fade,
            "truth": state.truth,
            "names": state.names,
            "limit": limit or None,
        }
        records = [
            await asyncio.to_thread(
                ecg_frame.build, s, n, s.image(n), r, wish, f"{s.model.name}: {s.names[n]}"
            )
            for s, n, r in ((app.session, i, one), (session, j, two))
        ]
        return records, (one, two), (app.session, session), (i, j)

    def write(self, answer: Any) -> None:
        """Write papers, figures and words."""
        if answer is None:
            self.words.object = (
                "<p>Choose another record to set beside the one in view.</p>"
                if not self.model.visible
                else "<p>Choose another record or another model to set beside the record in view.</p>"
            )
            return
        records, results, sessions, positions = answer
        papers = sheets(records, self.app.state.look, str(self._turn))
        self.listing.rows = [
            self._row(n, *parts) for n, parts in enumerate(zip(results, sessions, positions, strict=True))
        ]
        shared = sessions[0] is sessions[1]
        self.words.object = "<p>{}</p>".format(
            escape(
                "Both records share the codebook, so equal colours mean equal clusters; strips have one limit."
                if shared
                else "Each model has its own clusters, so colours of the two papers mean different things; strips have one limit."
            )
        )
        on_page(lambda: setattr(self.papers, "objects", [self.listing, *papers]))

    @staticmethod
    def _row(n: int, result: Any, session: EcgSession, i: int) -> dict:
        from xai_views.methods.ecg_clusters.survey import mean_entropy

        p = result["probability"].values[0]
        top, target = int(p.argmax()), int(result["target_class"].values[0, 0])
        return {
            "id": str(n),
            "what": f"{session.names[i]} ({session.model.name})",
            "predicted": session.model.classes[top],
            "p": float(p[top]),
            "logit": float(result["logit"].values[0, target]),
            "entropy": mean_entropy(result),
        }

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Two records, or one record as two models read it, on paper of one scale and strips of one limit."
            ),
            pn.FlexBox(self.record, self.model, align_items="center", gap="8px", margin=(4, 16)),
            self.words,
            self.papers,
            sizing_mode="stretch_width",
        )
