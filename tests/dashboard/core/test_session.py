"""Samples are shared by visitors of the same Dataset object only."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from xai_views import XaiViewsError, open_model, open_samples
from xai_views.kernel import Shared
from xai_views_dashboard.activations.session import ActivationsSession
from xai_views_dashboard.core import session
from xai_views_dashboard.ecg.session import EcgSession
from xai_views_dashboard.sic.session import SicSession

PAGES = [
    (ActivationsSession, "digits-sic", "digits/test"),
    (SicSession, "digits-sic", "digits/test"),
    (EcgSession, "ecg-resnet", "ecg/test"),
]


@pytest.mark.parametrize(("kind", "name", "samples"), PAGES, ids=["activations", "sic", "ecg"])
def test_another_selection_of_the_same_set_is_another_set(kind, name, samples):
    model, whole = open_model(name), open_samples(samples)
    first, second = (whole.isel(sample=slice(k, k + 3)) for k in (0, 3))
    noisy = first.copy(deep=True)
    noisy[next(iter(noisy.data_vars))].values[:] = 0
    pages = [kind(model, ds) for ds in (first, second, noisy)]
    for page, ds in zip(pages, (first, second, noisy), strict=True):
        assert page.names == ds["name"].values.tolist()
    assert np.abs(pages[2].image(0)).max() == 0 < np.abs(pages[0].image(0)).max()
    assert len({page.population.key for page in pages}) == 3
    assert kind(model, first).population is pages[0].population


def test_the_last_ones_are_kept_and_ids_that_come_again_do_no_harm(monkeypatch):
    monkeypatch.setattr(session, "_shared", Shared(2))
    whole, made = open_samples("digits/test"), []

    def ask(ds):
        return session.once(ds, ("x",), lambda: made.append(1) or ds["name"].values[0])

    kept = [whole.isel(sample=[i]) for i in range(2)]
    assert [ask(ds) for ds in (*kept, *kept)] == [ds["name"].values[0] for ds in (*kept, *kept)]
    assert len(made) == 2
    for i in range(20):  # each is gone before the next is made
        ds = whole.isel(sample=[i])
        assert ask(ds) == ds["name"].values[0]
        del ds
        gc.collect(1)
    assert len(session._shared) == 2


def test_who_looks_at_other_samples_does_not_wait_and_a_failure_is_tried_again():
    whole = open_samples("digits/test")
    slow, quick = (whole.isel(sample=[i]) for i in range(2))
    begun, go, found = threading.Event(), threading.Event(), []

    def make():
        begun.set()
        assert go.wait(30)
        return "slow"

    threads = [
        threading.Thread(target=lambda: found.append(session.once(slow, ("x",), make))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    assert begun.wait(30)
    assert session.once(quick, ("x",), lambda: "quick") == "quick"
    go.set()
    for thread in threads:
        thread.join(30)
    assert found == ["slow", "slow"]

    def fail():
        raise XaiViewsError("no.")

    other = whole.isel(sample=[2])
    with pytest.raises(XaiViewsError):
        session.once(other, ("x",), fail)
    assert session.once(other, ("x",), lambda: "now") == "now"
