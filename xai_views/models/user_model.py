"""A model from a function in the user's own file, given as ``file.py:function`` on the command line."""

from __future__ import annotations

import ast
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xai_views.errors import ModelError, nearest


@dataclass(frozen=True)
class OwnModel:
    """A function in a file that returns a model; nothing runs before :meth:`load`.

    Parameters
    ----------
    file : pathlib.Path
        Python code of the person who starts the program.
    function : str
        Called without arguments; returns anything that :func:`xai_views.open_model` opens, or its result.
    """

    file: Path
    function: str

    @classmethod
    def parse(cls, text: str) -> OwnModel | None:
        """Parse ``file.py:function``; return None when ``text`` does not have that form.

        Raises
        ------
        ModelError
            When the file does not exist, or does not define the function.
        """
        head, _, function = text.rpartition(":")
        if not head.endswith(".py"):
            if text.endswith(".py"):
                message = (
                    f"{text} is a file; add the function that returns the model, for example {text}:load."
                )
                raise ModelError(message)
            return None
        file = Path(head).expanduser()
        if not file.is_file():
            message = f"There is no file {head}, named in {text!r}; give its path relative to {Path.cwd()}."
            raise ModelError(message)
        try:
            names = _names(file)
        except SyntaxError as error:
            message = f"{head} is not valid Python: {error.msg} in line {error.lineno}."
            raise ModelError(message) from error
        if function not in names:
            message = f"{head} defines no {function!r}; the nearest names that it defines: {nearest(function, names)}."
            raise ModelError(message)
        return cls(file.resolve(), function)

    @property
    def name(self) -> str:
        """The name under which a server lists it."""
        return self.file.stem

    def load(self) -> Any:
        """Run the file and call the function.

        Raises
        ------
        ModelError
            When either raises an error.
        """
        folder = str(self.file.parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        spec = importlib.util.spec_from_file_location(self.file.stem, self.file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(self.file.stem, module)  # so that its classes can be found by name
        try:
            spec.loader.exec_module(module)
            return getattr(module, self.function)()
        except Exception as error:
            message = f"{self.file.name}:{self.function} raised {type(error).__name__}: {error}"
            raise ModelError(message) from error


def _names(file: Path) -> list[str]:
    """Return the names that a file defines at its top level, without running it."""
    found: list[str] = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found += [alias.asname or alias.name for alias in node.names]
    return found
