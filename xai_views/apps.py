"""The apps: found through the entry-point group ``xai_views.apps``, so that the library never imports them.

An app is a class called with ``(model, samples)`` and, optionally, the first values of its state. Any
installed package may add one::

    [project.entry-points."xai_views.apps"]
    mine = "my_package.my_app:MyApp"
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from xai_views.errors import XaiViewsError, nearest
from xai_views.models.user_model import OwnModel

GROUP = "xai_views.apps"

# Panel registers an extension for a whole process, so servers and notebooks load this one list.
EXTENSIONS: tuple[str, ...] = ()


@cache
def installed() -> dict[str, EntryPoint]:
    """Return the installed apps by name; nothing is imported yet.

    Returns
    -------
    dict of str to importlib.metadata.EntryPoint
    """
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP))}


def load(name: str) -> Any:
    """Import one app.

    Parameters
    ----------
    name : str
        As in :func:`installed`, for example ``"sic"``.

    Returns
    -------
    class
        Called with ``(model, samples)``.

    Raises
    ------
    XaiViewsError
        When no such app is installed, or when it cannot be imported.
    """
    known = installed()
    if not known:
        message = (
            "No apps are installed, expected at least 'sic': run 'pip install -e .' in the checkout again."
        )
        raise XaiViewsError(message)
    if name not in known:
        message = f"There is no app {name!r}; the nearest of those installed: {nearest(name, known)}."
        raise XaiViewsError(message)
    try:
        return known[name].load()
    except (ImportError, AttributeError) as error:
        message = f"The app {name!r} ({known[name].value}) cannot be imported: {error}."
        raise XaiViewsError(message) from error


def describe(name: str) -> str:
    """Return the first sentence of an app's own words, read from its source: nothing is imported.

    Parameters
    ----------
    name : str
        As in :func:`installed`.

    Returns
    -------
    str
        "" when there are none.
    """
    module, _, kind = installed()[name].value.partition(":")
    try:
        spec = importlib.util.find_spec(module)
        body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    except (ImportError, AttributeError, TypeError, OSError, SyntaxError):
        return ""
    words = next((ast.get_docstring(n) for n in body if isinstance(n, ast.ClassDef) and n.name == kind), None)
    return " ".join((words or "").split("\n\n")[0].split())


#: Apps are named after what one does in them, cards after the method.
OF_METHOD = {"nave": "activations", "nas": "activations", "ecg_clusters": "ecg"}


def app_for(model: Any) -> str:
    """Return the app that suits an opened model: its card's, else that of what it is given.

    Networks of signals open in the ECG explorer, networks with supports in SIC, all others in the activation explorer.

    Parameters
    ----------
    model : Model
        As :func:`xai_views.open_model` returns it.
    """
    method = str(model.card.get("method") or "")
    app = OF_METHOD.get(method, method)
    if app in installed():
        return app
    return "ecg" if model.kind == "signal" else "sic" if model.supports is not None else "activations"


def explore(model: Any, samples: Any = None, app: str | None = None, **state: Any) -> Any:
    """Open an app on a model and its samples: inline in a notebook, ``.servable()`` in a script.

    Parameters
    ----------
    model : str, pathlib.Path, torch.nn.Module or Model
        Whatever :func:`xai_views.open_model` opens, or its result.
    samples : str, pathlib.Path, xarray.Dataset or None
        Whatever :func:`xai_views.open_samples` opens, or its result; None takes the samples that the model's
        card names.
    app : str, optional
        The name of an installed app; by default the one that suits the model.
    **state
        First values of the app's state, for example ``sample="…"``.

    Returns
    -------
    app
        With ``.state``, ``.result()`` and ``.servable()``.
    """
    if in_notebook() and not _loaded:
        notebook()
    make = load(app) if app is not None else None  # a wrong name is told before a model is opened
    model, samples = opened(model, samples)
    return (make or load(app_for(model)))(model, samples, **state)


def opened(model: Any, samples: Any = None) -> tuple[Any, Any]:
    """Open what is given by name or path, and find the samples that belong to a model.

    Parameters
    ----------
    model, samples
        As in :func:`explore`.

    Returns
    -------
    tuple
        The ``Model`` and the samples as an ``xarray.Dataset``.
    """
    import xarray as xr

    from xai_views.models import Model, open_model
    from xai_views.samples import open_samples

    if isinstance(model, OwnModel):
        model = model.load()
    if not isinstance(model, Model):
        model = open_model(model)
    if samples is None:
        samples = model.card.get("samples")
        if not samples:
            message = (
                f"The card of model {model.name!r} names no samples: pass some, "
                "for example xv.open_samples('folder-of-images')."
            )
            raise XaiViewsError(message)
    if not isinstance(samples, xr.Dataset):
        long = None
        if model.kind == "signal" and isinstance(samples, str | Path):
            from xai_views.samples.readers.long_record import long_samples

            long = long_samples(samples, model.size[0], model.rate, model.leads)
        samples = open_samples(samples) if long is None else long
    return model, samples


_loaded = False


def notebook() -> None:
    """Make this notebook show apps and views, without a network.

    Panel's own default in a notebook fetches its scripts from a CDN and shows nothing where that is out of
    reach; this puts them into the notebook instead. Running the cell again is harmless.
    """
    global _loaded  # noqa: PLW0603
    import holoviews as hv
    import panel as pn
    import panel_material_ui  # noqa: F401  its scripts are part of what the extension puts into the page

    from xai_views.views import patches

    patches.notebook()
    pn.extension(*EXTENSIONS, inline=True)
    hv.extension("bokeh", inline=True, logo=False)
    _loaded = True


def in_notebook() -> bool:
    """Return whether a Jupyter kernel runs this code."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and shell.has_trait("kernel")
