"""What the benchmarks of methods share: ways that take turns, and one line of a table for each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Ways = Mapping[str, Callable[[], Any]]


Spent = tuple[float, float]  # milliseconds by the clock, and of the processor


@dataclass
class Row:
    """One way in one case.

    Attributes
    ----------
    ms, worst : float
        Milliseconds by the clock: median, slowest round.
    cpu : float
        Median of the milliseconds that this process had the processor, which others on the machine hardly change.
    ratio : float
        ``cpu`` over that of the first way of the case.
    figures : dict
        What else is to be said.
    """

    section: str
    case: str
    way: str
    ms: float
    worst: float
    cpu: float
    ratio: float
    figures: dict[str, float] = field(default_factory=dict)

    def line(self) -> str:
        """The row as text."""
        said = ", ".join(f"{k} {v:.4g}" for k, v in self.figures.items())
        return f"  {self.way:40}{self.ms:11.2f}{self.worst:11.2f}{self.cpu:11.2f}{self.ratio:8.2f}   {said}".rstrip()


HEADER = f"{'':42}{'ms':>11}{'worst':>11}{'CPU ms':>11}{'ratio':>8}"


def timed(way: Callable[[], Any]) -> tuple[Any, Spent]:
    """What a way returns, and what it took."""
    clock, cpu = time.perf_counter(), time.process_time()
    value = way()
    return value, (1000 * (time.perf_counter() - clock), 1000 * (time.process_time() - cpu))


def rows_of(section: str, case: str, spent: Mapping[str, Sequence[Spent]]) -> list[Row]:
    """One row per way, the first of which the others are compared with."""
    rows: list[Row] = []
    for way, each in spent.items():
        walls, cpu = [wall for wall, _ in each], statistics.median(c for _, c in each)
        first = rows[0].cpu if rows else cpu
        rows.append(Row(section, case, way, statistics.median(walls), max(walls), cpu, cpu / first))
    return rows


def take_turns(section: str, case: str, ways: Ways, rounds: int) -> tuple[dict[str, Any], list[Row]]:
    """Run ways of one case in turns, after one round that warms up.

    Returns
    -------
    values : dict
        What each way returned last.
    rows : list of Row
        The first way is what the others are compared with.
    """
    spent: dict[str, list[Spent]] = {name: [] for name in ways}
    values: dict[str, Any] = {}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            values[name], took = timed(way)
            if turn:
                spent[name].append(took)
    return values, rows_of(section, case, spent)
