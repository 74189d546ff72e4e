"""Write constraints.txt and environment.yml from what is installed beside this interpreter.

Run ``python scripts/pin.py`` after a deliberate upgrade; ``tests/test_packaging.py`` holds the two together.
"""

from __future__ import annotations

import importlib.metadata as metadata
import tomllib
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def direct() -> list[Requirement]:
    """Everything that pyproject.toml names itself, run-time first."""
    lines = [*PROJECT["dependencies"], *(r for rs in PROJECT["optional-dependencies"].values() for r in rs)]
    found = {canonicalize_name(r.name): r for r in map(Requirement, lines) if r.name != PROJECT["name"]}
    return [found[name] for name in sorted(found)]


# Debian's own pip cannot resolve extras against constraints; scripts/setup.sh brings this one first.
INSTALLER = Requirement("pip")


def tree(requirements: list[Requirement]) -> dict[str, str]:
    """Names and versions of the requirements and of all that they require here."""
    pins: dict[str, str] = {}
    spelled: dict[str, str] = {}
    todo = [(r.name, frozenset(r.extras)) for r in requirements]
    seen = set()
    while todo:
        name, extras = todo.pop()
        key = canonicalize_name(name)
        if (key, extras) in seen:
            continue
        seen.add((key, extras))
        distribution = metadata.distribution(name)
        pins[key] = distribution.version.split("+")[0]
        spelled[key] = distribution.metadata["Name"]
        for line in distribution.requires or ():
            need = Requirement(line)
            environments = [{**default_environment(), "extra": extra} for extra in ("", *extras)]
            if need.marker is None or any(need.marker.evaluate(e) for e in environments):
                todo.append((need.name, frozenset(need.extras)))
    return {spelled[key]: pins[key] for key in sorted(pins)}


def main() -> None:
    wanted = direct()
    pins = tree([*wanted, INSTALLER])
    by_key = {canonicalize_name(name): (name, version) for name, version in pins.items()}
    lines = [
        "# Exact versions that XAI Views is tested with; written by scripts/pin.py.",
        "# Use: pip install -c constraints.txt -e '.[all,test]'",
        *(f"{name}=={version}" for name, version in pins.items()),
    ]
    (ROOT / "constraints.txt").write_text("\n".join(lines) + "\n")
    lines = [
        "# conda env create -f environment.yml; the versions are those of constraints.txt (scripts/pin.py).",
        "name: xai-views",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        "  - python=3.11",
        "  - pip",
        "  - pip:",
        "      - --constraint constraints.txt",
        *("      - {}=={}".format(*by_key[canonicalize_name(r.name)]) for r in wanted),
        "      - --editable .[all,test]",
    ]
    (ROOT / "environment.yml").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
