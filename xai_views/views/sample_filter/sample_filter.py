"""The form over a list of samples: search, filters, order, and a confusion matrix whose cells filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import param

from xai_views.views.patches import OneWayComponent
from xai_views.views.scripts import esm, style

SCRIPTS = (
    "shared_js/dom",
    "shared_js/channel",
    "sample_filter/confusion",
    "sample_filter/sample_filter",
)
#: What a person may set, and what it is called.
VALUES = ("search", "outcome", "true_class", "predicted_class", "sort", "descending")


class SampleFilter(OneWayComponent):
    """A form that tells which samples are wanted; it filters nothing itself.

    Parameters
    ----------
    values : dict
        What is chosen: ``search`` (text), ``outcome`` ("all", "correct", "errors"), ``true_class`` and ``predicted_class``
        (positions in ``classes``, -1 = any), ``sort`` (a key of ``sorts``) and ``descending``.
    classes : list of str
        Names of the classes.
    sorts : list of dict
        ``{"key", "label", "reason"}`` for each order; one with a reason is disabled and says it.
    unlabelled : str
        Why nothing can be filtered by label; "" when it can.
    confusion : list of list
        ``[true, predicted, number]`` of every cell of the confusion matrix that is not 0.
    remark : str
        Under the confusion matrix.
    words : str
        How many samples are shown and how often the model is right, or what it is doing.
    busy : float
        Share of the work that is done while the model runs on the samples; below 0 when it does not.
    hidden : bool
        Whether the model's output is hidden: only the search is left.
    """

    values = param.Dict({}, doc="What is chosen.")
    classes = param.List([], item_type=str, doc="Names of the classes.")
    sorts = param.List([], item_type=dict, doc="The orders: key, label, reason why not.")
    unlabelled = param.String("", doc="Why nothing can be filtered by label.")
    confusion = param.List([], doc="[true, predicted, number] of the cells that are not 0.")
    remark = param.String("", doc="Under the confusion matrix.")
    words = param.String("", doc="How many samples are shown, and how often the model is right.")
    busy = param.Number(
        -1.0, doc="Share of the samples that the model has been run on; -1 = it is not running."
    )
    hidden = param.Boolean(False, doc="Whether the model's output is hidden.")
    noun = param.String("Sample", doc="What a sample is called.")
    channel = param.String("", doc="The channel of the canvas that gets the focus back.")
    dark = param.Boolean(None, allow_None=True, doc="Dark colours; None follows the page.")

    _esm = f"const FILTER_CSS = {style('sample_filter/sample_filter')};\n" + esm(*SCRIPTS)

    def __init__(self, **params: Any) -> None:
        self._callbacks: dict[str, list[Callable[..., Any]]] = {}
        params.setdefault("sizing_mode", "stretch_width")
        super().__init__(**params)

    def on_set(self, function: Callable[[Mapping[str, Any]], Any]) -> None:
        """Call ``function(values)`` with what a person changed: some of :data:`VALUES`."""
        self._callbacks.setdefault("set", []).append(function)

    def on_jump(self, function: Callable[[], Any]) -> None:
        """Call ``function()`` when the first sample shown is wanted (Enter in the search)."""
        self._callbacks.setdefault("jump", []).append(function)

    def on_reset(self, function: Callable[[], Any]) -> None:
        """Call ``function()`` when all filters are to be dropped."""
        self._callbacks.setdefault("reset", []).append(function)

    def _handle_msg(self, message: Any) -> None:
        if not isinstance(message, Mapping):
            return
        kind, values = str(message.get("type")), message.get("values")
        for function in self._callbacks.get(kind, ()):
            if kind != "set":
                function()
            elif isinstance(values, Mapping):
                function({k: v for k, v in values.items() if k in VALUES})
