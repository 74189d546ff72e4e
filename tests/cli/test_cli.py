"""The command line: output, rejected input and error messages."""

from __future__ import annotations

import re
import resource
import socket
import subprocess
import sys

import numpy as np
import pytest

from xai_views import catalogue, cli
from xai_views.cli import doctor as cli_doctor
from xai_views.cli.settings import read_pairs
from xai_views.errors import ModelError, XaiViewsError
from xai_views.models.user_model import OwnModel
from xai_views.version import __version__


def run(capsys, *argv: str) -> tuple[int, str, str]:
    code = cli.main(argv)
    out = capsys.readouterr()
    return code, out.out, out.err


def refusal(capsys, *argv: str) -> str:
    """Return the one-sentence error of a rejected command."""
    code, out, err = run(capsys, *argv)
    assert code == 2
    assert out == ""
    assert err.startswith("xai-views: ")
    assert len(err.strip().splitlines()) == 1, err
    assert "Traceback" not in err
    return err.removeprefix("xai-views: ").strip()


@pytest.fixture
def own(tmp_path):
    """A file with a function that returns a model, one that raises, and a broken file beside it."""
    file = tmp_path / "mine.py"
    file.write_text(
        "raise_on_import = False\n"
        "def load():\n    return 'a model'\n"
        "def fail():\n    raise RuntimeError('no weights here')\n"
    )
    (tmp_path / "broken.py").write_text("def load(:\n")
    return file


# --- wrong arguments -----------------------------------------------------------------------------------------


def test_an_unknown_model_is_answered_with_the_nearest(capsys):
    text = refusal(capsys, "serve", "--model", "birds-sik")
    assert "There is no model 'birds-sik'" in text
    assert "FILE.py:FUNCTION" in text
    for name in catalogue.models():
        if name == "birds-sic":
            assert "'birds-sic'" in text


def test_samples_alone_make_no_sense(capsys):
    assert "--samples needs --model" in refusal(capsys, "serve", "--samples", "birds")


def test_an_own_file_must_exist_parse_and_define_the_function(capsys, own):
    assert "There is no file" in refusal(capsys, "serve", "--model", f"{own.parent}/nothing.py:load")
    assert "add the function" in refusal(capsys, "serve", "--model", str(own))
    text = refusal(capsys, "serve", "--model", f"{own}:laod")
    assert "defines no 'laod'" in text
    assert "'load'" in text
    assert "is not valid Python" in refusal(capsys, "serve", "--model", f"{own.parent}/broken.py:load")


def test_an_own_function_runs_late_and_its_failure_is_a_sentence(own):
    assert OwnModel.parse("birds-sic") is None
    assert OwnModel.parse(f"{own}:load").load() == "a model"
    assert OwnModel.parse(f"{own}:load").name == "mine"
    with pytest.raises(ModelError, match=r"^mine\.py:fail raised RuntimeError: no weights here$"):
        OwnModel.parse(f"{own}:fail").load()


def test_a_taken_port_is_answered_with_a_free_one(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = refusal(capsys, "serve", "--port", str(port), "--no-show")
    assert f"port {port}" in text
    free = int(re.search(r"--port (\d+)", text)[1])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free))


@pytest.mark.parametrize("origin", ["http://a.b:1", "a:b:c", "host:port"])
def test_an_origin_is_a_host(capsys, origin):
    text = refusal(capsys, "serve", "--port", "0", "--allow-websocket-origin", origin)
    assert f"{origin!r} is not an origin" in text


@pytest.mark.parametrize("port", ["http", "70000", "-1"])
def test_a_port_is_a_number(capsys, port):
    with pytest.raises(SystemExit) as stop:
        cli.main(["serve", f"--port={port}"])
    assert stop.value.code == 2
    assert "is not a port" in capsys.readouterr().err


@pytest.mark.parametrize("pair", ["classes", "=3", "a b=3"])
def test_a_parameter_has_a_name_and_a_value(capsys, tmp_path, pair):
    out = tmp_path / "x.zarr"
    text = refusal(capsys, "explain", "birds-sic", "birds/test", "--out", str(out), "--set", pair)
    assert "is not KEY=VALUE" in text


def test_parameters_are_numbers_words_and_lists():
    pairs = ["a=3", "b=0.5", "c=true", "d=[1, 2]", "e=predicted", "f=x=y"]
    assert read_pairs(pairs) == {"a": 3, "b": 0.5, "c": True, "d": [1, 2], "e": "predicted", "f": "x=y"}


def test_explanations_overwrite_nothing_by_accident(capsys, tmp_path):
    out = tmp_path / "x.zarr"
    out.mkdir()
    assert "exists" in refusal(capsys, "explain", "birds-sic", "birds/test", "--out", str(out))
    lost = tmp_path / "no" / "x.zarr"
    assert "There is no folder" in refusal(capsys, "explain", "birds-sic", "birds/test", "--out", str(lost))


def test_debug_shows_where_it_went_wrong():
    with pytest.raises(XaiViewsError):
        cli.main(["serve", "--debug", "--samples", "birds"])


def test_no_command_is_answered_with_the_usage(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([])
    assert stop.value.code == 2
    assert "usage: xai-views" in capsys.readouterr().err


# --- output --------------------------------------------------------------------------------------------------


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == f"xai-views {__version__}"


def test_list_names_everything(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0
    for title in ("Models:", "Samples:", "Methods:", "Families:", "Recipes:", "Apps:"):
        assert title in out
    for name in [*catalogue.models(), *catalogue.samples(), "sic"]:
        assert re.search(rf"^  {re.escape(name)} +\S", out, re.MULTILINE), name
    said = {line.split()[0]: line for line in out.splitlines() if "/" in line}
    assert [name for name, line in said.items() if "test set" in line and not name.endswith("/test")] == []
    assert "generated on first use" in said["ecg/mixed"]


@pytest.mark.parametrize(
    ("words", "said"),
    [([], ("sic", "cnn", "vit", "ecg")), (["sic"], ("--out", "--supports-per-class", "--no-twin", "--set"))],
)
@pytest.mark.slow
def test_help_of_train_names_recipes_and_their_options(words, said):
    done = subprocess.run(
        [sys.executable, "-m", "xai_views.cli", "train", *words, "--help"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in said)


def test_doctor_finds_nothing_to_mend_here(capsys):
    code, out, _ = run(capsys, "doctor")
    assert code == 0, out
    assert "No problems found." in out
    assert re.search(r"^  ok  torch runs on (cpu|cuda|mps)", out, re.MULTILINE)


def test_doctor_sees_a_changed_file(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"changed")
    card = {"model.safetensors": "0" * 64, "supports.safetensors": "0" * 64}
    ((kind, words),) = cli_doctor.files("m", tmp_path, card)
    assert kind == "bad"
    assert "model.safetensors differs from its card" in words
    assert "supports.safetensors is missing" in words
    assert [kind for kind, _ in cli_doctor.files("m", tmp_path, None)] == ["note"]


def test_doctor_sees_a_taken_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ((kind, words),) = cli_doctor.listening(taken.getsockname()[1])
    assert kind == "note"
    assert "cannot be used" in words


def cpu_of_children() -> float:
    """Return the processor time of the child processes that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
def test_serve_prints_its_address_and_answers(serve_app):
    before = cpu_of_children()
    server = serve_app([])
    status, headers, text = server.get("/")
    assert status == 200
    assert "XAI Views" in text
    assert "Look inside a trained model" in text
    assert f"XAI Views is at http://localhost:{server.port}" in server.log()
    rules = headers["content-security-policy"]
    assert "default-src 'self'" in rules
    assert "http:" not in rules
    assert f"ws://127.0.0.1:{server.port}" in rules
    assert headers["x-content-type-options"] == "nosniff"
    assert server.get("/liveness")[0] == 200
    assert server.get("/nothing-here")[0] == 404
    assert "Traceback" not in server.log()
    server.stop()
    # Seconds of the processor, not of the clock: other work on the machine makes the start longer, but not dearer.
    assert cpu_of_children() - before < 30, "the budget is 5 s on a quiet machine"


def test_a_password_is_asked_for(serve_app):
    server = serve_app(["--basic-auth", "secret"])
    _, _, text = server.get("/")
    assert "password" in text.lower()
    assert "Look inside a trained model" not in text


OWN_SIC = """
import numpy as np
import torch
import xai_views as xv
from xai_views.models.families.cnn.network import BcosCNN
from xai_views.models.families.sic.network import SIC
from xai_views.training.finish import attach_supports

def load():
    torch.manual_seed(0)
    module = SIC(BcosCNN(3, [[8, 3, 1, 2], [8, 3, 1, 1]]), 2, 8)
    model = xv.open_model(module, classes=["a", "b"], size=(16, 16))
    return attach_supports(model, xv.open_samples({samples!r}), per_class=2)
"""


@pytest.fixture
def tiny(tmp_path):
    """A tiny SIC in a user's file, and matching samples."""
    samples = tmp_path / "samples.npz"
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    np.savez(samples, image=image, label=np.array([0, 0, 0, 1, 1, 1]))
    (tmp_path / "tiny.py").write_text(OWN_SIC.format(samples=str(samples)))
    return f"{tmp_path}/tiny.py:load", str(samples)


def test_explain_writes_a_file_that_says_how_it_was_made(capsys, tmp_path, tiny):
    from xai_views.contract.explanation import load

    out = tmp_path / "out.zarr"
    code, words, err = run(capsys, "explain", *tiny, "--out", str(out), "--first", "3", "--device", "cpu")
    assert code == 0, err
    assert "3 samples explained by sic" in words
    result = load(out)
    assert result.sizes["sample"] == 3
    assert result.attrs["method"] == "sic"
    assert float(abs(result["residual"]).max()) < 1e-3
    assert "exists" in refusal(capsys, "explain", *tiny, "--out", str(out))
    assert run(capsys, "explain", *tiny, "--out", str(out), "--first", "2", "--overwrite")[0] == 0
    assert load(out).sizes["sample"] == 2


def test_explain_refuses_in_words(capsys, tmp_path, tiny):
    out = str(tmp_path / "out.zarr")
    model, samples = tiny
    assert "'sik'" in refusal(capsys, "explain", model, samples, "--method", "sik", "--out", out)
    assert "'nothing'" in refusal(capsys, "explain", model, samples, "--set", "nothing=1", "--out", out)
    assert "no samples" in refusal(capsys, "explain", model, f"{tmp_path}/none", "--out", out)
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.slow
def test_serve_opens_ones_own_model_first(serve_app, tiny):
    server = serve_app(["--model", tiny[0], "--samples", tiny[1], "--device", "cpu"])
    assert server.get("/sic?model=tiny", timeout=60)[0] == 200
    assert server.get("/sic", timeout=60)[0] == 200
    assert "Traceback" not in server.log(), server.log()
