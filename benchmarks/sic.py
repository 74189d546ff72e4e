"""Measure explanations per second: ours in batches against the straightforward way, one image at a time.

The straightforward way is a script that follows the figures of the paper: for every image one forward
pass for the label, one for the evidence, one forward and backward pass for the class map, and for each of the
class's N_s supports another forward and backward pass to draw the support: (3 + N_s) forward and (1 + N_s)
backward passes. Ours returns more (a map of the test image per support) with 1 forward and N_s backward passes.
Both use the same weights, images and threads, and take turns in one process.

    python benchmarks/sic.py [--checkpoint FOLDER] [--images 32] [--rounds 5] [--threads 1] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from xai_views import catalogue, explain, open_model, open_samples
from xai_views.methods import get
from xai_views.models import passes
from xai_views.models.bcos import add_inverse, explanation_mode
from xai_views.samples import dataset, images


def setting(args):
    """Return model, samples and the source of the model."""
    if args.checkpoint or "birds-sic" in catalogue.models():
        model = open_model(args.checkpoint or "birds-sic")
        name = model.card.get("samples")  # its own test images
        source = model.name
    else:
        from xai_views.models.families.cnn.network import PLANS, BcosCNN
        from xai_views.models.families.sic.network import SIC
        from xai_views.training.finish import attach_supports

        torch.manual_seed(0)
        net = SIC(BcosCNN(3, PLANS["birds"]), 50, 64)
        rng = np.random.default_rng(0)
        train = dataset(
            rng.integers(0, 256, (200, 56, 56, 3)).astype(np.uint8),
            np.arange(200) % 50,
            classes=[f"class {c}" for c in range(50)],
        )
        model, name, source = (
            attach_supports(open_model(net), train),
            None,
            "the birds' architecture, random weights",
        )
    if name in catalogue.samples():
        samples = open_samples(name).isel(sample=slice(0, args.images))
    else:
        rng = np.random.default_rng(1)
        shape = (args.images, *model.size, model.channels)
        samples = dataset(rng.integers(0, 256, shape).astype(np.uint8))
    return model, samples, source


def straightforward(model, pictures):
    """Return the class maps, computed one image at a time."""
    module, maps = model.module, []

    def pulled(x, target):
        leaf = x.clone().requires_grad_()
        with explanation_mode(module):
            value = target(leaf)
            passes.count_forward(1)
            gradient = torch.autograd.grad(value, leaf)[0]
            passes.count_backward(1)
        return (gradient * x).sum(1)[0]

    def logits(x):
        return module.logits(module.scores(module.latent(x)))

    for picture in pictures:
        x = add_inverse(model.tensor(picture[None]))
        with torch.no_grad():
            c = int(logits(x).argmax())
            passes.count_forward(1)
            _ = module.scores(module.latent(x)) / module.temperature
            passes.count_forward(1)
        maps.append(pulled(x, lambda v, c=c: logits(v)[0, c]).numpy())
        for s in model.supports.of_class(c):
            own = add_inverse(model.tensor(model.supports.image[s : s + 1]))
            vector = torch.from_numpy(model.supports.vectors[s : s + 1])
            pulled(own, lambda v, vector=vector: module.similarity(module.latent(v), vector)[0, 0])
    return np.stack(maps)


def timed(function):
    before, start = passes.snapshot(), time.perf_counter()
    value = function()
    seconds = time.perf_counter() - start
    return value, seconds, {k: v - before[k] for k, v in passes.snapshot().items()}


def measure(args) -> dict:
    torch.set_num_threads(args.threads)
    model, samples, source = setting(args)
    pictures = images(samples, np.arange(samples.sizes["sample"]))
    n, method = len(pictures), get("sic")
    everything = method.ask(everything=True)
    (known,) = method.observe(model, pictures[:1], [everything], [None])
    rng = np.random.default_rng(0)
    edits = [method.ask(excluded=[int(p)]) for p in rng.permutation(model.supports.index)[:20]]
    classes = [method.ask(targets=[c]) for c in range(len(model.classes))]
    ways = {
        "straightforward, one at a time": (lambda: straightforward(model, pictures), n),
        "explain, batches of 32": (
            lambda: explain(model, samples, "sic")["contribution"].values[:, 0],
            n,
        ),
        "explain, one at a time": (lambda: explain(model, samples, "sic", batch=1), n),
        "explain, class map only": (lambda: explain(model, samples, "sic", matches=False), n),
        "latent basis of an image": (
            lambda: [method.observe(model, pictures[i : i + 1], [everything], [None]) for i in range(4)],
            4,
        ),
        "edited support set, after the basis": (
            lambda: [method.interpret(model, known, ask) for ask in edits],
            len(edits),
        ),
        "every class, after the basis": (
            lambda: [method.interpret(model, known, ask) for ask in classes],
            len(classes),
        ),
    }
    seconds, counts, values = {k: [] for k in ways}, {}, {}
    for turn in range(args.rounds + 1):  # the first round warms up
        for name, (function, _) in ways.items():
            values[name], spent, counts[name] = timed(function)
            if turn:
                seconds[name].append(spent)
    slow, ours = (values[k] for k in list(ways)[:2])
    difference = float(np.linalg.norm(slow - ours * 1.0) / np.linalg.norm(slow))
    assert difference < 1e-3, f"the two ways must give the same class maps and differ by {difference}"
    rows = []
    for name, (_, units) in ways.items():
        median = statistics.median(seconds[name])
        rows.append(
            {
                "way": name,
                "per_second": units / median,
                "ms_each": 1000 * median / units,
                "worst_ms_each": 1000 * max(seconds[name]) / units,
                "forward": counts[name]["forward"] / units,
                "backward": counts[name]["backward"] / units,
            }
        )
    return {
        "model": source,
        "images": n,
        "size": list(model.size),
        "classes": len(model.classes),
        "supports": len(model.supports),
        "threads": args.threads,
        "rounds": args.rounds,
        "device": str(model.device),
        "faster": rows[1]["per_second"] / rows[0]["per_second"],
        "map_difference": difference,
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="folder; default: birds-sic, else random weights")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    result = measure(args)
    if args.json:
        print(json.dumps(result, indent=1))
        return
    height, width = result["size"]
    print(
        f"{result['model']}: {result['classes']} classes, {result['supports']} supports, "
        f"{result['images']} images of {height}x{width}, {result['threads']} thread(s), "
        f"median of {result['rounds']} rounds\n"
    )
    print(f"{'':38}{'per second':>11}{'ms each':>9}{'worst':>8}{'forward':>9}{'backward':>9}")
    for r in result["rows"]:
        print(
            f"{r['way']:38}{r['per_second']:11.1f}{r['ms_each']:9.2f}{r['worst_ms_each']:8.2f}{r['forward']:9.1f}"
            f"{r['backward']:9.1f}"
        )
    print(f"\nexplain in batches is {result['faster']:.1f} times as fast as the straightforward way")
    print(f"class maps differ by {result['map_difference']:.1e}")


if __name__ == "__main__":
    main()
