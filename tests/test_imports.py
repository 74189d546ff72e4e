"""The import rules of docs/architecture.md, read from the source: imports inside functions count too."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FILES = sorted(p for folder in ("xai_views", "dashboard") for p in (ROOT / folder).rglob("*.py"))
SCREEN = {"panel", "panel_material_ui", "bokeh", "holoviews", "hvplot", "datashader", "pyviz_comms"}
BASE = {"errors", "catalogue", "explanation"}

# part -> the parts of xai_views that it may import, besides itself and errors
LAYERS = {
    "errors": set(),
    "catalogue": set(),
    "samples": {"catalogue"},
    "explanation": {"catalogue", "samples"},
    "models": {*BASE, "samples"},
    "methods": {*BASE, "samples", "models"},
    "scores": {*BASE, "samples", "models", "methods"},
    "training": {*BASE, "samples", "models", "methods", "scores"},
    "kernel": {*BASE, "samples", "models", "methods"},
    "views": {"explanation"},
}
NO_SCREEN = set(LAYERS) - {"views"}


def imports(path: Path) -> list[tuple[int, str]]:
    """Line and absolute dotted name of everything that a file imports, wherever the import stands."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in {"import_module", "__import__", "importorskip"}:
                found.append((node.lineno, str(node.args[0].value)))
    return found


def part(path: Path) -> str:
    """'models' for xai_views/models/sic.py, 'cli' for xai_views/cli.py, 'dashboard' for its files."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "xai_views" else parts[0]


def offences(path: Path) -> list[str]:
    where = path.relative_to(ROOT)
    mine = part(path)
    found = []
    for line, name in imports(path):
        top, *rest = name.split(".")
        if top in {"torch", "captum"} and mine in {"views", "dashboard"}:
            found.append(f"{where}:{line} imports {name}: {mine} never imports torch")
        if top in SCREEN and mine in NO_SCREEN:
            found.append(f"{where}:{line} imports {name}: {mine} never imports what draws")
        if top == "dashboard" and mine != "dashboard":
            found.append(f"{where}:{line} imports {name}: apps are found through their entry points")
        if top == "xai_views" and mine in LAYERS and rest:
            other = rest[0]
            if other not in {mine, "errors", "__version__"} | LAYERS[mine]:
                found.append(f"{where}:{line} imports {name}: {mine} is below {other}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    assert offences(path) == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_others_import_is_public(path):
    ours = [name.split(".") for _, name in imports(path) if name.startswith(("xai_views.", "dashboard."))]
    private = [".".join(n) for n in ours if any(p.startswith("_") and not p.endswith("__") for p in n)]
    assert private == []


def test_the_rules_catch_what_they_should(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    bad = {
        "xai_views/views/a.py": "def f():\n    import torch.nn",
        "dashboard/b.py": "from torch import nn",
        "xai_views/kernel/c.py": "import panel as pn",
        "xai_views/methods/d.py": "from ..kernel import get_kernel",
        "xai_views/cli.py": "import importlib\nimportlib.import_module('dashboard.sic')",
        "xai_views/samples/e.py": "from xai_views import models",
        "xai_views/views/f.py": "from xai_views.kernel import get_kernel",
    }
    for name, text in bad.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        assert len(offences(path)) == 1, name


def modules_after(statement: str) -> set[str]:
    code = (
        f"import sys, json\n{statement}\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_library_is_cheap():
    heavy = {"torch", "numpy", "pandas", "xarray", "dask", *SCREEN}
    assert not heavy & modules_after("import xai_views")


@pytest.mark.parametrize(
    "statement", ["import xai_views.cli", "import xai_views.apps", "import xai_views.errors"]
)
def test_commands_start_without_torch_and_panel(statement):
    assert not {"torch", *SCREEN} & modules_after(statement)


@pytest.mark.parametrize(
    "name", ["dashboard.serving", "dashboard.index", "dashboard.theme", "xai_views.views"]
)
def test_what_draws_starts_without_torch(name):
    assert "torch" not in modules_after(f"import {name}")


def test_public_names():
    import xai_views as xv

    assert xv.__version__.count(".") == 2
    assert set(xv.__all__) <= set(dir(xv))
    assert issubclass(xv.XaiViewsError, ValueError)
    with pytest.raises(AttributeError, match="no attribute 'nothing_like_this'"):
        xv.nothing_like_this  # noqa: B018
    for name in ("explain", "explore", "notebook", "open_model", "open_samples", "methods"):
        assert callable(getattr(xv, name)), name


def test_methods_is_a_module_that_can_be_called_whoever_imports_it_first():
    code = "import xai_views.methods\nimport xai_views as xv\nassert callable(xv.methods)"
    modules_after(code)
