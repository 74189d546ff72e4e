"""Browsing and editing the support samples: what changes, for this sample and for the test set, without a forward pass."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from dashboard import sic_data
from dashboard.sic_frame import number, support_name
from dashboard.sic_panels import caption
from dashboard.sic_population import accuracy
from dashboard.state import RULES
from xai_views.models import evidence
from xai_views.views import Listing
from xai_views.views.plots import data_uri

ALL, IN_VIEW = -2, -1
NEAREST = 12


class SupportPanel(pn.viewable.Viewer):
    """The support samples of all classes, and the tools to exclude, replace and add them.

    Parameters
    ----------
    app : SicApp
        Gives session, state and canvas.
    """

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app
        state, classes = app.state, app.model.classes
        columns = [
            {"key": "picture", "title": "", "kind": "image"}, {"key": "support", "title": "training image"},
            {"key": "class", "title": "supports class"}, {"key": "evidence", "title": "evidence here", "kind": "bar", "digits": 4},
            {"key": "cosine", "title": "cosine", "kind": "number", "digits": 4},
        ]
        self.listing = Listing(label="Support samples", columns=columns, page=60)
        self.candidates = Listing(label="Nearest training images of the class, not yet supports", columns=[
            *columns[:3], {"key": "cosine", "title": "cosine with this sample", "kind": "number", "digits": 4}], page=NEAREST)
        self.which = pmui.Select(label="Show", width=220, size="small", value=IN_VIEW,
                                 options={"supports of the explained class": IN_VIEW, "supports of all classes": ALL}
                                 | {f"supports of {c}": i for i, c in enumerate(classes)})
        self.effect = pn.pane.HTML("", sizing_mode="stretch_width", margin=(8, 16))
        self.exclude = pmui.Button(label="Exclude the chosen support", size="small", variant="outlined")
        self.replace = pmui.Button(label="Replace it by the chosen candidate", size="small", variant="outlined")
        self.add = pmui.Button(label="Add the chosen candidate", size="small", variant="outlined")
        self.undo = pmui.Button(label="Undo (u)", size="small", variant="outlined")
        self.redo = pmui.Button(label="Redo", size="small", variant="outlined")
        self.reset = pmui.Button(label="The model's own supports", size="small", variant="outlined")
        self.count = pmui.IntSlider(label="Supports per class (0 = as shipped)", start=0, end=10, value=state.per_class, width=240)
        self.rule = pmui.Select(label="Rule", width=160, size="small", value=state.rule,
                                options={"as shipped" if r == "model" else r: r for r in RULES})
        self._link()
        self.refresh()

    # -- links --------------------------------------------------------------------------------------------------

    def _link(self) -> None:
        state = self.app.state
        self.listing.on_select(lambda i: self._choose(int(i.split("-")[0])))
        self.candidates.on_select(lambda _: self._buttons())
        self.which.param.watch(lambda *_: self.refresh(), "value")
        state.param.watch(lambda *_: self.refresh(), ["sample", "target"])
        state.param.watch(lambda *_: self._chosen(), "support")
        self.exclude.on_click(lambda _: self._exclude())
        self.replace.on_click(lambda _: self._replace())
        self.add.on_click(lambda _: state.edit(added=[*state.added, self._candidate()]))
        self.undo.on_click(lambda _: state.undo())
        self.redo.on_click(lambda _: state.redo())
        self.reset.on_click(lambda _: state.edit(per_class=0, rule="model", excluded=[], added=[]))
        self.count.param.watch(lambda e: state.edit(per_class=e.new), "value_throttled")
        self.rule.param.watch(lambda e: state.edit(rule=e.new), "value")

    def _choose(self, position: int) -> None:
        if self.app.state.support != position:
            self.app.state.support = position

    def _candidate(self) -> list[int]:
        """Training position and class of the chosen candidate."""
        return [int(v) for v in self.candidates.selected.split("-")]

    def _exclude(self) -> None:
        s = self.app.state
        chosen = s.support
        added = [a for a in s.added if a[0] != chosen]
        own = added == s.added  # a support that was added is simply taken back
        s.edit(excluded=[*s.excluded, chosen] if own else s.excluded, added=added)

    def _replace(self) -> None:
        s = self.app.state
        added = [a for a in s.added if a[0] != s.support]
        excluded = [*s.excluded, s.support] if len(added) == len(s.added) else s.excluded
        s.edit(excluded=excluded, added=[*added, self._candidate()])

    # -- what is shown ------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Write tables, effect and buttons again; products of cached vectors only."""
        state = self.app.state
        self.count.value, self.rule.value = state.per_class, state.rule
        z = self._z()
        self._supports(z)
        self._candidates(z)
        self.effect.object = f"<p>{escape(self.sentence(z))}</p>"
        self._chosen()

    def _z(self) -> np.ndarray | None:
        """Evidence vector of the sample in view, None when it was not observed yet (an upload, or too early)."""
        population, i = self.app.session.population, self.app.state.sample
        if i >= population.n or np.isnan(population.z[i]).any():
            return None
        return population.z[i:i + 1]

    def _target(self, z: np.ndarray | None) -> int:
        if self.app.state.target >= 0 or z is None:
            return max(self.app.state.target, 0)
        return int(self._figures(self.app.session.supports, z)["predicted"][0])

    def _figures(self, supports: Any, z: np.ndarray, label: np.ndarray | None = None) -> dict:
        return sic_data.figures(self.app.model, supports, z, np.full(len(z), -1) if label is None else label)

    def _supports(self, z: np.ndarray | None) -> None:
        supports, classes = self.app.session.supports, self.app.model.classes
        which = self._target(z) if self.which.value == IN_VIEW else self.which.value
        rows = np.arange(len(supports)) if which == ALL else supports.of_class(which)
        score = None if z is None else evidence.scores(z, supports.vectors)[0] / self.app.model.module.temperature
        cosine = None if z is None else evidence.cosines(z, supports.vectors)[0]
        self.listing.rows = [
            {"id": f"{int(supports.index[r])}-{int(supports.label[r])}", "picture": data_uri(supports.image[r], 40),
             "support": support_name(int(supports.index[r])), "class": classes[int(supports.label[r])],
             "evidence": None if score is None else float(score[r]), "cosine": None if cosine is None else float(cosine[r])}
            for r in rows]

    def _candidates(self, z: np.ndarray | None) -> None:
        latents, supports = self.app.model.latents, self.app.session.supports
        target = self._target(z)
        if latents is None or z is None:
            self.candidates.rows = []
            return
        pool = latents.of_class(target)
        pool = pool[~np.isin(latents.index[pool], supports.index[supports.of_class(target)])]
        cosine = evidence.cosines(z, latents.z[pool])[0]
        best = np.argsort(-cosine, kind="stable")[:NEAREST]
        index = latents.index[pool[best]]
        pictures = sic_data.training_images(latents.samples, tuple(int(i) for i in index), supports.image.shape[1:]) if len(best) else []
        self.candidates.rows = [
            {"id": f"{int(i)}-{target}", "picture": data_uri(p, 40), "support": support_name(int(i)),
             "class": self.app.model.classes[target], "cosine": float(c)}
            for i, p, c in zip(index, pictures, cosine[best], strict=True)]
        if self.candidates.selected not in {r["id"] for r in self.candidates.rows}:
            self.candidates.selected = ""

    def _chosen(self) -> None:
        chosen = self.app.state.support
        self.listing.selected = next((r["id"] for r in self.listing.rows if r["id"].startswith(f"{chosen}-")), "")
        self._buttons()

    def _buttons(self) -> None:
        """Switch off what is not possible now."""
        s = self.app.state
        used = s.support in self.app.session.supports.index
        candidate = bool(self.candidates.selected)
        self.exclude.disabled = not used or len(self.app.session.supports) < 2
        self.replace.disabled = not (used and candidate)
        self.add.disabled = not candidate
        self.undo.disabled, self.redo.disabled = not s.can_undo, not s.can_redo
        self.reset.disabled = not s.edited

    def sentence(self, z: np.ndarray | None) -> str:
        """Say what the edited support set changes for this sample and for the test set."""
        app, session = self.app, self.app.session
        if not app.state.edited:
            return "These are the model's own support samples; exclude, replace or add one, or change their number and rule, to see what it does."
        own, now = app.model.supports, session.supports
        text = ""
        if z is not None:
            before, after = self._figures(own, z), self._figures(now, z)
            c = self._target(z)
            text = (f"This sample: logit of {app.model.classes[c]} {number(before['logit'][0, c])} → {number(after['logit'][0, c])}, "
                    f"predicted {app.model.classes[int(before['predicted'][0])]} → {app.model.classes[int(after['predicted'][0])]}. ")
        population = session.population
        if population.ready.done() and not np.isnan(population.z).any() and (population.label >= 0).any():
            was, now_right = (accuracy(self._figures(x, population.z, population.label)["right"]) for x in (own, now))
            text += f"Test accuracy {was:.3f} → {now_right:.3f} ({int((population.label >= 0).sum())} samples). "
        else:
            text += "The test accuracy follows when every sample was observed. "
        return text + "The network itself stays as it is; nothing is trained again."

    def __panel__(self) -> Any:
        buttons = pn.FlexBox(self.exclude, self.replace, self.add, self.undo, self.redo, self.reset, gap="8px", margin=(4, 16))
        choice = pn.FlexBox(self.count, self.rule, self.which, gap="16px", align_items="center", margin=(4, 16))
        return pn.Column(
            caption("The training images that logits consist of. Choosing others from the cached vectors costs no pass of the "
                    "network."),
            choice, buttons, self.effect, self.listing, self.candidates, sizing_mode="stretch_width")
