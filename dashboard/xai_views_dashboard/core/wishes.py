"""What a canvas may ask for: wishes by the short name of their content, and frames shared by all visitors."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xai_views.contract.ask import Ask
from xai_views.errors import XaiViewsError

KEPT = 64  # contexts that a page's browser may still ask for


@dataclass(frozen=True)
class Wish:
    """Everything that a frame depends on besides the sample, as it was when it was wished for.

    Attributes
    ----------
    ask : Ask
        What is asked of the method.
    drawn : mapping
        Values of the state that change the drawing alone.
    sample : int
        The sample that was in view.
    alone : bool
        Whether something here, such as edits, belongs to that sample and to no other.
    """

    ask: Ask
    drawn: Mapping[str, Any] = field(default_factory=dict)
    sample: int = -1
    alone: bool = False

    @property
    def context(self) -> str:
        """Short name of the content, the same for everybody who wishes the same."""
        drawn = sorted((k, repr(v)) for k, v in self.drawn.items())
        whole = repr((self.ask.identity(), drawn, self.sample if self.alone else None))
        return hashlib.sha256(whole.encode()).hexdigest()[:20]


class Wishes:
    """The wishes of one page by their context; the oldest are forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Wish] = OrderedDict()

    def add(self, wish: Wish, context: str = "") -> str:
        """Remember a wish; return the context to ask for it by."""
        context = context or wish.context
        self._known[context] = wish
        self._known.move_to_end(context)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return context

    def find(self, key: str, names: list[str]) -> tuple[int, Wish]:
        """The sample's position and the wish of ``"<sample>|<context>"``.

        Raises
        ------
        XaiViewsError
            When the page asks for something that is not here any more.
        """
        name, _, context = key.partition("|")
        wish = self._known.get(context)
        if wish is None or name not in names:
            raise XaiViewsError(f"the page asked for {name!r}, which is not here any more; reload the page.")
        return names.index(name), wish
