"""``--set KEY=VALUE`` options of the commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from xai_views.errors import XaiViewsError


def read_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse ``key=value`` pairs; values are numbers, words, true, false or [lists]."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip().isidentifier():
            message = f"--set {pair!r} is not KEY=VALUE; write for example --set k=8."
            raise XaiViewsError(message)
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            message = f"--set {pair!r} has an unreadable value; give a number, a word or a [list]."
            raise XaiViewsError(message) from error
    return found
