"""Tests of what ``panel serve dashboard/<app>.py`` runs for each visitor."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from xai_views import apps
from xai_views.contract import registry
from xai_views.views import patches
from xai_views_dashboard.shell import launching, shelf


@pytest.mark.parametrize("name", ["activations", "ecg", "sic"])
def test_an_app_alone_is_opened_with_a_model_made_for_it_and_the_headers_of_the_server(monkeypatch, name):
    opened, shown = [], []
    monkeypatch.setattr(apps, "opened", lambda model, samples: opened.append(model) or (model, samples))

    class Seen(registry.load("apps", name)):
        """Says that it is shown, whatever it is opened on."""

        def __init__(self, *_):
            pass

        def servable(self, header):
            assert [a["key"] for a in header[0].apps] == [name], "no other app is served"
            shown.append(name)

    load = registry.load
    monkeypatch.setattr(registry, "load", lambda *what: Seen if what == ("apps", name) else load(*what))
    monkeypatch.setattr(type(launching.pn.state), "as_cached", lambda self, key, make: make())
    launching.alone(name)
    assert shown == [name]
    assert [shelf.app_of(model) for model in opened] == [name]
    sent = {}
    request = SimpleNamespace(request=SimpleNamespace(host="here:1"), set_header=sent.__setitem__)
    patches.DocHandler.set_default_headers(request)
    assert "ws://here:1" in sent["Content-Security-Policy"]
