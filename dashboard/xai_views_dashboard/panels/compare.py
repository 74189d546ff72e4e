"""Pinned: a pinned sample, another model or another method beside the sample in view, on one scale, with the difference."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
import xarray as xr

from xai_views import catalogue
from xai_views.contract import registry
from xai_views.contract.ask import Ask
from xai_views.contract.explanation import with_roles
from xai_views.engine.clusters.match import match_labels
from xai_views.engine.comparing import Map, answers, apart, difference, label_map, limit_of, main_map
from xai_views.errors import XaiViewsError, without_folders
from xai_views.methods.choosing import suited
from xai_views.models import open_model
from xai_views.views import Canvas, ECGPaper, Frame, Listing
from xai_views.views.ecg_paper.record import Record
from xai_views.views.roles import STRIP, binned
from xai_views_dashboard.core.page import caption
from xai_views_dashboard.core.panel import ASK, Panel
from xai_views_dashboard.core.picture_panel import read
from xai_views_dashboard.core.tasks import on_page

COLUMNS = [
    {"key": "class", "title": "class"},
    {"key": "probability_left", "title": "probability, pinned", "kind": "number", "digits": 3},
    {"key": "probability_right", "title": "probability, in view", "kind": "number", "digits": 3},
    {"key": "probability_difference", "title": "difference", "kind": "signed", "digits": 3},
    {"key": "logit_left", "title": "logit, pinned", "kind": "signed", "digits": 3},
    {"key": "logit_right", "title": "logit, in view", "kind": "signed", "digits": 3},
    {"key": "logit_difference", "title": "difference of logits", "kind": "bar", "digits": 3},
]
NOTHING = "Pin a sample with the button 'Pin' in the answer line or the key p, or choose another model or method here."
WORDS = (
    "The pinned side at the left and the sample in view at the right, on one colour range; the difference is the sample in view "
    "minus the pinned side. It shows where two explanations differ, not why."
)
SIDES = ("left", "right")
#: What the status line says meanwhile.
METHODS = "Checking which methods fit the model"
SIZE = 250


@dataclass(eq=False)
class Side:
    """One side: what is explained, by what, and what came of it.

    Attributes
    ----------
    name, words : str
        Of the sample; and what is written over its pictures.
    values : ndarray
        Image or signal.
    classes : list of str
        Of its model.
    result : Dataset or None
        Its explanation with roles.
    reason : str
        Why there is none.
    """

    name: str
    words: str
    values: Any = None
    classes: list[str] = field(default_factory=list)
    result: xr.Dataset | None = None
    reason: str = ""

    @property
    def map(self) -> Map | None:
        """The map by which it is read."""
        return None if self.result is None else main_map(self.result)

    @property
    def labels(self) -> Map | None:
        """Its regions or clusters."""
        return None if self.result is None else label_map(self.result)

    def target_name(self, found: Map | None) -> str:
        """Name of the class that a map is about; "" where it is about none."""
        return (
            self.classes[found.target] if found is not None and 0 <= found.target < len(self.classes) else ""
        )

    def title(self, found: Map | None) -> str:
        """What is written over a map."""
        target = self.target_name(found)
        return f"{self.name}: {target}" if target else self.name


@dataclass(eq=False)
class Both:
    """Both sides as they are drawn."""

    left: Side
    right: Side
    said: list[str]

    @property
    def sides(self) -> tuple[Side, Side]:
        """Left and right."""
        return self.left, self.right


class PinnedPanel(Panel):
    """A pinned sample, another model or another method beside the sample in view.

    Parameters
    ----------
    app : App
        Gives session, state and canvas; its state holds ``pinned``, ``pinned_model`` and ``pinned_method``.
    """

    title = "Pinned"
    question = "compared"
    watched = ("sample", ASK, "pinned", "pinned_model", "pinned_method")

    def __init__(self, app: Any) -> None:
        self.models, self.others = models_for(app)
        self.pin = pmui.Button(label="Pin this sample", variant="outlined", size="small")
        self.model = pmui.Select(
            label="Pinned model", options={"This model": "", **self.models}, value="", width=260, size="small"
        )
        self.method = pmui.Select(
            label="Pinned method", options={"This method": ""}, value="", width=220, size="small"
        )
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 16))
        self.listing: Any = Listing(label="Both answers", columns=COLUMNS)
        self.pictures = pn.Column(sizing_mode="stretch_width")
        self.drawn = pn.Column(sizing_mode="stretch_width")
        self._frame, self._answers = b"", 0
        self._canvas: Canvas | None = None
        self._asked: list[asyncio.Future] = []
        self._sessions: dict[str, Any] = {}
        super().__init__(app)
        self.pin.on_click(lambda _: app.pin())
        for widget, name in ((self.model, "pinned_model"), (self.method, "pinned_method")):
            widget.param.watch(lambda e, name=name: setattr(app.state, name, e.new or ""), "value")
        app.state.param.watch(self._choices, ["pinned", "pinned_model", "pinned_method", "sample"])
        self._choices()

    def _choices(self, *_: Any) -> None:
        """Bring the controls in step with the state."""
        state, names = self.app.state, self.app.session.names
        for widget, value in ((self.model, state.pinned_model), (self.method, state.pinned_method)):
            if value in widget.options.values() and widget.value != value:
                widget.value = value
        here = state.sample < len(names) and state.pinned == names[state.sample]
        label = "Unpin" if here else "Pin this sample"
        if self.pin.label != label:
            self.pin.label = label

    # -- what is asked ------------------------------------------------------------------------------------------

    async def compute(self) -> Both | None:
        """Return both sides; None where nothing is pinned and nothing else chosen. A side that fails blanks no other."""
        app, state = self.app, self.app.state
        for future in self._asked:  # what is no longer wanted
            future.cancel()
        if not (state.pinned or state.pinned_model or state.pinned_method):
            return None
        wish, names = app.wish(), app.session.names
        pinned = names.index(state.pinned) if state.pinned in names else wish.sample
        said = (
            []
            if pinned != wish.sample or state.pinned in ("", names[pinned])
            else [f"{state.pinned!r} is not available here."]
        )
        left, right = Side(names[pinned], "pinned"), Side(names[wish.sample], "in view")
        self._asked = [
            asyncio.ensure_future(self._left(left, pinned, wish, said)),
            asyncio.ensure_future(self._right(right, wish)),
        ]
        await asyncio.gather(*self._asked)
        return Both(left, right, said)

    async def _right(self, side: Side, wish: Any) -> None:
        app = self.app
        try:
            side.values = await self._seen(wish.sample, wish)
            ask = await asyncio.to_thread(app.session.asked_of, wish.sample, wish)
            await self._explain(side, app.session, wish.sample, ask)
        except XaiViewsError as error:
            side.reason = without_folders(error)

    async def _left(self, side: Side, sample: int, wish: Any, said: list[str]) -> None:
        state, app = self.app.state, self.app
        chosen_model, chosen_method = state.pinned_model, state.pinned_method
        try:
            side.values = await read(app.session, sample)
            session = await self._session(chosen_model)
            reasons = await self._reasons(session)
            key = chosen_method or app.method
            if reasons.get(key, f"There is no method {key!r}."):
                said.append(reasons.get(key) or f"There is no method {key!r}.")
                key = await self._suited(session)
                said.append(f"{registry.plain(key).title} is shown instead.")
            ask = await asyncio.to_thread(self._ask, session, key, sample, wish)
            await self._explain(side, session, sample, ask)
        except XaiViewsError as error:
            side.reason = without_folders(error)
            return
        parts = [
            session.model.name if chosen_model else "",
            registry.plain(key).title if key != app.method else "",
        ]
        original = sample == wish.sample and key == app.method and self._edits(wish.ask) is not None
        side.words = ", ".join(filter(None, ["pinned", "original" if original else "", *parts]))

    async def _explain(self, side: Side, session: Any, sample: int, ask: Ask) -> None:
        result = await session.explain(sample, ask, priority=1)
        classes = side.classes = list(session.model.classes)
        named = result.assign_coords({"class": classes}) if "class" in result.dims else result
        side.result = with_roles(named, registry.plain(ask.method).gives)

    async def _seen(self, sample: int, wish: Any) -> Any:
        """Image or signal as the model is given it, with the edits of the sample."""
        if hasattr(self.app.session, "seen"):
            return (await asyncio.to_thread(self.app.session.seen, sample, wish))[0]
        return await read(self.app.session, sample)

    def _ask(self, session: Any, key: str, sample: int, wish: Any) -> Ask:
        """What is asked of the pinned side: the same as of the sample in view as far as it can be."""
        app, ask = self.app, wish.ask
        if key == app.method:
            if (own := self._edits(ask)) is not None:
                ask = ask.replace(**own)
            if session is app.session:
                return session.asked_of(sample, type(wish)(ask, wish.drawn, wish.sample, wish.alone))
            return session.asked_of(sample, type(wish)(session.with_own(ask)))
        method = registry.plain(key)
        same = session.model.classes == app.model.classes
        targets = (
            {"targets": ask.targets}
            if same and "targets" in method.declared() and hasattr(ask, "targets")
            else {}
        )
        return method.ask(**targets)

    def _edits(self, ask: Ask) -> dict[str, Any] | None:
        """Return the parameters that belong to the sample in view alone, without edits; None where there are no edits.

        Edits stay with their sample and with the side in view: a sample that is pinned itself is compared with its original.
        """
        app, state = self.app, self.app.state
        own = {}
        for name in app.main_method().declared():
            held = state.HELD_AS.get(name, name)
            if held in state.OF_SAMPLE and ask.values.get(name):
                own[name] = state.plain[held]
        return own or None

    async def _session(self, name: str) -> Any:
        """Return the samples of this page for a model, which the worker opens once for all visitors."""
        app = self.app
        if not name or name == app.session.model.name:
            return app.session
        if name not in self.models.values():
            raise XaiViewsError(f"Model {name!r} cannot open these samples; choose one from the list.")
        if name not in self._sessions:
            job = app.session.job(
                ("model", name),
                lambda progress: open_model(name),  # noqa: ARG005
                title=f"Opening {name}",
            )
            model = await asyncio.wrap_future(job)
            self._sessions[name] = await asyncio.to_thread(app.session.beside, model)
        return self._sessions[name]

    async def _reasons(self, session: Any) -> dict[str, str]:
        """For every installed method "" or why it does not fit; the worker owns the model, so the worker looks."""
        model = session.model

        def reasons(progress: Any) -> dict[str, str]:  # noqa: ARG001 - the kernel passes it
            return {m.key: m.fits(model) for m in registry.methods()}

        return await asyncio.wrap_future(
            self.app.session.job(("methods", model.sha256), reasons, title=METHODS)
        )

    async def _suited(self, session: Any) -> str:
        model = session.model
        job = self.app.session.job(
            ("suited", model.sha256),
            lambda progress: suited(model),  # noqa: ARG005
            title=METHODS,
        )
        return await asyncio.wrap_future(job)

    async def _offer(self) -> None:
        """Offer the methods that fit the pinned model."""
        try:
            session = await self._session(self.app.state.pinned_model)
            reasons = await self._reasons(session)
        except XaiViewsError:
            return  # said where the side is drawn
        fitting = {
            registry.plain(k).title: k for k, reason in reasons.items() if not reason and k != self.app.method
        }
        on_page(lambda: self._offered({"This method": "", **fitting}))

    def _offered(self, methods: Mapping[str, str]) -> None:
        if self.method.options != methods:
            self.method.options = dict(methods)
        self._choices()

    # -- drawing ------------------------------------------------------------------------------------------------

    async def _follow(self, turn: int) -> None:
        await self._offer()
        await super()._follow(turn)

    def write(self, answer: Both | None) -> None:
        """Write pictures, table and words."""
        if answer is None:
            self.words.object = f"<p>{escape(NOTHING)}</p>"
            self.drawn.objects = []
            return
        left, right = answer.sides
        self._answers += 1
        said = [*answer.said, *(f"{_first(s.words)}: {s.reason}" for s in answer.sides if s.reason)]
        if self.app.model.kind == "signal":
            said += self._papers(answer)
        else:
            said += self._tiles(answer)
        rows: list[dict[str, Any]] = []
        if left.result is not None and right.result is not None:
            rows = answers(left.result, right.result, (left.classes, right.classes))
        self.listing.rows = rows
        self.words.object = f"<p>{escape(' '.join(map(_sentence, said)))}</p>" if said else ""
        wanted = [self.pictures, *([self.listing] if rows else [])]
        if self.drawn.objects != wanted:
            self.drawn.objects = wanted

    def _tiles(self, both: Both) -> list[str]:
        maps, labels = [s.map for s in both.sides], [s.labels for s in both.sides]
        reason = apart(*maps)
        labels, matched = _matched(both, labels)
        key = f"pinned|{self._answers}"
        said = " and ".join(f"{s.name} ({s.words})" for s in both.sides)
        frame = self._frame_of(key, both, maps, labels, f"{said} side by side.")
        layout = layout_of(both, [m is not None for m in maps], [m is not None for m in labels], not reason)
        self._frame = frame
        if self._canvas is None:

            async def provider(key: str) -> bytes:  # noqa: ARG001 - there is one picture
                return self._frame

            look = {
                k: v for k, v in self.app.canvas.settings.items() if k not in {"toolbar", "prefetch", "focus"}
            }
            self._canvas = Canvas(
                provider, order=["pinned"], context=str(self._answers), layout=layout, page_keys=False,
                sizing_mode="stretch_width", settings=look | {"toolbar": False, "prefetch": False},
            )  # fmt: skip
            self.app.canvas.param.watch(self._look, "settings")
            self.pictures.objects = [self._canvas]
        else:
            self._canvas.param.update(layout=layout, context=str(self._answers))
        reasons = [reason] if reason and all(s.result is not None for s in both.sides) else []
        return [*reasons, matched] if matched else reasons

    def _look(self, event: Any) -> None:
        """Follow the look of the main picture: opacity, signs, colours."""
        if self._canvas is not None:
            self._canvas.compose(
                **{k: v for k, v in event.new.items() if k not in {"toolbar", "prefetch", "focus"}}
            )

    @staticmethod
    def _frame_of(key: str, both: Both, maps: list[Map | None], labels: list[Map | None], text: str) -> bytes:
        frame = Frame(key, text=text)
        same = maps[0] is not None and maps[1] is not None and maps[0].name == maps[1].name
        limit = limit_of(*maps) if same else None
        targets = {side.target_name(found) for side, found in zip(both.sides, maps, strict=True)}
        one = targets.pop() if len(targets) == 1 else ""
        for word, side, found, regions in zip(SIDES, both.sides, maps, labels, strict=True):
            if side.values is not None:
                frame.photo(side.values, f"{word}-map")
            alt = f"{side.name}, {side.words}"
            if side.reason:
                frame.tile(f"{word}-map", reason=side.reason, alt=side.reason)
            if found is not None:
                layer = "map" if same else f"{word} map"
                draw = frame.signed_map if found.role == "signed map" else frame.sequential
                values = found.values if found.role == "signed map" else np.maximum(found.values, 0)
                draw(f"{word}-map", layer, values, limit=limit or None)
                about = (
                    {"target": one or "its class", "unit": "logit"} if "contribution" in found.name else {}
                )
                frame.legend(layer, title=_named(found), **about)
            frame.tile(f"{word}-map", title=side.title(found), alt=alt)
            if regions is not None:
                frame.label_map(f"{word}-labels", "labels", regions.values)
                frame.tile(f"{word}-labels", title=side.name, alt=f"Regions of {alt}")
        if maps[0] is not None and maps[1] is not None and not apart(*maps):
            frame.signed_map("difference", "difference", difference(maps[0], maps[1]))
            frame.legend(
                "difference",
                title=f"{_named(maps[1])}: in view minus pinned",
                low="lower in view",
                high="higher in view",
            )
            frame.tile(
                "difference", title=f"{both.right.name} − {both.left.name}", alt="In view minus pinned"
            )
            if both.left.name == both.right.name and both.right.values is not None:
                frame.photo(both.right.values, "difference")
        return frame.to_bytes()

    def _papers(self, both: Both) -> list[str]:
        """Draw one paper for each side, and one for the difference where both sides are of one record."""
        session, maps = self.app.session, [s.map for s in both.sides]
        reason = apart(*maps)
        strips = [None if m is None else strip_of(m) for m in maps]
        limit = max((float(np.abs(s).max()) for s in strips if s is not None), default=0.0)
        records = [
            record(n, side, session, side.map, (limit or None) if not reason else None)
            for n, side in enumerate(both.sides)
            if side.result is not None and side.values is not None
        ]
        said = [reason] if reason and len(records) == 2 else []
        if not reason and both.left.name != both.right.name:
            said.append("Two records do not share their beats, so their contributions are not subtracted.")
        elif not reason and maps[0] is not None and maps[1] is not None:
            found = Map("difference", "signed map", difference(maps[0], maps[1]))
            third = Side(both.right.name, "in view minus pinned", both.right.values)
            records.append(record(2, third, session, found, None))
        look = {k: v for k, v in self.app.state.look.items() if k != "minimap"}
        self.pictures.objects = [
            ECGPaper.of(
                [r], context=f"{self._answers}", settings={**look, "minimap": False, "toolbar": False}, page_keys=False,
                sizing_mode="stretch_width",
            )
            for r in records
        ]  # fmt: skip
        return said

    def __panel__(self) -> Any:
        closed = "".join(f"<li>{escape(reason)}</li>" for reason in self.others)
        more = (
            f"<details><summary>Models that cannot open these samples</summary><ul>{closed}</ul></details>"
            if closed
            else ""
        )
        return pn.Column(
            caption(WORDS),
            pn.FlexBox(self.pin, self.model, self.method, align_items="center", gap="8px", margin=(4, 16)),
            self.words,
            self.drawn,
            *([pn.pane.HTML(more, sizing_mode="stretch_width", margin=(4, 16))] if more else []),
            sizing_mode="stretch_width",
        )


def _first(words: str) -> str:
    return words[:1].upper() + words[1:]


def _sentence(words: str) -> str:
    return _first(words if words.endswith(".") else f"{words}.")


def _matched(both: Both, labels: list[Map | None]) -> tuple[list[Map | None], str]:
    """Bring the regions of one sample to the colours of the largest overlap; return them and what the colours mean."""
    left, right = labels
    if left is None or right is None:
        return labels, ""
    if (
        both.left.name != both.right.name
        or left.values.shape != right.values.shape
        or min(left.values.min(), right.values.min()) < 0
    ):
        return labels, "Equal colours of regions on the two sides do not mean equal regions."
    ids = match_labels(left.values, right.values)[right.values]
    return [
        left,
        Map(right.name, right.role, ids, right.target),
    ], "Regions that overlap most have equal colours."


def _named(found: Map) -> str:
    return found.name.rpartition(".")[2].replace("_", " ")


def layout_of(both: Both, maps: list[bool], labels: list[bool], apart: bool) -> dict[str, Any]:
    """Return the tiles: both maps and their difference in a row, both label maps in another; none stays empty."""
    tiles: dict[str, Any] = {}
    for word, side, there in zip(SIDES, both.sides, maps, strict=True):
        layers = ["map", f"{word} map"] if there else []
        tiles[f"{word}-map"] = {
            "group": "maps",
            "size": SIZE,
            "label": _first(side.words),
            "link": "pinned",
            "layers": layers,
        }
    if apart:
        tiles["difference"] = {
            "group": "maps",
            "size": SIZE,
            "label": "Difference",
            "link": "pinned",
            "layers": ["difference"],
        }
    for word, side, there in zip(SIDES, both.sides, labels, strict=True):
        if there:
            tiles[f"{word}-labels"] = {
                "group": "labels", "size": SIZE, "label": f"Regions, {side.words}", "link": "pinned", "photo": f"{word}-map",
                "layers": ["labels"],
            }  # fmt: skip
    return {"tiles": tiles, "groups": {"maps": {"title": ""}, "labels": {"title": ""}}}


def strip_of(found: Map) -> np.ndarray:
    """Return a map over time as the strips under the leads draw it, ``[lead or 1, bins]``."""
    return binned(np.atleast_2d(found.values), min(STRIP, found.values.shape[-1]))


def record(n: int, side: Side, session: Any, found: Map | None, limit: float | None) -> Record:
    """Return one side as the paper draws it: bands of clusters, and strips of its map."""
    seconds = side.values.shape[1] / session.rate
    about: dict[str, Any] = {
        "id": f"pinned-{n}-{side.name}",
        "name": f"{side.name} ({side.words})",
        "leads": tuple(session.leads),
        "rate": session.rate,
        "signal": side.values,
        "text": f"{side.name}, {side.words}.",
    }
    population, names = session.population, session.names
    synthetic = bool(population.samples.attrs.get("synthetic"))
    about["synthetic"] = synthetic and side.name in names[: population.n]
    labels = side.labels
    if labels is not None:
        about |= {"cluster": labels.values, "step": seconds / labels.values.shape[-1]}
    if found is not None:
        strip, target = strip_of(found), side.target_name(found)
        unit = "logit" if "contribution" in found.name else ""
        about |= {
            "contribution": strip,
            "contribution_step": seconds / strip.shape[-1],
            "target": target,
            "unit": unit,
        }
        about["limit"] = limit
    return Record(**about)


def models_for(app: Any) -> tuple[dict[str, str], list[str]]:
    """Return the shipped models that can open the samples of a page, name by title, and why the others cannot."""
    fitting, reasons = {}, []
    for name, folder in catalogue.models().items():
        if name == app.session.model.name:
            continue
        try:
            card = catalogue.card(folder)
        except XaiViewsError:
            continue
        reason = unfit(app.session.model, name, card)
        if reason:
            reasons.append(reason)
        else:
            fitting[str(card.get("title") or name)] = name
    return fitting, reasons


def unfit(model: Any, name: str, card: Mapping[str, Any]) -> str:
    """Return why a shipped model cannot open what another one opens, by its card; "" when it can."""
    given = card.get("architecture") or {}
    size, channels = given.get("size"), given.get("channels")
    kind = str(card.get("kind") or ("signal" if size is not None and len(size) == 1 else "image"))
    if kind != model.kind:
        return f"{name!r} takes {kind}s and these samples are {model.kind}s."
    if channels is not None and channels != model.channels:
        return f"{name!r} needs {channels}-channel input and these samples have {model.channels} channels."
    if size is not None and model.size is not None and tuple(size) != tuple(model.size):
        sizes = ("×".join(map(str, s)) for s in (size, model.size))
        return "{!r} needs inputs of size {} and these samples have size {}.".format(name, *sizes)
    return ""
