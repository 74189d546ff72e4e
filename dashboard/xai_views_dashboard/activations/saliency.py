"""Saliency on superpixels: a map as it is and on the network's own superpixels, their difference, and the regions as bars."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.engine.superpixels.aggregate import aggregate, kept
from xai_views.engine.superpixels.regions import clusters_to_regions
from xai_views.errors import XaiViewsError
from xai_views.methods import get
from xai_views.views import Frame, Listing
from xai_views_dashboard.activations import state as choices
from xai_views_dashboard.activations.curves import CurvesPanel
from xai_views_dashboard.activations.frame import SEGMENT
from xai_views_dashboard.core.former_picture_panel import PicturePanel
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.session import context_of
from xai_views_dashboard.core.tasks import on_page

SIDE = 230
NAMES = (
    "grad-cam", "gradient", "gradient x input", "integrated gradients", "guided backprop", "occlusion", "sic", "random", "edges",
    "centre",
)  # fmt: skip
COLUMNS = [
    {"key": "region", "title": "region"},
    {"key": "area", "title": "area", "kind": "number", "digits": 3},
    {"key": "value", "title": "figure", "kind": "bar", "digits": 5},
    {"key": "sum", "title": "sum", "kind": "signed", "digits": 4},
    {"key": "mass", "title": "share of what speaks for it", "kind": "number", "digits": 3},
    {"key": "density", "title": "share / area", "kind": "number", "digits": 2},
]


class SaliencyPanel(PicturePanel):
    """Raw against superpixels.

    Parameters
    ----------
    app : ActivationsApp
        Gives session and state.
    """

    watched = (
        "saliency", "how", "connected", "target", "taps", "preset", "weights", "grid", "interp", "k", "mode", "assigner", "seed",
    )  # fmt: skip

    def __init__(self, app: Any) -> None:
        self.method = get("saliency")
        super().__init__(app)
        state = app.state
        self.choice = pmui.Select(
            label="Saliency map",
            options=[n for n in NAMES if n != "sic" or app.model.supports is not None],
            value=state.saliency,
            width=200,
            size="small",
        )
        self.how = pmui.Select(label="Figure of a superpixel", options=list(choices.ActivationsState.param.how.objects),
                               value=state.how, width=170, size="small")  # fmt: skip
        self.connected = pmui.Checkbox(label="connected pieces", value=state.connected)
        for widget, name in ((self.choice, "saliency"), (self.how, "how"), (self.connected, "connected")):
            widget.link(state, value=name, bidirectional=True)
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing = Listing(label="The regions, largest figure first", columns=COLUMNS)
        self.curves = CurvesPanel(app, self)

    def layout(self) -> dict:
        """Raw, on superpixels, their difference, the regions."""
        words = {
            "raw": "As it is",
            "read": "On superpixels",
            "difference": "Difference",
            "regions": "Superpixels",
        }
        tiles = {
            name: {"group": "saliency", "size": SIDE, "label": label, "photo": "raw", "link": "saliency"}
            for name, label in words.items()
        }
        return {"tiles": tiles, "groups": {"saliency": {"title": ""}}}

    def wish(self) -> Any:
        """The ask for the clusters, and what is read on them."""
        state = self.app.state
        return self.app.session.ask(state, ablation=None), state.saliency, state.how, state.connected

    def key(self, wish: Any) -> Any:
        """The content of the ask and the choices."""
        return context_of(wish[0]), wish[1:]

    async def parts(self, sample: int, wish: Any) -> tuple[Any, np.ndarray, np.ndarray, int]:
        """Clusters, the raw map, the regions and the explained class."""
        from xai_views.methods.saliency.method import SaliencyAsk

        ask, name, _, connected = wish
        session = self.app.session
        if name not in NAMES:
            raise XaiViewsError(f"there is no saliency map {name!r}; choose one of {', '.join(NAMES)}.")
        result = await session.explain(sample, ask, priority=1)
        target = int(result["target_class"].values[0, 0])
        method = get("saliency", map=name)
        reason = await asyncio.wrap_future(session.kernel.run(lambda progress: method.fits(session.model)))  # noqa: ARG005
        if reason:
            raise XaiViewsError(reason)
        image = await asyncio.to_thread(session.image, sample)
        future = session.kernel.explain(
            session.model,
            image[None],
            [session.digest(sample)],
            self.method,
            [SaliencyAsk(name, target)],
            priority=1,
        )
        raw = (await asyncio.wrap_future(future))[0]["attribution"].values[0]
        segment = result["segment"].values[0].astype(np.int64)
        regions = await asyncio.to_thread(clusters_to_regions, segment, connected, 0.002 if connected else 0)
        return result, raw, regions, target

    async def frame(self, key: str, sample: int, wish: Any) -> bytes:
        """All maps on one scale."""
        _, raw, regions, target = await self.parts(sample, wish)
        read, table = await asyncio.to_thread(aggregate, raw, regions, wish[2])
        image = await asyncio.to_thread(self.app.session.image, sample)
        words = self.app.model.classes[target]
        frame = Frame(
            key, text=f"{wish[1]} for {words}: as it is, on {len(table)} superpixels, and their difference."
        )
        frame.photo(image, "raw")
        for tile, values in (("raw", raw), ("read", read), ("difference", raw - read)):
            frame.signed_map(tile, "attribution", values)
            frame.tile(tile, size=list(image.shape[:2]), alt=f"{wish[1]} for {words}, {tile}")
        frame.label_map("regions", SEGMENT if not wish[3] else "superpixel", regions)
        frame.tile("regions", size=list(image.shape[:2]), alt=f"{len(table)} superpixels")
        frame.legend("attribution", title=f"{wish[1]}, per pixel", target=words, unit="")
        share = kept(raw, read)
        on_page(lambda: self.write(table, share, words, wish))
        return frame.to_bytes()

    def write(self, table: Any, share: float, words: str, wish: Any) -> None:
        """Write bars and words beside the pictures."""
        ordered = table.sort_values("value", ascending=False)
        self.listing.rows = [
            {
                "id": str(i),
                "region": str(i),
                **{c: float(r[c]) for c in ("area", "value", "sum", "mass", "density")},
            }
            for i, r in ordered.head(40).iterrows()
        ]
        what = "pieces" if wish[3] else "clusters"
        self.words.object = (
            f"<p>{escape(wish[1])} for {escape(words)} on {len(table)} {what}: the superpixels keep {share:.1%} of the map's "
            "variance. What they do not keep lies inside the regions and is averaged away.</p>"
        )

    def selected(self, message: Any) -> None:
        """A cluster chosen here is chosen everywhere."""
        label = (message.get("labels") or {}).get(SEGMENT)
        if label is not None:
            self.app.state.cluster = int(label)

    def __panel__(self) -> Any:
        return pn.Column(
            caption(
                "A saliency map as it is, and with one figure for each of the network's own superpixels. Averaging eases "
                "reading; it cannot make a map right. The controls random, edges and centre know nothing of the network."
            ),
            pn.FlexBox(self.choice, self.how, self.connected, align_items="center", gap="8px", margin=(0, 8)),
            self.words,
            self.canvas,
            self.listing,
            self.curves,
            sizing_mode="stretch_width",
        )
