"""The command ``xai-views``: serve, explain, train, list, doctor.

Errors are one sentence on standard error, with exit code 2; ``--debug`` adds the traceback.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import xai_views
from xai_views.cli.settings import read_pairs
from xai_views.errors import ModelError, XaiViewsError, nearest
from xai_views.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments, by default those of the process.

    Returns
    -------
    int
        0; 1 when ``doctor`` found a problem; 2 when an argument cannot be used.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    rest = []
    if argv[:1] == ["train"]:  # its options need torch, which other commands do not wait for
        argv, rest = argv[:1], argv[1:]
    arguments = parser().parse_args(argv, argparse.Namespace(rest=rest))
    level = logging.INFO if arguments.debug else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    try:
        return arguments.run(arguments) or 0
    except XaiViewsError as error:
        if arguments.debug:
            raise
        print(f"xai-views: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks and a more detailed log")
    top = argparse.ArgumentParser(prog="xai-views", description=str(xai_views.__doc__).split("\n")[0])
    top.add_argument("--version", action="version", version=f"xai-views {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Any, words: str, **options: Any) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, parents=[common], help=words, description=words, **options)
        sub.set_defaults(run=run)
        return sub

    _add_serve(
        command("serve", serve, "Open everything that is shipped, or a model of your own, in a browser.")
    )
    words = "Explain samples and write the explanation to a file."
    _add_explain(command("explain", explain, words, formatter_class=_WithMethods))
    command("train", train, "Train a network and write its checkpoint folder.")
    command("list", list_, "List models, samples, methods and apps.")
    doctor_ = command("doctor", doctor, "Check this installation and explain how to fix it.")
    doctor_.add_argument("--port", type=int, default=5006, help="the port to check (default 5006)")
    return top


def _add_serve(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--model", metavar="NAME|FOLDER|FILE.py:FUNCTION", help="a model to open first")
    sub.add_argument("--samples", metavar="NAME|PATH", help="the samples to open it with")
    sub.add_argument("--port", type=_port, default=5006, help="0 takes a free one (default 5006)")
    sub.add_argument(
        "--address", default="127.0.0.1", help="0.0.0.0 serves the network (default: this machine)"
    )
    _add_device(sub)
    sub.add_argument(
        "--allow-websocket-origin",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="another name under which people reach this server; may be given several times",
    )
    sub.add_argument(
        "--basic-auth",
        metavar="PASSWORD|FILE.json",
        help="ask for a password, or for a user and a password of a JSON file (default: what PANEL_BASIC_AUTH holds)",
    )
    sub.add_argument("--show", action=argparse.BooleanOptionalAction, default=None, help="open a browser")


class _WithMethods(argparse.HelpFormatter):
    """Formatter whose help ends with the installed methods and their parameters, imported only for this."""

    def format_help(self) -> str:
        """Return the help text followed by the methods."""
        from xai_views.cli.listing import parameters

        text = super().format_help()
        return (
            text + "\n" + "\n".join(parameters()) + "\n"
            if text.startswith("usage") and "\n\n" in text
            else text
        )


def _add_explain(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("model", metavar="MODEL", help="a name, a checkpoint folder or FILE.py:FUNCTION")
    sub.add_argument("samples", metavar="SAMPLES", help="a name such as birds/test, a folder or a file")
    sub.add_argument("--method", help="see 'xai-views list' (default: the one that suits the model)")
    sub.add_argument(
        "--out", required=True, type=Path, metavar="FILE.zarr", help="where to write the explanation"
    )
    sub.add_argument("--first", type=int, metavar="N", help="explain only the first N samples")
    sub.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the method"
    )
    sub.add_argument("--overwrite", action="store_true", help="replace an existing --out")
    _add_device(sub)


def _add_device(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default=None, help="default: auto")


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        message = f"{text!r} is not a port: give a number from 0 to 65535"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _use(device: str | None) -> None:
    if device:
        os.environ["XAI_VIEWS_DEVICE"] = device


def _model(text: str | None) -> tuple[Any, str]:
    """Return what --model names, checked without opening it, and the name to list it under."""
    from xai_views import catalogue
    from xai_views.models.user_model import OwnModel

    if text is None:
        return None, ""
    own = OwnModel.parse(text)
    if own is not None:
        return own, own.name
    known = catalogue.models()
    if text in known:
        return text, text
    path = Path(text).expanduser()
    if path.is_dir():
        return path, path.resolve().name
    message = (
        f"There is no model {text!r}, neither as a folder here nor shipped; the nearest shipped models: "
        f"{nearest(text, known)}. Give your own code as FILE.py:FUNCTION."
    )
    raise ModelError(message)


def serve(arguments: argparse.Namespace) -> None:
    """Run ``xai-views serve``."""
    _use(arguments.device)
    model, name = _model(arguments.model)
    if arguments.samples and model is None:
        message = "--samples needs --model too: which model shall look at them?"
        raise XaiViewsError(message)
    found = [entry for entry in entry_points(group="xai_views.server") if entry.name == "panel"]
    if not found:
        message = "The server is not installed: run 'pip install -e .' in the checkout again."
        raise XaiViewsError(message)
    show = _has_screen() if arguments.show is None else arguments.show
    found[0].load()(
        model=model,
        samples=arguments.samples,
        name=name,
        port=arguments.port,
        address=arguments.address,
        origins=arguments.allow_websocket_origin,
        basic_auth=arguments.basic_auth,
        show=show,
        started=_started,
    )


def _started(*urls: str) -> None:
    print(f"XAI Views is at {'  and  '.join(urls)}   (Ctrl-C ends it)", flush=True)


def _has_screen() -> bool:
    """Return whether a browser can be opened for the person who started this."""
    if not sys.stdout.isatty():
        return False
    return sys.platform != "linux" or any(os.environ.get(k) for k in ("DISPLAY", "WAYLAND_DISPLAY"))


def explain(arguments: argparse.Namespace) -> None:
    """Run ``xai-views explain``."""
    parameters = read_pairs(arguments.set)
    out = arguments.out.expanduser()
    if out.exists() and not arguments.overwrite:
        message = f"{out} exists; choose another --out, or add --overwrite."
        raise XaiViewsError(message)
    if not out.parent.is_dir():
        message = f"There is no folder {out.parent} to write {out.name} to; create it first."
        raise XaiViewsError(message)
    _use(arguments.device)
    model, _ = _model(arguments.model)
    from xai_views import apps
    from xai_views import explain as explain_
    from xai_views.contract.explanation import save
    from xai_views.kernel.device import start

    device = start(os.environ.get("XAI_VIEWS_DEVICE") or "auto")
    model, samples = apps.opened(model, arguments.samples)
    model.to(device)
    if arguments.first is not None:
        samples = samples.isel(sample=slice(max(arguments.first, 1)))
    result = explain_(model, samples, arguments.method, progress=_told, **parameters)
    save(result, out)
    print(f"{out}: {samples.sizes['sample']} samples explained by {result.attrs['method']}.")


def _told(done: int, total: int) -> None:
    """Show progress in one line of an interactive terminal."""
    if sys.stderr.isatty():
        print(f"\r{done} of {total}", end="" if done < total else "\n", file=sys.stderr, flush=True)


def train(arguments: argparse.Namespace) -> int:
    """Run ``xai-views train``; its options are defined in ``xai_views.cli.train``."""
    training = import_module("xai_views.cli.train")
    own = argparse.ArgumentParser(
        prog="xai-views train", description="Train a network and write it to a folder."
    )
    own.add_argument("--debug", action="store_true", default=arguments.debug, help="show tracebacks")
    training.add_arguments(own)
    chosen, unknown = own.parse_known_args(arguments.rest)
    arguments.debug = chosen.debug
    if unknown:
        near = nearest(unknown[0], training.options(chosen.recipe))
        message = f"'train {chosen.recipe}' has no option {unknown[0]!r}; the nearest options: {near}."
        raise XaiViewsError(message)
    return training.run(chosen) or 0


def list_(_arguments: argparse.Namespace) -> None:
    """Run ``xai-views list``."""
    from xai_views.cli.listing import lines

    print("\n".join(lines()))


def doctor(arguments: argparse.Namespace) -> int:
    """Run ``xai-views doctor``."""
    from xai_views.cli.doctor import examine

    return examine(arguments.port)
