"""Apps, found through the entry-point group ``xai_views.apps``; the library never imports them directly.

An app is a class called with ``(model, samples)`` and, optionally, initial values of its state. Any
installed package can add one::

    [project.entry-points."xai_views.apps"]
    mine = "my_package.my_app:MyApp"
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from xai_views.contract import registry
from xai_views.errors import XaiViewsError
from xai_views.models.user_model import OwnModel

# Panel registers an extension for the whole process, so servers and notebooks load the same list.
EXTENSIONS: tuple[str, ...] = ()

#: Packages that connect a page of a notebook with its kernel: without them, what it shows stays grey.
NOTEBOOK = ("panel", "pyviz_comms")


def classes() -> dict[str, Any]:
    """Return the installed apps by name; one that cannot be imported is skipped with a warning."""
    return registry.loaded("apps")


def of_method(method: str) -> str:
    """Return the installed app whose pages show a method, by the name used in cards; "" when there is none.

    Parameters
    ----------
    method : str
        Key of the method.
    """
    shown = {name: (kind.method, *getattr(kind, "beside", ())) for name, kind in classes().items()}
    return next((name for name, methods in shown.items() if method and method in methods), "")


def app_for(model: Any) -> str:
    """Return the app for an opened model: the one its card names, else the fitting app with the largest preference.

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
        raise XaiViewsError(f"no installed app can show {model.name!r}; explain it with xv.explain. {said}")
    return max(fitting, key=lambda name: found[name].preference)


def explore(model: Any, samples: Any = None, app: str | None = None, **state: Any) -> Any:
    """Open an app on a model and its samples: inline in a notebook, ``.servable()`` in a script.

    Parameters
    ----------
    model : str, pathlib.Path, torch.nn.Module or Model
        Anything that :func:`xai_views.open_model` opens, or its result.
    samples : str, pathlib.Path, xarray.Dataset or None
        Anything that :func:`xai_views.open_samples` opens, or its result; None opens the samples named in the
        model's card.
    app : str, optional
        Name of an installed app; by default the one that suits the model.
    **state
        Initial values of the app's state, for example ``sample="…"``.

    Returns
    -------
    app
        With ``.state``, ``.result()`` and ``.servable()``.
    """
    if in_notebook() and not _loaded:
        notebook()
    make = (
        registry.load("apps", app) if app is not None else None
    )  # reject a wrong name before the model is opened
    model, samples = opened(model, samples)
    return (make or registry.load("apps", app_for(model)))(model, samples, **state)


def opened(model: Any, samples: Any = None) -> tuple[Any, Any]:
    """Open a model and samples given by name or path; by default, the samples named in the model's card.

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
                f"The card of model {model.name!r} names no samples; pass samples, "
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
    """Prepare this notebook to show apps and views without internet access.

    In a notebook Panel fetches its scripts from a CDN by default, and shows nothing where that cannot be
    reached; this embeds the scripts in the notebook. Running the cell again does no harm.

    Raises
    ------
    XaiViewsError
        When a package is missing that connects pages and kernel.
    """
    global _loaded  # noqa: PLW0603
    lacking = [name for name in NOTEBOOK if importlib.util.find_spec(name) is None]
    if lacking:
        raise XaiViewsError(
            f"this kernel lacks {' and '.join(lacking)}, without which apps stay grey in a notebook; run "
            f"'%pip install {' '.join(lacking)}' in a cell, restart the kernel and reload the page."
        )
    import holoviews as hv
    import panel as pn
    import panel_material_ui  # noqa: F401  the extension embeds its scripts too

    from xai_views.views import patches

    patches.notebook()
    pn.extension(*EXTENSIONS, inline=True)
    hv.extension("bokeh", inline=True, logo=False)
    _loaded = True


def in_notebook() -> bool:
    """Return whether this code runs in a Jupyter kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and shell.has_trait("kernel")
