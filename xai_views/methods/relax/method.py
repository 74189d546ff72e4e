"""Method ``relax``: importance of every pixel or time step for the representation of an input, with uncertainty.

Source: Wickstrøm, Trosten, Løkse, Boubekki, Mikalsen, Kampffmeyer and Jenssen, RELAX: Representation Learning
Explainability (arXiv 2112.10161; IJCV 131, 2023). ``docs/methods/relax.md`` lists where we interpret or deviate.
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
#: Input values that pass through the network together (CPU, other devices), and the maximum number of inputs.
AT_ONCE, MOST = (630_000, 5_040_000), (64, 256)


@dataclass(frozen=True, eq=False)
class RelaxObservation:
    """State of a run over masks.

    Attributes
    ----------
    halves : Halves
        Sums over the masks.
    settled : bool
        Whether the stopping rule has been met.
    reading : Reading
        Where the representation is read.
    vector : Tensor
        ``[d]`` representation of the whole input.
    logit : ndarray
        ``[classes]`` of the whole input; ``[0]`` when the network has no logits.
    leads : int
        Number of leads of a signal; 0 for images.
    """

    halves: Halves
    settled: bool
    reading: Reading
    vector: torch.Tensor
    logit: np.ndarray
    leads: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.halves.nbytes + self.vector.numel() * 8 + self.logit.nbytes


class RelaxMethod(Method):
    """Mask random parts of an input and measure how much its representation changes; independent of any class."""

    key: ClassVar[str] = "relax"
    title: ClassVar[str] = "RELAX: importance for the representation"
    question: ClassVar[str] = "why"
    cost: ClassVar[str] = "1 forward pass, plus 1 per mask (500); changing the quantile needs no pass"
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
    # The number of masks is not included: a run continues one with fewer masks.
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

    masks = param.Integer(500, bounds=(1, 100_000), doc="Maximum number of masks (3000 in the paper).")
    generator = param.Selector(
        default="rise",
        objects=list(KINDS),
        doc="How masks are shifted: by up to a whole cell (RISE), or by a few pixels (RELAX, the authors' code).",
    )
    cells = param.Integer(7, bounds=(1, 256), doc="Mask cells along each side of an image.")
    time_cells = param.Integer(40, bounds=(1, 4096), doc="Mask cells along time (signals).")
    keep = param.Number(0.5, bounds=(0.05, 0.95), doc="Probability that a cell stays visible.")
    seed = param.Integer(0, bounds=(0, None), doc="Random seed of the masks.")
    fill = param.Selector(
        default="mean",
        objects=list(FILLS),
        doc="Replacement of masked parts: mean of each channel or lead, mid-grey (images), or zero.",
    )
    quantile = param.Number(
        0.5, bounds=(0, 1), doc="Share of pixels, the least uncertain first, that the filtered map shows."
    )
    stop = param.Selector(
        default="never",
        objects=list(RULES),
        doc="Early stopping: never, when the standard errors are small, or when two halves of the masks agree.",
    )
    tap = param.String(
        "", doc="Layer whose spatial mean is the representation; '' = the input of the last linear layer."
    )

    def reason(self, model: Any) -> str:
        """Return "" for a network with an embedding or logits, else the reason."""
        if {"embedding", "logits"} & set(getattr(model, "outputs", ("logits",))):
            return ""
        return f"method 'relax' needs an embedding or logits and {model.name!r} has neither; choose another method."

    def covers(self, model: Any, observation: RelaxObservation, ask: Ask) -> bool:  # noqa: ARG002
        """Return whether enough masks were run: the requested number, or fewer if the stopping rule was met."""
        count = observation.halves.count
        return count == ask.masks or (observation.settled and count < ask.masks)

    def observe(
        self,
        model: Any,
        inputs: np.ndarray,
        asks: Sequence[Ask],
        known: Sequence[RelaxObservation | None],
    ) -> Generator[Progress, None, list[RelaxObservation]]:
        """Run the whole input, then one block of masks after another; all inputs get the same masks."""
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
        """Return centred importance, its uncertainty, and the importance where the uncertainty is small."""
        seen, whole = observation, observation.halves.whole
        precision: Any = np.float64 if seen.logit.dtype == np.float64 else np.float32
        found = {
            "attribution": whole.attribution(),
            "uncertainty": whole.uncertainty(),
            "relax.importance": whole.importance(),
            "relax.standard_error": whole.standard_error(centred=True),
            "relax.slope": whole.slope(),
        }
        maps = {name: m.numpy().astype(precision) for name, m in found.items()}
        shown = maps["uncertainty"] <= np.quantile(maps["uncertainty"], ask.quantile)
        maps["relax.filtered"] = np.where(shown, maps["attribution"], 0).astype(precision)
        maps["relax.shown"] = shown.astype(np.int8)
        dims = ("sample", "lead", "time") if seen.leads else ("sample", "y", "x")
        if seen.leads:  # a mask covers the same time in all leads
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
    """The run of one input over the masks."""

    def __init__(self, model: Any, given: np.ndarray, ask: Ask, known: RelaxObservation | None) -> None:
        self.model, self.ask, self.x = model, ask, model.tensor(given)
        of_images = self.x.ndim == 4
        self.fill = _filling(self.x, ask.fill)
        self.precision = torch.float64 if self.x.dtype == torch.float64 else torch.float32
        size = tuple(self.x.shape[2:])
        cells = ask.cells if of_images else ask.time_cells
        self.masks = Masks(size, ask.generator, cells, ask.keep, ask.seed)
        # A block has to be split into the same batches as in an uninterrupted run.
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
        """Whether the run is complete."""
        return self.seen.settled or self.seen.halves.count >= self.ask.masks

    def observation(self) -> RelaxObservation | None:
        """Return the current observation; None before the first mask."""
        return self.seen if self.seen.halves.count else None

    def add(self, start: int, drawn: torch.Tensor) -> int:
        """Run masks of the current block from number ``start`` on; return how many were run."""
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
        """Go to the next block; the stopping rule is checked after every second block."""
        if self.block % 2 and self.seen.halves.count == (self.block + 1) * BLOCK:
            self.seen = replace(self.seen, settled=self.seen.halves.settled(self.ask.stop))
        self.block += 1


def cosine(vector: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Cosine similarities ``[N]`` of ``vector [d]`` with ``others [N, d]``; 0 where a vector is zero."""
    length = vector.norm() * others.norm(dim=1)
    return torch.where(length > 0, others @ vector / length.clamp_min(torch.finfo(length.dtype).tiny), 0.0)


def _filling(x: torch.Tensor, fill: str) -> torch.Tensor:
    """Replacement values ``[1, C, 1, ...]`` for masked parts of ``x [1, C, *size]``."""
    if fill == "mean":
        return x.mean(tuple(range(2, x.ndim)), keepdim=True)
    if fill == "grey" and x.ndim == 3:
        raise MethodError(
            "fill='grey' was given for a signal and is for images only; choose 'mean' or 'zero'."
        )
    level = 0.5 if fill == "grey" else 0.0
    return torch.full_like(x[(slice(None), slice(None), *[slice(1)] * (x.ndim - 2))], level)


def _parts(x: torch.Tensor) -> Iterator[tuple[int, int]]:
    """Yield the batches of a block, as equal in size as possible; smaller for large inputs."""
    other = x.device.type != "cpu"
    most = min(max(AT_ONCE[other] // max(x[0].numel(), 1), 1), MOST[other], BLOCK)
    parts = -(-BLOCK // most)
    for i in range(parts):
        yield i * BLOCK // parts, (i + 1) * BLOCK // parts
