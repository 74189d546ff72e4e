"""Compare our activation clusters and maps on superpixels with what one would write or install instead.

    python benchmarks/activations.py [lloyd dff slider aggregate occlusion curves quantus] [--rounds 5] [--threads 1]

* ``lloyd``: Lloyd's algorithm on factored features, on the explicit matrix, and in scikit-learn; fails unless labels are equal.
* ``dff``: k-means of one tap against Deep Feature Factorization of the same tap: time and explained variance.
* ``slider``: K, weights and temperature of an existing explanation; fails if a movement runs the network.
* ``aggregate``: a map averaged over regions, at once and in a loop over regions.
* ``occlusion``: occlusion and integrated gradients against captum's defaults with the same windows and steps.
* ``curves``: relevance curves in shared batches against one curve and one step at a time.
* ``quantus``: the same curve from the pixel flipping of Quantus, where installed; Quantus is not a dependency.

Without names all sections run. Every value is a median over rounds in which the ways of one case take turns: wall time,
slowest round, and CPU time, which other processes hardly affect; ``ratio`` is the CPU time relative to the first way of the
case.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict

import _cluster_figures as clusters
import _map_figures as maps
import numpy as np
import torch
from _turns import HEADER, Row

from xai_views import open_model, open_samples
from xai_views.samples import images

SECTIONS: dict[str, Callable[[clusters.Setting], list[Row]]] = {
    "lloyd": clusters.lloyd,
    "dff": clusters.dff,
    "slider": clusters.slider,
    "aggregate": maps.aggregate,
    "occlusion": maps.occlusion,
    "curves": maps.curves,
    "quantus": maps.quantus,
}
#: The networks, and a shipped image of each.
CASES = (("efficientnet-lite0", "photos"), ("birds-cnn", "birds/test"))


def measure(sections: list[str], rounds: int, threads: int, models: list[str]) -> Iterator[Row]:
    """Yield the rows of the requested sections and models."""
    torch.set_num_threads(threads)
    for name, samples in CASES:
        if name in models:
            picture = images(open_samples(samples), np.array([0]))
            setting = clusters.Setting(open_model(name), picture, rounds, threads)
            for section in sections:
                yield from SECTIONS[section](setting)


def main() -> None:
    """Run the sections and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "sections", nargs="*", metavar="section", help=f"one or more of {', '.join(SECTIONS)}; default: all"
    )
    parser.add_argument("--model", action="append", choices=[m for m, _ in CASES], help="default: both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    if wrong := [s for s in args.sections if s not in SECTIONS]:
        parser.error(f"section {wrong[0]!r} is not known; there is {', '.join(SECTIONS)}")
    # scikit-learn and NumPy read their number of threads here, also in the processes that measure memory
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    rows = measure(
        args.sections or list(SECTIONS), args.rounds, args.threads, args.model or [m for m, _ in CASES]
    )
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return
    print(f"{args.threads} thread(s), median of {args.rounds} rounds")
    shown = None
    for row in rows:
        if (row.section, row.case) != shown:
            shown = row.section, row.case
            print(f"\n{row.section}: {row.case}\n{HEADER}")
        print(row.line(), flush=True)


if __name__ == "__main__":
    main()
