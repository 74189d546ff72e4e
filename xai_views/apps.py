"""The apps: found through the entry-point group ``xai_views.apps``, so that the library never imports them.

An app is a class called with ``(model, samples)`` and, optionally, the first values of its state. Any
installed package may add one::

    [project.entry-points."xai_views.apps"]
    mine = "my_package.my_app:MyApp"
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from xai_views.contract import registry
from xai_views.errors import XaiViewsError
from xai_views.models.user_model import OwnModel

# Panel registers an extension for a whole process, so servers and notebooks load this one list.
EXTENSIONS: tuple[str, ...] = ()


def classes() -> dict[str, Any]:
    """The installed apps by name; one that cannot be imported is left out with a warning."""
    return registry.loaded("apps")


def of_method(method: str) -> str:
    """Return the installed app whose pages show a method, as cards name it; "" when there is none.

    Parameters
    ----------
    method : str
        Key of the method.
    """
    shown = {name: (kind.method, *getattr(kind, "beside", ())) for name, kind in classes().items()}
    return next((name for name, methods in shown.items() if method and method in methods), "")


def app_for(model: Any) -> str:
    """Return the app that suits an opened model: its card's, else of those that fit it the one with the largest preference.

    Parameters
    ----------
    model : Model
        As :func:`xai_views.open_model` returns it.

    Raises
    ------
    XaiViewsError
        When no installed app fits.
    """
    found = classes()
    reasons = {name: kind.fits(model) for name, kind in found.items()}
    fitting = [name for name, reason in reasons.items() if not reason]
    own = of_method(str(model.card.get("method") or ""))
    if own in fitting:
        return own
    if not fitting:
        said = " ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise XaiViewsError(f"no installed app opens {model.name!r}; explain it with xv.explain. {said}")
    return max(fitting, key=lambda name: found[name].preference)


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
    make = (
        registry.load("apps", app) if app is not None else None
    )  # a wrong name is told before a model is opened
    model, samples = opened(model, samples)
    return (make or registry.load("apps", app_for(model)))(model, samples, **state)


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
