"""Method ``sic``: the evidence of support samples, and the pixels that carry it.

Source: Wolf et al., SIC (ICCV 2025), with B-cos contribution maps (Boehle et al., 2024). A logit is a bias plus the
evidence of its class' supports; the evidence of a support is the sum of a map over the test image's pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import param
import xarray as xr

from xai_views.contract.former import Method
from xai_views.errors import MethodError
from xai_views.methods.sic.observation import PREDICTED, Group, Plan, SICAsk, SICObservation, group_of
from xai_views.models import evidence
from xai_views.models.supports import Latents, Supports

__all__ = [
    "PREDICTED", "SICAsk", "SICMethod", "SICObservation", "complete", "latent_vectors", "region_evidence", "typical_of",
]  # fmt: skip


class SICMethod(Method):
    """Support samples, their evidence, and contribution maps."""

    key: ClassVar[str] = "sic"
    title: ClassVar[str] = "Support samples and evidence"
    preference: ClassVar[int] = 30
    cost: ClassVar[str] = (
        "1 forward pass and 1 backward pass per support of an asked class; all other classes by products"
    )

    smoothing = param.Integer(
        9, bounds=(0, 63), doc="Averaging window of the colour rendering's opacity, in pixels."
    )
    percentile = param.Number(99.9, bounds=(50, 100), doc="Percentile of opacity that is drawn opaque.")

    def fits(self, model: Any) -> str:
        """Return "" for a SIC network with supports, else the reason."""
        from xai_views.engine.attribution.bcos import unfit  # loads torch

        return unfit(model)

    def default_ask(self) -> SICAsk:
        """The predicted class with the maps of its supports."""
        return SICAsk()

    def ready(self, model: Any, ask: SICAsk) -> SICAsk:
        """Compute the self-contribution maps that an edited support set lacks.

        Raises
        ------
        MethodError
            When a colour rendering of signals is asked for.
        """
        if ask.rendering and model.kind == "signal":
            raise MethodError(
                f"a colour rendering was asked of {model.name!r}, whose signals have no colours; ask for the maps alone."
            )
        return ask if ask.supports is None else replace(ask, supports=complete(model, ask.supports))

    # -- what is needed -----------------------------------------------------------------------------------------

    def _targets(
        self, model: Any, observation: SICObservation, ask: SICAsk
    ) -> tuple[Supports, list[int], np.ndarray]:
        """Supports, asked classes and logits; the network's own logits unless the supports were edited."""
        supports = model.supports if ask.supports is None else ask.supports
        own = supports == model.supports
        logit = observation.logit if own else self._logit(model, observation.z[None], supports)[0]
        wrong = [c for c in ask.classes if c != PREDICTED and not 0 <= c < len(logit)]
        if wrong or not ask.classes:
            what = f"class {wrong[0]} was" if wrong else "no class was"
            raise MethodError(
                f"{what} asked for and {model.name!r} has the classes 0 to {len(logit) - 1}; ask for those."
            )
        top = int(logit.argmax())
        return supports, [top if c == PREDICTED else c for c in ask.classes], logit

    def _wanted(
        self, model: Any, observation: SICObservation, ask: SICAsk
    ) -> tuple[dict[Group, np.ndarray], list[Group]]:
        """Return the pull-back vector ``[p]`` of each group whose map is wanted, and the groups to be rendered."""
        supports, classes, _ = self._targets(model, observation, ask)
        vectors = evidence.pull_vectors(observation.z[None], supports.vectors)[0]
        rows = [supports.of_class(c) for c in classes]
        groups = [[r] for own in rows for r in own] if ask.matches else [own for own in rows if len(own)]
        wanted = {group_of(supports, g): vectors[g].sum(0) for g in groups}
        rendered = [group_of(supports, own) for own in rows] if ask.rendering else []
        return wanted, rendered

    def covers(self, model: Any, observation: SICObservation, ask: SICAsk) -> bool:
        """Whether every wanted map can be had without another pass."""
        if ask.everything and observation.basis is None:
            return False
        wanted, rendered = self._wanted(model, observation, ask)
        return all(map(observation.has, wanted)) and all(g in observation.renderings for g in rendered)

    # -- the network --------------------------------------------------------------------------------------------

    def observe(
        self, model: Any, images: np.ndarray, asks: Sequence[SICAsk], known: Sequence[SICObservation | None]
    ) -> list[SICObservation]:
        """One forward pass; one backward pass per wanted map, or per active latent dimension when those are fewer."""
        import torch

        from xai_views.engine.attribution.bcos import colour_rendering, contribution, pull_back

        x = model.module.encode(model.tensor(images))
        plans: list[Plan] = []

        def vectors(z: torch.Tensor) -> torch.Tensor:
            logit = model.module.logits(model.module.scores(z)).cpu().numpy()
            for i, (ask, old) in enumerate(zip(asks, known, strict=True)):
                new = SICObservation(z[i].cpu().numpy().copy(), logit[i].copy())
                plans.append(self._plan(model, old or new, ask))
            longest = max(len(p.vectors) for p in plans)
            padded = np.zeros((len(plans), longest, z.shape[1]), np.float64)
            for out, p in zip(padded, plans, strict=True):
                if p.vectors:
                    out[: len(p.vectors)] = p.vectors
            return torch.from_numpy(padded).to(z)

        def keep(t: int, weights: torch.Tensor) -> np.ndarray:
            for i, p in enumerate(plans):
                if t in p.rendered:
                    rgba = colour_rendering(x[i], weights[i], self.smoothing, self.percentile)
                    p.pictures[p.rendered[t]] = (rgba * 255).round().to(torch.uint8).cpu().numpy()
            return contribution(weights, x).cpu().numpy()

        _, maps = pull_back(model.module, model.module.latent, x, vectors, keep)
        # copies: a view would keep the maps of the whole batch alive, whatever the cache believes to have dropped
        return [
            p.observation([m[i].copy() for m in maps[: len(p.vectors)]], images.shape[1:3])
            for i, p in enumerate(plans)
        ]

    def _plan(self, model: Any, old: SICObservation, ask: SICAsk) -> Plan:
        """Which vectors to pull back for one image, given what is known of it."""
        supports, classes, _ = self._targets(model, old, ask)
        every, rendered = self._wanted(model, old, ask)
        wanted = {g: v for g, v in every.items() if not old.has(g)}
        active = old.active
        basis = old.basis is None and (ask.everything or len(wanted) > len(active))
        plan = Plan(old, basis, [] if basis else list(wanted))
        plan.vectors = list(np.eye(len(old.z))[active]) if basis else list(wanted.values())
        pull = evidence.pull_vectors(old.z[None], supports.vectors)[0]
        for c, group in zip(classes, rendered, strict=False):
            if group in old.renderings or group in plan.rendered.values():
                continue
            if group in plan.keys:
                plan.rendered[plan.keys.index(group)] = group
            else:
                plan.rendered[len(plan.vectors)] = group
                plan.vectors.append(pull[supports.of_class(c)].sum(0))
        return plan

    # -- the explanation ----------------------------------------------------------------------------------------

    def _logit(self, model: Any, z: np.ndarray, supports: Supports) -> np.ndarray:
        m = model.module
        score = evidence.scores(z, supports.vectors.astype(z.dtype))
        return evidence.logits(score, supports.label, m.classes, m.temperature, m.bias)

    def _map(self, observation: SICObservation, group: Group, vector: np.ndarray) -> np.ndarray:
        if group in observation.maps:
            return observation.maps[group]
        if observation.basis is not None:
            return np.tensordot(
                vector[observation.active].astype(observation.basis.dtype), observation.basis, 1
            )
        return np.sum([observation.maps[k,] for k in group], 0)

    def interpret(self, model: Any, observation: SICObservation, ask: SICAsk) -> xr.Dataset:
        """Evidence, logits and maps of one image from what was observed; products and sums only."""
        z = observation.z
        supports, classes, logit = self._targets(model, observation, ask)
        score = evidence.scores(z[None], supports.vectors.astype(z.dtype))[0]
        pull = evidence.pull_vectors(z[None], supports.vectors)[0]
        t = z.dtype.type(model.module.temperature)
        shape = supports.self_contribution.shape[1:]

        def class_map(c: int) -> np.ndarray:
            rows = supports.of_class(c)
            if not len(rows):
                return np.zeros(shape, z.dtype)
            return self._map(observation, group_of(supports, rows), pull[rows].sum(0)) / t

        contribution = np.stack([class_map(c) for c in classes])
        bias = np.full(len(logit), model.module.bias, z.dtype)
        residual = logit[classes] - bias[classes] - contribution.sum((1, 2), dtype=np.float64).astype(z.dtype)
        norm, cosine = self._distance(model, z)
        ds = xr.Dataset(
            {
                "logit": (("sample", "class"), logit[None]),
                "probability": (("sample", "class"), evidence.probability(logit)[None]),
                "bias": ("class", bias),
                "evidence": (("sample", "support"), (score / t)[None]),
                "latent": (("sample", "dimension"), z[None]),
                "contribution": (("sample", "target", "y", "x"), contribution[None]),
                "residual": (("sample", "target"), residual[None]),
                "self_contribution": (("support", "y", "x"), np.nan_to_num(supports.self_contribution)),
                "norm": ("sample", [norm]),
                "best_cosine": ("sample", [cosine]),
            },
            coords={
                "class": np.asarray(model.classes, str),
                "support_class": ("support", supports.label),
                "support_sample": ("support", supports.index),
                "target_class": (("sample", "target"), np.asarray([classes])),
            },
        )
        if ask.matches:
            ds = ds.merge(self._matches(observation, supports, classes, pull, t))
        if ask.rendering:
            pictures = [observation.renderings[group_of(supports, supports.of_class(c))] for c in classes]
            ds["rendering"] = (("sample", "target", "y", "x", "rgba"), np.stack(pictures)[None])
        return over_leads(model, ds) if model.kind == "signal" else ds

    def _matches(
        self, observation: SICObservation, supports: Supports, classes: list[int], pull: np.ndarray, t: Any
    ) -> xr.Dataset:
        """Maps and latent evidence of each support of the asked classes; -1 pads classes with fewer supports."""
        most = int(np.bincount(supports.label).max(initial=1)) if len(supports) else 1
        shape = supports.self_contribution.shape[1:]
        rows, maps, parts = [], [], []
        for c in classes:
            own = list(supports.of_class(c))
            for r in own + [-1] * (most - len(own)):
                rows.append(r)
                blank = r < 0
                maps.append(
                    np.zeros(shape, observation.z.dtype)
                    if blank
                    else self._map(observation, (supports.keys[r],), pull[r])
                )
                parts.append(np.zeros_like(observation.z) if blank else (pull[r] * observation.z / t))
        return xr.Dataset(
            {
                "support_contribution": (
                    ("sample", "match", "y", "x"),
                    np.stack(maps)[None].astype(observation.z.dtype),
                ),
                "latent_evidence": (
                    ("sample", "match", "dimension"),
                    np.stack(parts)[None].astype(observation.z.dtype),
                ),
            },
            coords={"match_support": (("sample", "match"), np.asarray([rows]))},
        )

    def _distance(self, model: Any, z: np.ndarray) -> tuple[float, float]:
        """Norm of z, and its largest cosine with a training image (1 for a training image itself)."""
        norm = float(np.linalg.norm(z))
        if model.latents is None:
            return norm, float(evidence.cosines(z[None], model.supports.vectors).max(initial=0))
        return norm, float(evidence.cosines(z[None], model.latents.z).max(initial=0))


def latent_vectors(model: Any, images: np.ndarray) -> np.ndarray:
    """Evidence vectors ``[N, p]`` of ``images [N, H, W, C]`` or signals: one forward pass, no graph."""
    import torch

    from xai_views.models import passes

    with torch.no_grad():
        x = model.module.encode(model.tensor(images))
        passes.count_forward(len(x))
        return model.module.latent(x).cpu().numpy()


def complete(model: Any, supports: Supports) -> Supports:
    """Compute the self-contribution maps that an edited support set lacks; needs the network."""
    from xai_views.engine.attribution.bcos import self_contributions

    rows = supports.missing
    if not len(rows):
        return supports
    maps = supports.self_contribution.copy()
    maps[rows] = self_contributions(model.module, supports.image[rows])
    return replace(supports, self_contribution=maps)


def over_leads(model: Any, ds: xr.Dataset) -> xr.Dataset:
    """Maps of signals lie over leads and time: dimensions named so, with the names of the leads and seconds."""
    ds = ds.rename(y="lead", x="time")
    steps = np.arange(ds.sizes["time"]) / (model.rate or 1.0)
    names = list(model.leads) or [str(i) for i in range(ds.sizes["lead"])]
    return ds.assign_coords(lead=names, time=("time", steps, {"units": "s" if model.rate else "steps"}))


def region_evidence(explanation: xr.Dataset, region: np.ndarray, temperature: float) -> xr.DataArray:
    """Evidence of each asked support that lies inside a region of the test sample; exact.

    Parameters
    ----------
    explanation : Dataset
        With ``support_contribution``.
    region : ndarray
        ``[y, x]`` or ``[lead, time]`` bool.
    temperature : float
        T of the network.

    Returns
    -------
    DataArray
        ``(sample, match)``: sum of the map inside the region, divided by T. Inside and outside add up to the evidence.
    """
    maps = explanation["support_contribution"]
    inside = maps.where(xr.DataArray(region, dims=maps.dims[2:]), 0.0)
    return inside.sum(maps.dims[2:]) / temperature


def typical_of(model: Any) -> evidence.Typical | None:
    """How the training images of ``model`` look in latent space; None without cached vectors."""
    return None if model.latents is None else _typical(model.latents)


@lru_cache(maxsize=16)
def _typical(latents: Latents) -> evidence.Typical:
    return evidence.typical(latents.z)
