"""What the benchmarks of methods share: ways that take turns, and one line of a table for each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Ways = Mapping[str, Callable[[], Any]]


@dataclass
class Row:
    """One way in one case: milliseconds (median and worst), how many times the first way's median, and remarks."""

    section: str
    case: str
    way: str
    ms: float
    worst: float
    ratio: float
    figures: dict[str, float] = field(default_factory=dict)

    def line(self) -> str:
        """The row as text."""
        said = ", ".join(f"{k} {v:.4g}" for k, v in self.figures.items())
        return f"  {self.way:44}{self.ms:11.2f}{self.worst:11.2f}{self.ratio:8.2f}   {said}".rstrip()


def take_turns(section: str, case: str, ways: Ways, rounds: int) -> tuple[dict[str, Any], list[Row]]:
    """Run ways of one case in turns, after one round that warms up.

    Returns
    -------
    values : dict
        What each way returned last.
    rows : list of Row
        The first way is what the others are compared with.
    """
    spent: dict[str, list[float]] = {name: [] for name in ways}
    values: dict[str, Any] = {}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            values[name] = way()
            if turn:
                spent[name].append(1000 * (time.perf_counter() - start))
    medians = {name: statistics.median(s) for name, s in spent.items()}
    first = next(iter(medians.values()))
    return values, [Row(section, case, n, m, max(spent[n]), m / first) for n, m in medians.items()]
