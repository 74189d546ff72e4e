"""A link holds what differs from the beginning of a page, whatever the order of its entries, for every app."""

import itertools
import json

import pytest

import xai_views as xv
from xai_views.contract import registry
from xai_views_dashboard.core.state import SCHEMA

#: For every app a model, and what a person may have changed on one sample: edits of it, and filters, among others.
PAGES = {
    "sic": (
        "digits-sic",
        "digits/test",
        {
            "sample": 3, "against": 2, "per_class": 4, "excluded": [1, 5], "region": [[1.0, 2.0], [3.0, 4.0], [5.0, 1.0]],
            "tab": "Explain", "look": {"opacity": 0.3}, "pinned": "1",
        },
    ),
    "activations": (
        "digits-sic",
        "digits/test",
        {
            "sample": 3, "k": 9, "ablated": [1],
            "touched": [{"kind": "blur", "region": [[0.0, 0.0], [4.0, 0.0], [4.0, 4.0]], "at": []}],
            "cluster": 1, "place": [3.0, 4.0], "region": [[1.0, 2.0], [3.0, 4.0], [5.0, 1.0]], "tab": "Explain",
        },
    ),
    "ecg": (
        "ecg-resnet",
        "ecg/test",
        {
            "sample": 4, "edits_made": [{"kind": "mute", "lead": 1}], "ablated": [2], "interval": [2, 1.0, 2.0],
            "cluster": 3, "shown": "contribution", "hidden": True, "tab": "Explain",
        },
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def page():
    made = {}

    def get(key):
        if key not in made:
            model, samples, _ = PAGES[key]
            opened = xv.open_model(model), xv.open_samples(samples).isel(sample=slice(0, 8))
            made[key] = lambda **state: registry.load("apps", key)(*opened, **state)
        return made[key]

    return get


def plain(state):
    return {n: getattr(state, n) for n in state.addressed()}


@pytest.mark.parametrize("key", PAGES)
def test_a_page_begins_with_an_empty_link(page, key):
    app = page(key)()
    assert app.state.query(app.session.names) == {"v": str(SCHEMA)}


@pytest.mark.parametrize("key", PAGES)
def test_a_link_restores_the_page_in_any_order(page, key):
    app, changed = page(key)(), PAGES[key][2]
    changed = {n: v for n, v in changed.items() if n != "pinned"} | {"pinned": app.session.names[1]}
    app.state.sample = changed["sample"]
    app.state.param.update(**changed)
    app.state.param.update(**changed)  # what a watcher corrected
    query, wanted = app.state.query(app.session.names), plain(app.state)
    assert set(query) == {"v", *changed}
    other = page(key)()
    entries = list(query.items())
    orders = [entries, entries[::-1], *(entries[i:] + entries[:i] for i in range(1, len(entries)))]
    orders += list(itertools.islice(itertools.permutations(entries), 0, 5000, 500))
    for order in orders:
        other.state.restore({}, other.session.names, whole=True)
        assert other.state.restore(dict(order), other.session.names) == []
        assert plain(other.state) == wanted, [n for n, _ in order]


def test_a_link_of_version_1_opens(page):
    app = page("ecg")()
    app.state.param.update(sample=2, shown="contribution", edits_made=[{"kind": "mute", "lead": 1}])
    names = app.session.names
    whole = {n: v if isinstance(v, str) else json.dumps(v) for n, v in plain(app.state).items()}
    whole |= {"v": "1", "sample": names[2]}
    other = page("ecg")()
    assert other.state.restore(whole, names) == []
    assert plain(other.state) == plain(app.state)


def test_parts_that_are_possible_only_together_are_restored_together(page):
    """Without its own supports a class has none, until another one is added."""
    app = page("sic")()
    supports = app.model.supports
    own = [int(i) for i in supports.index[supports.of_class(0)]]
    spare = int(next(i for i in app.model.latents.index if i not in set(supports.index.tolist())))
    query = {"excluded": json.dumps(own), "added": json.dumps([[spare, 0]])}
    for order in (query, dict(reversed(query.items()))):
        other = page("sic")()
        assert other.state.restore(order, other.session.names) == []
        assert (other.state.excluded, other.state.added) == (own, [[spare, 0]]), other.problem


def test_what_is_not_possible_is_left_out_and_the_rest_restored(page):
    app = page("ecg")()
    said = app.state.restore(
        {"k": "99", "shown": "contribution", "sample": "upload-2", "cluster": "[[", "names": "3"},
        app.session.names,
    )
    assert app.state.shown == "contribution"
    assert len(said) == 4
    assert "This link refers to sample 'upload-2', which is not available here." in said
