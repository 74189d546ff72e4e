"""Choices among the records of a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import panel_material_ui as pmui


def record_picker(label: str, names: Sequence[str]) -> Any:
    """Return a field that lists all records at once and finds them by any part of their name."""
    return pmui.AutocompleteInput(
        label=label,
        options=list(names),
        value=None,
        min_characters=0,
        search_strategy="includes",
        case_sensitive=False,
        width=220,
        size="small",
    )
