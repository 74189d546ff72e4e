"""What lies in the folder that the server was started in and may be opened: names only, and nothing of it is run."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from xai_views import catalogue
from xai_views.samples.readers.folder import SUFFIXES

#: Entries of a folder that are looked at, names that are shown, and bytes of code that are read.
MOST_ENTRIES, MOST_FOUND, MOST_CODE = 400, 6, 200_000
#: What a function that makes a model is likely to be called.
MAKERS = ("load", "load_model", "model", "make_model", "build_model", "get_model", "build")
RECORDS = (".hea", ".dcm", ".edf")


@dataclass(frozen=True)
class Found:
    """What ``--model`` and ``--samples`` may be given here, relative to the folder of the server."""

    models: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()


def found(folder: Path | None = None) -> Found:
    """Look at the names in a folder, by default the current one.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Where to look, and one level below.
    """
    folder = folder or Path.cwd()
    if catalogue.root().parent == folder:  # the checkout itself: what lies in it is on offer already
        return Found()
    entries = _entries(folder)
    models = [text for entry in entries for text in _models(entry)]
    samples = [text for entry in entries if (text := _samples(entry))]
    return Found(tuple(models[:MOST_FOUND]), tuple(samples[:MOST_FOUND]))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in islice(folder.iterdir(), MOST_ENTRIES) if not p.name.startswith((".", "_")))
    except OSError:
        return []


def _models(entry: Path) -> list[str]:
    if entry.is_dir():
        inside = {p.name for p in _entries(entry)}
        return [f"{entry.name}/"] if "card.yaml" in inside and "model.safetensors" in inside else []
    if entry.suffix != ".py" or entry.name.startswith(("test_", "conftest")):
        return []
    try:
        code = ast.parse(entry.read_text(encoding="utf-8")) if entry.stat().st_size <= MOST_CODE else None
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    names = [n.name for n in code.body if isinstance(n, ast.FunctionDef) and _callable(n)] if code else []
    return [f"{entry.name}:{maker}" for maker in MAKERS if maker in names][:1]


def _callable(function: ast.FunctionDef) -> bool:
    """Whether a function can be called without arguments."""
    given = function.args
    needed = len(given.posonlyargs) + len(given.args) - len(given.defaults)
    return needed == 0 and all(default is not None for default in given.kw_defaults)


def _samples(entry: Path) -> str:
    wanted = {*SUFFIXES, *RECORDS}
    if entry.is_dir():
        if (entry / "card.yaml").is_file():
            return ""
        inside = _entries(entry)
        below = [p for folder in inside[:20] if folder.is_dir() for p in _entries(folder)[:50]]
        holds = any(p.suffix.lower() in wanted for p in [*inside, *below])
        return f"{entry.name}/" if holds else ""
    return entry.name if entry.suffix.lower() in {".npz", ".npy", ".zarr", ".dcm"} else ""
