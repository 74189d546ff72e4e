"""What is selected in an app: one object that every view writes and watches, and that the URL carries."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Self
from urllib.parse import urlencode

import param

from xai_views.contract.content import Content
from xai_views.contract.method import PREDICTED, Method
from xai_views.engine.predictions import OUTCOMES, SORTS
from xai_views.errors import XaiViewsError, nearest

#: Version of the addresses. Version 1 held every parameter, version 2 holds those that differ from what a page begins with;
#: an address of another version opens with the parameters that it shares with this one.
SCHEMA = 2
NONE = -1


class AppState(param.Parameterized):
    """Everything that decides what a page shows; edits can be undone, and the whole state fits into an address.

    Samples are positions; the URL names them by their id.
    """

    sample = param.Integer(0, bounds=(0, None), doc="Position of the test sample.")
    target = param.Integer(
        PREDICTED, bounds=(-1, None), doc="Class whose logit is explained; -1 = the predicted one."
    )
    region = param.List([], doc="Brushed polygon in image pixels, [[x, y], ...].")
    look = param.Dict({}, doc="Settings of the canvas that differ from its defaults.")

    tab = param.String("", doc="Title of the open tab; '' = the first.")
    hidden = param.Boolean(False, doc="Whether the model's output is hidden.")
    pinned = param.String("", doc="Name of the pinned sample; '' = none.")
    pinned_model = param.String("", doc="Name of the model on the pinned side; '' = the model of the page.")
    pinned_method = param.String("", doc="Key of the method on the pinned side; '' = the method of the page.")

    search = param.String("", doc="Part of the name of the samples shown; '' = any.")
    outcome = param.Selector(default="all", objects=list(OUTCOMES), doc="Samples shown by prediction.")
    true_class = param.Integer(NONE, bounds=(-1, None), doc="Label of the samples shown; -1 = any.")
    predicted_class = param.Integer(
        NONE, bounds=(-1, None), doc="Predicted class of the samples shown; -1 = any."
    )
    sort: Any = param.Selector(
        default="order", objects=[s for s in SORTS if s != "concentration"], doc="Order of the samples."
    )
    descending = param.Boolean(False, doc="Whether the largest values come first.")

    #: Which samples are shown, and in which order; what the arrow keys walk through.
    FILTERS: ClassVar[tuple[str, ...]] = ("search", "outcome", "true_class", "predicted_class")
    ORDER: ClassVar[tuple[str, ...]] = ("sort", "descending")
    #: Parameters that hold a class; an address may ask for one that this model does not have.
    TARGETS: ClassVar[tuple[str, ...]] = ("target",)
    #: Parameters that together are one step of undo.
    EDITS: ClassVar[tuple[str, ...]] = ()
    #: Parameters, lists all of them, that belong to the sample in view alone; another one begins without.
    OF_SAMPLE: ClassVar[tuple[str, ...]] = ("region",)
    #: Parameters of methods that the state keeps in a form of its own, by the name of that.
    HELD_AS: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._past: list[dict[str, Any]] = []
        self._future: list[dict[str, Any]] = []
        self.plain: dict[str, Any] = {n: self.frozen(self.param[n].default) for n in self.addressed()}

    def begin(self, values: Mapping[str, Any]) -> None:
        """Say what a page of this app and model begins with, beside the defaults; addresses hold what differs from it."""
        self.plain |= {n: self.frozen(v) for n, v in values.items() if n in self.plain}

    @classmethod
    def derived(cls, *methods: type[Method]) -> type[Self]:
        """Return a class of states that also holds the parameters of these methods, as they declare them.

        What this class declares itself (a default or bounds of the page's own) stays; ``targets`` are :attr:`TARGETS`.
        """
        return _derived(cls, methods)

    def asked(self, method: Method) -> dict[str, Any]:
        """The values of a method's parameters that this state holds; ``targets`` are the classes of :attr:`TARGETS`."""
        names = {n: self.HELD_AS.get(n, n) for n in method.declared()}
        held = {n: getattr(self, own) for n, own in names.items() if own in self.param}
        if "targets" in method.declared():
            first, *others = (getattr(self, n) for n in self.TARGETS)
            held["targets"] = [first, *(c for c in others if c != NONE)]
        return held

    @staticmethod
    def frozen(value: Any) -> Any:
        """A copy of a value of the state that later changes do not reach."""
        return copy.deepcopy(value) if isinstance(value, list | dict) else value

    @classmethod
    def first(cls, names: list[str], **values: Any) -> Self:
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

    def leave(self) -> None:
        """Let go of what belongs to the sample in view alone, also in what can be undone: another one comes into view."""
        gone: dict[str, Any] = {n: [] for n in self.OF_SAMPLE}
        self.param.update(**gone)
        left: list[dict[str, Any]] = []
        for step in [*self._past, self.edits()]:
            step |= {n: v for n, v in gone.items() if n in step}
            if not left or left[-1] != step:
                left.append(step)
        self._past, self._future = left[:-1], []

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
        """Return what differs from the state that the page begins with, as a query.

        Parameters
        ----------
        names : list of str
            Ids of the samples.
        """
        out = {"v": str(SCHEMA)}
        for key in self.addressed():
            value = getattr(self, key)
            if value == self.plain[key]:
                continue
            if key == "sample":
                out[key] = names[value] if value < len(names) else str(value)
            elif isinstance(value, str):
                out[key] = value
            else:
                out[key] = json.dumps(value, separators=(",", ":"))
        return out

    @classmethod
    def addressed(cls) -> list[str]:
        """Parameters that an address carries: all but content, which has no place in one."""
        return [n for n in cls.param if n != "name" and not isinstance(cls.param[n], Content)]

    def address(self, names: list[str], **more: str) -> str:
        """The state as the search part of an address; ``more`` (model, samples) comes first."""
        return "?" + urlencode({**more, **self.query(names)})

    def restore(self, query: Mapping[str, str], names: list[str], whole: bool = False) -> list[str]:
        """Take over what a query holds, in whatever order its entries stand.

        Parameters
        ----------
        query : mapping
            As :meth:`query` returns it; entries of other names are ignored.
        names : list of str
            Ids of the samples.
        whole : bool
            Whether parameters that the query does not hold go back to what the page began with.

        Returns
        -------
        list of str
            One sentence for each entry that could not be used.
        """
        values = {n: self.frozen(v) for n, v in self.plain.items()} if whole else {}
        problems = []
        for key in self.addressed():
            if key in query:
                try:
                    values[key] = self._parse(key, query[key], names)
                except (ValueError, TypeError, KeyError, IndexError, AttributeError):
                    problems.append(_refused(key, query[key]))
        # First the sample: another one drops what belonged to the last. The rest together: a support set may be possible
        # although its parts alone are not.
        for changes in ({n: v for n, v in values.items() if n == "sample"},
                        {n: v for n, v in values.items() if n != "sample"}):  # fmt: skip
            problems += self._taken(changes, query)
        return problems

    def _taken(self, changes: Mapping[str, Any], query: Mapping[str, str]) -> list[str]:
        """Take over values at once, leaving out those that the parameters refuse; one sentence for each of these."""
        problems, fine, probe = [], dict(changes), type(self)()
        for key, value in changes.items():
            try:
                setattr(probe, key, value)
            except (ValueError, TypeError):
                del fine[key]
                problems.append(_refused(key, query.get(key, "")))
        self.param.update(**fine)
        return problems

    def _parse(self, key: str, text: str, names: list[str]) -> Any:
        if key == "sample":
            return names.index(text) if text in names else int(text)
        if isinstance(self.param[key], param.Selector) and not isinstance(
            self.param[key], param.ClassSelector | param.List
        ):
            return text
        if isinstance(self.param[key], param.String):
            return text
        try:
            value = json.loads(text)
        except ValueError:
            value = text  # a parameter that may hold text too, such as the name of a preset; others refuse it
        if isinstance(self.param[key], param.Dict) and not isinstance(value, dict):
            raise ValueError(text)  # noqa: TRY004 - like every other value that is not possible
        return self.checked(key, value)

    def checked(self, key: str, value: Any) -> Any:
        """Return a value of an address in the form that the state keeps; apps bound and convert theirs."""
        return [[float(x), float(y)] for x, y in value][:2000] if key == "region" else value


def _refused(key: str, text: str) -> str:
    if key == "sample":
        return f"This link refers to sample {text[:40]!r}, which is not available here."
    return f"This link sets {key} to {str(text)[:40]!r}, which is not possible here; it was left out."


@cache
def _derived(kind: Any, methods: tuple[type[Method], ...]) -> Any:
    declared: dict[str, Any] = {}
    for method in methods:
        for name in method.declared():
            own = kind.HELD_AS.get(name, name)
            if name != "targets" and own not in kind.param and name not in declared:
                declared[name] = copy.copy(method.param[name])
    return type(kind.__name__, (kind,), {"__doc__": kind.__doc__, "__module__": kind.__module__, **declared})
