"""Where saliency methods point, by named part: known parts, or the clusters of a codebook that somebody named."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.errors import XaiViewsError
from xai_views.scores.semantic import evaluate, evaluated
from xai_views.views import Listing
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.tasks import on_page, start

MOST_PARTS = 8
FIGURES = {"share / area (1 = by chance)": "density", "share of what speaks for the class": "mass"}


class SemanticPanel(pn.viewable.Viewer):
    """A table of saliency methods by named part, with the controls and chance.

    Parameters
    ----------
    app : ActivationsApp
        Gives session and state.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self.go = pmui.Button(label="Evaluate the saliency methods", variant="contained", size="small")
        self.stop = pmui.Button(label="Stop", variant="outlined", size="small", disabled=True)
        self.figure = pmui.RadioButtonGroup(options=FIGURES, value="density", size="small")
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.found = pn.Column(sizing_mode="stretch_width")
        self.tables: Any = None
        self._future: Any = None
        self.go.on_click(lambda _: start(self.run()))
        self.stop.on_click(lambda _: self._future is not None and self._future.cancel())
        self.figure.param.watch(lambda *_: self.write(), "value")

    def known(self) -> tuple[np.ndarray, list[str]] | None:
        """Known parts of the images that are evaluated; None when nothing is known of them."""
        ds = self.app.session.population.samples
        rows = evaluated(ds.sizes["sample"])
        if "part" in ds:
            part = np.maximum(ds["part"].isel(sample=rows).values.astype(np.int64), 0)
            return part, [str(p) for p in ds.attrs["parts"]]
        if "mask" in ds:
            return ds["mask"].isel(sample=rows).values.astype(np.int64), ["background", "object"]
        return None

    async def run(self) -> None:
        """Compute on the kernel; the page stays usable meanwhile."""
        app = self.app
        session, known = app.session, await asyncio.to_thread(self.known)
        book = session.book
        if known is None:
            given = app.state.names
            if book is None or not any(given.get(str(c), n) for c, n in enumerate(book.names)):
                self.words.object = (
                    "<p>Nothing is known of the parts of these images: fit a codebook under Codebook and name its clusters "
                    "under Cluster first.</p>"
                )
                return
            book = book.named([given.get(str(c), "") or n for c, n in enumerate(book.names)])
        ask = session.ask(app.state, ablated=(), targets=(-1,))
        if known is None:
            ask = ask.replace(mode="codebook", codebook=book)
        samples = session.population.samples

        def job(progress: Any) -> Any:
            return (yield from evaluate(session.model, samples, known, session.method, ask, progress))

        self._future = session.kernel.run(job, priority=1)
        self.go.disabled, self.stop.disabled = True, False
        self.words.object = "<p>Every method explains the same images; the line at the bottom counts.</p>"
        said = ""
        try:
            answer = await asyncio.wrap_future(self._future)
        except asyncio.CancelledError:
            answer, said = None, "The evaluation was stopped."
        except XaiViewsError as e:
            answer, said = None, str(e)
        on_page(lambda: self.ended(answer, said))

    def ended(self, answer: Any, said: str) -> None:
        """Show what was found, or why nothing was."""
        self.go.disabled, self.stop.disabled = False, True
        if answer is None:
            self.words.object = f"<p>{escape(said)}</p>"
            return
        self.tables = answer
        table, ranks, part = answer
        self.words.object = (
            f"<p>{table.attrs['images']} images, each explained for its predicted class. By the share on {escape(part)}, "
            f"superpixels change the order of {float(ranks['flipped']):.0%} of the pairs of methods (Kendall's tau "
            f"{float(ranks['tau']):.2f}, 95 % interval {float(ranks['tau_low']):.2f} to {float(ranks['tau_high']):.2f}).</p>"
        )
        self.write()

    def write(self) -> None:
        """Write the table in the chosen figure."""
        if self.tables is None:
            return
        table, ranks, _ = self.tables
        name = self.figure.value
        area = np.where(np.isfinite(table["area"].values), table["area"].values, 0)
        largest = np.sort(np.argsort(-area, kind="stable")[:MOST_PARTS])
        titles = [str(p) for p in table["part"].values[largest]]
        columns = [
            {"key": "method", "title": "method"},
            *({"key": f"p{i}", "title": t, "kind": "number", "digits": 2} for i, t in enumerate(titles)),
            {"key": "raw", "title": "rank as it is", "kind": "number", "digits": 1},
            {"key": "other", "title": "rank on superpixels", "kind": "number", "digits": 1},
        ]
        rows = []
        for m, method in enumerate(map(str, table["method"].values)):
            values = np.nan_to_num(table[name].values[m, largest])
            row = {"id": method, "method": method, **{f"p{i}": float(v) for i, v in enumerate(values)}}
            rows.append(row | {"raw": float(ranks["rank_raw"][m]), "other": float(ranks["rank_other"][m])})
        chance = np.ones(len(largest)) if name == "density" else area[largest]
        rows.append({"id": "chance", "method": "chance", **{f"p{i}": float(v) for i, v in enumerate(chance)}})
        self.found.objects = [Listing(label="Saliency methods by named part", columns=columns, rows=rows)]

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "Where each saliency method points, by known part or by the clusters that you named, beside controls that know "
                "nothing of the network. Pointing at an object is not the same as being right about the network."
            ),
            pn.FlexBox(self.go, self.stop, self.figure, align_items="center", gap="8px", margin=(4, 16)),
            self.words,
            self.found,
            sizing_mode="stretch_width",
        )
