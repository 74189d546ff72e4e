"""Measure the cost of ECG explanations compared with the passes of the network, and of changes without a pass."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def opened() -> Any:
    """Return a new app on the shipped model and records."""
    import torch

    from xai_views import open_model, open_samples
    from xai_views_dashboard.ecg.app import EcgApp

    torch.set_num_threads(1)
    return EcgApp(open_model("ecg-resnet"), open_samples("ecg/test"))


def ask_of(app: Any, i: int, **changes: Any) -> Any:
    """Return the request of the page for record ``i``, with some parameters changed."""
    from xai_views_dashboard.core.wishes import Wish

    return app.session.asked_of(i, Wish(app.ask(**changes)))


def on_the_clock(way: Callable[[], Any], spent: list[float]) -> Callable[[], Any]:
    """Wrap a way so that it also records its CPU time in ms over all threads, which a busy machine affects less."""

    def run() -> Any:
        start = time.process_time()
        value = way()
        spent.append(1000 * (time.process_time() - start))
        return value

    return run


def explain(options: argparse.Namespace) -> list[dict]:
    """Measure explanations that are not cached, compared with one forward pass of the same records."""
    import torch
    from _turns import take_turns

    from xai_views.methods.explaining import observed_whole

    app = opened()
    session, model, method, rows = app.session, app.model, app.main_method(), []
    fresh = iter(range(len(session.names)))
    for count in (1, 16):
        x = np.stack([session.image(i) for i in range(count)])
        tensor = model.tensor(x)

        def forward(tensor=tensor):
            with torch.no_grad():
                return model.module(tensor)

        def whole(x=x, **more):
            asks = [ask_of(app, i, **more) for i in range(len(x))]
            seen = observed_whole(method.observe(model, x, asks, [None] * len(x)))
            return [method.interpret(model, o, a) for o, a in zip(seen, asks, strict=True)]

        ways = {
            "one forward pass": forward,
            "clusters, contributions of a class": whole,
            "and of every class": lambda whole=whole: whole(targets=list(range(len(model.classes)))),
            "and the ensemble of 5": lambda whole=whole: whole(ensemble=True),
            "and gradient x input": lambda whole=whole: whole(attribution="gradient x input"),
        }
        if count == 1:
            ways["clusters, through the kernel"] = lambda: session.explain_now(
                i := next(fresh), ask_of(app, i)
            )
        spent: dict[str, list[float]] = {name: [] for name in ways}
        ways = {name: on_the_clock(way, spent[name]) for name, way in ways.items()}
        values, found = take_turns("explain", f"{count} records", ways, min(options.steps, 100))
        for row in found:
            row.figures["CPU ms"] = statistics.median(spent[row.way][1:])  # the first is warm-up
        last = values["clusters, contributions of a class"][-1]
        np.testing.assert_allclose(
            last["logit"].values[0], values["one forward pass"][-1].numpy(), rtol=0, atol=1e-4
        )
        print(f"\n{count} records, one thread\n  {'':44}{'p50 ms':>11}{'worst':>11}{'ratio':>8}")
        print("\n".join(row.line() for row in found))
        rows += [vars(row) for row in found]
    return rows


def changes(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure changes of explained records; fail if one runs the network."""
    from xai_views.models import passes

    app = opened()
    session, fitted, classes = app.session, app.fitted, len(app.model.classes)
    kinds = {
        "temperature": lambda n: {"temperature": fitted.cool * (1 + 0.01 * n)},
        "target class": lambda n: {"targets": [n % classes]},
        "cluster removed": lambda n: {"ablated": [n % fitted.book.k]},
        "clusters per record, K": lambda n: {"mode": "own", "codebook_key": "", "k": 3 + n},
    }
    records = range(min(len(session.names), -(-options.steps // 4)))  # no change is requested twice
    for i in records:
        session.explain_now(i, ask_of(app, i))
    out = {}
    print(f"\n{'change of an explained record':36}{'n':>6}{'p50 ms':>10}{'p95 ms':>10}{'passes':>8}")
    for name, kind in kinds.items():
        before, spent = passes.snapshot(), []
        for n in range(options.steps):
            i = n % len(records)
            ask = ask_of(app, i, **kind(n // len(records) + 1))
            start = time.perf_counter()
            session.explain_now(i, ask)
            spent.append(1000 * (time.perf_counter() - start))
        used = sum(v - before[k] for k, v in passes.snapshot().items())
        worst = sorted(spent)[min(len(spent) - 1, int(0.95 * len(spent)))]
        out[name] = {"n": len(spent), "p50_ms": statistics.median(spent), "p95_ms": worst, "passes": used}
        print(f"{name:36}{len(spent):6}{out[name]['p50_ms']:10.1f}{worst:10.1f}{used:8}")
        if used:
            sys.exit(f"Change {name!r} used {used} passes of the network; it must use none.")
    return out
