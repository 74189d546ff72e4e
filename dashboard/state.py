"""What is selected in the SIC app: one object that every view writes and watches, and that the URL carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import param

from xai_views.errors import XaiViewsError, nearest

#: Version of the names in the URL; an address of another version opens with what it shares with this one.
SCHEMA = 1
PREDICTED = -1
NONE = -1
#: The rules that the library offers; a copy, so that the state needs no torch.
RULES = ("model", "k-means", "compact", "diverse", "random")
SORTS = ("order", "class", "confidence", "margin", "concentration", "distance")
SHOWN = ("all", "right", "wrong")


class SicState(param.Parameterized):
    """Everything that decides what the page shows.

    Samples and supports are positions; the URL names samples by their id.
    """

    sample = param.Integer(0, bounds=(0, None), doc="Position of the test sample.")
    target = param.Integer(
        PREDICTED, bounds=(-1, None), doc="Class whose logit is explained; -1 = the predicted one."
    )
    against = param.Integer(NONE, bounds=(-1, None), doc="Class to compare with; -1 = none.")
    support = param.Integer(
        NONE, bounds=(-1, None), doc="Training position of the chosen support sample; -1 = none."
    )
    region = param.List([], doc="Brushed polygon in image pixels, [[x, y], ...].")
    sort = param.Selector(default="order", objects=list(SORTS), doc="Order of the population.")
    descending = param.Boolean(False, doc="Whether the largest come first.")
    shown = param.Selector(
        default="all", objects=list(SHOWN), doc="Samples shown: all, or those predicted right or wrong."
    )
    label = param.Integer(NONE, bounds=(-1, None), doc="Only samples of this class; -1 = all.")
    per_class = param.Integer(0, bounds=(0, 20), doc="Supports per class; 0 = the model's own number.")
    rule = param.Selector(
        default="model", objects=list(RULES), doc="How supports are chosen; model = as shipped."
    )
    excluded = param.List([], item_type=int, doc="Training positions that must not be supports.")
    added = param.List([], doc="Further supports, [[training position, class], ...].")
    colours = param.Boolean(True, doc="Whether the colour rendering is drawn.")
    look = param.Dict({}, doc="Settings of the canvas that differ from its defaults.")

    #: Parameters that make up the support set; together they are one step of undo.
    EDITS = ("per_class", "rule", "excluded", "added")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._past: list[dict[str, Any]] = []
        self._future: list[dict[str, Any]] = []

    @classmethod
    def first(cls, names: list[str], **values: Any) -> SicState:
        """Return a state with these first values; ``sample`` may be one of the ids in ``names``.

        Raises
        ------
        XaiViewsError
            In one sentence, for a value that is not possible.
        """
        sample = values.get("sample")
        if isinstance(sample, str):
            if sample not in names:
                raise XaiViewsError(f"there is no sample {sample!r}; the nearest: {nearest(sample, names)}.")
            values["sample"] = names.index(sample)
        for key in values:
            if key not in cls.param:
                raise XaiViewsError(f"the app has no state {key!r}; the nearest: {nearest(key, cls.param)}.")
        try:
            return cls(**values)
        except (ValueError, TypeError) as e:
            raise XaiViewsError(f"the app cannot start with this state: {str(e).rstrip('.')}.") from None

    @property
    def edited(self) -> bool:
        """Whether the support set differs from the model's own."""
        return self.edits() != {"per_class": 0, "rule": "model", "excluded": [], "added": []}

    def edits(self) -> dict[str, Any]:
        """The parameters of the support set, as they are now."""
        return {n: json.loads(json.dumps(getattr(self, n))) for n in self.EDITS}

    def edit(self, **changes: Any) -> None:
        """Change the support set; :meth:`undo` takes it back."""
        before = self.edits()
        if {**before, **changes} != before:
            self._past.append(before)
            self._future.clear()
            self.param.update(**changes)

    def undo(self) -> bool:
        """Take the last edit back; False when there is none."""
        return self._step(self._past, self._future)

    def redo(self) -> bool:
        """Do again what was taken back; False when there is nothing."""
        return self._step(self._future, self._past)

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an edit to do again."""
        return bool(self._future)

    def _step(self, source: list, target: list) -> bool:
        if not source:
            return False
        target.append(self.edits())
        self.param.update(**source.pop())
        return True

    # -- the URL ------------------------------------------------------------------------------------------------

    def query(self, names: list[str]) -> dict[str, str]:
        """The whole state as a query; ``names`` are the ids of the samples. All parameters, not only changed ones."""
        values = {k: v for k, v in self.param.values().items() if k != "name"}
        out = {"v": str(SCHEMA)}
        for key, value in values.items():
            if key == "sample":
                out[key] = names[value] if value < len(names) else str(value)
            elif isinstance(value, str):
                out[key] = value
            else:
                out[key] = json.dumps(value, separators=(",", ":"))
        return out

    def search(self, names: list[str], **more: str) -> str:
        """The state as the search part of an address; ``more`` (model, samples) comes first."""
        return "?" + urlencode({**more, **self.query(names)})

    def restore(self, query: Mapping[str, str], names: list[str]) -> list[str]:
        """Take over what a query says; returns one sentence for each entry that could not be used."""
        problems = []
        for key, text in query.items():
            if key not in self.param or key == "name":
                continue
            try:
                self.param.update(**{key: self._parse(key, text, names)})
            except (ValueError, TypeError):
                problems.append(
                    f"The address asks for {key}={str(text)[:40]!r}, which is not possible here; it was left out."
                )
        return problems

    def _parse(self, key: str, text: str, names: list[str]) -> Any:
        if key == "sample":
            return names.index(text) if text in names else int(text)
        if isinstance(self.param[key], param.Selector):
            return text
        value = json.loads(text)
        if key == "region":
            value = [[float(x), float(y)] for x, y in value][:2000]
        if key == "added":
            value = [[int(i), int(c)] for i, c in value][:1000]
        if key == "look" and not isinstance(value, dict):
            raise ValueError(text)
        return value
