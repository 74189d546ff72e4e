"""Method ``ecg_clusters``: a record as a sequence of activation clusters, and their contributions to a logit.

Source: Boubekki, Patlatzoglou, Barker, Ng and Ribeiro (arXiv 2509.15198). Codebook, temperature, ensemble and contributions
are our extensions; ``docs/methods/ecg_clusters.md`` lists each choice.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from collections.abc import Sequence as Listed
from typing import Any, ClassVar

import numpy as np
import param
import torch
import xarray as xr

from xai_views.contract.ask import Ask
from xai_views.contract.content import Content
from xai_views.contract.method import PREDICTED, Method, Progress
from xai_views.engine.attribution.steps import relayed
from xai_views.engine.clusters import ablation, soft
from xai_views.engine.clusters.observing import asked_classes, observe_gradients, observe_taps
from xai_views.errors import MethodError, ModelError
from xai_views.methods.ecg_clusters import answers
from xai_views.methods.ecg_clusters.attribution import METHODS, OWN, attributing, cost
from xai_views.methods.ecg_clusters.edits import checked, edited
from xai_views.methods.ecg_clusters.fit import Fitted, shipped
from xai_views.methods.ecg_clusters.observation import EcgObserved, centres, put, signal_length
from xai_views.methods.ecg_clusters.sequence import sequence, votes
from xai_views.models.heads import Head, find_head
from xai_views.models.taps import default_taps, replace_activation

MODES = ("own", "codebook")
SOFT = ("tempered", "gmm", "fuzzy")


class EcgClustersMethod(Method):
    """Time-localised clusters of the activations of a signal network."""

    key: ClassVar[str] = "ecg_clusters"
    title: ClassVar[str] = "Time-localised clusters"
    question: ClassVar[str] = "why"
    takes: ClassVar[tuple[str, ...]] = ("signal",)
    preference: ClassVar[int] = 20
    cost: ClassVar[str] = (
        "1 forward pass, plus 1 per set of edits; 1 backward pass per class if the head is not linear; "
        "plus the cost of the chosen attribution; changing codebook, K or temperature needs no pass"
    )

    mode = param.Selector(
        default="own",
        objects=list(MODES),
        doc="Clusters of each record alone (ids are not comparable between records), or of a shared codebook.",
    )
    codebook = Content(
        kind="xai_views.methods.ecg_clusters.fit:Fitted",
        doc="Codebook shared by all records, with its bootstrap ensemble; None = the codebook shipped with the model.",
    )
    codebook_key = param.String(
        "",
        precedence=-1,
        doc="Checksum of the expected codebook of the model; another codebook is refused. '' = accept any.",
    )
    ensemble = param.Boolean(False, doc="Compute the disagreement of the codebook's bootstrap ensemble.")
    taps = param.List(
        [],
        item_type=str,
        doc="Layers to cluster (module paths, shallow to deep); [] = the default layers. A codebook has its own.",
    )
    weights = param.ClassSelector(
        default="authors",
        class_=(str, list, tuple),
        doc="Layer weights: authors, equal, deep-first, or one number per layer. A codebook has its own.",
    )
    k = param.Integer(8, bounds=(1, 32), doc="Number of clusters K (without a codebook).")
    seed = param.Integer(0, bounds=(0, None), doc="Random seed of k-means.")
    soft = param.Selector(
        default="tempered", objects=list(SOFT), doc="Soft assignment from which the entropy is computed."
    )
    temperature = param.Number(
        0.0,
        bounds=(0, None),
        doc="Temperature of the soft assignment; 0 = the spread of the codebook or record.",
    )
    targets = param.List(
        [PREDICTED],
        item_type=int,
        doc="Explained classes; -1 = the predicted class. An attribution explains the first one.",
    )
    length = param.Integer(
        0,
        bounds=(0, None),
        precedence=-1,
        doc="Number of steps that are signal; 0 = up to the last non-zero step.",
    )
    ablated = param.List([], item_type=int, doc="Clusters to remove, by id; [] = none.")
    keep = param.Boolean(False, doc="Remove all clusters except the listed ones.")
    fill = param.Selector(
        default="mean",
        objects=list(ablation.FILLS),
        doc="Replacement of removed clusters: mean of the rest, zero, or mean of the data set.",
    )
    shapley = param.Boolean(False, doc="Compute exact Shapley values of the clusters (at most 10).")
    edits = param.List(
        [],
        item_type=Mapping,
        doc="Edits applied to the record before it enters the network, see xai_views.methods.ecg_clusters.edits.",
    )
    attribution = param.Selector(
        default="", objects=["", *METHODS, OWN], doc="Attribution method, per lead and time step; '' = none."
    )
    attribution_steps = param.Integer(32, bounds=(1, None), doc="Number of steps of integrated gradients.")
    window = param.Number(
        0.0, bounds=(0, None), doc="Length of an occlusion window in s; 0 = 1/25 of the record."
    )

    def reason(self, model: Any) -> str:
        """Return "" for a network with time steps to cluster, else the reason."""
        try:
            return (
                ""
                if default_taps(model)
                else f"method 'ecg_clusters' needs activations over time and {model.name!r} has none; choose another method."
            )
        except ModelError as e:
            return str(e)

    def ready(self, model: Any, ask: Ask) -> Ask:
        """Fill in the taps and the checksum of the model's own codebook, so that equal requests have equal keys.

        Raises
        ------
        MethodError
            When the method does not fit, the codebook is missing or of another model, or an edit is not valid.
        """
        if reason := self.fits(model):
            raise MethodError(reason)
        ask = ask.replace(edits=[checked(edit, model.channels) for edit in ask.edits])
        fitted = codebook_of(model, ask)
        if fitted is None:
            return ask.replace(taps=ask.taps or default_taps(model), codebook_key="")
        return ask.replace(taps=fitted.book.taps, codebook_key="" if ask.codebook is not None else fitted.key)

    # -- is another pass needed? -----------------------------------------------------------------------------------------

    def covers(self, model: Any, observation: EcgObserved, ask: Ask) -> bool:
        """Return whether the observation answers the request without another pass."""
        ask, head = self.ready(model, ask), find_head(model)
        known = observation.variant(ask)
        if known is None or any(p not in known.activations for p in ask.taps):
            return False
        if not head.exact and any(c not in known.gradients for c in asked_classes(known.logit, ask.targets)):
            return False
        if answers.needs_pass(head, ask) and answers.answer_key(ask) not in known.answers:
            return False
        return not ask.attribution or observation.attribution_key(ask) in observation.attributions

    # -- the network --------------------------------------------------------------------------------------------

    def observe(
        self, model: Any, inputs: np.ndarray, asks: Listed[Ask], known: Listed[EcgObserved | None]
    ) -> list[EcgObserved] | Generator[Progress, None, list[EcgObserved]]:
        """Run one forward pass for all taps of each edited record; ``inputs`` are signals ``[N, lead, time]``.

        Gradients and ablated logits are computed only where the head is not linear, and attributions only on request; only
        then is this a generator. On the CPU records pass through the network one by one, which takes no longer, so that no
        digit of a result depends on the other records of the batch.
        """
        asks = [self.ready(model, ask) for ask in asks]
        model.check(inputs)
        found = [
            o.copy() if o is not None else EcgObserved(signal_length(x), x.shape[1])
            for o, x in zip(known, inputs, strict=True)
        ]
        signals = [
            edited(x, a.edits, model.rate or 1.0, o.steps(a)) if a.edits else np.asarray(x)
            for x, a, o in zip(inputs, asks, found, strict=True)
        ]
        everything = range(len(asks))
        for rows in [[i] for i in everything] if model.device.type == "cpu" else [list(everything)]:
            _look(model, [signals[i] for i in rows], [asks[i] for i in rows], [found[i] for i in rows])
        if any(
            a.attribution and o.attribution_key(a) not in o.attributions
            for a, o in zip(asks, found, strict=True)
        ):
            return _attributed(model, signals, asks, found)
        return found

    # -- the explanation ----------------------------------------------------------------------------------------

    def interpret(self, model: Any, observation: EcgObserved, ask: Ask) -> xr.Dataset:
        """Compute sequence, certainty, shares and contributions of one record; no pass of the network."""
        ask, head = self.ready(model, ask), find_head(model)
        fitted = codebook_of(model, ask)
        book = None if fitted is None else fitted.book
        variant, length = observation.variants[observation.variant_key(ask)], observation.steps(ask)
        found = sequence(variant, ask, book, length)
        targets = asked_classes(variant.logit, ask.targets)
        ds = answers.answers(model, variant, ask, book, targets, head, found)
        certain, temperature = found.certainty(ask.soft, ask.temperature)
        time = ("sample", "time")
        ds = ds.assign(
            cluster=(time, found.labels.numpy().astype(np.int16)[None]),
            entropy=(time, _f32(certain["entropy"])),
            margin=(time, _f32(certain["margin"])),
            second=(time, certain["second"].numpy().astype(np.int16)[None]),
            proportion=(("sample", "cluster"), found.proportion.numpy()[None]),
            temperature=("sample", [float(temperature)]),
        )
        if fitted is not None and ask.ensemble:
            shares = votes(variant, ask, fitted.book, fitted.ensemble, length)
            split = soft.entropy(shares[None])[0].abs()  # full agreement is 0, not -0
            ds["ensemble_entropy"] = (time, _f32(split))
        units = {"units": "s" if model.rate else "steps"}
        ds = ds.assign_coords(
            time=("time", centres(len(found.labels), variant.size[0], model.rate), units),
            length=("sample", [length]),
        )
        if ask.attribution:
            ds = _with_attribution(model, ds, observation, ask)
        if book is not None:
            ds = ds.assign_coords(cluster_name=("cluster", np.asarray(book.names, str)))
        return ds


def codebook_of(model: Any, ask: Ask) -> Fitted | None:
    """Return the codebook of a request; None where each record has its own clusters.

    Raises
    ------
    MethodError
        In one sentence, when the codebook is missing, differs from the requested one, or is of another model.
    """
    if ask.mode == "own":
        if ask.codebook is not None or ask.ensemble:
            given = "an ensemble was requested" if ask.codebook is None else "a codebook was given"
            raise MethodError(
                f"{given} with mode='own', which uses none; set mode='codebook', or leave it out."
            )
        return None
    fitted = ask.codebook if ask.codebook is not None else shipped(model)
    if fitted is None:
        raise MethodError(
            f"no codebook is shipped with {model.name!r}; fit one and give it as codebook, or set mode='own'."
        )
    if ask.codebook is None and ask.codebook_key not in ("", fitted.key):
        raise MethodError(
            f"the codebook shipped with {model.name!r} ({fitted.key[:8]}) is not the requested one "
            f"({ask.codebook_key[:8]}); give that one as codebook, or leave codebook_key out."
        )
    if fitted.book.model_sha256 not in ("", model.sha256):
        raise MethodError(
            f"the codebook was fitted on another model ({fitted.book.model_sha256[:8]}) and {model.name!r} is "
            f"{model.sha256[:8]}; fit one on this model."
        )
    if ask.ensemble and not fitted.ensemble:
        raise MethodError(
            "an ensemble was requested and the codebook has none; fit it with at least 2 members."
        )
    return fitted


def _look(model: Any, signals: list[np.ndarray], asks: list[Ask], found: list[EcgObserved]) -> None:
    """Run the network on some records together, and store its outputs."""
    x, head = model.tensor(np.stack(signals)), find_head(model)
    paths = list(dict.fromkeys([*default_taps(model), *(p for ask in asks for p in ask.taps)]))
    pairs = list(zip(found, asks, strict=True))
    seen = observe_taps(model, x, head, paths, [o.variant(ask) for o, ask in pairs])
    if not head.exact:
        targets = [asked_classes(v.logit, ask.targets) for v, ask in zip(seen, asks, strict=True)]
        observe_gradients(model, x, head, targets, seen)
    for i, (observation, ask) in enumerate(pairs):
        put(observation.variants, observation.variant_key(ask), seen[i])
        if answers.needs_pass(head, ask):
            _without(model, head, x[i : i + 1], observation, ask)


def _without(model: Any, head: Head, x: torch.Tensor, observation: EcgObserved, ask: Ask) -> None:
    """Compute the logits with some clusters removed, by a pass of the network."""
    variant = observation.variants[observation.variant_key(ask)]
    key = answers.answer_key(ask)
    if key in variant.answers:
        return
    fitted = codebook_of(model, ask)
    book = None if fitted is None else fitted.book
    changed = answers.ablated(variant, ask, book, sequence(variant, ask, book, observation.steps(ask)))
    logit = replace_activation(model, x, head.tap, changed.to(x))
    variant.answers[key] = logit[0].cpu().numpy().copy()


def _attributed(
    model: Any, signals: list[np.ndarray], asks: list[Ask], found: list[EcgObserved]
) -> Generator[Progress, None, list[EcgObserved]]:
    """Compute the requested attributions that are missing, one call of the network after another."""
    keys = [o.attribution_key(a) if a.attribution else None for a, o in zip(asks, found, strict=True)]
    missing = [i for i, key in enumerate(keys) if key is not None and key not in found[i].attributions]
    options = [{"steps": a.attribution_steps, "window": a.window} for a in asks]
    costs = {i: cost(model, asks[i].attribution, **options[i]) for i in missing}
    done = 0
    for i in missing:

        def with_map(map_: np.ndarray, gap: float, i: int = i) -> EcgObserved:
            """Return the observation extended by an attribution; values in the padding are moved to the gap."""
            observation, own = found[i].copy(), map_.copy()
            outside = own[:, observation.steps(asks[i]) :]  # an occlusion window may reach into the padding
            gap += float(outside.sum(dtype=np.float64))
            outside[:] = 0
            put(observation.attributions, keys[i], (own, gap))
            return observation

        def told(p: Progress, i: int = i, done: int = done) -> Progress:
            partial: list[EcgObserved | None] | None = None
            if p.partial:
                partial = [None] * len(found)
                partial[i] = with_map(*p.partial[0])
            return Progress(done + p.done, sum(costs.values()), partial)

        target = found[i].attribution_key(asks[i])[1]
        run = attributing(model, signals[i], target, asks[i].attribution, **options[i])
        found[i] = with_map(*(yield from relayed(run, told)))
        done += costs[i]
    return found


def _with_attribution(model: Any, ds: xr.Dataset, observation: EcgObserved, ask: Ask) -> xr.Dataset:
    key = observation.attribution_key(ask)
    map_, gap = observation.attributions[key]
    names = list(model.leads) if len(model.leads) == len(map_) else [str(i) for i in range(len(map_))]
    units = {"units": "s" if model.rate else "steps"}
    return ds.assign(
        attribution=(("sample", "lead", "signal_time"), map_[None]),
        attribution_gap=("sample", [gap]),
    ).assign_coords(
        lead=names,
        signal_time=("signal_time", np.arange(map_.shape[1]) / (model.rate or 1.0), units),
        attribution_class=("sample", [key[1]]),
    )


def _f32(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy().astype(np.float32)[None]
