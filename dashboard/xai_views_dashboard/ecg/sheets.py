"""Records drawn under one another on paper of one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from xai_views.views.ecg_paper.paper import ECGPaper
from xai_views.views.ecg_paper.record import Record


def sheets(records: Sequence[Record], look: Mapping[str, Any], context: str) -> list[ECGPaper]:
    """Return one sheet per record; the first has the toolbar.

    Parameters
    ----------
    records : sequence of Record
        What is drawn; two of one id are told apart.
    look : mapping
        Settings of the page's own paper, for speed, gain and layout alike.
    context : str
        Changes with what is drawn.
    """
    settings = {**{k: v for k, v in look.items() if k != "minimap"}, "minimap": False}
    return [
        ECGPaper.of(
            [replace(record, id=f"{n}-{record.id}")],
            context=context,
            settings={**settings, "toolbar": n == 0},
            page_keys=False,
            sizing_mode="stretch_width",
        )
        for n, record in enumerate(records)
    ]
