"""The latent map of the SIC app: every test sample and every support sample as a point, pictures on hover."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from dashboard.sic_panels import caption
from dashboard.tasks import start
from xai_views.samples import images

MOST = 2000


def principal_axes(z: np.ndarray, supports: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Positions ``[N, 2]`` and ``[S, 2]`` on the first two principal axes of unit vectors, and the variance they hold."""

    def unit(a: np.ndarray) -> np.ndarray:
        return a / (np.linalg.norm(a, axis=1, keepdims=True) + 1e-12)

    u = unit(z)
    centre = u.mean(0)
    _, s, axes = np.linalg.svd(u - centre, full_matrices=False)
    share = float((s[:2] ** 2).sum() / max((s**2).sum(), 1e-30))
    return (u - centre) @ axes[:2].T, (unit(supports) - centre) @ axes[:2].T, share


def neighbours_map(z: np.ndarray, supports: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """t-SNE of the cosine distances, seeded: positions of samples and supports."""
    from sklearn.manifold import TSNE

    both = np.concatenate([z, supports]).astype(np.float64)
    both /= np.linalg.norm(both, axis=1, keepdims=True) + 1e-12
    fitted = TSNE(perplexity=min(30, (len(both) - 1) / 3), init="pca", random_state=0).fit_transform(both)
    return fitted[: len(z)], fitted[len(z) :]


class MapView(pn.viewable.Viewer):
    """Test samples (filled) and supports (diamonds) in two dimensions; a tap chooses.

    Parameters
    ----------
    app : SicApp
        Gives session and state.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        self.pane = pn.pane.Bokeh(None, sizing_mode="stretch_width", min_height=420)
        ways = {"principal axes": "pca", "neighbours (t-SNE)": "tsne"}
        self.how = pmui.RadioButtonGroup(options=ways, value="pca", size="small")
        self.how.param.watch(self._changed, "value")
        self.words = caption("The map appears when every sample was observed.")
        self._figure = None
        self._positions: dict[str, tuple] = {}

    def __panel__(self) -> Any:
        return pn.Column(pn.Row(self.how, margin=(0, 16)), self.pane, self.words, sizing_mode="stretch_width")

    def _rows(self) -> np.ndarray:
        n = self.app.session.population.n
        return np.unique(np.linspace(0, n - 1, min(n, MOST)).astype(int))

    def fill(self) -> None:
        """Draw the map again for the supports as they are now."""
        self._positions.clear()
        if self.how.value == "tsne":
            self._changed()
        else:
            self._draw("pca")

    def _changed(self, *_: Any) -> None:
        if self.how.value == "pca" or "tsne" in self._positions:
            self._draw(self.how.value)
            return
        start(self._compute())

    async def _compute(self) -> None:
        self._positions["tsne"] = (*await asyncio.to_thread(self._project, "tsne"), None)
        self._draw("tsne")

    def _project(self, how: str) -> tuple:
        z, supports = self.app.session.population.z[self._rows()], self.app.session.supports.vectors
        return principal_axes(z, supports) if how == "pca" else neighbours_map(z, supports)

    def _draw(self, how: str) -> None:
        from bokeh.models import ColumnDataSource, TapTool

        from xai_views.views import latent_map

        population, supports = self.app.session.population, self.app.session.supports
        if population.n == 0 or np.isnan(population.z).any():
            return
        if how not in self._positions:
            self._positions[how] = self._project(how)
        xy, support_xy, share = self._positions[how]
        rows = self._rows()
        figure = latent_map(
            xy,
            population.label[rows],
            self.app.model.classes,
            images(population.samples, rows),
            [population.names[i] for i in rows],
            on_select=self._tapped,
        )
        at = ColumnDataSource(
            {
                "x": support_xy[:, 0],
                "y": support_xy[:, 1],
                "index": supports.index.astype(str),
                "id": [f"support train {i}" for i in supports.index],
                "label": [self.app.model.classes[c] for c in supports.label],
            }
        )
        figure.scatter(
            "x",
            "y",
            source=at,
            size=11,
            marker="diamond",
            fill_color=None,
            line_color="#7a7f87",
            line_width=1.5,
        )
        at.selected.on_change(
            "indices", lambda _a, _o, new: new and self._support(int(at.data["index"][new[0]]))
        )
        self._current = ColumnDataSource(self._here(xy, rows))
        figure.scatter(
            "x",
            "y",
            source=self._current,
            size=18,
            marker="circle",
            fill_color=None,
            line_color="#d6453d",
            line_width=3,
        )
        figure.select_one(TapTool)
        self._figure, self._xy, self._shown = figure, xy, rows
        self.pane.object = figure
        held = "" if share is None else f" The two axes hold {share:.0%} of the variance of the directions."
        self.words.object = (
            "<p>Each point is a test sample, each open diamond a support sample, the ring the sample in view; close points have "
            f"similar directions of z. Distances on this flat map are not the distances in latent space.{held}</p>"
        )

    def _tapped(self, indices: list[int]) -> None:
        if indices:
            chosen = int(self._shown[indices[0]])
            if self.app.state.sample != chosen:
                self.app.state.sample = chosen

    def _support(self, position: int) -> None:
        if self.app.state.support != position:
            self.app.state.support = position

    def _here(self, xy: np.ndarray, rows: np.ndarray) -> dict[str, list]:
        at = np.flatnonzero(rows == self.app.state.sample)
        return {"x": xy[at, 0].tolist(), "y": xy[at, 1].tolist()}

    def follow(self) -> None:
        """Move the ring to the sample in view."""
        if self._figure is None:
            return
        here = self._here(self._xy, self._shown)
        if here != self._current.data:
            self._current.data = here
