"""How explanations look: the canvas for everything that is scrubbed, HoloViews for everything that is a plot.

Views know explanations and frames, never torch. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

import importlib

_WHERE = {
    "AnswerLine": "answer_line.answer_line",
    "Canvas": "canvas.canvas",
    "SETTINGS": "canvas.canvas",
    "Connection": "connection.connection",
    "ECGPaper": "ecg_paper.paper",
    "Record": "ecg_paper.record",
    "record_of": "ecg_paper.record",
    "Interval": "ecg_paper.record",
    "plot_ecg": "ecg_paper.svg",
    "Filmstrip": "filmstrip.filmstrip",
    "Listing": "listing.listing",
    "SaveMenu": "save_menu.save_menu",
    "SampleFilter": "sample_filter.sample_filter",
    "Frame": "wire",
    "decode": "wire",
    "with_header": "wire",
    "error_frame": "wire",
    "stamp": "wire",
    "plot": "plots",
    "latent_map": "plots",
}
__all__ = list(_WHERE)


def __getattr__(name: str):
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value
