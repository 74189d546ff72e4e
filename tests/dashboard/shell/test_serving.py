"""Serving without a browser: guards, headers, origins, what may be opened, and the texts of the start page."""

from __future__ import annotations

import importlib
import json
import logging
import os
import socket
from concurrent.futures import Future
from types import SimpleNamespace

import panel as pn
import pytest
import yaml

from xai_views import catalogue
from xai_views.errors import XaiViewsError
from xai_views.views import patches
from xai_views_dashboard.core import page as theme
from xai_views_dashboard.shell import offers, previews, serving
from xai_views_dashboard.shell import shelf as shelves
from xai_views_dashboard.shell import start_page as index
from xai_views_dashboard.shell.shelf import Shelf

TWO_PAGES = """
from xai_views.errors import XaiViewsError
from xai_views_dashboard.core.page import page, note
def known(): raise XaiViewsError("The <b>layer</b> has no maps.")
def unknown(): return 1 / 0
def half():
    import panel as pn
    pn.pane.Markdown("half a page").servable()
    raise KeyError("x")
apps = {"known": known, "/unknown": unknown, "half": half, "fine": lambda: page("Fine", note("All is well."))}
"""


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A catalogue of one model and one sample set, with what cards hold and hostile text."""
    model, data = tmp_path / "models" / "m-sic", tmp_path / "samples" / "m"
    for folder, card in (
        (
            model,
            {
                "name": "m-sic",
                "title": "<script>alert(1)</script>",
                "method": "sic",
                "samples": "m/test",
                "classes": ["a", "b", "c", "d"],
                "metrics": {"test_balanced_accuracy": 0.912},
                "twin": {"test_balanced_accuracy": 0.93},
                "architecture": {"size": [64, 48]},
            },
        ),
        (
            data,
            {
                "name": "m",
                "title": "M things",
                "synthetic": True,
                "samples": {"train": [600, 634], "test": 40},
            },
        ),
    ):
        folder.mkdir(parents=True)
        (folder / "card.yaml").write_text(yaml.safe_dump(card))
    monkeypatch.setattr(catalogue, "models", lambda: {"m-sic": model})
    monkeypatch.setattr(catalogue, "samples", lambda: {"m/test": data, "m/train": data})
    monkeypatch.setattr(catalogue, "card", lambda folder: yaml.safe_load((folder / "card.yaml").read_text()))
    monkeypatch.setattr(index, "preview", lambda name, folder: "")
    return Shelf()


def html(page) -> str:
    return "".join(part.object for part in page.main if hasattr(part, "object"))


# --- pages that fail ---------------------------------------------------------------------------------------


def test_pages_that_fail_say_so_in_one_sentence(serve_app):
    server = serve_app(TWO_PAGES)
    for path in ("/known", "/unknown", "/half"):
        status, headers, text = server.get(path)
        assert status == 200
        assert "content-security-policy" in headers
        assert "Traceback" not in text
    log = server.log()
    assert "ZeroDivisionError" in log
    assert "has no maps" not in log.replace("WARNING", "")
    assert server.get("/fine")[0] == 200


def test_a_failing_callback_tells_the_visitor(monkeypatch, caplog):
    told = []
    state = SimpleNamespace(
        curdoc=object(), notifications=SimpleNamespace(error=lambda m, **_: told.append(m))
    )
    monkeypatch.setattr(serving.pn, "state", state)
    serving.report(XaiViewsError("No such layer."))
    assert not caplog.records
    serving.report(KeyError("secret"))
    assert told == ["No such layer.", serving.FAILED_LATER]
    assert "secret" in caplog.text


# --- headers, sockets, origins -----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["", "a b", "x; script-src *", "x'", "evil.example/path"])
def test_a_strange_host_adds_nothing_to_the_policy(host):
    assert serving.policy(host) == serving.policy("")
    assert "ws:" not in serving.policy("")


def test_the_policy_allows_this_host_only():
    rules = serving.policy("lab-7.local:5006")
    assert "connect-src 'self' data: blob: ws://lab-7.local:5006 wss://lab-7.local:5006" in rules
    assert "*" not in rules
    assert "http" not in rules


def test_the_websocket_does_not_wait(monkeypatch):
    patches.no_delay()
    calls = []
    handler = SimpleNamespace(set_nodelay=calls.append)
    with pytest.raises(AttributeError):  # what it wraps needs a real connection
        patches.WSHandler.open(handler)
    assert calls == [True]


def test_origins():
    assert serving.reachable("127.0.0.1", 5006) == ["localhost:5006", "127.0.0.1:5006"]
    assert "10.0.0.3:80" in serving.reachable("10.0.0.3", 80)
    assert f"{socket.gethostname().lower()}:5006" in serving.reachable("0.0.0.0", 5006)
    assert serving.reachable("127.0.0.1", 1, ["lab:80"])[-1] == "lab:80"
    with pytest.raises(XaiViewsError, match="is not an origin"):
        serving.reachable("127.0.0.1", 1, ["http://lab"])


def test_addresses_to_tell():
    assert serving.urls("127.0.0.1", 5006) == ["http://localhost:5006"]
    assert serving.urls("10.0.0.3", 80) == ["http://10.0.0.3:80"]
    assert serving.urls("0.0.0.0", 80)[0] == "http://localhost:80"


# --- passwords ---------------------------------------------------------------------------------------------


@pytest.fixture
def bare(monkeypatch):
    """No password and no secret in the environment."""
    for name in ("PANEL_BASIC_AUTH", "PANEL_COOKIE_SECRET", "BOKEH_COOKIE_SECRET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def served(monkeypatch, bare):
    """Serve without a server: returns what Panel would have been given."""

    def run(**options) -> dict:
        given = {}
        loop = SimpleNamespace(start=lambda: None, call_later=lambda *_: None)
        server = SimpleNamespace(start=lambda: None, stop=lambda: None, io_loop=loop)
        monkeypatch.setattr(serving, "get_server", lambda pages, **k: (given.update(k), server)[1])
        monkeypatch.setattr(serving.pn.config, "exception_handler", None)
        serving.serve({"/": lambda: None}, port=0, started=lambda *_: None, **options)
        return given

    return run


def lets_in(known, user: str, password: str) -> bool:
    """Return how Panel's own login treats the passwords."""
    handler = SimpleNamespace(application=type("Application", (), {})())
    pn.state._server_config[handler.application] = {"basic_auth": known}
    try:
        return patches.BasicLoginHandler._validate(handler, user, password)
    finally:
        del pn.state._server_config[handler.application]


def one_sentence(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert len(text) < 400
    return text


@pytest.mark.parametrize("empty", ["", " ", "\t\n ", "\u3000"])
def test_an_empty_password_is_refused(bare, monkeypatch, empty):
    with pytest.raises(XaiViewsError, match="The password is empty") as error:
        serving.passwords(empty)
    one_sentence(error)
    monkeypatch.setenv("PANEL_BASIC_AUTH", empty)
    with pytest.raises(XaiViewsError, match="PANEL_BASIC_AUTH is empty"):
        serving.passwords(None)


@pytest.mark.parametrize(
    "lost", ["users.json", "secrets.TXT", "here/users", "/etc/lost", "~/lost.json", "./x"]
)
def test_a_missing_file_is_not_a_password(bare, lost):
    with pytest.raises(XaiViewsError, match="there is no such file") as error:
        serving.passwords(lost)
    assert lost not in one_sentence(error), "it may be a password after all"


def test_a_folder_and_a_device_are_not_passwords(bare, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words").mkdir()
    for path in ("words", str(tmp_path), os.devnull):
        with pytest.raises(XaiViewsError, match="a folder or a device") as error:
            serving.passwords(path)
        one_sentence(error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("hunter2", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("{}", "holds no users"),
        ("[]", "holds no users"),
        ('"hunter2"', "holds no users"),
        ('{"ann": ""}', "empty password"),
        ('{"ann": "hunter2", "bob": "  "}', "for 'bob'"),
        ('{"ann": 1234}', "no text, for 'ann'"),
        ('{"ann": null}', "empty password"),
        ('{"ann": ["hunter2"]}', "empty password"),
        ('{"ann": "hunter2", " ": "hunter2"}', "empty user name as entry 2"),
    ],
)
def test_a_password_file_holds_users_and_passwords(bare, tmp_path, text, said):
    file = tmp_path / "users.json"
    file.write_text(text)
    with pytest.raises(XaiViewsError, match=said) as error:
        serving.passwords(str(file))
    assert "hunter2" not in one_sentence(error)


def test_a_password_file_that_cannot_be_read(bare, tmp_path, monkeypatch):
    file = tmp_path / "users"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(XaiViewsError, match="is not JSON in UTF-8"):
        serving.passwords(str(file))

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(serving.Path, "read_text", refused)
    with pytest.raises(XaiViewsError, match=r"cannot be read \(Permission denied\)") as error:
        serving.passwords(str(file))
    one_sentence(error)


def test_who_is_let_in(bare, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert serving.passwords(None) is None
    one = serving.passwords("secret")
    assert one
    assert lets_in(one, "ann", "secret")
    for user, password in (("ann", ""), ("ann", "wrong"), ("", "secret"), ("", "")):
        assert not lets_in(one, user, password)
    (tmp_path / "secret").write_text(
        json.dumps({"eve": "mine"})
    )  # Panel would take the password for this file
    assert lets_in(one, "ann", "secret")
    assert not lets_in(one, "eve", "mine")
    file = tmp_path / "users.json"
    file.write_text("\ufeff" + json.dumps({"ann": "a", "Zoë": "pass word"}))
    many = serving.passwords(str(file))
    file.unlink()  # Panel would now take the path for the password
    assert lets_in(many, "ann", "a")
    assert lets_in(many, "Zoë", "pass word")
    for user, password in (("ann", str(file)), ("bob", "a"), ("", "a"), ("ann", "")):
        assert not lets_in(many, user, password)
    monkeypatch.setenv("PANEL_BASIC_AUTH", "Other")
    assert lets_in(serving.passwords(None), "ann", "Other")
    assert not lets_in(serving.passwords("secret0"), "ann", "Other"), "what is given comes first"


@pytest.mark.parametrize("name", ["PANEL_COOKIE_SECRET", "BOKEH_COOKIE_SECRET"])
def test_a_cookie_is_signed_with_a_secret(bare, served, monkeypatch, name):
    for bad in ("", "   ", "short"):
        monkeypatch.setenv(name, bad)
        with pytest.raises(XaiViewsError, match=f"{name} has . characters") as error:
            serving.check_secrets()
        one_sentence(error)
    with pytest.raises(XaiViewsError, match=name):
        serving.serve({}, port=0, basic_auth="secret")
    monkeypatch.setenv(name, "x" * 32)
    serving.check_secrets()


def test_the_command_refuses_an_empty_password(served, monkeypatch, capsys):
    cli = importlib.import_module("xai_views.cli.main")
    here = SimpleNamespace(name="panel", load=lambda: serving.serve_catalogue)
    monkeypatch.setattr(cli, "entry_points", lambda **_: [here])
    assert cli.main(["serve", "--port", "0", "--no-show", "--basic-auth", ""]) == 2
    assert "The password is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("", False),
        ("::", False),
        ("192.168.1.7", False),
        ("10.0.0.3", False),
        ("fe80::1", False),
        ("8.8.8.8", False),
        ("no-such-host.invalid", False),
        ("a" * 300, False),
    ],
)
def test_what_reaches_this_machine_only(address, own):
    assert serving.loopback(address) is own
    assert bool(serving.exposed(address)) is not own


def test_a_server_without_a_password_says_so(served, caplog):
    with caplog.at_level(logging.WARNING):
        served()
        served(address="0.0.0.0", basic_auth="hunter2")
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        served(address="0.0.0.0")
    (record,) = caplog.records
    assert record.message.startswith("NO PASSWORD: ")
    assert "--basic-auth" in record.message
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        served(origins=["127.0.0.1:80", "lab.invalid:5006"])  # others come through a proxy
    assert "under lab.invalid:5006" in caplog.text
    assert not serving.exposed("127.0.0.1", ["localhost", "127.0.0.1:80"])


@pytest.mark.parametrize("address", ["::", "::1", "fe80::1"])
def test_an_address_that_cannot_be_served(served, address):
    with pytest.raises(XaiViewsError, match="is an IPv6 address, which cannot be served") as error:
        served(address=address)
    one_sentence(error)


def test_no_message_of_a_browser_is_large(served):
    from xai_views_dashboard.panels.upload import CHUNK

    size = served()["websocket_max_message_size"]
    assert CHUNK * 4 / 3 < size <= 8_000_000


# --- what may be opened ------------------------------------------------------------------------------------


def test_only_offered_names_are_opened(shelf):
    assert shelf.asked({}) == ("m-sic", "")
    assert shelf.asked({"model": [b'"m-sic"'], "samples": [b"m/test"]}) == ("m-sic", "m/test")
    for bad in (b"/etc/passwd", b"../m-sic", b"m-sic/..", b"x.py:load", b"\xff"):
        with pytest.raises(XaiViewsError, match="There is no model"):
            shelf.asked({"model": [bad]})
    for bad in (b"/etc", b"m/../..", b"m", b"m/train/../test"):
        with pytest.raises(XaiViewsError, match="There are no samples"):
            shelf.asked({"samples": [bad]})


def test_what_the_command_line_names_comes_first(shelf):
    own = Shelf(model="anything", samples="~/pictures", name="mine")
    assert own.asked({}) == ("mine", "")
    assert list(own.models) == ["mine", "m-sic"]


def test_opening_happens_once_and_a_failure_is_tried_again_later(shelf, monkeypatch):
    started = []

    def start(model, samples):
        started.append(Future())
        return started[-1]

    monkeypatch.setattr(shelf, "_start", start)
    first = shelf.open("m-sic")
    assert shelf.open("m-sic") is first
    first.set_exception(XaiViewsError("no"))
    assert shelf.open("m-sic") is first, "whoever waits sees why"
    monkeypatch.setattr(shelves, "RETRY_S", 0.0)
    second = shelf.open("m-sic")
    assert second is not first
    second.set_result(("model", "samples"))
    assert shelf.open("m-sic") is second
    assert len(started) == 2


def test_nothing_shipped_is_a_sentence(monkeypatch):
    monkeypatch.setattr(catalogue, "models", dict)
    monkeypatch.setattr(catalogue, "samples", dict)
    with pytest.raises(XaiViewsError, match="No model is shipped here"):
        Shelf().asked({})
    assert "No model is shipped here yet." in html(index.start_page(Shelf()))


# --- the start page ----------------------------------------------------------------------------------------


def test_the_start_page_says_what_the_cards_say(shelf):
    text = html(index.start_page(shelf))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert 'href="./sic?model=m-sic"' in text
    for words in ("balanced accuracy", "Test set", "91.2 %", "Black-box twin", "93.0 %", "25.0 %", "64 × 48"):
        assert words in text
    assert text.count('class="tag synthetic"') == 3, (
        "two sets, and the data of the model that was trained on them"
    )
    assert "1\u202f234 images" in text
    assert "40 images" in text


def test_each_set_says_whether_it_is_real(monkeypatch):
    monkeypatch.setattr(index, "preview", lambda name, folder: "")
    folders = catalogue.samples()
    models = {name: offers.model_offer(name, name) for name in catalogue.models()}
    sets = {name: offers.samples_offer(name, folder, models) for name, folder in folders.items()}
    (ecg,) = (card for card in index._families(sets, folders) if ">ecg/test<" in card)
    rows = {row.partition("<")[0]: row for row in ecg.split('scope="row">')[1:]}
    for name, row in rows.items():
        assert (">real<" in row) == (name == "ecg/dicom"), name
        assert (">synthetic<" in row) == (name != "ecg/dicom"), name
    assert "<h3>A real" not in ecg, "the title of the card is that of the test set"
    assert "1 record<" in rows["ecg/dicom"]


def test_a_broken_card_does_not_break_the_page(shelf, monkeypatch):
    def card(folder):
        message = "bad"
        raise XaiViewsError(message)

    monkeypatch.setattr(catalogue, "card", card)
    assert "m-sic" in html(index.start_page(shelf))


def test_previews_are_small_pictures(tmp_path):
    from PIL import Image

    Image.new("RGB", (2000, 900), "teal").save(tmp_path / "preview.png")
    uri = previews.preview("x", tmp_path)
    assert uri.startswith("data:image/jpeg;base64,")
    assert len(uri) < 60_000


def test_a_row_of_tiles_becomes_two_rows(tmp_path):
    import base64
    import io

    from PIL import Image

    Image.new("RGB", (640, 80)).save(tmp_path / "preview.png")
    data = base64.b64decode(previews.preview("x", tmp_path).partition(",")[2])
    assert Image.open(io.BytesIO(data)).size == (320, 160)


@pytest.mark.parametrize("name", ["ecg/dicom", "ecg/test", "digits/test"])
def test_previews_are_drawn_of_images_and_of_records(monkeypatch, name):
    monkeypatch.setattr(previews, "_drawn", {})
    previews.preview(name, None)
    previews.wait()
    assert previews.preview(name, None).startswith("data:image/jpeg;base64,")


def test_a_preview_that_cannot_be_drawn_is_left_out(monkeypatch):
    monkeypatch.setattr(previews, "_drawn", {})
    assert previews.preview("no such samples", None) == ""
    previews.wait()
    assert previews.preview("no such samples", None) == ""


# --- the shell ---------------------------------------------------------------------------------------------


def test_the_shell_holds_what_it_is_given():
    shell = theme.page("Birds", "text", sidebar=["a", "b"], status="cpu")
    assert len(shell.main) == 2
    assert len(shell.sidebar) == 2
    assert shell.meta.title == "Birds · XAI Views"
    assert not shell.dark_theme


def test_no_page_is_told_of_the_messages_of_all_pages():
    """Panel would walk through all models of every open page, twice a message of anybody: half of a small answer's time."""
    before = len(pn.state.param.watchers.get("busy", {}).get("value", []))
    shell = theme.page("Birds", "text")
    told = []
    shell.param.watch(told.append, "busy")
    with patches.edit_readonly(pn.state):
        for busy in (True, False):
            pn.state.busy = busy
    assert told == []
    assert len(pn.state.param.watchers["busy"]["value"]) == before


def test_notes_are_text():
    assert "&lt;b&gt;" in theme.note("<b>").object
    assert 'role="alert"' in theme.note("x", "error").object


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(scheme):
    palette = theme.THEME[scheme]["palette"]

    def contrast(a: str, b: str) -> float:
        high, low = sorted((luminance(a), luminance(b)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for ground in palette["background"].values():
        assert contrast(palette["text"]["primary"], ground) >= 7
        assert contrast(palette["text"]["secondary"], ground) >= 4.5
        assert contrast(palette["primary"]["main"], ground) >= 4.5
    assert contrast(palette["primary"]["main"], palette["primary"]["contrastText"]) >= 4.5
