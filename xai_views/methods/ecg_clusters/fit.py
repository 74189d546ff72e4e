"""Fit a codebook on many records with a bootstrap ensemble; streamed, and resumable after an interruption."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
import yaml
from safetensors.torch import load_file, save_file

from xai_views import kinds
from xai_views.contract.content import checksum
from xai_views.engine.clusters.codebook import CARD, Codebook
from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import kmeans
from xai_views.engine.clusters.match import match
from xai_views.engine.clusters.sample import Sample
from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.observation import signal_cells, signal_length
from xai_views.methods.ecg_clusters.sequence import INTERPOLATION
from xai_views.models.heads import Head, find_head
from xai_views.models.stored import CLUSTERS
from xai_views.models.taps import capture, default_taps
from xai_views.samples import digest, inputs

CHUNK = 16  # records per pass and per saved state
PER_RECORD = 50  # steps drawn per record
MEMBERS = 5  # number of bootstrap codebooks
MOST_RECORDS = 4000  # above this, records are drawn at even intervals
PLAN, BOOK, STATE = "fit.yaml", "codebook", "chunks"


@dataclass(frozen=True, eq=False)
class Fitted:
    """A codebook with its bootstrap ensemble, whose clusters are matched to it; the value of a method parameter.

    Attributes
    ----------
    book : Codebook
        The clusters.
    ensemble : tuple of Codebook
        Codebooks of records drawn with replacement, matched to ``book`` one to one.

    Raises
    ------
    MethodError
        When the ensemble belongs to another codebook.
    """

    book: Codebook
    ensemble: tuple[Codebook, ...] = ()

    def __post_init__(self) -> None:
        if any(m.k != self.book.k or m.taps != self.book.taps for m in self.ensemble):
            raise MethodError(
                f"the ensemble belongs to another codebook than the given one with {self.book.k} clusters; give two that "
                "were fitted together."
            )

    @cached_property
    def key(self) -> str:
        """Checksum of everything that an explanation uses, names included."""
        return checksum(json.dumps(self.to_json(), sort_keys=True))

    @property
    def cool(self) -> float:
        """A lower temperature for display: a quarter of the spread, at which about half of the steps appear fairly certain.

        At the spread itself, the default of the method, nearly every step appears uncertain.
        """
        return self.book.spread / 4

    @property
    def share(self) -> np.ndarray:
        """Share ``[K]`` of each cluster in the drawn steps; equal shares if they were not counted."""
        counts = self.book.counts.double().numpy() if self.book.counts.numel() else np.ones(self.book.k)
        return counts / max(counts.sum(), 1)

    def to_json(self) -> dict[str, Any]:
        """Return everything that :meth:`from_json` needs to restore it, bit for bit."""
        return {"book": self.book.to_json(), "ensemble": [m.to_json() for m in self.ensemble]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fitted:
        """Restore from :meth:`to_json`; raises ``KeyError``, ``TypeError`` or ``ValueError`` for other values."""
        return cls(Codebook.from_json(value["book"]), tuple(Codebook.from_json(m) for m in value["ensemble"]))

    def save(self, folder: str | Path) -> Path:
        """Write all codebooks below a folder; ``codebook/card.yaml`` last, so that an interrupted save is detected."""
        folder = Path(folder)
        (folder / BOOK / CARD).unlink(missing_ok=True)
        for i, member in enumerate(self.ensemble):
            member.save(folder / f"ensemble-{i}")
        self.book.save(folder / BOOK)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Fitted:
        """Load from :meth:`save`; raises :class:`MethodError` when files are missing or damaged."""
        folder = Path(folder)
        members = sorted(folder.glob("ensemble-*"), key=lambda p: int(p.name.rpartition("-")[2]))
        return cls(Codebook.load(folder / BOOK), tuple(Codebook.load(m) for m in members))


def shipped(model: Any) -> Fitted | None:
    """Return the codebook stored in the folder of a model; None without one, or if it was fitted on other weights."""
    place = None if model.path is None else Path(model.path) / CLUSTERS
    if place is None or not (place / BOOK / CARD).is_file():
        return None
    cards = sorted(place.glob(f"*/{CARD}"))
    found = _opened(place, tuple((str(c), c.stat().st_mtime_ns) for c in cards))
    return found if found.book.model_sha256 == model.sha256 else None


@lru_cache(maxsize=8)
def _opened(folder: Path, cards: tuple[tuple[str, int], ...]) -> Fitted:  # noqa: ARG001 - part of the cache key, so that changed files are re-read
    return Fitted.load(folder)


def fit(
    model: Any,
    samples: xr.Dataset,
    *,
    k: int = 8,
    taps: Sequence[str] = (),
    weights: str | Sequence[float] = "authors",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    folder: str | Path | None = None,
    per_record: int = PER_RECORD,
    members: int = MEMBERS,
    most: int = MOST_RECORDS,
) -> Generator[None, None, Fitted]:
    """Fit a codebook; a generator, so that a worker can serve other requests between chunks.

    Parameters
    ----------
    model : Model
        A signal network; every record passes through it once.
    samples : Dataset
        Records in the format of the model (see ``xai_views.samples.prepare``). Steps beyond ``length``, or after the last
        non-zero step, are not drawn.
    k : int
        Number of clusters.
    taps : sequence of str
        Layers (module paths, shallow to deep); () = the default layers.
    weights : str or sequence of float
        A preset ("authors", "equal", "deep-first") or one weight per layer.
    seed : int
        Random seed of the drawn steps and of k-means.
    progress : callable, optional
        ``progress(done, total)`` after every chunk and codebook; may raise to stop.
    folder : str or Path, optional
        Where the state is saved after every chunk, and the codebooks at the end. The same call with the same folder resumes
        an interrupted fit, and loads a finished one without a pass.
    per_record : int
        Steps drawn per record; which ones depends on seed, record and step only.
    members : int
        Number of bootstrap codebooks: k-means on the drawn steps of records drawn with replacement.
    most : int
        Maximum number of records, drawn at even intervals.

    Returns
    -------
    Fitted
        The value of ``StopIteration``; :func:`finished` runs the generator and returns it.

    Raises
    ------
    MethodError
        In one sentence, when records and model do not fit, there are fewer drawn steps than clusters, or the folder holds
        a fit of another model, other records or other parameters.
    """
    check_records(model, samples)
    plain = weights if isinstance(weights, str) else tuple(float(w) for w in weights)
    wish = Wish(int(k), tuple(taps) or default_taps(model), plain, int(seed))
    if per_record < 1 or members < 0 or most < 1:
        raise MethodError(
            f"{per_record} steps of {most} records and {members} members were given; give at least 1, 1 and 0."
        )
    chosen = np.unique(
        np.linspace(0, samples.sizes["sample"] - 1, min(samples.sizes["sample"], most)).astype(int)
    )
    folder = None if folder is None else Path(folder)
    if folder is not None:
        _begin(folder, _plan(model, samples, wish, chosen, per_record, members))
        if (folder / BOOK / CARD).is_file():
            return Fitted.load(folder)
    chunks = [chosen[i : i + CHUNK] for i in range(0, len(chosen), CHUNK)]
    total, done = len(chunks) + 1 + members, 0

    def report() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    stream = _Stream(model, samples, wish, per_record, folder)
    for number, rows in enumerate(chunks):
        stream.add(number, rows)
        report()
        yield
    book = stream.book()
    report()
    yield
    ensemble: list[Codebook] = []
    for i in range(members):
        ensemble.append(bootstrap(stream.sample, book, i))
        report()
        yield
    fitted = Fitted(book, tuple(ensemble))
    if folder is not None:
        fitted.save(folder)
        shutil.rmtree(folder / STATE, ignore_errors=True)
    return fitted


def finished(steps: Generator[None, None, Fitted]) -> Fitted:
    """Run :func:`fit` to its end and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def check_records(model: Any, samples: Any) -> None:
    """Raise a one-sentence :class:`MethodError` unless the records of a data set fit a signal network."""
    if model.kind != "signal":
        raise MethodError(
            f"a codebook of records needs a signal network and {model.name!r} takes images; choose another model."
        )
    if kinds.of(samples).key != "signal":
        raise MethodError(
            f"a codebook of {model.name!r} needs signal records and the samples have no 'signal'; open a set of records."
        )
    leads = tuple(str(x) for x in samples["lead"].values)
    if len(leads) != model.channels or (model.leads and leads != tuple(model.leads)):
        raise MethodError(
            f"model {model.name!r} expects the {model.channels} leads {', '.join(model.leads) or '(unnamed)'} and the records "
            f"have {', '.join(leads)}; convert them with xai_views.samples.prepare."
        )
    rate, steps = float(samples.attrs.get("rate", 0)), samples.sizes["time"]
    if steps != model.size[0] or (model.rate and rate and abs(rate / model.rate - 1) > 1e-6):
        at = f" at {model.rate:g} Hz" if model.rate else ""
        raise MethodError(
            f"model {model.name!r} expects {model.size[0]} steps{at} and the records have {steps} at {rate:g} Hz; convert them "
            "with xai_views.samples.prepare."
        )


def lengths(samples: xr.Dataset, rows: Any, signals: Any) -> list[int]:
    """Number of steps that are signal of records ``[n, lead, time]``, from the data set or from the zeros at the end."""
    if "length" in samples:
        return [int(n) for n in samples["length"].values[rows]]
    return [signal_length(x) for x in signals]


@dataclass(frozen=True)
class Wish:
    """Parameters of a fit, see :func:`fit`."""

    k: int
    taps: tuple[str, ...]
    weights: str | tuple[float, ...]
    seed: int


# -- the state on disk -------------------------------------------------------------------------------------------


def _plan(
    model: Any, samples: xr.Dataset, wish: Wish, chosen: np.ndarray, per_record: int, members: int
) -> dict[str, Any]:
    """Everything that the codebooks depend on; records by their names and the content of the first and the last record."""
    content = hashlib.sha256("\n".join(str(n) for n in samples["name"].values[chosen]).encode())
    for i in (chosen[0], chosen[-1]):
        content.update(digest(inputs(samples, [i])[0]).encode())
    if "length" in samples:
        content.update(samples["length"].values[chosen].astype(np.int64).tobytes())
    return {
        "model": model.sha256,
        "records": content.hexdigest(),
        "taps": list(wish.taps),
        "weights": wish.weights if isinstance(wish.weights, str) else list(wish.weights),
        "k": wish.k,
        "seed": wish.seed,
        "per_record": per_record,
        "members": members,
    }


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Write the plan of a fit, or check that the existing plan in the folder is the same."""
    path = folder / PLAN
    if not path.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise MethodError(f"folder {folder.name!r} is not empty and holds no fit; choose another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".part")
        aside.write_text(yaml.safe_dump(plan, sort_keys=False), "utf-8")
        aside.rename(path)
        return
    try:
        begun = dict(yaml.safe_load(path.read_text("utf-8")))
    except (yaml.YAMLError, TypeError, ValueError):
        raise MethodError(f"{PLAN} in {folder.name!r} cannot be read; choose another folder.") from None
    for key, value in plan.items():
        if begun.get(key) != value:
            raise MethodError(
                f"the fit in {folder.name!r} was started with {key} {_short(begun.get(key))} and {_short(value)} was given "
                "to resume it; give the same value, or another folder."
            )


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else str(value)


class _Stream:
    """Steps drawn record by record, in chunks; each chunk is saved in a folder of its own."""

    def __init__(
        self, model: Any, samples: xr.Dataset, wish: Wish, per_record: int, folder: Path | None
    ) -> None:
        self.model, self.samples, self.wish, self.per_record = model, samples, wish, per_record
        self.folder = None if folder is None else folder / STATE
        self.head: Head = find_head(model)
        self.sample = self._empty()
        self.sum, self.cells = torch.zeros(0, dtype=torch.float64), 0.0

    def _empty(self) -> Sample:
        return Sample(self.per_record, self.wish.seed, self.wish.weights, "shallowest", INTERPOLATION)

    def add(self, number: int, rows: np.ndarray) -> None:
        """Draw from the records of a chunk, or load the steps drawn before an interruption."""
        found = self._kept(number)
        if found is None:
            found = self._drawn(rows)
            self._keep(number, *found)
        part, last = found
        self.sample.merge(part)
        self.sum = last[:-1] if not len(self.sum) else self.sum + last[:-1]
        self.cells += float(last[-1])

    def _drawn(self, rows: np.ndarray) -> tuple[Sample, torch.Tensor]:
        signals = inputs(self.samples, rows)
        steps = lengths(self.samples, rows, signals)
        x = self.model.tensor(signals)
        paths = list(dict.fromkeys([*self.wish.taps, self.head.tap]))
        _, kept = capture(self.model, x, paths)
        activations = [kept[p].cpu() for p in self.wish.taps]
        part = self._empty()
        part.add(activations, tuple(x.shape[2:]), _mask(steps, x, activations[0]), rows.tolist())
        last = kept[self.head.tap].cpu().double()
        inside = _mask(steps, x, last)
        # the sum of each channel, and the number of cells summed
        return part, torch.cat([(last * inside[:, None]).sum((0, 2)), inside.sum()[None].double()])

    def _keep(self, number: int, part: Sample, last: torch.Tensor) -> None:
        if self.folder is None:
            return
        place = self.folder / f"{number:06}"
        aside = place.with_suffix(".part")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)
        part.save(aside)
        save_file({"last": last}, aside / "last.safetensors")
        aside.rename(place)

    def _kept(self, number: int) -> tuple[Sample, torch.Tensor] | None:
        place = None if self.folder is None else self.folder / f"{number:06}"
        if place is None or not place.is_dir():
            return None
        try:
            return Sample.load(place), load_file(place / "last.safetensors")["last"]
        except Exception:  # noqa: BLE001 - a damaged chunk is drawn again
            return None

    def book(self) -> Codebook:
        about = {
            "model_sha256": self.model.sha256,
            "samples": str(self.samples.attrs.get("title", "")),
            "last_mean": (self.sum / max(self.cells, 1.0)).float(),
        }
        return Codebook.of(self.sample, self.wish.k, self.wish.taps, **about)


def _mask(steps: Sequence[int], x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Cells ``[n, T]`` of a map that are signal."""
    return torch.stack([signal_cells(n, x.shape[2], like.shape[2]) for n in steps])


def bootstrap(sample: Sample, book: Codebook, number: int) -> Codebook:
    """Fit a codebook on records drawn with replacement; its clusters are in the order of those of ``book``.

    Parameters
    ----------
    sample : Sample
        Sample that ``book`` was fitted on.
    book : Codebook
        Defines the order: its clusters and the new ones are matched one to one by the cosines of their centroids. If the
        drawn records have fewer distinct steps than clusters, unmatched centroids of ``book`` are kept.
    number : int
        Index of the ensemble member; with the seed of the sample it determines the draw.
    """
    origin, rng = sample.origin[:, 0].numpy(), np.random.default_rng([sample.seed, number])
    records, first, count = np.unique(origin, return_index=True, return_counts=True)
    drawn = rng.integers(0, len(records), len(records))
    index = np.concatenate([np.arange(first[i], first[i] + count[i]) for i in drawn])
    rows = Features.raw(sample.rows[torch.from_numpy(index)])
    found = kmeans(rows, min(book.k, len(index)), seed=sample.seed + number + 1)
    blocks = list(found.centroids[0].split(sample.sizes, 1))
    order = torch.from_numpy(match(book.centroids, blocks))
    centroids = [m.clone() for m in book.centroids]
    counts = torch.zeros_like(book.counts)
    for mine, theirs in zip(centroids, blocks, strict=True):
        mine[order] = theirs
    counts[order] = found.counts
    return replace(book, centroids=centroids, counts=counts, spread=found.inertia / len(index))
