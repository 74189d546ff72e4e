"""One app as a page of its own: what ``panel serve dashboard/<app>.py`` runs for each visitor."""

from __future__ import annotations

import panel as pn

from xai_views import apps
from xai_views.contract import registry
from xai_views.views import patches
from xai_views_dashboard.shell.header import header
from xai_views_dashboard.shell.serving import guarded, headers
from xai_views_dashboard.shell.shelf import Shelf


def alone(name: str) -> None:
    """Serve one app as a page of its own.

    Parameters
    ----------
    name : str
        As in :func:`xai_views.contract.registry.entries`; it decides which model opens when the address names none.
    """

    def make() -> None:
        shelf = Shelf()
        model, samples = shelf.asked(pn.state.session_args or {}, name)
        key = f"xai-views-{model}-{samples}"
        opened = pn.state.as_cached(key, lambda: apps.opened(model, samples or None))
        registry.load("apps", name)(*opened).servable(header=header(shelf, name, model, samples, alone=True))

    patches.default_headers(headers)
    patches.no_delay()
    patches.quiet_close()
    patches.late_messages()
    guarded(make)()
