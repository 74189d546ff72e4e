"""What a server offers, and the opening of it: by name, once per process, on the worker that owns torch.

A browser can only choose among the names that are offered; nothing that it sends is ever used as a path.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from xai_views import apps, catalogue
from xai_views.contract import registry
from xai_views.errors import XaiViewsError, nearest
from xai_views.models.user_model import OwnModel
from xai_views_dashboard.shell.uploads import UPLOAD, Uploads

logger = logging.getLogger("xai_views.dashboard")

# A failure is shown to whoever asks within this time; after it, asking again tries again.
RETRY_S = 5.0


class Shelf:
    """The models and samples that pages may open.

    Parameters
    ----------
    model, samples
        What the command line named: opened under ``name`` and preferred where an address names nothing.
    name : str
        The name under which they are offered.
    """

    def __init__(self, model: Any = None, samples: Any = None, name: str = "") -> None:
        self.models: dict[str, Any] = {key: key for key in catalogue.models()}
        self.samples: dict[str, Any] = {key: key for key in catalogue.samples()}
        self.model = name if model is not None else next(iter(self.models), "")
        if model is not None:
            self.models = {name: model, **self.models}
        self.own_samples = samples
        self.uploads = Uploads(self._forget)
        self._open: dict[tuple[str, str], tuple[Future, list[float]]] = {}
        self._lock = Lock()

    def first(self, app: str = "") -> str:
        """Return the model that opens when an address names none: one's own, else the first made for the app."""
        if not app or self.model not in self.models or not isinstance(self.models[self.model], str):
            return self.model
        return next((name for name in self.models if app_of(name) == app), self.model)

    def asked(self, arguments: dict[str, list[bytes]], app: str = "") -> tuple[str, str]:
        """Return the names of model and samples that an address asks for, checked against what is offered.

        Parameters
        ----------
        arguments : dict
            The query of the address, as in ``panel.state.session_args``.
        app : str
            The app that asks.

        Returns
        -------
        tuple of str
            Samples may be "", which means those that belong to the model.
        """
        model = asked_for(arguments, "model") or self.first(app)
        samples = asked_for(arguments, "samples")
        if not model:
            message = (
                "No model is shipped here: start with 'xai-views serve --model FOLDER --samples FOLDER'."
            )
            raise XaiViewsError(message)
        if model not in self.models:
            message = f"There is no model {model!r} here; the nearest: {nearest(model, self.models)}."
            raise XaiViewsError(message)
        if samples.startswith(UPLOAD) and samples not in self.uploads:
            message = "These uploaded samples are no longer kept: upload them again on the start page."
            raise XaiViewsError(message)
        if samples and samples not in self.samples and samples not in self.uploads:
            message = f"There are no samples {samples!r} here; the nearest: {nearest(samples, self.samples)}."
            raise XaiViewsError(message)
        return model, samples

    def open(self, model: str, samples: str = "") -> Future:
        """Open model and samples in the background; asking again returns the same future.

        Parameters
        ----------
        model, samples : str
            As returned by :meth:`asked`.

        Returns
        -------
        concurrent.futures.Future
            Of the pair of ``Model`` and ``xarray.Dataset``.
        """
        key = (model, samples)
        with self._lock:
            future, failed = self._open.get(key, (None, [0.0]))
            if future is None or (failed and time.monotonic() - failed[0] > RETRY_S):
                failed = []
                future = self._start(model, samples)
                self._open[key] = (future, failed)
                future.add_done_callback(lambda f: _failed(f) and failed.append(time.monotonic()))
            return future

    def opened(self, model: str, samples: str = "") -> Any:
        """Return a model that is open, None for one that is not."""
        future, _ = self._open.get((model, samples), (None, []))
        return future.result()[0] if future is not None and future.done() and not _failed(future) else None

    def own_title(self, model: str) -> str:
        """Return what to call the samples that the command line named for a model; "" where it named none, or shipped ones."""
        if self.own_samples is None or model != self.model:
            return ""
        if isinstance(self.own_samples, str | Path):
            return (
                "" if str(self.own_samples) in self.samples else Path(self.own_samples).name or "your samples"
            )
        return str(getattr(self.own_samples, "attrs", {}).get("title") or "your samples")

    def _start(self, model: str, samples: str) -> Future:
        from xai_views.kernel import get_kernel

        chosen = samples or (self.own_samples if model == self.model else None)
        uploaded = self.uploads.get(samples)

        def open_both(progress: Any) -> tuple[Any, Any]:  # noqa: ARG001 - the kernel passes it
            if uploaded is None:
                return apps.opened(self.models[model], chosen)
            from xai_views.models import open_model

            source = self.models[model]
            opened = source.load() if isinstance(source, OwnModel) else source
            opened = opened if hasattr(opened, "sha256") else open_model(opened)
            return opened, uploaded.fitted(opened)

        return get_kernel().run(open_both, title=f"Opening {model}")

    def _forget(self, samples: str) -> None:
        """Let go of what was opened with samples that are no longer kept."""
        with self._lock:
            for key in [key for key in self._open if key[1] == samples]:
                del self._open[key]

    def warm(self) -> None:
        """Start importing the apps and opening what most visitors will ask for first."""
        Thread(target=_import_apps, name="import-apps", daemon=True).start()
        if self.model:
            self.open(self.model)


def app_of(model: str) -> str:
    """Return the app that a shipped model was made for, by the method that its card names."""
    try:
        method = str(catalogue.card(catalogue.models()[model]).get("method") or "")
    except (XaiViewsError, OSError, KeyError):
        return ""
    return apps.of_method(method)


def _import_apps() -> None:
    for name in registry.entries("apps"):
        try:
            registry.load("apps", name)
        except XaiViewsError as error:
            logger.error("%s", error)  # noqa: TRY400 - the sentence names the cause
        except Exception:
            logger.exception("The app %s cannot be imported.", name)


def _failed(future: Future) -> bool:
    return future.cancelled() or future.exception() is not None


def asked_for(arguments: dict[str, list[bytes]], name: str) -> str:
    """Return one value of the query as text; '' when there is none. Quotes around it are left away."""
    value = (arguments.get(name) or [b""])[0]
    return value.decode("utf-8", "replace").strip().strip('"')[:200]
