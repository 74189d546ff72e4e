"""The table of support samples: of one class or of all, with the evidence that each gives to the sample in view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from xai_views.methods.sic.observation import logits
from xai_views.methods.sic.population import similarities
from xai_views.views import Listing
from xai_views.views.plots import data_uri
from xai_views_dashboard.sic.candidates import pair
from xai_views_dashboard.sic.frame import support_name

ALL, EXPLAINED = -2, -1
NUMBERS = ("evidence", "cosine")

COLUMNS = [
    {"key": "picture", "title": "", "kind": "image"},
    {"key": "support", "title": "training image"},
    {"key": "class", "title": "supports"},
    {"key": "evidence", "title": "evidence for it here", "kind": "bar", "digits": 4},
    {"key": "cosine", "title": "cosine", "kind": "number", "digits": 3},
]


class SupportTable(pn.viewable.Viewer):
    """Support samples, filtered by class; the chosen one follows the state and goes into it.

    Parameters
    ----------
    app : SicApp
        Gives session and state.
    changed : callable
        Called when another class is shown.

    Attributes
    ----------
    z : ndarray or None
        ``[1, p]`` evidence vector of the sample in view, None while it is not known.
    """

    def __init__(self, app: Any, changed: Callable[[], Any]) -> None:
        super().__init__()
        self.app = app
        self.z: np.ndarray | None = None
        self._pictures: dict[int, str] = {}
        self._writing = False
        self.listing = Listing(
            label="Support samples", columns=COLUMNS, page=60, height_limit=620, margin=(4, 16)
        )
        classes = {c: i for i, c in enumerate(app.model.classes)}
        self.which = pmui.Select(
            label="Show the supports of",
            options={"the explained class": EXPLAINED, "all classes": ALL} | classes,
            value=EXPLAINED,
            width=240,
            size="small",
            margin=(10, 16),
        )
        self.listing.on_select(lambda i: self.choose(pair(i)[0]))
        self.which.param.watch(lambda *_: self._writing or changed(), "value")

    def choose(self, position: int) -> None:
        """Choose the support with a training position."""
        if self.app.state.support != position:
            self.app.state.support = position

    @property
    def explained(self) -> int:
        """The class that the page explains."""
        if self.app.state.target >= 0 or self.z is None:
            return max(self.app.state.target, 0)
        return int(logits(self.app.model, self.app.session.supports, self.z)[0].argmax())

    @property
    def target(self) -> int:
        """The class that a candidate would support: that of the chosen support, or the one that is shown."""
        if self.chosen:
            return self.chosen[1]
        return self.which.value if self.which.value >= 0 else self.explained

    @property
    def chosen(self) -> tuple[int, int] | None:
        """Training position and class of the chosen support, if it is one of those shown."""
        return pair(self.listing.selected)

    @property
    def row(self) -> int | None:
        """Row of the chosen support in the session's set."""
        supports = self.app.session.supports
        if not self.chosen:
            return None
        return int(np.flatnonzero((supports.index == self.chosen[0]) & (supports.label == self.chosen[1]))[0])

    def fill(self, z: np.ndarray | None) -> None:
        """Write the rows for a sample ``z [1, p]``; matrix products only."""
        self.z = z
        supports, model = self.app.session.supports, self.app.model
        which = self.explained if self.which.value == EXPLAINED else self.which.value
        rows = np.arange(len(supports)) if which == ALL else supports.of_class(which)
        known = {} if z is None else dict(zip(NUMBERS, similarities(model, supports, z), strict=True))
        words = "all classes" if which == ALL else f"class {model.classes[which]}"
        self.listing.label = f"{len(rows)} support sample{'' if len(rows) == 1 else 's'} of {words}"
        self.listing.rows = [
            {
                "id": f"{supports.index[r]}-{supports.label[r]}",
                "picture": self._picture(r),
                "support": support_name(int(supports.index[r])),
                "class": model.classes[int(supports.label[r])],
                **{k: float(known[k][r]) if known else None for k in NUMBERS},
            }
            for r in rows
        ]
        self._mark()

    def follow(self) -> None:
        """Bring the support that was chosen elsewhere into the table, changing the filter if need be."""
        supports, chosen = self.app.session.supports, self.app.state.support
        if chosen in supports.index and chosen not in {pair(r["id"])[0] for r in self.listing.rows}:
            self._writing = True
            explained = supports.index[supports.of_class(self.explained)]
            self.which.value = EXPLAINED if chosen in explained else ALL
            self._writing = False
            self.fill(self.z)
        self._mark()

    def _mark(self) -> None:
        ids = [r["id"] for r in self.listing.rows if pair(r["id"])[0] == self.app.state.support]
        if self.listing.selected not in ids:
            self.listing.selected = ids[0] if ids else ""

    def _picture(self, row: int) -> str:
        supports = self.app.session.supports
        position = int(supports.index[row])
        if position not in self._pictures:
            self._pictures[position] = data_uri(supports.image[row], 80)
        return self._pictures[position]

    def __panel__(self) -> Any:
        return pn.Column(self.which, self.listing, sizing_mode="stretch_width")
