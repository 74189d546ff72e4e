"""One record in two models, uploads included."""

from __future__ import annotations

import numpy as np
import pytest

from xai_views import apps, explain, open_model, open_samples
from xai_views.samples.readers.ecg_upload import open_ecg_bytes
from xai_views_dashboard.ecg.app import EcgApp
from xai_views_dashboard.ecg.compare import ComparePanel
from xai_views_dashboard.ecg.upload import bring


@pytest.fixture
def app():
    return EcgApp(*apps.opened("ecg-resnet"))


def panel(app) -> ComparePanel:
    return next(p for p in app.panels if isinstance(p, ComparePanel))


def csv(leads=("I", "II", "V2"), rate: int = 250, seconds: int = 6) -> bytes:
    t = np.arange(0, seconds, 1 / rate)
    beat = np.exp(-((((t + 0.4) % 0.8) - 0.4) ** 2) / (2 * 0.012**2))
    lines = "\n".join(
        ",".join(f"{v:.4f}" for v in (a, *[k * b for k in range(1, len(leads) + 1)]))
        for a, b in zip(t, beat, strict=True)
    )
    return f"time,{','.join(f'{x} (mV)' for x in leads)}\n{lines}\n".encode()


async def test_a_record_of_the_set_is_the_same_record_for_both(app):
    app.state.param.update(sample=4, beside="model:ecg-sic")
    sides, _ = await panel(app).compute()
    assert [side.sample for side in sides] == [4, 4]
    one, two = (side.result for side in sides)
    other = open_model("ecg-sic")
    alone = explain(other, open_samples("ecg/test").isel(sample=[4]))
    np.testing.assert_allclose(two["logit"].values, alone["logit"].values, atol=1e-4)
    assert np.abs(one["logit"].values - two["logit"].values).max() > 0.1


async def test_an_upload_is_brought_to_the_other_model_once(app):
    ds = open_ecg_bytes("mine.csv", csv())
    position = bring(app, ds)[0].position
    app.state.param.update(sample=position, beside="model:ecg-sic")
    for _ in range(2):
        sides, _ = await panel(app).compute()
    assert [s.session.names[s.sample] for s in sides] == ["upload-1"] * 2
    assert len(sides[1].session.uploads) == 1
    for model, side in zip(("ecg-resnet", "ecg-sic"), sides, strict=True):
        alone = explain(open_model(model), ds)
        np.testing.assert_allclose(side.result["logit"].values, alone["logit"].values, atol=1e-4)
        assert float(side.result["temperature"].values[0]) == pytest.approx(side.session.shipped.cool)
    np.testing.assert_array_equal(sides[1].session.present(sides[1].sample), app.session.present(position))


async def test_what_stands_beside_it_must_be_there(app):
    from xai_views.errors import XaiViewsError

    for beside, said in (("model:nobody", "no shipped ECG model"), ("record:nobody", "no record")):
        app.state.beside = beside
        with pytest.raises(XaiViewsError, match=said):
            await panel(app).compute()
