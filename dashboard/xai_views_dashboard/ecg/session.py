"""Records of the ECG explorer: prepared for the model, with one visitor's uploads and the request for each record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import xarray as xr

from xai_views import kinds
from xai_views.contract import registry
from xai_views.contract.ask import Ask
from xai_views.errors import XaiViewsError
from xai_views.kernel import get_kernel
from xai_views.methods.ecg_clusters.edits import blend, edited
from xai_views.methods.ecg_clusters.fit import Fitted, shipped
from xai_views.methods.ecg_clusters.survey import survey
from xai_views.samples import digest
from xai_views.samples.prepare import prepare
from xai_views_dashboard.core.session import MOST_UPLOADS, SampleSet, Session, once
from xai_views_dashboard.core.wishes import Wish

# Bytes of the original records that a page holds, and numbers of those of one upload at the model's rate: an hour of
# 12 leads at 500 Hz is 22 million.
MOST_BYTES, MOST_VALUES = 200_000_000, 25_000_000


class Records(SampleSet):
    """Records with the model's leads, sampling rate and length."""

    def __init__(self, samples: xr.Dataset, classes: Sequence[str]) -> None:
        super().__init__(samples, classes)
        samples = self.samples
        self.leads = [str(x) for x in samples["lead"].values]
        self.rate = float(samples.attrs["rate"])
        steps = samples.sizes["time"]
        self.length = samples["length"].values if "length" in samples else np.full(self.n, steps)
        self.flag = [str(f) for f in samples["flag"].values] if "flag" in samples else [""] * self.n


def records_for(model: Any, samples: xr.Dataset) -> Records:
    """Prepare records for a model: its leads, sampling rate and length."""
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
    shipped : Fitted or None
        The clusters that ship with the model, and the ensemble beside them.
    uploaded : dict
        Steps that are signal, a remark, and which leads are present, of uploaded records by position.
    origin : dict
        Original uploaded records by position: another model may need other leads or another rate.
    """

    kind = "ecg"
    population: Records

    def __init__(self, model: Any, samples: xr.Dataset) -> None:
        if kinds.of(samples).key != "signal":
            raise XaiViewsError(
                "these samples are images, and the ECG explorer needs ECG records; open ECG files instead."
            )
        if model.kind != "signal":
            raise XaiViewsError(
                f"model {model.name!r} takes images, and the ECG explorer needs a model of signals; choose another model, "
                "or give open_model size=(steps,)."
            )
        model = get_kernel().register(model)
        needs = (model.leads, model.rate, model.size, tuple(model.classes))
        super().__init__(model, once(samples, (self.kind, *needs), lambda: records_for(model, samples)))
        self.came = samples
        self.shipped: Fitted | None = shipped(self.model)
        self.uploaded: dict[int, tuple[int, str, np.ndarray | None]] = {}
        self.origin: dict[int, xr.Dataset] = {}
        self._held = 0  # bytes of the original records

    @property
    def leads(self) -> list[str]:
        """Names of the leads, in the model's order."""
        return self.population.leads

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self.population.rate

    def take(self, ds: xr.Dataset, names: list[str] | None = None) -> tuple[xr.Dataset, list[int]]:
        """Prepare records for the model and add them to the uploads of this page.

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
            When the page is full, or the records do not fit the model.
        """
        if len(self.uploads) + ds.sizes["sample"] > MOST_UPLOADS:
            raise XaiViewsError(
                f"this page holds at most {MOST_UPLOADS} uploaded records; reload it to remove them."
            )
        held = self._held + ds["signal"].nbytes
        if held > MOST_BYTES:
            raise XaiViewsError(
                f"the uploaded records would take {held / 1e6:.0f} MB (limit: {MOST_BYTES / 1e6:.0f} MB); upload shorter "
                "ones, or reload the page to remove them."
            )
        leads = self.model.leads or self.leads
        was = float(ds.attrs["rate"])
        steps = ds.sizes["time"] * (self.model.rate or was) / was
        if ds.sizes["sample"] * len(leads) * steps > MOST_VALUES:
            raise XaiViewsError(
                f"the records would have {ds.sizes['sample'] * len(leads) * steps / 1e6:.0f} million values at the model's "
                f"sampling rate (limit: {MOST_VALUES / 1e6:.0f} million); upload fewer or shorter ones."
            )
        ready = prepare(ds, leads, self.model.rate, self.model.size[0])
        self._held = held
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
        """Return the remark on the quality of record ``i``."""
        return self.population.flag[i] if i < self.population.n else self.uploaded[i][1]

    def present(self, i: int) -> np.ndarray | None:
        """``[lead]`` False where a lead of record ``i`` is missing; None when unknown."""
        if i >= self.population.n:
            return self.uploaded[i][2]
        samples = self.population.samples
        return samples["present"].values[i] if "present" in samples else None

    def evidence(self, i: int, target: int) -> np.ndarray | None:
        """Return the ground truth ``[lead, time]`` of record ``i``: of class ``target`` where known, else all."""
        samples = self.population.samples
        if i >= self.population.n or "mask" not in samples:
            return None
        if "class_mask" not in samples or target not in self.known(i):
            return samples["mask"].isel(sample=i).values
        return samples["class_mask"].isel({"sample": i, "class": target}).values

    # -- what is asked ------------------------------------------------------------------------------------------

    def asked_of(self, i: int, wish: Wish) -> Ask:
        """Return the request for record ``i``: with its own length, and with edits only of the record on which they were made."""
        if i != wish.sample:
            return wish.ask.replace(length=self.length(i), edits=[], ablated=())
        return wish.ask.replace(length=self.length(i), edits=self.edits(wish.ask.edits))

    def beside(self, model: Any) -> EcgSession:
        """The records of this page, uploads too, for another model of the same leads, rate and length."""
        made = EcgSession(model, self.came)
        if made.leads != self.leads or made.rate != self.rate or made.model.size != self.model.size:
            raise XaiViewsError(
                f"model {model.name!r} takes other leads, another rate or length; choose another model."
            )
        made.uploads, made.uploaded, made.origin = self.uploads, self.uploaded, self.origin
        return made

    def with_own(self, ask: Ask, temperature: float | None = None) -> Ask:
        """Return the same request for this model, with its own layers and clusters and, by default, its own temperature."""
        fitted = self.shipped if ask.mode == "codebook" else None
        cool = fitted.cool if fitted is not None else 0.0
        return ask.replace(
            mode="own" if fitted is None else "codebook",
            codebook=None,
            codebook_key="",
            taps=(),
            weights=ask.weights if isinstance(ask.weights, str) else "authors",
            ensemble=fitted is not None and bool(fitted.ensemble) and ask.ensemble,
            temperature=cool if temperature is None else temperature,
        )

    def edits(self, made: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return edits as the method takes them: with the inserted beat, in the time of the model."""
        scale = 1.0 if self.model.rate else self.rate  # a model without a rate counts in steps
        out = []
        for edit in made:
            times = {n: edit[n] * scale for n in ("start", "stop") if n in edit}
            if edit["kind"] == "blend":
                other, rate = self.other_signal(edit["record"]), self.model.rate or 1.0
                place = {**times, "at": edit["from"] * scale}
                out.append(blend(other, edit["lead"], rate=rate, record=edit["record"], **place))
            else:
                out.append({**edit, **times})
        return out

    def other_signal(self, name: str) -> np.ndarray:
        """Return the signal ``[lead, time]`` of the record of this name.

        Raises
        ------
        XaiViewsError
            When there is none.
        """
        if name not in self.names:
            raise XaiViewsError(f"there is no record {name!r} to take a beat from; choose one from the list.")
        return self.image(self.names.index(name))

    def seen(self, i: int, wish: Wish) -> tuple[np.ndarray, str]:
        """Return the signal ``[lead, time]`` of record ``i`` with its edits, and its name, which says whether it is edited."""
        edits = self.asked_of(i, wish).edits
        signal = edited(self.image(i), edits, self.model.rate or 1.0, self.length(i))
        return signal, f"{self.names[i]} (edited)" if edits else self.names[i]

    def surveyed(self, fitted: Fitted) -> Future:
        """Return the future of the survey of all records under a codebook, shared by all visitors."""
        given = None if fitted is self.shipped else fitted
        ask = registry.plain("ecg_clusters").ask(mode="codebook", temperature=fitted.cool, codebook=given)
        model, samples = self.model, self.population.samples
        key = ("ecg survey", model.sha256, self.population.key, fitted.key)
        return self.job(
            key,
            lambda progress: survey(model, samples, ask, progress),
            title="Running the model on all records",
        )

    def dataset(self, i: int) -> xr.Dataset:
        """Return the original of record ``i``, which :func:`xai_views.explain` prepares for the model as this page does."""
        if i < self.population.n:
            return self.came.isel(sample=[i])
        return self.origin[i].assign(name=("sample", [self.names[i]]))
