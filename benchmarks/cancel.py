"""Measure how long a cancelled explanation delays the next one: computed in pieces, and as one call.

    python benchmarks/cancel.py [--rounds 5]

Occlusion of EfficientNet-Lite0 at 224x224 is cancelled at its first report of progress (as one call: after half a second),
then a gradient of another photograph is requested.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import threading
import time
from concurrent.futures import CancelledError
from typing import Any

from xai_views import open_model, open_samples
from xai_views.errors import XaiViewsError
from xai_views.kernel import Kernel
from xai_views.methods.explaining import observed_whole
from xai_views.methods.saliency.method import SaliencyMethod
from xai_views.samples import digest, inputs


class OneCall(SaliencyMethod):
    """The same maps, computed in one call."""

    key = "one_call"

    def observe(self, *given: Any) -> list[Any]:
        return observed_whole(super().observe(*given))


def held(method: SaliencyMethod, model: Any, photos: Any) -> float:
    """Return the seconds from cancelling an occlusion until the next explanation arrives."""
    begun = threading.Event()
    with Kernel(device="cpu") as kernel:

        def explain(photo: Any, map_: str, **how: Any) -> Any:
            asks = [method.ask(map=map_)]
            return kernel.explain(model, photo[None], [digest(photo)], method, asks, **how)

        long = explain(photos[0], "occlusion", partial=lambda *_: begun.set())
        begun.wait(0.5)
        long.cancel()
        start = time.perf_counter()
        explain(photos[1], "gradient").result(120)
        seconds = time.perf_counter() - start
        with contextlib.suppress(CancelledError, XaiViewsError):
            long.result(120)
        return seconds


def main() -> None:
    """Measure both ways in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    model = open_model("efficientnet-lite0")
    photos = inputs(open_samples("photos"), [0, 1])
    ways = {"in pieces": SaliencyMethod(), "as one call": OneCall()}
    held(ways["in pieces"], model, photos)  # the first pass of a network is slower
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, method in ways.items():
            found[name].append(held(method, model, photos))
    best = statistics.median(found["in pieces"])
    print(f"{'occlusion':<14}{'median s':>10}{'longest s':>11}{'x ours':>13}")
    for name, seconds in found.items():
        middle = statistics.median(seconds)
        print(f"{name:<14}{middle:>10.2f}{max(seconds):>11.2f}{middle / best:>13.1f}")


if __name__ == "__main__":
    main()
