"""Method ``relax``: importance of every pixel or step for the representation of an input, with its uncertainty.

Source: Wickstrøm, Trosten, Løkse, Boubekki, Mikalsen, Kampffmeyer and Jenssen, RELAX: Representation Learning
Explainability (arXiv 2112.10161; IJCV 131, 2023). ``docs/methods/relax.md`` names what we read or do otherwise.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import param
import torch
import xarray as xr

from xai_views.contract.ask import Ask
from xai_views.contract.method import Method, Progress
from xai_views.engine.perturbation.masks import BLOCK, KINDS, Masks
from xai_views.engine.perturbation.running import RULES, Halves
from xai_views.errors import MethodError
from xai_views.methods.relax.representation import Reading, first_look, vectors

FILLS = ("mean", "grey", "zero")
#: Numbers in the inputs that go through a network together, on the CPU and on other devices; and how many inputs at most.
AT_ONCE, MOST = (630_000, 5_040_000), (64, 256)


@dataclass(frozen=True, eq=False)
class RelaxObservation:
    """What masks have shown so far.

    Attributes
    ----------
    halves : Halves
        Sums over the masks.
    settled : bool
        Whether the rule for stopping has been met.
    reading : Reading
        Where the representation was read.
    vector : Tensor
        ``[d]`` of the whole input.
    logit : ndarray
        ``[classes]`` of the whole input; ``[0]`` where the network gives none.
    leads : int
        Of a signal; 0 of images.
    """

    halves: Halves
    settled: bool
    reading: Reading
    vector: torch.Tensor
    logit: np.ndarray
    leads: int

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.halves.nbytes + self.vector.numel() * 8 + self.logit.nbytes


class RelaxMethod(Method):
    """Hide random parts of an input and see how far its representation moves; no class is asked for."""

    key: ClassVar[str] = "relax"
    title: ClassVar[str] = "RELAX: importance for the representation"
    question: ClassVar[str] = "why"
    cost: ClassVar[str] = "1 forward pass, and 1 per mask (500); the quantile without a pass"
    takes: ClassVar[tuple[str, ...]] = ("image", "signal")
    needs: ClassVar[tuple[str, ...]] = ()  # an embedding or logits, see reason
    gives: ClassVar[dict[str, str]] = {
        "relax.importance": "unsigned map",
        "relax.standard_error": "unsigned map",
        "relax.slope": "signed map",
        "relax.filtered": "signed map",
        "relax.shown": "labels",
        "relax.similarity": "scalar",
        "relax.masks": "scalar",
    }
    # The number of masks is not among them: a run goes on where one with fewer masks ended.
    observed_by: ClassVar[tuple[str, ...]] = (
        "generator",
        "cells",
        "time_cells",
        "keep",
        "seed",
        "fill",
        "stop",
        "tap",
    )

    masks = param.Integer(500, bounds=(1, 100_000), doc="Number of masks, at most; the paper's is 3000.")
    generator = param.Selector(
        default="rise",
        objects=list(KINDS),
        doc="Masks shifted by up to a whole cell, or by a few pixels as the authors' are.",
    )
    cells = param.Integer(7, bounds=(1, 256), doc="Cells along each side of a mask of images.")
    time_cells = param.Integer(40, bounds=(1, 4096), doc="Cells along a mask of signals.")
    keep = param.Number(0.5, bounds=(0.05, 0.95), doc="Probability that a cell is shown.")
    seed = param.Integer(0, bounds=(0, None), doc="Of the masks.")
    fill = param.Selector(
        default="mean",
        objects=list(FILLS),
        doc="What hidden parts show: the mean of each channel or lead, half of the brightest, or nothing.",
    )
    quantile = param.Number(
        0.5, bounds=(0, 1), doc="Share of pixels, by increasing uncertainty, that the filtered map shows."
    )
    stop = param.Selector(
        default="never",
        objects=list(RULES),
        doc="When to end before the last mask: never, when standard errors are small, when halves agree.",
    )
    tap = param.String(
        "", doc="Layer whose mean is the representation; '' = what the last linear layer is given."
    )

    def reason(self, model: Any) -> str:
        """Return "" for a network that gives a vector, else the reason."""
        if {"embedding", "logits"} & set(getattr(model, "outputs", ("logits",))):
            return ""
        return f"method 'relax' needs an embedding or logits and {model.name!r} gives neither; choose another method."

    def covers(self, model: Any, observation: RelaxObservation, ask: Ask) -> bool:  # noqa: ARG002
        """Whether as many masks as asked for were seen, or enough by the rule for stopping."""
        count = observation.halves.count
        return count == ask.masks or (observation.settled and count < ask.masks)

    def observe(
        self,
        model: Any,
        inputs: np.ndarray,
        asks: Sequence[Ask],
        known: Sequence[RelaxObservation | None],
    ) -> Generator[Progress, None, list[RelaxObservation]]:
        """Ask about the whole input, then about one block of masks after the other; all inputs see the same masks."""
        runs: list[_Run] = []
        done, total = 0, sum(a.masks + 1 for a in asks)
        for row, (ask, old) in enumerate(zip(asks, known, strict=True)):
            runs.append(_Run(model, inputs[row : row + 1], ask, old))
            done += runs[-1].done
            yield Progress(done, total)
        while waiting := [r for r in runs if not r.ended]:
            block = min(r.block for r in waiting)
            now = [r for r in waiting if r.block == block]
            for masks in dict.fromkeys(r.masks for r in now):
                mine = [r for r in now if r.masks == masks]
                for start, stop in _parts(mine[0].x):
                    drawn = masks.block(block, start, stop, mine[0].x.device, mine[0].precision)
                    for run in mine:
                        if not (asked := run.add(start, drawn)):
                            continue
                        done += asked
                        yield Progress(done, total, [r.observation() for r in runs])
            for run in now:
                run.end_block()
        return [r.seen for r in runs]

    def interpret(self, model: Any, observation: RelaxObservation, ask: Ask) -> xr.Dataset:
        """Importance about its mean, uncertainty, and what is left of it where that is small."""
        seen, whole = observation, observation.halves.whole
        precision = np.float64 if seen.logit.dtype == np.float64 else np.float32
        maps = {
            "attribution": whole.attribution(),
            "uncertainty": whole.uncertainty(),
            "relax.importance": whole.importance(),
            "relax.standard_error": whole.standard_error(centred=True),
            "relax.slope": whole.slope(),
        }
        maps = {name: m.numpy().astype(precision) for name, m in maps.items()}
        shown = maps["uncertainty"] <= np.quantile(maps["uncertainty"], ask.quantile)
        maps["relax.filtered"] = np.where(shown, maps["attribution"], 0).astype(precision)
        maps["relax.shown"] = shown.astype(np.int8)
        dims = ("sample", "lead", "time") if seen.leads else ("sample", "y", "x")
        if seen.leads:  # a mask hides a moment in all leads
            maps = {name: np.repeat(m[None], seen.leads, 0) for name, m in maps.items()}
        ds = xr.Dataset({name: (dims, m[None]) for name, m in maps.items()})
        ds["attribution"].attrs["representation"] = str(seen.reading)
        ds["relax.similarity"] = ("sample", np.array([whole.mean], precision))
        ds["relax.masks"] = ("sample", np.array([whole.count], np.int32))
        if len(seen.logit):
            ds["logit"] = (("sample", "class"), seen.logit[None])
            ds["probability"] = (("sample", "class"), model.probability(seen.logit)[None])
            ds = ds.assign_coords({"class": np.asarray(model.classes, str)})
        if seen.leads:
            names = model.leads if len(model.leads) == seen.leads else range(seen.leads)
            time = np.arange(ds.sizes["time"]) / (model.rate or 1.0)
            units = {"units": "s" if model.rate else "steps"}
            ds = ds.assign_coords(lead=[str(n) for n in names], time=("time", time, units))
        return ds


class _Run:
    """One input on its way through the masks."""

    def __init__(self, model: Any, given: np.ndarray, ask: Ask, known: RelaxObservation | None) -> None:
        self.model, self.ask, self.x = model, ask, model.tensor(given)
        of_images = self.x.ndim == 4
        self.fill = _filling(self.x, ask.fill)
        self.precision = torch.float64 if self.x.dtype == torch.float64 else torch.float32
        size = tuple(self.x.shape[2:])
        cells = ask.cells if of_images else ask.time_cells
        self.masks = Masks(size, ask.generator, cells, ask.keep, ask.seed)
        # The parts of a block that went through the network together have to be the same as in one go.
        if known is not None and known.halves.count < ask.masks and known.halves.count % BLOCK == 0:
            self.seen, self.done = known, known.halves.count + 1
        else:
            reading, vector, logit = first_look(model, self.x, ask.tap)
            answer = np.zeros(0, str(self.x.dtype).removeprefix("torch.")) if logit is None else logit.numpy()
            halves = Halves.empty(size)
            self.seen = RelaxObservation(
                halves, False, reading, vector, answer, 0 if of_images else self.x.shape[1]
            )
            self.done = 1
        self.block = self.seen.halves.count // BLOCK

    @property
    def ended(self) -> bool:
        """Whether nothing is left to ask."""
        return self.seen.settled or self.seen.halves.count >= self.ask.masks

    def observation(self) -> RelaxObservation | None:
        """What is known by now; None before the first mask."""
        return self.seen if self.seen.halves.count else None

    def add(self, start: int, drawn: torch.Tensor) -> int:
        """Ask about masks of the block at hand, from number ``start`` of it on; how many that were."""
        drawn = drawn[: max(self.ask.masks - self.block * BLOCK - start, 0)]
        if not len(drawn):
            return 0
        shown = torch.lerp(self.fill, self.x, drawn[:, None].to(self.x.dtype))
        found = cosine(self.seen.vector, vectors(self.model, shown, self.seen.reading))
        halves = self.seen.halves
        if not halves.count:
            halves = Halves.empty(self.masks.size, float(found.mean()))
        self.seen = replace(self.seen, halves=halves.add(self.block, found, drawn))
        return len(drawn)

    def end_block(self) -> None:
        """Go to the next block; after every second one the rule for stopping is looked at."""
        if self.block % 2 and self.seen.halves.count == (self.block + 1) * BLOCK:
            self.seen = replace(self.seen, settled=self.seen.halves.settled(self.ask.stop))
        self.block += 1


def cosine(vector: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Cosine similarities ``[N]`` of ``vector [d]`` with ``others [N, d]``; 0 where a vector is zero."""
    length = vector.norm() * others.norm(dim=1)
    return torch.where(length > 0, others @ vector / length.clamp_min(torch.finfo(length.dtype).tiny), 0.0)


def _filling(x: torch.Tensor, fill: str) -> torch.Tensor:
    """What hidden parts of ``x [1, C, *size]`` show, ``[1, C, 1, ...]``."""
    if fill == "mean":
        return x.mean(tuple(range(2, x.ndim)), keepdim=True)
    if fill == "grey" and x.ndim == 3:
        raise MethodError("signals have no grey that fill='grey' could show; choose 'mean' or 'zero'.")
    level = 0.5 if fill == "grey" else 0.0
    return torch.full_like(x[(slice(None), slice(None), *[slice(1)] * (x.ndim - 2))], level)


def _parts(x: torch.Tensor) -> Iterator[tuple[int, int]]:
    """Parts of a block, as equal as can be, that go through the network together; fewer of large inputs."""
    other = x.device.type != "cpu"
    most = min(max(AT_ONCE[other] // max(x[0].numel(), 1), 1), MOST[other], BLOCK)
    parts = -(-BLOCK // most)
    for i in range(parts):
        yield i * BLOCK // parts, (i + 1) * BLOCK // parts
