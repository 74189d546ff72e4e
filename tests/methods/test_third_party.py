"""A method from another package: one file and one entry-point line make it available everywhere."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

METHOD = '''
"""How far each pixel is from the mean colour."""
from dataclasses import dataclass
import numpy as np, param, xarray as xr
from xai_views.contract.method import Method, Progress

@dataclass
class Seen:
    map: np.ndarray
    nbytes: int = 0

class Distance(Method):
    """Distance of every pixel from the mean colour."""
    key, title, question, cost = "distance", "Distance from the mean", "why", "no pass"
    takes, needs = ("image", "signal"), ()
    gives = {"distance.ranks": "unsigned map", "distance.largest": "scalar"}
    power = param.Number(2.0, bounds=(0.5, 4), doc="Power of the distance.")

    def observe(self, model, inputs, asks, known):
        maps = [np.abs(x - x.mean(axis=(0, 1), keepdims=True)) for x in np.asarray(inputs, np.float64)]
        maps = [m.mean(-1) if model.kind == "image" else m for m in maps]
        yield Progress(1, 2, [Seen(m) for m in maps])
        return [Seen(m) for m in maps]

    def interpret(self, model, observation, ask):
        map_ = observation.map ** ask.power
        ranks = map_.ravel().argsort().argsort().reshape(map_.shape) / map_.size
        dims = ("sample", "y", "x") if model.kind == "image" else ("sample", "lead", "time")
        return xr.Dataset({
            "attribution": (dims, map_[None]), "distance.ranks": (dims, ranks[None]),
            "distance.largest": ("sample", [map_.max()]),
        })
'''

SCRIPT = """
import asyncio, json, xarray as xr, xai_views as xv
from xai_views.contract import registry

found = {}
for name, samples in (("birds-cnn", "birds/test"), ("ecg-resnet", "ecg/test")):
    model, ds = xv.open_model(name), xv.open_samples(samples).isel(sample=slice(0, 2))
    assert xv.methods(model)["distance"]["fits"] == "", xv.methods(model)["distance"]
    result = xv.explain(model, ds, "distance", power=1.5)
    again = xv.explain(model, ds, result.attrs["method"], **json.loads(result.attrs["parameters"]))
    xr.testing.assert_identical(result, again)
    found[name] = {v: result[v].attrs["role"] for v in result.data_vars}
print(json.dumps(found))
"""

APPS = """
import asyncio, json, xai_views as xv
from xai_views_dashboard.panels.explain import ExplainPanel

async def seen(app):
    panel = next(p for p in app.panels if isinstance(p, ExplainPanel))
    panel.active = True
    while not panel.choice.options:
        await asyncio.sleep(0.02)
    assert "distance" in panel.choice.options.values(), panel.choice.options
    panel.choice.value = "distance"
    assert panel.method.key == "distance"
    assert [w.label for w in panel.settings.objects] == ["Power"]
    await panel.run()
    assert set(panel.result.data_vars) == {"attribution", "distance.ranks", "distance.largest"}
    assert len(panel.pictures.objects) >= 1
    assert any(r["id"] == "distance.largest" for r in panel.listing.rows), panel.listing.rows
    return [p.title for p in app.panels]

found = {}
for name, samples, app in (
    ("birds-sic", "birds/test", "sic"), ("birds-cnn", "birds/test", "activations"), ("ecg-resnet", "ecg/test", "ecg")
):
    made = xv.explore(xv.open_model(name), xv.open_samples(samples).isel(sample=slice(0, 3)), app=app)
    found[app] = asyncio.run(seen(made))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The folder of an installed package with one method."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "strangers_method.py").write_text(METHOD)
    about = folder / "strangers_method-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers-method\nVersion: 1.0\n")
    # an entry point that cannot be imported must not affect the others
    (folder / "strangers_mistake.py").write_text("raise RuntimeError('half written')\n")
    (about / "entry_points.txt").write_text(
        "[xai_views.methods]\ndistance = strangers_method:Distance\nmistake = strangers_mistake:Method\n"
        "[xai_views.panels]\nmistake = strangers_mistake:Panel\n"
    )
    return folder


def with_package(package: Path, *command: str) -> str:
    paths = [str(package), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def python(package: Path, script: str) -> str:
    return with_package(package, sys.executable, "-c", textwrap.dedent(script)).splitlines()[-1]


@pytest.mark.slow
def test_a_strangers_method_is_listed_explains_and_is_made_again(package):
    roles = json.loads(python(package, SCRIPT))
    for name in ("birds-cnn", "ecg-resnet"):
        assert roles[name] == {
            "attribution": "signed map",
            "distance.ranks": "unsigned map",
            "distance.largest": "scalar",
        }


@pytest.mark.slow
def test_the_command_line_knows_it(package, tmp_path):
    command = (sys.executable, "-m", "xai_views.cli")
    assert "distance" in with_package(package, *command, "list")
    said = with_package(package, *command, "explain", "--help")
    assert "power=2.0  Power of the distance." in said
    assert "masks=500" in said
    out = tmp_path / "found.zarr"
    asked = ("--method", "distance", "--set", "power=1.5", "--first", "2", "--out", str(out))
    with_package(package, *command, "explain", "birds-cnn", "birds/test", *asked)
    assert out.is_dir()


@pytest.mark.slow
def test_every_app_offers_it_and_draws_it(package):
    titles = json.loads(python(package, APPS))
    assert all("Explain" in known for known in titles.values())
