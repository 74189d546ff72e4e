"""What an app in a notebook shows when its kernel does not hear the page."""

from __future__ import annotations

import pytest

import xai_views as xv
from xai_views.views import Connection
from xai_views_dashboard.core import page


@pytest.fixture(scope="module")
def app():
    return xv.explore("digits-sic")


def test_it_stands_in_notebooks_only(app, monkeypatch):
    assert list(app.__panel__().select(Connection)) == []
    monkeypatch.setattr(page, "in_notebook", lambda: True)
    (made,) = app.__panel__().select(Connection)
    assert not made.heard


def test_the_first_message_shows_that_the_kernel_hears():
    made = Connection()
    assert not made.heard
    made._handle_msg({"type": "here"})
    assert made.heard


def test_the_sentence_says_what_to_install_and_where():
    assert "'pip install pyviz_comms'" in Connection().sentence
    assert "the environment that runs JupyterLab" in Connection().sentence
