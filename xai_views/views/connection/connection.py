"""A sentence for a notebook whose page and kernel do not hear each other, in place of pictures that stay grey.

JupyterLab draws what a kernel sends even where it lacks Panel's extension, which comes with the package ``pyviz_comms``; but
nothing that the page sends arrives. The kernel cannot know of that, so the page itself says it.
"""

from __future__ import annotations

from typing import Any

import param

from xai_views.views.patches import OneWayComponent
from xai_views.views.scripts import esm

PATIENCE_MS = 15_000  # a slow start is no missing extension

SENTENCE = (
    "This output has no connection to the kernel, so its pictures stay grey. Install pyviz_comms into the environment that runs "
    "JupyterLab ('pip install pyviz_comms'), restart JupyterLab, reload this page and run the cell again."
)


class Connection(OneWayComponent):
    """Shows nothing, or what to install when the kernel does not hear the page.

    Parameters
    ----------
    heard : bool
        Whether the kernel has heard the page; set by the first message.
    patience : int
        Milliseconds until the sentence is shown.
    sentence : str
        What is shown.
    """

    heard = param.Boolean(False, doc="Whether the kernel has heard the page.")
    patience = param.Integer(PATIENCE_MS, doc="Milliseconds until the sentence is shown.")
    sentence = param.String(SENTENCE, doc="What is shown when the kernel does not hear the page.")

    _esm = esm("shared_js/dom", "connection/connection")

    def __init__(self, **params: Any) -> None:
        params.setdefault("sizing_mode", "stretch_width")
        params.setdefault("margin", 0)
        super().__init__(**params)

    def _handle_msg(self, message: Any) -> None:  # noqa: ARG002 - that one comes is all
        self.heard = True
