"""Where saliency methods point, by named part: known parts, or the clusters of a codebook that somebody named."""

from __future__ import annotations

from collections.abc import Generator, Hashable
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
import xarray as xr

from xai_views.contract import registry
from xai_views.contract.ask import Ask
from xai_views.contract.method import PREDICTED
from xai_views.errors import XaiViewsError
from xai_views.scores.semantic import evaluate, evaluated
from xai_views.views import Listing
from xai_views_dashboard.core.job import Job
from xai_views_dashboard.core.page import caption

PARTS = {"part", "mask"}  # either says what is where
MOST_PARTS = 8
FIGURES = {"share / area (1 = by chance)": "density", "share of what speaks for the class": "mass"}


class SemanticPanel(Job):
    """A table of saliency methods by named part, with the controls and chance."""

    title = "Methods by part"
    question = "trust"
    verb = "Evaluate the saliency methods"
    begun = "Every method explains the same images; the line at the bottom counts."
    stopped = "The evaluation was stopped."

    def __init__(self, app: Any) -> None:
        self.figure = pmui.RadioButtonGroup(options=FIGURES, value="density", size="small")
        self.found = pn.Column(sizing_mode="stretch_width")
        self.tables: Any = None
        super().__init__(app)
        self.figure.param.watch(self.write, "value")

    def wish(self) -> Ask:
        """The superpixels of the page; where no parts are known, those of its codebook, whose clusters have names."""
        app, state, book = self.app, self.app.state, self.app.state.codebook
        ask = app.ask(ablated=[], targets=[PREDICTED])
        if PARTS & set(app.samples.data_vars):
            return ask
        names = (
            [state.names.get(str(c), "") or n for c, n in enumerate(book.names)] if book is not None else []
        )
        if not any(names):
            raise XaiViewsError(
                "Nothing is known of the parts of these images: fit a codebook under Codebook and name its clusters under "
                "Cluster first."
            )
        return ask.replace(mode="codebook", codebook=book.named(names))

    def key(self, wish: Ask) -> Hashable:
        """Everybody who asks for the same superpixels of the same samples shares the evaluation; names count too."""
        session, names = self.app.session, () if wish.codebook is None else tuple(wish.codebook.names)
        return ("semantic", session.model.sha256, session.population.key, wish, names)

    def work(self, wish: Ask, progress: Any) -> Generator[None, None, Any]:
        """Evaluate, on the worker."""
        model, samples = self.app.session.model, self.app.session.population.samples
        method, known = registry.plain(wish.method), known_parts(samples)
        return (yield from evaluate(model, samples, known, method, method.ready(model, wish), progress))

    def take(self, answer: Any) -> None:
        """Show what was found."""
        self.tables = table, ranks, part = answer
        self.say(
            f"{table.attrs['images']} images, each explained for its predicted class. By the share on {part}, "
            f"superpixels change the order of {float(ranks['flipped']):.0%} of the pairs of methods (Kendall's tau "
            f"{float(ranks['tau']):.2f}, 95 % interval {float(ranks['tau_low']):.2f} to {float(ranks['tau_high']):.2f})."
        )
        self.write()

    def write(self, *_: Any) -> None:
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
            self.buttons(self.figure),
            self.words,
            self.found,
            sizing_mode="stretch_width",
        )


def known_parts(samples: xr.Dataset) -> tuple[np.ndarray, list[str]] | None:
    """Known parts of the images that are evaluated ``[n, y, x]``, and their names; None when nothing is known."""
    rows = evaluated(samples.sizes["sample"])
    if "part" in samples:
        part = np.maximum(samples["part"].isel(sample=rows).values.astype(np.int64), 0)
        return part, [str(p) for p in samples.attrs["parts"]]
    if "mask" in samples:
        return samples["mask"].isel(sample=rows).values.astype(np.int64), ["background", "object"]
    return None
