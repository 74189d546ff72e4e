"""What the header offers: every app, and models and samples that travel from one to the other; what cannot be says why."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from xai_views import apps, catalogue
from xai_views.models import open_model
from xai_views_dashboard.core.bar import HeaderBar
from xai_views_dashboard.shell import offers
from xai_views_dashboard.shell.header import header
from xai_views_dashboard.shell.shelf import Shelf


def query(href: str) -> dict[str, str]:
    return {k: v[0] for k, v in parse_qs(urlsplit(href).query).items()}


@pytest.fixture(scope="module")
def shelf():
    return Shelf()


def bar(shelf, *given) -> HeaderBar:
    (found,) = header(shelf, *given)
    return found


def option(choice: dict, name: str) -> dict:
    return next(o for o in choice["options"] if o["name"] == name)


@pytest.mark.parametrize("name", catalogue.models())
def test_cards_tell_what_opening_would_tell(shelf, name):
    offer = offers.model_offer(name, name)
    told = {app: not reason for app, reason in offers.reasons(offer).items()}
    assert told == {app: not reason for app, reason in offers.reasons(offer, open_model(name)).items()}


def test_all_apps_are_links_that_keep_model_and_samples(shelf):
    found = {a["key"]: a for a in bar(shelf, "sic", "birds-sic", "birds/train").apps}
    assert set(found) == set(apps.classes())
    assert found["sic"]["current"]
    assert not found["activations"]["current"]
    assert query(found["activations"]["href"]) == {"model": "birds-sic", "samples": "birds/train"}
    assert found["activations"]["href"].startswith("./"), "whatever prefix the server has"
    assert "takes images" in found["ecg"]["reason"]


def test_a_model_opens_where_it_can(shelf):
    model, _ = bar(shelf, "sic", "birds-sic", "birds/train").choices
    assert option(model, "nuclei-sic")["href"].startswith("./sic?")
    assert option(model, "birds-cnn")["href"].startswith("./activations?"), "SIC cannot open it"
    assert query(option(model, "birds-cnn")["href"])["samples"] == "birds/train", "they fit it too"
    assert query(option(model, "digits-sic")["href"]) == {"model": "digits-sic"}, "birds do not fit it"
    assert option(model, "ecg-resnet")["href"].startswith("./ecg?")


def test_samples_that_do_not_fit_say_why(shelf):
    _, samples = bar(shelf, "sic", "birds-sic").choices
    assert samples["value"] == "birds/test", "those of the model's card"
    assert option(samples, "birds/train")["reason"] == ""
    assert "take" in option(samples, "ecg/test")["reason"]
    assert "28 × 28 pixels in grey" in option(samples, "digits/test")["reason"]
    assert option(samples, "birds/train")["title"] == "Procedural birds, train set"


def test_an_upload_is_offered_to_who_has_its_name_only(shelf):
    from xai_views.samples.uploaded import Uploaded

    name = shelf.uploads.add(Uploaded("mine.zip", "image", ("a",)))
    _, samples = bar(shelf, "sic", "birds-sic", name).choices
    assert (samples["value"], option(samples, name)["title"]) == (name, "mine.zip")
    _, samples = bar(shelf, "sic", "birds-sic").choices
    assert not any(o["name"].startswith("upload") for o in samples["options"])


def test_samples_of_the_command_line_are_called_by_their_name_alone():
    shelf = Shelf("birds-sic", "/home/ann/secret/pictures", "birds-sic")
    (_, samples) = bar(shelf, "sic", "birds-sic").choices
    assert option(samples, "")["title"] == "pictures"
    assert "secret" not in str(samples)


def test_alone_no_other_app_is_offered(shelf):
    (found,) = header(shelf, "sic", "birds-sic", alone=True)
    assert [a["key"] for a in found.apps] == ["sic"]
