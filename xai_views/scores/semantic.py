"""Named parts highlighted by saliency maps, and whether superpixels change the ranking of methods.

Parts are ground truth (drawn samples, annotated masks) or named by a person: once per cluster of a codebook, which turns
every image into a part segmentation (the "semi-supervised" evaluation of Boubekki et al., in our interpretation).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xai_views.engine.superpixels.aggregate import superpixelify
from xai_views.engine.superpixels.regions import checked
from xai_views.errors import MethodError
from xai_views.samples import images

#: Saliency methods and controls that :func:`evaluate` compares, if they fit the network.
COMPARED = ("grad-cam", "gradient", "gradient x input", "guided backprop", "random", "edges", "centre")
MOST_IMAGES, CHUNK = 24, 8
FIGURES = ("mass", "density", "rank", "pointing")
#: Chance level of each figure: the part's share of the image, or 1.
CHANCE = {"mass": "area", "density": "1", "rank": "area", "pointing": "area"}


def named_parts(labels: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Build part maps from named clusters; clusters with the same name become one part.

    Parameters
    ----------
    labels : ndarray
        ``[N, H, W]`` cluster ids, the same clusters in all images.
    names : sequence of str
        One per cluster; "" = no part.

    Returns
    -------
    parts : ndarray
        ``[N, H, W]`` ids.
    names : list of str
        By id; id 0 is "nothing" (background).

    Raises
    ------
    MethodError
        When a cluster has no entry in ``names``.
    """
    labels = np.asarray(labels)
    if labels.size and (labels.min() < 0 or labels.max() >= len(names)):
        raise MethodError(
            f"cluster {int(labels.max())} was found and {len(names)} names were given; give one per cluster, '' for no part."
        )
    known = ["nothing", *dict.fromkeys(n for n in names if n and n != "nothing")]
    table = np.array([known.index(n) if n else 0 for n in names], np.int64)
    return table[labels], known


def _rank_share(ordered: np.ndarray, inside: np.ndarray, size: int) -> float:
    """Expected share of the ``size`` highest pixels inside the part, with ties drawn at random.

    ``ordered`` are the values in descending order; ``inside`` tells for each whether it lies in the part.
    """
    edge = ordered[size - 1]
    above = np.searchsorted(-ordered, -edge, side="left")
    upto = np.searchsorted(-ordered, -edge, side="right")
    certain = inside[:above].sum()
    drawn = inside[above:upto].mean() * (size - above)
    return float((certain + drawn) / size)


def one_image(
    map_: np.ndarray, parts: np.ndarray, groups: Sequence[Sequence[int]], positive: str
) -> np.ndarray:
    """Compute the four figures ``[4, P]`` of one map for groups of part ids; NaN for a part that is not in the image.

    "mass" is also NaN if the map has no relevance; "pointing" is the share of the highest pixels (often one) inside the
    part.
    """
    s = np.asarray(map_, np.float64).ravel()
    s = np.abs(s) if positive == "abs" else s
    weight = s.clip(0)
    total = weight.sum()
    flat = parts.ravel()
    order = np.argsort(-s, kind="stable")
    ordered, top = s[order], s == s.max()
    out = np.full((4, len(groups)), np.nan)
    for g, ids in enumerate(groups):
        inside = np.isin(flat, ids)
        size = int(inside.sum())
        if not size:
            continue
        if total > 0:
            out[0, g] = weight[inside].sum() / total
            out[1, g] = out[0, g] / (size / s.size)
        out[2, g] = _rank_share(ordered, inside[order], size)
        out[3, g] = inside[top].mean()
    return out


def intervals(
    values: np.ndarray, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap intervals of means over the last axis, ignoring NaN: images are drawn with replacement.

    Parameters
    ----------
    values : ndarray
        ``[..., N]``; all leading entries use the same draws, so that they can be compared.
    draws, level, seed : int, float, int
        Number of draws, coverage of the interval, and random seed.

    Returns
    -------
    low, high : ndarray
        ``[...]``; NaN without known values.
    """
    n = values.shape[-1]
    picks = np.random.default_rng(seed).integers(0, n, (draws, n))
    count = np.zeros((draws, n))
    np.add.at(count, (np.arange(draws)[:, None], picks), 1)
    known = np.isfinite(values)
    held = known @ count.T  # draws without any image that contains the part have no mean
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(known, values, 0) @ count.T / held
    means = np.where(held > 0, means, np.nan)
    some = known.any(-1)
    tail = (1 - level) / 2
    low, high = np.full(some.shape, np.nan), np.full(some.shape, np.nan)
    if some.any():
        low[some], high[some] = np.nanquantile(means[some], [tail, 1 - tail], axis=-1)
    return low, high


def by_part(
    maps: Mapping[str, np.ndarray],
    parts: np.ndarray,
    names: Sequence[str],
    groups: Mapping[str, Sequence[int]] | None = None,
    positive: str = "positive",
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    """Compute where saliency lies, for every method and part.

    Parameters
    ----------
    maps : mapping
        ``[N, H, W]`` by method; include the controls.
    parts : ndarray
        ``[N, H, W]`` part ids.
    names : sequence of str
        Part names by id.
    groups : mapping, optional
        Additional rows that unite ids, by name; by default "object" is everything but id 0 if there are several parts.
        ``{}``: none.
    positive : {"positive", "abs"}
        Whether relevance is the positive part or the absolute value of a map.
    draws, level, seed : int, float, int
        Options of the bootstrap over images, see :func:`intervals`.

    Returns
    -------
    Dataset
        For each figure in :data:`FIGURES` a variable ``(method, part)``, its interval ``<figure>_low`` and ``_high``, and
        ``<figure>_image (method, part, image)``; ``area (part)``, mean share of the image, and ``shown (part)``, number of
        images that contain the part. Means are over these images; the mass of all parts of an image sums to 1.
        :data:`CHANCE` names the chance level of each figure.
        Select with ``.loc[{"method": name}]``, because ``.sel(method=...)`` has another meaning in xarray.

    Raises
    ------
    MethodError
        When maps and parts differ in size, ids have no names, or there is nothing to evaluate.
    """
    parts = np.asarray(parts)
    if not maps or parts.ndim != 3 or not parts.size:
        raise MethodError(
            f"{len(maps)} method(s) were given with parts of shape {list(parts.shape)}; give maps and parts [N, H, W]."
        )
    for name, m in maps.items():
        if np.shape(m) != parts.shape or not np.isfinite(m).all():
            raise MethodError(
                f"the maps of {name!r} have shape {list(np.shape(m))} and the parts {list(parts.shape)}; give finite maps of the "
                "same shape as the parts."
            )
    if positive not in ("positive", "abs"):
        raise MethodError(f"relevance {positive!r} is not known; choose 'positive' or 'abs'.")
    parts = checked(parts.reshape(len(parts), -1)).reshape(parts.shape)
    if parts.max() >= len(names):
        raise MethodError(
            f"part {int(parts.max())} was found and {len(names)} names were given; give one per part."
        )
    if groups is None:
        groups = {"object": range(1, len(names))} if len(names) > 2 else {}
    ids = [[i] for i in range(len(names))] + [list(g) for g in groups.values()]
    labels = [*names, *groups]
    figures = np.stack(
        [
            np.stack([one_image(m, p, ids, positive) for m, p in zip(ms, parts, strict=True)], -1)
            for ms in maps.values()
        ]
    )  # [method, figure, part, image]
    area = np.array([[np.isin(p, g).mean() for p in parts] for g in ids])
    ds = xr.Dataset(coords={"method": list(maps), "part": labels})
    for f, name in enumerate(FIGURES):
        values = figures[:, f]
        low, high = intervals(values, draws, level, seed)
        ds[name] = (("method", "part"), _mean(values))
        ds[f"{name}_low"], ds[f"{name}_high"] = (("method", "part"), low), (("method", "part"), high)
        ds[f"{name}_image"] = (("method", "part", "image"), values)
    ds["area"] = ("part", _mean(np.where(area > 0, area, np.nan)))
    ds["shown"] = ("part", (area > 0).sum(1))
    ds.attrs.update(positive=positive, draws=draws, level=level, images=len(parts))
    return ds


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis, ignoring NaN; NaN, without a warning, where nothing is known."""
    known = np.isfinite(values)
    count = known.sum(-1)
    return np.where(count > 0, np.where(known, values, 0).sum(-1) / np.maximum(count, 1), np.nan)


# -- does the ranking of methods change? -----------------------------------------------------------------------------


def disagreement(
    raw: Mapping[str, np.ndarray],
    other: Mapping[str, np.ndarray],
    higher_is_better: bool = True,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    """Compare two rankings of the same methods, such as by original and by superpixel maps.

    Parameters
    ----------
    raw, other : mapping
        Scores by method: ``[N]`` per image (or one number).
    higher_is_better : bool
        False for areas under MoRF curves.
    draws, level, seed : int, float, int
        Options of the bootstrap over images, see :func:`intervals`.

    Returns
    -------
    Dataset
        ``raw, other (method)`` mean scores, ``rank_raw, rank_other (method)`` (1 = best, ties share the mean rank), ``tau``
        with ``tau_low, tau_high`` (Kendall's tau-b), and ``flipped``: share of pairs of methods in reversed order.

    Raises
    ------
    MethodError
        When methods or numbers of images differ, or there are fewer than two methods.
    """
    if list(raw) != list(other) or len(raw) < 2:
        raise MethodError(
            f"scores of {len(raw)} and {len(other)} methods were given; give the same two or more methods, in the same order."
        )
    a, b = (np.stack([np.atleast_1d(np.asarray(v, np.float64)) for v in s.values()]) for s in (raw, other))
    if a.shape != b.shape:
        raise MethodError(
            f"scores of {a.shape[1]} and {b.shape[1]} image(s) were given; compare the same images."
        )
    from scipy.stats import kendalltau, rankdata

    means = a.mean(1), b.mean(1)
    picks = np.random.default_rng(seed).integers(0, a.shape[1], (draws, a.shape[1]))
    taus = np.array([kendalltau(a[:, p].mean(1), b[:, p].mean(1)).statistic for p in picks])
    tail = (1 - level) / 2
    low, high = np.nanquantile(taus, [tail, 1 - tail]) if np.isfinite(taus).any() else (np.nan, np.nan)
    sign = -1 if higher_is_better else 1
    i, j = np.triu_indices(len(a), 1)
    flipped = (means[0][i] - means[0][j]) * (means[1][i] - means[1][j]) < 0
    return xr.Dataset(
        {
            "raw": ("method", means[0]),
            "other": ("method", means[1]),
            "rank_raw": ("method", rankdata(sign * means[0])),
            "rank_other": ("method", rankdata(sign * means[1])),
            "tau": kendalltau(*means).statistic,
            "tau_low": low,
            "tau_high": high,
            "flipped": float(flipped.mean()),
        },
        coords={"method": list(raw)},
    )


# -- the evaluation of a data set ------------------------------------------------------------------------------------


def evaluated(n: int) -> np.ndarray:
    """Return the positions of the images to evaluate, of ``n``: at most 24, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, MOST_IMAGES)).astype(int))


def evaluate(
    model: Any,
    samples: xr.Dataset,
    known: tuple[np.ndarray, list[str]] | None,
    method: Any,
    ask: Any,
    progress: Callable[[int, int], Any] = lambda *_: None,
) -> Generator[Any, None, tuple[xr.Dataset, xr.Dataset, str]]:
    """Evaluate saliency methods on some images; a generator, so that a worker can serve other requests in between.

    Parameters
    ----------
    model : Model
        The network.
    samples : Dataset
        Images, of which :func:`evaluated` selects some.
    known : (ndarray, list of str) or None
        Part ids ``[N, H, W]`` of the selected images and their names; None uses the named clusters of ``ask.codebook``.
    method, ask : Method, Ask
        The method ``nave`` and a request for it, with taps; it provides the superpixels.
    progress : callable
        ``progress(done, total)``; may raise to stop.

    Returns
    -------
    (Dataset, Dataset, str)
        Methods by parts; the rankings by original and by superpixel maps; the part used for ranking.
    """
    from xai_views.engine.attribution.maps import fits, saliency_steps  # loads torch

    rows = evaluated(samples.sizes["sample"])
    names = [n for n in COMPARED if not fits(model, n)]
    maps: dict[str, list[np.ndarray]] = {n: [] for n in names}
    read: dict[str, list[np.ndarray]] = {n: [] for n in names}
    parts: list[np.ndarray] = []
    titles: list[str] = []
    total = len(rows) * (len(names) + 1)
    for begin in range(0, len(rows), CHUNK):
        batch = images(samples, rows[begin : begin + CHUNK])
        observed = method.observe(model, batch, [ask] * len(batch), [None] * len(batch))
        seen = [method.interpret(model, o, ask) for o in observed]
        segment = np.stack([s["segment"].values[0] for s in seen]).astype(np.int64)
        targets = [int(s["logit"].values[0].argmax()) for s in seen]
        if known is None:
            here, titles = named_parts(segment, ask.codebook.names)
        else:
            here, titles = known[0][begin : begin + CHUNK], known[1]
        parts.append(here)
        progress(begin * (len(names) + 1) + len(batch), total)
        yield
        for i, name in enumerate(names):
            found = yield from saliency_steps(model, batch, targets, name)
            maps[name].append(found)
            read[name].append(np.stack([superpixelify(m, s) for m, s in zip(found, segment, strict=True)]))
            progress(begin * (len(names) + 1) + len(batch) * (i + 2), total)
            yield
    stacked = np.concatenate(parts)
    joined = [{n: np.concatenate(v) for n, v in m.items()} for m in (maps, read)]
    tables = [by_part(m, stacked, titles, draws=300) for m in joined]
    part = "object" if "object" in tables[0]["part"].values else titles[-1]
    raw, read_on = (
        {n: t["mass_image"].loc[{"method": n, "part": part}].values for n in names} for t in tables
    )
    whole = np.all([np.isfinite(v) for v in (*raw.values(), *read_on.values())], axis=0)
    first, second = ({n: v[whole] for n, v in scores.items()} for scores in (raw, read_on))
    return tables[0], disagreement(first, second, draws=300), part
