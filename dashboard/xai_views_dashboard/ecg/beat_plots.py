"""Plots of the beat: the phase of each cluster, and the average beat of some leads."""

from __future__ import annotations

from typing import Any

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, Range1d
from bokeh.plotting import figure

from xai_views.views import colour
from xai_views_dashboard.core.page import caption

LEADS_SHOWN = ("II", "V1", "V2", "V5")


def hue(c: int) -> str:
    """Return the colour of a cluster."""
    return colour.CATEGORICAL[c % len(colour.CATEGORICAL)]


def phase_plot(frequency: np.ndarray) -> Any:
    """Stacked shares of the clusters over the beat, R to R: ``[K, bins]``."""
    k, bins = frequency.shape
    plot = figure(
        height=240,
        sizing_mode="stretch_width",
        x_range=Range1d(start=0, end=1),
        y_range=Range1d(start=0, end=1),
        toolbar_location=None,
    )
    plot.xaxis.axis_label, plot.yaxis.axis_label = (
        "phase of the beat, R (0) to the next R (1)",
        "share of the steps",
    )
    left = np.arange(bins) / bins
    top = np.nan_to_num(frequency).cumsum(0)
    for c in range(k):
        source = ColumnDataSource(
            {
                "left": left,
                "right": left + 1 / bins,
                "bottom": top[c] - np.nan_to_num(frequency[c]),
                "top": top[c],
            }
        )
        plot.quad(
            "left",
            "right",
            "top",
            "bottom",
            source=source,
            color=hue(c),
            line_color=None,
            legend_label=str(c),
        )
    plot.legend.orientation = "horizontal"
    plot.legend.title = "cluster"
    plot.add_layout(plot.legend[0], "below")
    return plot


def beat_plot(time: np.ndarray, mean: np.ndarray, spread: np.ndarray, occurs: np.ndarray, title: str) -> Any:
    """The average beat of a lead in mV, its spread, and dots of the cluster that most beats have at each time."""
    plot = figure(height=190, sizing_mode="stretch_width", title=title, toolbar_location=None)
    plot.xaxis.axis_label, plot.yaxis.axis_label = "s from R", "mV"
    low, high = np.nan_to_num(mean - spread), np.nan_to_num(mean + spread)
    plot.varea(time, low, high, color="#888888", alpha=0.25)
    most = np.nan_to_num(occurs).argmax(0)
    plot.line(time, mean, color="#222222", line_width=1)
    plot.scatter(time[::3], mean[::3], color=[hue(c) for c in most[::3]], size=5, line_color=None)
    return plot


def text_twin(frequency: np.ndarray) -> str:
    """Say at which phase of the beat each cluster is most common."""
    said = []
    for c, row in enumerate(np.nan_to_num(frequency)):
        if row.sum():
            said.append(
                f"cluster {c} most at phase {row.argmax() / len(row):.2f} ({row.max():.0%} of the steps there)"
            )
    return "; ".join(said) + "."


def pictures(averages: Any, leads: list[str]) -> list:
    """Return the phase histogram and the average beats with their captions; made on the page's own thread."""
    phases, averaged = averages.phases, averages.beats
    frequency = phases.frequency
    shown = [n for n in LEADS_SHOWN if n in leads] or leads[:1]
    plots = [
        pn.pane.Bokeh(
            beat_plot(
                averaged.time,
                averaged.mean[j],
                averaged.spread[j],
                averaged.occurs,
                f"{name}, {averaged.beats} beats",
            ),
            sizing_mode="stretch_width",
            min_width=280,
        )
        for name, j in ((n, leads.index(n)) for n in shown)
    ]
    return [
        caption(
            f"Phase of the beat in which each cluster lies, over {phases.beats} beats of {averages.records} records."
        ),
        pn.pane.Bokeh(phase_plot(frequency), sizing_mode="stretch_width"),
        caption(f"As text: {text_twin(frequency)}"),
        caption(
            "Average beat of some leads with its standard deviation; dots have the colour of the most common cluster at that "
            "time. Averages over all classes hide the differences between them."
        ),
        pn.FlexBox(*plots, sizing_mode="stretch_width"),
    ]
