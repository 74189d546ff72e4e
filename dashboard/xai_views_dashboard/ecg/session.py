"""What the ECG explorer knows: records brought to the model, one visitor's asks, and codebooks shared by all visitors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xai_views import catalogue, kinds
from xai_views.errors import XaiViewsError
from xai_views.kernel import get_kernel
from xai_views.methods import get
from xai_views.samples import digest
from xai_views_dashboard.core.session import MOST_UPLOADS, SampleSet, Session, once
from xai_views_dashboard.ecg.edits import edited

#: Share of the codebook's spread that is the default temperature: half of the steps of a record then look fairly certain.
COOL = 0.25
#: Clusters that ship with models, by model sha256.
_shipped: dict[str, Any] = {}


class Records(SampleSet):
    """Records as the model takes them: its leads, its rate, its length.

    Attributes
    ----------
    known : list of frozenset of int
        Classes that each record is labelled with: none, one or several.
    """

    def __init__(self, samples: xr.Dataset, classes: Sequence[str]) -> None:
        super().__init__(samples, classes)
        samples = self.samples
        self.leads = [str(x) for x in samples["lead"].values]
        self.rate = float(samples.attrs["rate"])
        steps = samples.sizes["time"]
        self.length = samples["length"].values if "length" in samples else np.full(self.n, steps)
        label = samples["label"].values if "label" in samples else np.full(self.n, -1)
        own = [[c] if c >= 0 else [] for c in label] if label.ndim == 1 else map(np.flatnonzero, label)
        self.known = [frozenset(map(int, found)) for found in own]
        self.flag = [str(f) for f in samples["flag"].values] if "flag" in samples else [""] * self.n

    def truth(self, i: int) -> tuple[np.ndarray, np.ndarray | None] | None:
        """Known evidence of record ``i``: ``mask [lead, time]`` bool, and ``landmark [time]`` where known; None when not."""
        if "mask" not in self.samples:
            return None
        one = self.samples.isel(sample=i)
        return one["mask"].values, one["landmark"].values if "landmark" in one else None


def records_for(model: Any, samples: xr.Dataset) -> Records:
    """Bring records to a model's leads, rate and length."""
    from xai_views.samples.prepare import prepare

    leads = model.leads or tuple(str(x) for x in samples["lead"].values)
    return Records(prepare(samples, leads, model.rate, model.size[0]), model.classes)


class EcgSession(Session):
    """One visitor of the ECG explorer.

    Parameters
    ----------
    model : Model
        Of signals.
    samples : Dataset
        Records of any leads, rate and length.

    Attributes
    ----------
    fitted : Fitted or None
        The clusters that all records share, and the ensemble beside them.
    uploaded : dict
        Steps that are signal, a remark, and which leads are there, of uploaded records by position.
    origin : dict
        Uploaded records as they came, by position: another model may want other leads or another rate.
    """

    kind = "ecg"

    def __init__(self, model: Any, samples: xr.Dataset) -> None:
        if kinds.of(samples).key != "signal":
            raise XaiViewsError(
                "these samples are images and the ECG explorer shows records; open ECG files instead."
            )
        if model.kind != "signal":
            raise XaiViewsError(
                f"model {model.name!r} takes images and the ECG explorer asks networks of signals; choose another model, "
                "or give open_model size=(steps,)."
            )
        model = get_kernel().register(model)
        method = get("ecg_clusters")
        reason = get_kernel().run(lambda progress: method.fits(model)).result(120)  # noqa: ARG005
        if reason:
            raise XaiViewsError(reason)
        needs = (model.leads, model.rate, model.size, tuple(model.classes))
        super().__init__(
            model, once(samples, (self.kind, *needs), lambda: records_for(model, samples)), method
        )
        self.fitted: Any = shipped(self.model)
        self.uploaded: dict[int, tuple[int, str, np.ndarray | None]] = {}
        self.origin: dict[int, xr.Dataset] = {}

    @property
    def book(self) -> Any:
        """The codebook in use; None when there is none yet."""
        return self.fitted.book if self.fitted is not None else None

    @property
    def temperature(self) -> float:
        """Temperature of the page where none is given: with the spread itself nearly every step looks uncertain."""
        return COOL * self.book.spread if self.book is not None else 0.0

    @property
    def leads(self) -> list[str]:
        """Names of the leads, in the model's order."""
        return self.population.leads

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self.population.rate

    def take(self, ds: xr.Dataset, names: list[str] | None = None) -> tuple[xr.Dataset, list[int]]:
        """Bring records to the model and add them to what this page holds.

        Parameters
        ----------
        ds : Dataset
            Records of any leads, rate and length.
        names : list of str, optional
            Unique ids; "upload-1" and so on where there are none.

        Returns
        -------
        ready : Dataset
            The records as the model takes them.
        positions : list of int
            Where they are among the samples of this page.

        Raises
        ------
        XaiViewsError
            When the page holds enough, or the records do not suit the model.
        """
        from xai_views.samples.prepare import prepare

        if len(self.uploads) + ds.sizes["sample"] > MOST_UPLOADS:
            raise XaiViewsError(
                f"this page holds at most {MOST_UPLOADS} uploaded records; reload it to start again."
            )
        ready = prepare(ds, self.model.leads or self.leads, self.model.rate, self.model.size[0])
        positions = []
        for i in range(ready.sizes["sample"]):
            signal = np.asarray(ready["signal"].values[i], np.float32)
            self.model.check(signal[None])
            name = names[i] if names else f"upload-{len(self.uploads) + 1}"
            self.uploads.append((name, signal, digest(signal)))
            position = len(self) - 1
            flag = str(ready["flag"].values[i]) if "flag" in ready else ""
            self.uploaded[position] = (int(ready["length"].values[i]), flag, ready["present"].values[i])
            self.origin[position] = ds.isel(sample=[i])
            positions.append(position)
        return ready, positions

    def length(self, i: int) -> int:
        """Steps of record ``i`` that are signal."""
        return int(self.population.length[i]) if i < self.population.n else self.uploaded[i][0]

    def flag(self, i: int) -> str:
        """What is to be said of the quality of record ``i``."""
        return self.population.flag[i] if i < self.population.n else self.uploaded[i][1]

    def present(self, i: int) -> np.ndarray | None:
        """``[lead]`` False where a lead of record ``i`` is missing; None when nothing is known."""
        if i >= self.population.n:
            return self.uploaded[i][2]
        samples = self.population.samples
        return samples["present"].values[i] if "present" in samples else None

    def known(self, i: int) -> frozenset[int]:
        """Classes that record ``i`` is labelled with; none of an upload."""
        return self.population.known[i] if i < self.population.n else frozenset()

    def evidence(self, i: int, target: int) -> np.ndarray | None:
        """Known evidence ``[lead, time]`` of record ``i``: that of class ``target`` where the record has it apart, else all."""
        known = self.truth(i)
        if known is None or "class_mask" not in self.population.samples or target not in self.known(i):
            return None if known is None else known[0]
        return self.population.samples["class_mask"].isel({"sample": i, "class": target}).values

    def ask(self, state: Any, i: int, **changes: Any) -> Any:
        """What the state asks of record ``i``; ``changes`` are fields of ``EcgAsk``."""
        from xai_views.engine.clusters.observed import Ablation
        from xai_views.methods.ecg_clusters.observation import EcgAsk

        book = self.book if state.mode == "codebook" else None
        fields = {
            "codebook": book,
            "ensemble": self.fitted.ensemble if book is not None and state.fade == "ensemble" else (),
            "k": state.k,
            "temperature": state.temperature or self.temperature,
            "targets": (state.target,),
            "length": self.length(i),
            "attribution": state.attribution if state.shown == "attribution" else "",
            "attribution_class": state.target,
            "ablation": Ablation(tuple(sorted(state.ablated))) if state.ablated else None,
        }
        return EcgAsk(**{**fields, **changes})

    def other_signal(self, name: str) -> np.ndarray:
        """Signal ``[lead, time]`` of the record of this name.

        Raises
        ------
        XaiViewsError
            When there is none.
        """
        if name not in self.names:
            raise XaiViewsError(f"there is no record {name!r} to take a beat from; choose one of the list.")
        return self.image(self.names.index(name))

    def touched(self, i: int, edits: list[dict]) -> np.ndarray:
        """Signal ``[lead, time]`` of record ``i`` with its edits; padding stays zero."""
        signal = self.image(i)
        if not edits:
            return signal
        out = edited(signal, edits, self.rate, self.other_signal)
        out[:, self.length(i) :] = 0
        return out

    def explain_signal_now(self, signal: np.ndarray, ask: Any) -> xr.Dataset:
        """The explanation of a signal ``[lead, time]``; waits for it (for notebooks, never for a page)."""
        future = self.kernel.explain(self.model, signal[None], [digest(signal)], self.method, [ask])
        return future.result(120)[0]

    async def explain_edited(self, i: int, edits: list[dict], ask: Any, priority: int = 0) -> xr.Dataset:
        """The explanation of record ``i`` with its edits; a record like any other, cached by its content."""
        if not edits:
            return await self.explain(i, ask, priority)
        signal = await asyncio.to_thread(self.touched, i, edits)
        channel = "" if priority else self.channel
        future = self.kernel.explain(
            self.model, signal[None], [digest(signal)], self.method, [ask], channel=channel, priority=priority
        )
        return (await asyncio.wrap_future(future))[0]


def shipped(model: Any) -> Any:
    """The clusters in the folder of a shipped model, with their ensemble; None when there are none for these weights."""
    if model.sha256 not in _shipped:
        folder = catalogue.models().get(model.name)
        place = Path(folder) / "clusters" if folder else None
        found = None
        if place is not None and place.is_dir():
            from xai_views.methods.ecg_clusters.fit import Fitted

            found = Fitted.load(place)
            if found.book.model_sha256 != model.sha256:
                found = None
        _shipped[model.sha256] = found
    return _shipped[model.sha256]
