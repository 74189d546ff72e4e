"""What the ECG explorer knows: records brought to the model, one visitor's uploads, and what is asked of each record."""

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

# Bytes of the records as they came that a page holds, and numbers of those of one upload at the model's rate: an hour of
# 12 leads at 500 Hz is 22 million.
MOST_BYTES, MOST_VALUES = 200_000_000, 25_000_000


class Records(SampleSet):
    """Records as the model takes them: its leads, its rate, its length."""

    def __init__(self, samples: xr.Dataset, classes: Sequence[str]) -> None:
        super().__init__(samples, classes)
        samples = self.samples
        self.leads = [str(x) for x in samples["lead"].values]
        self.rate = float(samples.attrs["rate"])
        steps = samples.sizes["time"]
        self.length = samples["length"].values if "length" in samples else np.full(self.n, steps)
        self.flag = [str(f) for f in samples["flag"].values] if "flag" in samples else [""] * self.n


def records_for(model: Any, samples: xr.Dataset) -> Records:
    """Bring records to a model's leads, rate and length."""
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
        Steps that are signal, a remark, and which leads are there, of uploaded records by position.
    origin : dict
        Uploaded records as they came, by position: another model may want other leads or another rate.
    """

    kind = "ecg"
    population: Records

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
        needs = (model.leads, model.rate, model.size, tuple(model.classes))
        super().__init__(model, once(samples, (self.kind, *needs), lambda: records_for(model, samples)))
        self.came = samples
        self.shipped: Fitted | None = shipped(self.model)
        self.uploaded: dict[int, tuple[int, str, np.ndarray | None]] = {}
        self.origin: dict[int, xr.Dataset] = {}
        self._held = 0  # bytes of the records as they came

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
        if len(self.uploads) + ds.sizes["sample"] > MOST_UPLOADS:
            raise XaiViewsError(
                f"this page holds at most {MOST_UPLOADS} uploaded records; reload it to start again."
            )
        held = self._held + ds["signal"].nbytes
        if held > MOST_BYTES:
            raise XaiViewsError(
                f"this page would hold {held / 1e6:.0f} MB of uploaded records and holds at most {MOST_BYTES / 1e6:.0f} MB; "
                "give shorter ones, or reload it to start again."
            )
        leads = self.model.leads or self.leads
        was = float(ds.attrs["rate"])
        steps = ds.sizes["time"] * (self.model.rate or was) / was
        if ds.sizes["sample"] * len(leads) * steps > MOST_VALUES:
            raise XaiViewsError(
                f"the records would have {ds.sizes['sample'] * len(leads) * steps / 1e6:.0f} million numbers at the model's "
                f"rate and at most {MOST_VALUES / 1e6:.0f} million are taken; give fewer or shorter ones."
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
        """What is to be said of the quality of record ``i``."""
        return self.population.flag[i] if i < self.population.n else self.uploaded[i][1]

    def present(self, i: int) -> np.ndarray | None:
        """``[lead]`` False where a lead of record ``i`` is missing; None when nothing is known."""
        if i >= self.population.n:
            return self.uploaded[i][2]
        samples = self.population.samples
        return samples["present"].values[i] if "present" in samples else None

    def evidence(self, i: int, target: int) -> np.ndarray | None:
        """Known evidence ``[lead, time]`` of record ``i``: that of class ``target`` where the record has it apart, else all."""
        samples = self.population.samples
        if i >= self.population.n or "mask" not in samples:
            return None
        if "class_mask" not in samples or target not in self.known(i):
            return samples["mask"].isel(sample=i).values
        return samples["class_mask"].isel({"sample": i, "class": target}).values

    # -- what is asked ------------------------------------------------------------------------------------------

    def asked_of(self, i: int, wish: Wish) -> Ask:
        """What a wish asks of record ``i``: its own length, and the edits of the record that they were made on."""
        edits = self.edits(wish.ask.edits) if i == wish.sample else []
        return wish.ask.replace(length=self.length(i), edits=edits)

    def with_own(self, ask: Ask, temperature: float | None = None) -> Ask:
        """The same question about this model, whose layers and clusters are its own; by default at its own temperature."""
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
        """Edits of the page as the method takes them: what is blended in is part of the edit, times are the model's."""
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
        """Signal ``[lead, time]`` of the record of this name.

        Raises
        ------
        XaiViewsError
            When there is none.
        """
        if name not in self.names:
            raise XaiViewsError(f"there is no record {name!r} to take a beat from; choose one of the list.")
        return self.image(self.names.index(name))

    def seen(self, i: int, wish: Wish) -> tuple[np.ndarray, str]:
        """Signal ``[lead, time]`` of record ``i`` as the network is given it, and its name, which says when it is edited."""
        edits = self.asked_of(i, wish).edits
        signal = edited(self.image(i), edits, self.model.rate or 1.0, self.length(i))
        return signal, f"{self.names[i]} (edited)" if edits else self.names[i]

    def surveyed(self, fitted: Fitted) -> Future:
        """The survey of all records under a codebook, shared by all visitors; cancelling lets go of one's own interest."""
        given = None if fitted is self.shipped else fitted
        ask = registry.plain("ecg_clusters").ask(mode="codebook", temperature=fitted.cool, codebook=given)
        model, samples = self.model, self.population.samples
        key = ("ecg survey", model.sha256, self.population.key, fitted.key)
        return self.job(key, lambda progress: survey(model, samples, ask, progress))

    def dataset(self, i: int) -> xr.Dataset:
        """Record ``i`` alone as it came, which :func:`xai_views.explain` brings to the model as this page did."""
        if i < self.population.n:
            return self.came.isel(sample=[i])
        return self.origin[i].assign(name=("sample", [self.names[i]]))
