"""The import rules of docs/architecture.md, read from the source: imports inside functions count too."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCREEN = {"panel", "panel_material_ui", "bokeh", "holoviews", "hvplot", "datashader", "pyviz_comms"}
BASE = {"errors", "version"}
DATA = {*BASE, "catalogue", "contract", "kinds", "samples"}

# part of xai_views -> the parts that it may import, besides itself; apps and cli put everything together
LAYERS = {
    "errors": set(),
    "version": set(),
    "contract": BASE,
    "catalogue": {*BASE, "contract"},
    "kinds": {*BASE, "contract"},
    "samples": DATA,
    "models": {*DATA, "models"},
    "engine": {*DATA, "models"},
    "methods": {*DATA, "models", "engine"},
    "scores": {*DATA, "models", "engine"},
    "training": {*DATA, "models", "engine", "methods", "scores"},
    "kernel": {*DATA, "models", "engine", "methods", "scores"},
    "views": {*BASE, "contract"},
}
# the same for the dashboard; apps know neither each other nor the layers above them
DASHBOARD = {
    "core": set(),
    "panels": {"core"},
    "shell": {"core", "panels"},
    "sic": {"core", "panels", "shell"},
    "activations": {"core", "panels", "shell"},
    "ecg": {"core", "panels", "shell"},
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        "xai_views", "xai_views_dashboard", include_external_packages=True, cache_dir=None
    )


def ours(graph, package: str = "") -> list[str]:
    return sorted(m for m in graph.modules if m.startswith(package or ("xai_views.", "xai_views_dashboard.")))


def part(module: str) -> str:
    return module.split(".")[1]


def offences(graph, package: str, allowed: dict[str, set[str]]) -> list[str]:
    """Imports within a package from one of its parts into a part that it must not import."""
    found = []
    for module in ours(graph, f"{package}."):
        mine = part(module)
        for other in graph.find_modules_directly_imported_by(module):
            known = allowed[mine] | {mine} if mine in allowed else None
            if known is not None and f"{other}.".startswith(f"{package}.") and part(other) not in known:
                found.append(f"{module} imports {other}")
    return found


def importing(graph, names: set[str], *packages: str) -> list[str]:
    """Modules of packages that import one of these libraries."""
    found = {m for name in names & graph.modules for m in graph.find_modules_that_directly_import(name)}
    return sorted(m for m in found if f"{m}.".startswith(tuple(f"{p}." for p in packages)))


def circles(graph) -> list[str]:
    """Modules that import themselves through others, and the modules between them."""
    left = set(ours(graph))
    while True:
        ends = {m for m in left if not left & graph.find_modules_directly_imported_by(m)}
        ends |= {m for m in left if not left & graph.find_modules_that_directly_import(m)}
        if not ends:
            return sorted(left)
        left -= ends


def test_no_module_imports_itself_through_others(graph):
    assert circles(graph) == []


def test_imports_of_the_library_point_one_way(graph):
    assert offences(graph, "xai_views", LAYERS) == []
    parts = {part(m) for m in ours(graph, "xai_views.")}
    assert parts == {*LAYERS, "apps", "cli"}, "list the allowed imports of a new part"


def test_imports_of_the_apps_point_one_way(graph):
    assert offences(graph, "xai_views_dashboard", DASHBOARD) == []
    assert {part(m) for m in ours(graph, "xai_views_dashboard.")} == set(DASHBOARD)


def test_the_library_does_not_know_the_apps(graph):
    assert importing(graph, set(ours(graph, "xai_views_dashboard")), "xai_views") == []


def test_what_draws_never_imports_torch(graph):
    drawing = ("xai_views.views", "xai_views.contract", "xai_views_dashboard")
    assert importing(graph, {"torch", "captum"}, *drawing) == []


def test_what_computes_never_imports_what_draws(graph):
    assert importing(graph, SCREEN, *(f"xai_views.{name}" for name in LAYERS if name != "views")) == []


def test_what_others_import_is_public():
    private = []
    for path in [*(ROOT / "xai_views").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path.relative_to(ROOT)}:{node.lineno}: name the package in full"
                names = [*node.module.split("."), *(alias.name for alias in node.names)]
                if names[0].startswith("xai_views"):
                    private += [f"{path.name}: {n}" for n in names if n[0] == "_" and n != "__version__"]
    assert private == []


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
    assert not {"torch", *SCREEN} & modules_after("import xai_views.cli, xai_views.apps")


def test_what_draws_starts_without_torch():
    apps = "from xai_views_dashboard.shell import serving, start_page"
    assert "torch" not in modules_after(f"import xai_views.views\n{apps}")


def test_public_names():
    import xai_views as xv

    assert xv.__version__.count(".") == 2
    assert set(xv.__all__) <= set(dir(xv))
    assert issubclass(xv.XaiViewsError, ValueError)
    with pytest.raises(AttributeError, match="no attribute 'nothing_like_this'"):
        xv.nothing_like_this  # noqa: B018
    for name in ("explain", "explore", "notebook", "open_model", "open_samples", "methods"):
        assert callable(getattr(xv, name)), name


@pytest.mark.slow
def test_scores_are_reachable_by_name_and_a_star_import_works():
    import xai_views as xv

    for name in xv.scores.__all__:
        assert getattr(xv.scores, name) is not None, name
        assert name in dir(xv.scores)
    assert callable(xv.scores.semantic.by_part), "a module, whatever was imported first"
    assert {"relevance_curves", "maxboxacc", "asa", "evaluate"} <= set(xv.scores.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing_like_this'"):
        xv.scores.nothing_like_this  # noqa: B018
    code = (
        "from xai_views import *\nassert callable(explain)\nassert scores.semantic.by_part is scores.by_part"
    )
    modules_after(code)
    assert "torch" not in modules_after(
        "import xai_views as xv\nxv.scores.by_part, xv.scores.maxboxacc, xv.scores.areas"
    )


def test_methods_is_a_module_that_can_be_called_whoever_imports_it_first():
    code = "import xai_views.methods\nimport xai_views as xv\nassert callable(xv.methods)"
    modules_after(code)
