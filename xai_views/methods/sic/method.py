"""Method ``sic``: the evidence of support samples, and the pixels that contribute to it.

Source: Wolf et al., SIC (ICCV 2025), with B-cos contribution maps (Boehle et al., 2024). A logit is a bias plus the
evidence of its class's supports; the evidence of a support is the sum of a map over the test image's pixels.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import param
import xarray as xr

from xai_views.contract.ask import Ask
from xai_views.contract.method import PREDICTED, Method, Progress
from xai_views.errors import MethodError
from xai_views.methods.sic.observation import Plan, Reading, SICObservation
from xai_views.methods.sic.support_sets import RULES, own_map, support_set
from xai_views.models import evidence
from xai_views.models.supports import Supports


class SICMethod(Method):
    """Support samples, their evidence, and contribution maps."""

    key: ClassVar[str] = "sic"
    title: ClassVar[str] = "Support samples and evidence"
    question: ClassVar[str] = "where"
    takes: ClassVar[tuple[str, ...]] = ("image", "signal")
    needs: ClassVar[tuple[str, ...]] = ("logits", "supports")
    preference: ClassVar[int] = 30
    cost: ClassVar[str] = (
        "1 forward pass, plus 1 backward pass per support of an explained class; all other classes need no pass"
    )

    targets = param.List(
        [PREDICTED],
        item_type=int,
        doc="Explained classes; -1 = the predicted class.",
    )
    matches = param.Boolean(True, doc="Compute a contribution map for each support sample of these classes.")
    rendering = param.Boolean(False, doc="Compute the B-cos colour image of each class (images only).")
    everything = param.Boolean(
        False,
        precedence=-1,
        doc="Compute the maps of all latent dimensions, so that other classes and supports need no further pass.",
    )
    smoothing = param.Integer(
        9, bounds=(0, 63), doc="Smoothing window of the colour image's opacity, in pixels; 0 = none."
    )
    percentile = param.Number(
        99.9, bounds=(50, 100), doc="Percentile of the opacity that is drawn fully opaque."
    )
    per_class = param.Integer(0, bounds=(0, None), doc="Supports per class; 0 = original.")
    rule = param.Selector(
        default="model", objects=list(RULES), doc="Selection rule of the supports; model = original supports."
    )
    excluded = param.List(
        [],
        item_type=int,
        doc="Training samples to exclude from the supports, by position in the training set.",
    )
    added = param.List([], doc="Training samples to add as supports: [[position, class], …].")

    def fits(self, model: Any) -> str:
        """Return "" for a SIC network with supports, else the reason; the specific reason comes first, as it says what to do."""
        return self.reason(model) or super().fits(model)

    def reason(self, model: Any) -> str:
        """Return "" for a SIC network with supports, else the reason."""
        from xai_views.engine.attribution.bcos import unfit  # loads torch

        return unfit(model)

    def ready(self, model: Any, ask: Ask) -> Ask:
        """Select the supports and check the request.

        Raises
        ------
        MethodError
            When the supports cannot be selected, or a colour image is requested for signals.
        """
        if ask.rendering and model.kind == "signal":
            raise MethodError(
                f"a colour image was requested from {model.name!r}, but signals have no colours; set rendering=False."
            )
        support_set(model, ask)
        return ask

    def covers(self, model: Any, observation: SICObservation, ask: Ask) -> bool:
        """Return whether every requested map is known or follows without another pass."""
        if ask.everything and observation.basis is None:
            return False
        reading = Reading.of(model, observation, ask)
        return (
            not observation.lacking(reading.supports)
            and all(map(observation.has, reading.wanted(ask.matches)))
            and all(r in observation.renderings for r in reading.rendered(ask))
        )

    # -- the network --------------------------------------------------------------------------------------------

    def observe(
        self, model: Any, inputs: np.ndarray, asks: Sequence[Ask], known: Sequence[SICObservation | None]
    ) -> list[SICObservation] | Generator[Progress, None, list[SICObservation]]:
        """Run one forward pass, and one backward pass per requested map or per active latent dimension, whichever is fewer.

        Missing own maps of supports (those not in the checkpoint) are computed first, one by one, in a generator.
        """
        sets = [support_set(model, self.ready(model, ask)) for ask in asks]
        lacking: dict[int, np.ndarray] = {}
        for supports, old in zip(sets, known, strict=True):
            held = {} if old is None else old.own_maps
            missing = {int(supports.index[r]): supports.image[r] for r in supports.missing}
            lacking |= {p: given for p, given in missing.items() if p not in held}
        if lacking:
            return _with_own_maps(model, inputs, asks, known, sets, lacking)
        return _observed(model, inputs, asks, known, sets, {})

    # -- the explanation ----------------------------------------------------------------------------------------

    def interpret(self, model: Any, observation: SICObservation, ask: Ask) -> xr.Dataset:
        """Compute evidence, logits and maps of one sample from the observation; products and sums only."""
        z = observation.z
        reading = Reading.of(model, observation, ask)
        supports, targets, logit = reading.supports, reading.targets, reading.logit
        t = z.dtype.type(model.module.temperature)
        contribution = np.stack([_class_map(observation, reading, c) / t for c in targets])
        bias = np.full(len(logit), model.module.bias, z.dtype)
        residual = logit[targets] - bias[targets] - contribution.sum((1, 2), dtype=np.float64).astype(z.dtype)
        norm, cosine = _distance(model, z)
        ds = xr.Dataset(
            {
                "logit": (("sample", "class"), logit[None]),
                "probability": (("sample", "class"), evidence.probability(logit)[None]),
                "bias": ("class", bias),
                "evidence": (
                    ("sample", "support"),
                    evidence.scores(z[None], supports.vectors.astype(z.dtype)) / t,
                ),
                "latent": (("sample", "dimension"), z[None]),
                "contribution": (("sample", "target", "y", "x"), contribution[None]),
                "residual": (("sample", "target"), residual[None]),
                "self_contribution": (("support", "y", "x"), _own_maps(observation, supports)),
                "norm": ("sample", [norm]),
                "best_cosine": ("sample", [cosine]),
            },
            coords={
                "class": np.asarray(model.classes, str),
                "support_class": ("support", supports.label),
                "support_sample": ("support", supports.index),
                "target_class": (("sample", "target"), np.asarray([targets])),
            },
        )
        if ask.matches:
            ds = ds.merge(_matches(observation, reading, t))
        if ask.rendering:
            pictures = {key[0]: observation.renderings[key] for key in reading.rendered(ask)}
            drawn = [pictures[reading.group(supports.of_class(c))] for c in targets]
            ds["rendering"] = (("sample", "target", "y", "x", "rgba"), np.stack(drawn)[None])
        return of_signals(model, ds) if model.kind == "signal" else ds


def _with_own_maps(
    model: Any,
    inputs: np.ndarray,
    asks: Sequence[Ask],
    known: Sequence[SICObservation | None],
    sets: Sequence[Supports],
    lacking: Mapping[int, np.ndarray],
) -> Generator[Progress, None, list[SICObservation]]:
    """Compute the own maps of the training samples in ``lacking``, then observe the samples."""
    maps, total = {}, len(lacking) + 1
    for done, (position, given) in enumerate(lacking.items()):
        yield Progress(done, total)
        maps[position] = own_map(model, position, given)
    yield Progress(len(lacking), total)
    return _observed(model, inputs, asks, known, sets, maps)


def _observed(
    model: Any,
    inputs: np.ndarray,
    asks: Sequence[Ask],
    known: Sequence[SICObservation | None],
    sets: Sequence[Supports],
    own_maps: Mapping[int, np.ndarray],
) -> list[SICObservation]:
    """Pass incomplete samples through the network; complete ones only receive the missing own maps of their supports."""
    seen = list(known)
    todo = [
        i
        for i, (ask, old) in enumerate(zip(asks, known, strict=True))
        if old is None or not Plan.of(model, old, ask).empty
    ]
    if todo:
        passed = _passed(model, inputs[todo], [asks[i] for i in todo], [known[i] for i in todo])
        for i, observation in zip(todo, passed, strict=True):
            seen[i] = observation
    return [o.with_own_maps(s, own_maps) for o, s in zip(seen, sets, strict=True) if o is not None]


def _passed(
    model: Any, inputs: np.ndarray, asks: Sequence[Ask], known: Sequence[SICObservation | None]
) -> list[SICObservation]:
    """Run one forward pass for all samples, with as many backward passes as the sample that needs most."""
    import torch

    from xai_views.engine.attribution.bcos import colour_rendering, contribution, pull_back

    x = model.module.encode(model.tensor(inputs))
    plans: list[Plan] = []

    def vectors(z: torch.Tensor) -> torch.Tensor:
        logit = model.module.logits(model.module.scores(z)).cpu().numpy()
        for i, (ask, old) in enumerate(zip(asks, known, strict=True)):
            new = SICObservation(z[i].cpu().numpy().copy(), logit[i].copy())
            plans.append(Plan.of(model, old or new, ask))
        longest = max(len(p.vectors) for p in plans)
        padded = np.zeros((len(plans), longest, z.shape[1]), np.float64)
        for out, p in zip(padded, plans, strict=True):
            if p.vectors:
                out[: len(p.vectors)] = p.vectors
        return torch.from_numpy(padded).to(z)

    def keep(t: int, weights: torch.Tensor) -> np.ndarray:
        for i, p in enumerate(plans):
            if t in p.rendered:
                rgba = colour_rendering(x[i], weights[i], p.ask.smoothing, p.ask.percentile)
                p.pictures[p.rendered[t]] = (rgba * 255).round().to(torch.uint8).cpu().numpy()
        return contribution(weights, x).cpu().numpy()

    _, maps = pull_back(model.module, model.module.latent, x, vectors, keep)
    # copies: a view would keep the maps of the whole batch alive after the cache has dropped them
    return [
        p.observation([m[i].copy() for m in maps[: len(p.vectors)]], inputs.shape[1:3])
        for i, p in enumerate(plans)
    ]


def _class_map(observation: SICObservation, reading: Reading, c: int) -> np.ndarray:
    """Contribution map to the summed scores of all supports of a class."""
    rows = reading.supports.of_class(c)
    if not len(rows):
        return np.zeros(reading.supports.self_contribution.shape[1:], observation.z.dtype)
    return observation.map(reading.group(rows), reading.vector(rows))


def _own_maps(observation: SICObservation, supports: Supports) -> np.ndarray:
    """Own contribution map of every support, read-only; maps from the checkpoint share memory with the model."""
    maps, missing = supports.self_contribution.view(), supports.missing
    if len(missing):
        maps = maps.copy()
        maps[missing] = [observation.own_maps[p] for p in supports.index[missing].tolist()]
    maps.flags.writeable = False
    return maps


def _matches(observation: SICObservation, reading: Reading, t: np.floating) -> xr.Dataset:
    """Maps and latent evidence of each support of the explained classes; -1 pads classes with fewer supports."""
    supports, z = reading.supports, observation.z
    most = int(np.bincount(supports.label).max(initial=1)) if len(supports) else 1
    of_targets = [supports.of_class(c).tolist() for c in reading.targets]
    rows = [r for own in of_targets for r in own + [-1] * (most - len(own))]
    maps = np.zeros((len(rows), *supports.self_contribution.shape[1:]), z.dtype)
    parts = np.zeros((len(rows), *z.shape), z.dtype)
    for i, r in enumerate(rows):
        if r >= 0:
            maps[i] = observation.map((supports.keys[r],), reading.pull[r])
            parts[i] = reading.pull[r] * z / t
    return xr.Dataset(
        {
            "support_contribution": (("sample", "match", "y", "x"), maps[None]),
            "latent_evidence": (("sample", "match", "dimension"), parts[None]),
        },
        coords={"match_support": (("sample", "match"), np.asarray([rows]))},
    )


def _distance(model: Any, z: np.ndarray) -> tuple[float, float]:
    """Norm of z, and its largest cosine with a training sample (1 for a training sample itself)."""
    stored = model.supports.vectors if model.latents is None else model.latents.z
    return float(np.linalg.norm(z)), float(evidence.cosines(z[None], stored).max(initial=0))


def of_signals(model: Any, ds: xr.Dataset) -> xr.Dataset:
    """Rename the map dimensions of signals to lead and time, with lead names and seconds as coordinates."""
    ds = ds.rename(y="lead", x="time")
    steps = np.arange(ds.sizes["time"]) / (model.rate or 1.0)
    names = list(model.leads) or [str(i) for i in range(ds.sizes["lead"])]
    return ds.assign_coords(lead=names, time=("time", steps, {"units": "s" if model.rate else "steps"}))
