"""Shared by the benchmarks of methods: run alternatives in turns, and print one table row for each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Ways = Mapping[str, Callable[[], Any]]


Spent = tuple[float, float]  # milliseconds: wall time, CPU time


@dataclass
class Row:
    """One way in one case.

    Attributes
    ----------
    ms, worst : float
        Wall time in milliseconds: median, slowest round.
    cpu : float
        Median CPU time of this process in milliseconds, which other processes hardly affect.
    ratio : float
        ``cpu`` over that of the first way of the case.
    figures : dict
        Further values.
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
        """Return the row as text."""
        said = ", ".join(f"{k} {v:.4g}" for k, v in self.figures.items())
        return f"  {self.way:40}{self.ms:11.2f}{self.worst:11.2f}{self.cpu:11.2f}{self.ratio:8.2f}   {said}".rstrip()


HEADER = f"{'':42}{'ms':>11}{'worst':>11}{'CPU ms':>11}{'ratio':>8}"


def timed(way: Callable[[], Any]) -> tuple[Any, Spent]:
    """Return the result of a way, and the time it took."""
    clock, cpu = time.perf_counter(), time.process_time()
    value = way()
    return value, (1000 * (time.perf_counter() - clock), 1000 * (time.process_time() - cpu))


def rows_of(section: str, case: str, spent: Mapping[str, Sequence[Spent]]) -> list[Row]:
    """Return one row per way; ratios are relative to the first."""
    rows: list[Row] = []
    for way, each in spent.items():
        walls, cpu = [wall for wall, _ in each], statistics.median(c for _, c in each)
        first = rows[0].cpu if rows else cpu
        rows.append(Row(section, case, way, statistics.median(walls), max(walls), cpu, cpu / first))
    return rows


def take_turns(section: str, case: str, ways: Ways, rounds: int) -> tuple[dict[str, Any], list[Row]]:
    """Run the ways of one case in turns, after one warm-up round.

    Returns
    -------
    values : dict
        Last result of each way.
    rows : list of Row
        One per way; ratios are relative to the first.
    """
    spent: dict[str, list[Spent]] = {name: [] for name in ways}
    values: dict[str, Any] = {}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            values[name], took = timed(way)
            if turn:
                spent[name].append(took)
    return values, rows_of(section, case, spent)
