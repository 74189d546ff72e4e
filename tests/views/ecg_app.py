"""Records on paper whose pixels can be computed, for the browser tests and for viewing.

``python tests/views/ecg_app.py PORT``.
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np
import panel as pn

from xai_views.errors import MethodError
from xai_views.views.ecg_paper.layout import LEADS
from xai_views.views.ecg_paper.paper import ECGPaper
from xai_views.views.ecg_paper.record import Interval, Record

RATE, STEPS = 400.0, 4096
BEAT = (  # centre (share of the beat), width (s), mV
    (0.16, 0.022, 0.12),
    (0.28, 0.008, -0.1),
    (0.30, 0.010, 1.1),
    (0.325, 0.009, -0.25),
    (0.52, 0.045, 0.3),
)
GAINS = np.array([0.7, 1.0, 0.4, -0.8, 0.3, 0.7, -0.5, 0.6, 0.9, 1.2, 1.1, 0.8])


def beats(bpm: float = 75.0, steps: int = STEPS, rate: float = RATE) -> np.ndarray:
    """Return a made-up lead: Gaussian P, Q, R, S and T waves, ``[steps]`` in mV."""
    period = 60 / bpm
    phase = (np.arange(steps) / rate) % period
    return sum(a * np.exp(-((phase - c * period) ** 2) / (2 * w**2)) for c, w, a in BEAT)


def square(steps: int = STEPS, rate: float = RATE) -> np.ndarray:
    """Return 1 mV for the first half of each second, else 0."""
    return (np.arange(steps) / rate % 1 < 0.5).astype(np.float32)


def explained(key: str, bpm: float = 75.0, steps: int = STEPS, **about) -> Record:
    """Return beats in twelve leads with clusters for P, QRS, T and the rest, and contributions of every lead."""
    period, step = 60 / bpm, 0.02
    centre = (np.arange(int(steps / RATE / step)) + 0.5) * step
    phase = centre % period / period
    cluster = np.select(
        [abs(phase - 0.16) < 0.06, abs(phase - 0.3) < 0.06, abs(phase - 0.52) < 0.1], [0, 1, 2], 9
    )
    entropy = np.select([cluster == 9, cluster == 2], [0.8, 0.4], 0.1)
    strip = np.where(cluster == 1, 0.02, -0.004)[None] * GAINS[:, None]
    shape = beats(bpm, steps) + np.random.default_rng(0).normal(
        0, 0.004, steps
    )  # no signal is as smooth as a formula
    return Record(**{
        "id": key, "leads": LEADS, "rate": RATE, "signal": GAINS[:, None] * shape, "cluster": cluster, "entropy": entropy,
        "step": step, "names": ("P", "QRS", "T", *[""] * 6, "rest"), "contribution": strip, "totals": tuple(strip.sum(1)),
        "target": "wide QRS", "title": "made-up beats", "synthetic": True,
        "truth": tuple(Interval(6, k * period + 0.24 * period, k * period + 0.36 * period, "QRS") for k in range(3)),
        **about,
    })  # fmt: skip


def records() -> dict[str, Record]:
    """Return the records by key."""
    flat = np.zeros((12, STEPS), np.float32)
    flat[1] = square()
    gone = tuple(name != "V3" for name in LEADS)
    out = {
        "square": Record("square", LEADS, RATE, flat, title="1 Hz, 1 mV"),
        "beats": explained("beats"),
        "missing": explained("missing", present=gone, flag="V3 is missing", cluster=None, entropy=None,
                             contribution=None, totals=None),
        "long": Record("long", ("MLII", "V1"), 360.0, np.stack([beats(60, 30_000, 360.0)] * 2), title="83 s"),
    }  # fmt: skip
    out |= {f"r{i}": explained(f"r{i}", 50 + i) for i in range(100)}
    return out


RECORDS = records()


async def provider(key: str) -> Record:
    """Serve records like a kernel with a full cache; one is broken, one is slow."""
    name, _, context = key.partition("|")
    if name == "broken":
        raise MethodError("the record 'broken' has no leads; choose another one.")
    if name == "slow":
        await asyncio.sleep(0.6)
        return explained("slow", 66)
    if context == "last":
        return explained(
            name, contribution=np.linspace(-1, 1, 512)[None], contribution_step=0.02, totals=None
        )
    return RECORDS[name]


def page(order=("square", "beats", "missing", "long", "broken"), **params):
    """Return the paper; what the callbacks were told stands below it."""
    paper = ECGPaper(
        provider, order=list(order), sizing_mode="stretch_width", keys={"n": "next finding"}, **params
    )
    told = pn.pane.Str(
        "",
        css_classes=["told"],
        styles={"font-size": "9px", "overflow": "hidden"},
        sizing_mode="stretch_width",
    )

    heard: dict[str, str] = {}

    def tell(kind):
        def function(value):
            heard[kind] = f"{kind} {value}"
            told.object = "\n".join(heard.values())

        return function

    for kind in ("select", "hover", "cluster", "key", "position", "settings"):
        getattr(paper, f"on_{kind}")(tell(kind))
    act = {
        "dark": lambda: paper.param.update(dark=True),
        "last": lambda: paper.param.update(context="last"),
        "highlight QRS": lambda: paper.highlight(cluster=1),
        "highlight interval": lambda: paper.highlight(interval=(1, 2.0, 3.0)),
        "position 2": lambda: setattr(paper, "position", 2),
    }
    buttons = [
        pn.widgets.Button(name=name, on_click=lambda _, f=function: f()) for name, function in act.items()
    ]
    return pn.Column(paper, pn.FlexBox(*buttons), told, sizing_mode="stretch_width")


APPS = {
    "app": page,
    "four": lambda: page(settings={"px_per_mm": 4}),
    "many": lambda: page(order=[f"r{i}" for i in range(100)]),
    "slow": lambda: page(order=["square", "slow"]),
}

if __name__ == "__main__":
    port = int(sys.argv[1])
    pn.serve(APPS, port=port, address="127.0.0.1", show=False, websocket_origin=[f"127.0.0.1:{port}"])
