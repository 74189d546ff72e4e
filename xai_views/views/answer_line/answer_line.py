"""The answer line: predicted class, probability, runner-up, label and position of the sample that a canvas shows.

A canvas and its answer line share a ``channel``: the canvas tells the line what it draws, in the browser, so that the line
follows every step without a message of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import param

from xai_views.views.patches import OneWayComponent
from xai_views.views.scripts import esm, style

SCRIPTS = ("shared_js/dom", "shared_js/channel", "answer_line/answer_line")


class AnswerLine(OneWayComponent):
    """One line with the answer for the sample in view.

    Parameters
    ----------
    channel : str
        The ``channel`` of the canvas whose frames it follows. A frame's header holds the ``answer``: ``predicted``,
        ``probability``, ``calibration``, ``runner_up``, ``runner_up_probability``, ``label``, ``correct`` (None = no label).
    hidden : bool
        Whether the answer is hidden; position, name and buttons stay.
    typical : dict
        ``{"sample", "typical", "sentence"}``: how typical the sample is of the training data; ``typical`` is True, False or
        None (not known).
    pinned : str
        Name of the pinned sample, "" = none.
    """

    channel = param.String("", doc="The channel of the canvas that it follows.")
    hidden = param.Boolean(False, doc="Whether the answer is hidden.")
    typical = param.Dict({}, doc="How typical the sample in view is of the training data.")
    pinned = param.String("", doc="Name of the pinned sample.")
    noun = param.String("Sample", doc="What a sample is called.")
    dark = param.Boolean(None, allow_None=True, doc="Dark colours; None follows the page.")

    _esm = f"const ANSWER_CSS = {style('answer_line/answer_line')};\n" + esm(*SCRIPTS)

    def __init__(self, **params: Any) -> None:
        self._callbacks: dict[str, list[Callable[[], Any]]] = {}
        params.setdefault("sizing_mode", "stretch_width")
        super().__init__(**params)

    def on_pin(self, function: Callable[[], Any]) -> None:
        """Call ``function()`` when the sample in view is to be pinned, or let go."""
        self._callbacks.setdefault("pin", []).append(function)

    def on_hide(self, function: Callable[[], Any]) -> None:
        """Call ``function()`` when the answer is to be hidden, or shown again."""
        self._callbacks.setdefault("hide", []).append(function)

    def _handle_msg(self, message: Any) -> None:
        if isinstance(message, Mapping):
            for function in self._callbacks.get(str(message.get("type")), ()):
                function()
