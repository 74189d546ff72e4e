"""What is declared, pinned, shipped and imported says the same thing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pins(lines) -> dict[str, str]:
    found = [re.fullmatch(r"([\w.-]+)==([\w.!]+)", line.strip()) for line in lines]
    return {canonicalize_name(m[1]): m[2] for m in found if m}


CONSTRAINTS = pins((ROOT / "constraints.txt").read_text().splitlines())
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
CONDA_PIP = next(entry["pip"] for entry in CONDA if isinstance(entry, dict))
DIRECT = {
    canonicalize_name(r.name): r
    for r in map(
        Requirement, [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]
    )
    if r.name != PROJECT["name"]
}


@pytest.mark.parametrize("name", sorted(DIRECT))
def test_every_dependency_is_pinned_and_the_pin_fits(name):
    assert name in CONSTRAINTS, "run scripts/pin.py"
    assert DIRECT[name].specifier.contains(CONSTRAINTS[name])


def test_conda_and_pip_install_the_same():
    conda = pins(CONDA_PIP)
    assert conda == {name: CONSTRAINTS[name] for name in DIRECT}
    assert "--constraint constraints.txt" in CONDA_PIP
    assert CONDA_PIP[-1] == "--editable .[all,test]"
    assert f"python={PROJECT['requires-python'].removeprefix('>=')}" in CONDA


def test_constraints_are_plain_pins():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(CONSTRAINTS) > 100
    assert lines == sorted(lines, key=lambda line: canonicalize_name(line.split("==")[0]))


@pytest.mark.parametrize("name", sorted(CONSTRAINTS))
def test_every_pin_runs_on_the_python_of_debian(name):
    needed = metadata.distribution(name).metadata.get("Requires-Python")
    assert not needed or SpecifierSet(needed).contains("3.11.2"), "Debian 12 has Python 3.11.2"


def test_all_is_every_extra_for_running():
    (line,) = EXTRAS["all"]
    wanted = Requirement(line)
    assert wanted.name == PROJECT["name"]
    assert wanted.extras == set(EXTRAS) - {"all", "test"}


def test_no_dependency_is_named_twice():
    required = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    for extra, lines in EXTRAS.items():
        assert not required & {canonicalize_name(Requirement(line).name) for line in lines}, extra


def third_party(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"xai_views", "xai_views_dashboard"}


def test_what_is_imported_is_declared():
    provided = packages_distributions()
    run_time = set(DIRECT) - {canonicalize_name(Requirement(line).name) for line in EXTRAS["test"]}
    # what a user's own model or environment may bring; asked for with find_spec or in a try
    optional = {"IPython", "torchvision", "timm"}
    undeclared = {}
    for path in [*(ROOT / "xai_views").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")]:
        for module in third_party(path) - optional:
            names = {canonicalize_name(name) for name in provided.get(module, [module])}
            if not names & run_time:
                undeclared.setdefault(module, []).append(str(path.relative_to(ROOT)))
    assert undeclared == {}


def test_version_is_said_once():
    import xai_views

    assert xai_views.__version__ == PROJECT["version"]


def test_the_apps_and_the_command_are_installed():
    from importlib.metadata import entry_points

    from xai_views.contract import registry

    assert "sic" in registry.entries("apps")
    (command,) = entry_points(group="console_scripts", name="xai-views")
    assert callable(command.load())


def test_no_file_is_long():
    long = {}
    for folder in ("xai_views", "dashboard", "tests", "scripts", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".js", ".mjs", ".css", ".sh"}:
                lines = len(path.read_text(encoding="utf-8").splitlines())
                if lines > 400:
                    long[str(path.relative_to(ROOT))] = lines
    assert long == {}


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
    """Whether a file belongs to the project, and is no leftover of a run."""
    done = subprocess.run(
        ["git", "check-ignore", "-q", str(path)], cwd=ROOT, check=False, capture_output=True
    )
    return done.returncode != 0
