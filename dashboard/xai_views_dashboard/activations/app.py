"""The activation explorer: what a network treats alike, and what each cluster contributes to its answer.

``panel serve dashboard/activations.py`` serves it alone; ``xai-views serve`` serves it at ``/activations``.
"""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
import xarray as xr

from xai_views.errors import XaiViewsError
from xai_views.methods.explaining import finish
from xai_views.samples import images
from xai_views.views import SETTINGS, Canvas, Filmstrip
from xai_views_dashboard.activations import frame as activations_frame
from xai_views_dashboard.activations.cluster import ClusterPanel
from xai_views_dashboard.activations.codebook import BookPanel
from xai_views_dashboard.activations.compare import ComparePanel
from xai_views_dashboard.activations.depth import DepthPanel, SimilarityPanel
from xai_views_dashboard.activations.factorization import PeerPanel
from xai_views_dashboard.activations.layers import LayerPanel, controls
from xai_views_dashboard.activations.saliency import SaliencyPanel
from xai_views_dashboard.activations.semantic import SemanticPanel
from xai_views_dashboard.activations.session import ActivationsSession
from xai_views_dashboard.activations.state import ActivationsState
from xai_views_dashboard.activations.tokens import TokensPanel
from xai_views_dashboard.activations.touch import TouchPanel
from xai_views_dashboard.core import method_pages
from xai_views_dashboard.core.following import Following, follow_tabs, open_only
from xai_views_dashboard.core.former_app import App
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.session import context_of
from xai_views_dashboard.core.status import StatusLine
from xai_views_dashboard.panels.about import about
from xai_views_dashboard.panels.upload import UploadPanel

CAPTION = (
    "Positions of one colour are treated alike by the chosen layers; the ledger says what each cluster contributes to the "
    "logit. It shows what the network computes, not what the objects are: names are what its last layer reads, or yours."
)
ABOUT = (
    "After Boubekki, Fadel and Mair: Neuro-Activated Vision Explanations (arXiv 2411.19700) and superpixels (arXiv "
    "2406.04933). Merge tree, soft assignments, contributions and ablations are our readings; the method's page names each."
)
KEYS = {
    "[": "one cluster fewer",
    "]": "one cluster more",
    "a": "take the chosen cluster away",
    "u": "undo an ablation",
}


class ActivationsApp(App):
    """Explore what a network treats alike: activation clusters and superpixels.

    Parameters
    ----------
    model : Model
        Any network with spatial activations.
    samples : xarray.Dataset
        Images that fit it.
    **state
        First values of :class:`xai_views_dashboard.activations.state.ActivationsState`; ``sample`` may be an id.
    """

    title = "Activations"

    def __init__(self, model: Any, samples: xr.Dataset, **state: Any) -> None:
        super().__init__()
        self.session = ActivationsSession(model, samples)
        self.model, self.samples = self.session.model, samples
        self.state = ActivationsState.first(self.session.names, **state)
        self._asks: dict[str, tuple] = {}
        self.canvas = Canvas(
            self._frame,
            order=self.session.names,
            layout=self._layout(),
            position=self.state.sample,
            context=self._context(),
            settings=dict(self.state.look),
            sizing_mode="stretch_width",
            keys=KEYS,
        )
        self.strip = Filmstrip(
            lambda rows: images(samples, rows),
            count=self.session.population.n,
            size=48,
            label="Samples",
            current=self.state.sample,
            captions=self._captions(),
        )
        self.layers = LayerPanel(self)
        self.status = StatusLine(self.session.kernel)
        self.panels = self._panels()
        self._link()
        dict(self.panels)["Codebook"].begin()  # a first value changes nothing, so that nothing tells of it

    def _panels(self) -> list[tuple[str, Any]]:
        """The tabs, by title."""
        return [
            ("Cluster", ClusterPanel(self)),
            ("Layers", self.layers),
            ("Codebook", BookPanel(self)),
            ("Similar places", SimilarityPanel(self)),
            ("Depth", DepthPanel(self)),
            ("Compare models", ComparePanel(self)),
            ("Saliency", SaliencyPanel(self)),
            ("Methods by part", SemanticPanel(self)),
            ("Touch it", TouchPanel(self)),
            ("Factorization", PeerPanel(self)),
            ("Tokens" if self.session.layers.tokens else "Norms", TokensPanel(self)),
            ("Your image", UploadPanel(self)),
            ("About", about(self, ABOUT, {"Layers": ", ".join(self.session.layers.default)})),
        ]

    # -- what the page consists of ------------------------------------------------------------------------------

    def __panel__(self) -> Any:
        tabs = pmui.Tabs(
            *self.panels,
            sizing_mode="stretch_width",
            dynamic=True,
            active=min(self.state.tab, len(self.panels) - 1),
        )
        follow_tabs(tabs, self._opened)
        return pn.Column(
            *self.notes(),
            self.strip,
            controls(self),
            self.canvas,
            caption(CAPTION, method_pages.link("nave")),
            tabs,
            sizing_mode="stretch_width",
            styles={"max-height": "none"},  # Panel's own limit makes what is long overlap what follows
        )

    def _opened(self, tab: int) -> None:
        self.state.tab = tab
        open_only([panel for _, panel in self.panels], tab)

    def _captions(self) -> list[str]:
        classes, label = self.model.classes, self.session.population.label
        named = [classes[c] if 0 <= c < len(classes) else "" for c in label]
        return [f"{n}: {c}" if c else n for n, c in zip(self.session.population.names, named, strict=True)]

    def _layout(self) -> dict:
        layout = {**activations_frame.LAYOUT, "tiles": dict(activations_frame.LAYOUT["tiles"])}
        if not ({"part", "mask"} & set(self.samples.data_vars)):
            layout["tiles"].pop("truth")
        return layout

    # -- links --------------------------------------------------------------------------------------------------

    def _link(self) -> None:
        state, canvas = self.state, self.canvas
        canvas.on_position(self.show_position)
        canvas.on_select(self._selected)
        canvas.on_key(self._key)
        canvas.on_settings(self._looked)
        canvas.on_region(lambda m: setattr(state, "region", m.get("polygon") or []))
        self.strip.on_select(lambda i: setattr(state, "sample", i))
        state.param.watch(self.moved, "sample")
        state.param.watch(
            lambda e: setattr(self.strip, "current", e.new if e.new < self.strip._count else -1), "sample"
        )
        state.param.watch(self._asked, [n for n in ASKED if n in state.param])
        state.param.watch(self._chosen, "cluster")
        state.param.watch(lambda e: canvas.compose(**{**SETTINGS, **e.new, "focus": self._focus()}), "look")
        self._chosen()

    def _looked(self, settings: Any) -> None:
        changed = {k: v for k, v in settings.items() if k != "focus" and SETTINGS.get(k) != v}
        self.state.look = changed

    def _focus(self) -> dict | None:
        return {activations_frame.SEGMENT: [self.state.cluster]} if self.state.cluster >= 0 else None

    def _chosen(self, *_: Any) -> None:
        """One cluster stands out in every picture, and its row in the ledger."""
        self.canvas.row = str(self.state.cluster) if self.state.cluster >= 0 else ""
        self.canvas.compose(focus=self._focus())

    def _asked(self, *_: Any) -> None:
        if self.state.target >= len(self.model.classes):
            self.state.target = -1
            return
        self.canvas.context = self._context()

    def refresh(self) -> None:
        """Ask again for what the session now knows, such as a codebook; no parameter of the state tells of it."""
        self.canvas.context = self._context()
        for _, panel in self.panels:
            if isinstance(panel, Following):
                panel.update()

    def _selected(self, message: Any) -> None:
        row, label = message.get("row"), (message.get("labels") or {}).get(activations_frame.SEGMENT)
        if message.get("tile") is not None and message.get("x") is not None:
            self.state.at = [float(message["x"]), float(message["y"])]
        wanted = row if row is not None else label
        if wanted is not None and str(wanted).isdigit():
            again = row is None and int(wanted) == self.state.cluster  # a second click lets all stand again
            self.state.cluster = -1 if again else int(wanted)

    def _key(self, key: str) -> None:
        state = self.state
        if key == "]":
            state.k = min(state.k + 1, state.param.k.bounds[1])
        elif key == "[":
            state.k = max(state.k - 1, 1)
        elif key == "u":
            state.undo()
        elif key == "a" and state.cluster >= 0:
            state.edit(ablated=sorted({*state.ablated, state.cluster}))
        elif key.isdigit():
            state.cluster = int(key)

    # -- frames -------------------------------------------------------------------------------------------------

    def _context(self) -> str:
        """Everything that a frame depends on besides the sample."""
        s = self.state
        ask = self.session.ask(s)
        context = context_of(ask, s.shown, sorted(s.names.items()))
        self._asks[context] = (ask, s.shown, dict(s.names))
        return context

    async def _frame(self, key: str, priority: int = 0) -> bytes:
        """Answer one wish of the canvas; encoded frames are shared by all sessions."""
        import asyncio

        name, _, context = key.partition("|")
        session = self.session
        if context not in self._asks or name not in session.names:
            raise XaiViewsError(f"the page asked for {name!r}, which is not here any more; reload the page.")
        i = session.names.index(name)
        cached = ("activations", session.model.sha256, session.population.key, session.digest(i), key)
        frame = session.kernel.frames.get(cached)
        if frame is None:
            ask, shown, given = self._asks[context]
            result = await session.explain(i, ask, priority)
            frame = await asyncio.to_thread(
                activations_frame.build,
                key,
                name,
                session.image(i),
                session.label(i),
                result,
                self.model.classes,
                session.truth(i),
                shown=shown,
                given=given,
                exact=session.layers.exact,
            )
            session.kernel.frames.put(cached, frame)
        return frame

    # -- for people who write Python ----------------------------------------------------------------------------

    def result(self) -> xr.Dataset:
        """The explanation of the sample in view, with its provenance; the same numbers that the page shows."""
        s, session = self.state, self.session
        one = session.explain_now(s.sample, session.ask(s))
        samples = xr.Dataset(
            {
                "image": (("sample", "y", "x", "channel"), session.image(s.sample)[None]),
                "name": ("sample", [session.names[s.sample]]),
                "label": ("sample", [session.label(s.sample)]),
            }
        )
        return finish([one], self.model, samples, session.method)


#: Parameters of the state that change what is asked or drawn.
ASKED = (
    "taps", "preset", "weights", "grid", "interp", "k", "mode", "assigner", "seed", "soft", "temperature", "target", "shown",
    "names", "ablated", "keep", "where", "fill",
)  # fmt: skip
