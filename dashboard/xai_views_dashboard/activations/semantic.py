"""Where saliency methods point, by named part: known parts, or the clusters of a codebook that somebody named."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.engine.superpixels.aggregate import superpixelify
from xai_views.errors import XaiViewsError
from xai_views.methods import get
from xai_views.samples import images
from xai_views.scores.semantic import disagreement, named_parts, semantic
from xai_views.views import Listing
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.tasks import on_page, start

MOST_IMAGES, CHUNK = 24, 8
METHODS = ("grad-cam", "gradient", "gradient x input", "guided backprop", "random", "edges", "centre")
MOST_PARTS = 8
FIGURES = {"share / area (1 = by chance)": "density", "share of what speaks for the class": "mass"}


def evaluate(
    model: Any, samples: Any, known: tuple[np.ndarray, list[str]] | None, ask: Any, progress: Any
) -> Generator[None, None, tuple[Any, Any, str]]:
    """Evaluate the saliency methods on some images; a generator, so that a worker can serve others in between.

    Parameters
    ----------
    model : Model
        The network.
    samples : Dataset
        Images; those that are used are drawn evenly.
    known : (ndarray, list of str) or None
        Part ids ``[N, H, W]`` of the used images and their names; None takes the named clusters of ``ask.codebook``.
    ask : NaveAsk
        Gives the superpixels.
    progress : callable
        ``progress(done, total)``; may raise to stop.

    Returns
    -------
    (Dataset, Dataset, str)
        Methods by parts; the ranking of methods as they are and on superpixels; which class was explained.
    """
    from xai_views.engine.attribution.maps import fits, saliency

    nave = get("nave")
    rows = chosen(samples.sizes["sample"])
    names = [n for n in METHODS if not fits(model, n)]
    maps: dict[str, list[np.ndarray]] = {n: [] for n in names}
    read: dict[str, list[np.ndarray]] = {n: [] for n in names}
    parts: list[np.ndarray] = []
    titles: list[str] = []
    total = len(rows) * (len(names) + 1)
    for begin in range(0, len(rows), CHUNK):
        batch = images(samples, rows[begin : begin + CHUNK])
        asks = [ask] * len(batch)
        seen = [nave.interpret(model, o, ask) for o in nave.observe(model, batch, asks, [None] * len(batch))]
        segment = np.stack([s["segment"].values[0] for s in seen]).astype(np.int64)
        targets = [int(s["logit"].values[0].argmax()) for s in seen]
        if known is None:
            here, titles = named_parts(segment, ask.codebook.names)
        else:
            here, titles = known[0][begin : begin + CHUNK], known[1]
        parts.append(here)
        progress(begin * (len(names) + 1) + len(batch), total)
        yield
        for i, name in enumerate(names):
            found = saliency(model, batch, targets, name)
            maps[name].append(found)
            read[name].append(np.stack([superpixelify(m, s) for m, s in zip(found, segment, strict=True)]))
            progress(begin * (len(names) + 1) + len(batch) * (i + 2), total)
            yield
    stacked = np.concatenate(parts)
    joined = [{n: np.concatenate(v) for n, v in m.items()} for m in (maps, read)]
    tables = [semantic(m, stacked, titles, draws=300) for m in joined]
    part = "object" if "object" in tables[0]["part"].values else titles[-1]
    scores = [{n: t["mass_image"].loc[{"method": n, "part": part}].values for n in names} for t in tables]
    whole = np.all([np.isfinite(v) for s in scores for v in s.values()], axis=0)
    scores = [{n: v[whole] for n, v in s.items()} for s in scores]
    return tables[0], disagreement(*scores, draws=300), part


def chosen(n: int) -> np.ndarray:
    """Positions of the images that are evaluated."""
    return np.unique(np.linspace(0, n - 1, min(n, MOST_IMAGES)).astype(int))


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
        rows = chosen(ds.sizes["sample"])
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
        ask = session.ask(app.state, ablation=None, targets=(-1,))
        if known is None:
            from dataclasses import replace

            ask = replace(ask, mode="codebook", codebook=book)
        samples = session.population.samples

        def job(progress: Any) -> Any:
            return (yield from evaluate(session.model, samples, known, ask, progress))

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
