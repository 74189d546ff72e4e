"""Saliency methods by part: ground-truth parts, or named clusters of a codebook."""

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

PARTS = {"part", "mask"}  # variables with ground truth
MOST_PARTS = 8
FIGURES = {"share / area (chance: 1)": "density", "share of positive relevance": "mass"}


class SemanticPanel(Job):
    """A table of saliency methods by part, with controls and chance."""

    title = "Methods by part"
    question = "trust"
    verb = "Evaluate saliency methods"
    doing = "Evaluating saliency methods"
    stopped = "Evaluation cancelled."

    def __init__(self, app: Any) -> None:
        self.figure = pmui.RadioButtonGroup(options=FIGURES, value="density", size="small")
        self.found = pn.Column(sizing_mode="stretch_width")
        self.tables: Any = None
        super().__init__(app)
        self.figure.param.watch(self.write, "value")

    def wish(self) -> Ask:
        """Return the request for the superpixels; without ground truth, for the named clusters of the codebook."""
        app, state, book = self.app, self.app.state, self.app.state.codebook
        ask = app.ask(ablated=[], targets=[PREDICTED])
        if PARTS & set(app.samples.data_vars):
            return ask
        names = (
            [state.names.get(str(c), "") or n for c, n in enumerate(book.names)] if book is not None else []
        )
        if not any(names):
            raise XaiViewsError(
                "These images have no ground truth. Fit a codebook under Codebook and name its clusters under Cluster first."
            )
        return ask.replace(mode="codebook", codebook=book.named(names))

    def key(self, wish: Ask) -> Hashable:
        """Return the key by which visitors share an evaluation; it includes the names."""
        session, names = self.app.session, () if wish.codebook is None else tuple(wish.codebook.names)
        return ("semantic", session.model.sha256, session.population.key, wish, names)

    def work(self, wish: Ask, progress: Any) -> Generator[None, None, Any]:
        """Evaluate, on the worker."""
        model, samples = self.app.session.model, self.app.session.population.samples
        method, known = registry.plain(wish.method), known_parts(samples)
        return (yield from evaluate(model, samples, known, method, method.ready(model, wish), progress))

    def take(self, answer: Any) -> None:
        """Show the result."""
        self.tables = table, ranks, part = answer
        self.say(
            f"{table.attrs['images']} images, each explained for its predicted class. {ranked(ranks, part)}"
        )
        self.write()

    def write(self, *_: Any) -> None:
        """Write the table for the selected measure."""
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
            {"key": "raw", "title": "rank, original", "kind": "number", "digits": 1},
            {"key": "other", "title": "rank, superpixels", "kind": "number", "digits": 1},
        ]
        rows = []
        for m, method in enumerate(map(str, table["method"].values)):
            values = table[name].values[m, largest]
            row: dict[str, Any] = {"id": method, "method": method}
            row |= {f"p{i}": float(v) if np.isfinite(v) else None for i, v in enumerate(values)}
            if comparable(ranks):
                row |= {"raw": float(ranks["rank_raw"][m]), "other": float(ranks["rank_other"][m])}
            rows.append(row)
        chance = np.ones(len(largest)) if name == "density" else area[largest]
        rows.append({"id": "chance", "method": "chance", **{f"p{i}": float(v) for i, v in enumerate(chance)}})
        self.found.objects = [Listing(label="Saliency methods by part", columns=columns, rows=rows)]

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "The share of each saliency map on each ground-truth part, or named cluster, beside controls that ignore the "
                "network. Highlighting an object does not make an explanation faithful to the network."
            ),
            self.buttons(self.figure),
            self.words,
            self.found,
            sizing_mode="stretch_width",
        )


def comparable(ranks: xr.Dataset) -> bool:
    """Return whether the methods can be ranked: their scores are known and not all equal."""
    return all(np.isfinite(ranks[n].values).all() and np.ptp(ranks[n].values) > 0 for n in ("raw", "other"))


def ranked(ranks: xr.Dataset, part: str) -> str:
    """Say how superpixels change the order of the methods, or why they cannot be ranked."""
    if not part or not np.isfinite(ranks["raw"].values).all():
        return "With no known object the methods cannot be ranked."
    if not comparable(ranks):
        return f"All methods have the same share on {part}, so they cannot be ranked."
    text = (
        f"By the share on {part}, superpixels change the order of {float(ranks['flipped']):.0%} of the pairs of methods "
        f"(Kendall's tau {float(ranks['tau']):.2f}"
    )
    low, high = float(ranks["tau_low"]), float(ranks["tau_high"])
    if not np.isfinite([low, high]).all():
        return f"{text}; too few images for an interval)."
    return f"{text}, 95 % interval {low:.2f} to {high:.2f})."


def known_parts(samples: xr.Dataset) -> tuple[np.ndarray, list[str]] | None:
    """Return ground-truth parts of the evaluated images ``[n, y, x]``, and their names; None where unknown."""
    rows = evaluated(samples.sizes["sample"])
    if "part" in samples:
        part = np.maximum(samples["part"].isel(sample=rows).values.astype(np.int64), 0)
        return part, [str(p) for p in samples.attrs["parts"]]
    if "mask" in samples:
        return samples["mask"].isel(sample=rows).values.astype(np.int64), ["background", "object"]
    return None
