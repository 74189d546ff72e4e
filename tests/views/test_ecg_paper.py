"""The Python side of the paper: frames for wishes, handling of messages, refused input."""

from __future__ import annotations

import ecg_app as app
import pytest

from xai_views.errors import XaiViewsError
from xai_views.views.ecg_paper import wire as ecg_wire
from xai_views.views.ecg_paper.paper import KEPT, SETTINGS, ECGPaper
from xai_views.views.wire import decode_header


def paper(provider=app.provider, **params):
    return ECGPaper(provider, order=["square", "beats", "broken"], **params)


async def asked(component, **message):
    component._handle_msg({"type": "want", "seq": 1, "prefetch": [], **message})
    await component._answerer.idle()
    return component.frame


async def test_a_wish_is_answered_coarsely_and_then_in_detail():
    calls = []

    async def provider(key, priority):
        calls.append((key, priority))
        return app.RECORDS["beats"]

    component = paper(provider)
    coarse = ecg_wire.read(await asked(component, key="beats|"))
    assert (coarse.key, coarse.full) == ("beats|", False)
    assert coarse.about["id"] == "beats"
    detail = await asked(component, seq=2, key="beats|", detail=[0, 10])
    assert ecg_wire.read(detail).full
    assert (decode_header(detail)["key"], decode_header(detail)["seq"]) == ("beats|", 2)
    assert calls == [("beats|", 0)]  # the record was still there
    component.provider = provider
    await asked(component, seq=3, key="beats|", detail=[0, 10])
    assert calls == [("beats|", 0)] * 2


async def test_neighbours_come_with_less_hurry_and_few_records_are_kept():
    hurry = {}

    async def provider(key, priority):
        hurry[key] = priority
        return app.RECORDS[key.split("|")[0]]

    component = paper(provider)
    await asked(component, key="r0|", prefetch=[f"r{i}|" for i in range(1, 30)])
    assert hurry["r0|"] == 0
    assert {hurry[f"r{i}|"] for i in range(1, 30)} == {10}
    assert len(component._records) == KEPT


async def test_errors_become_sentences():
    component = paper()
    assert "has no leads" in decode_header(await asked(component, key="broken|"))["error"]

    async def wrong(key):
        return b"bytes"

    component.provider = wrong
    assert "must return a Record, not bytes" in decode_header(await asked(component, key="beats|"))["error"]


async def test_of_records_that_are_there():
    component = ECGPaper.of([app.RECORDS["square"], app.RECORDS["beats"]], context="c")
    assert component.order == ["square", "beats"]
    assert ecg_wire.read(await asked(component, key="beats|c")).about["title"] == "made-up beats"


def test_messages_reach_their_callbacks():
    component, told = paper(), []
    for kind in ("select", "hover", "cluster", "key", "position", "settings"):
        getattr(component, f"on_{kind}")(lambda value, kind=kind: told.append((kind, value)))
    interval = {"type": "select", "lead": 1, "name": "II", "start": 0.5, "stop": 1.0, "sample": "beats"}
    component._handle_msg(interval)
    component._handle_msg({"type": "hover", "time": 1.0})
    component._handle_msg({"type": "cluster", "id": 3.0})
    component._handle_msg({"type": "cluster", "id": None})
    component._handle_msg({"type": "key", "key": "n"})
    component._handle_msg({"type": "position", "position": 1})
    component._handle_msg({"type": "settings", "settings": {"gain": 20}})
    component._handle_msg("nonsense")
    assert told[:6] == [
        ("select", interval),
        ("hover", {"type": "hover", "time": 1.0}),
        ("cluster", 3),
        ("cluster", None),
        ("key", "n"),
        ("position", 1),
    ]
    assert (component.sample, component.settings["gain"]) == ("beats", 20)
    assert len(told) == 7


def test_settings_start_from_their_defaults_and_unknown_ones_are_refused():
    component = paper(settings={"layout": "6x2"})
    assert component.settings == {**SETTINGS, "layout": "6x2"}
    component.highlight(cluster=2, interval=(-1, 0.5, 1.5))
    assert component.settings["highlight"] == {
        "cluster": 2,
        "interval": {"lead": -1, "start": 0.5, "stop": 1.5},
    }
    component.highlight()
    assert component.settings["highlight"] == {"cluster": None, "interval": None}
    with pytest.raises(XaiViewsError, match="no setting 'smooth'"):
        paper(settings={"smooth": True})
