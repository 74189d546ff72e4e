"""``xai-views train NAME``: one command per installed recipe, with options made from the recipe's parameters."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from pathlib import Path
from typing import Any

import param

from xai_views.cli.settings import read_pairs
from xai_views.contract import registry
from xai_views.contract.recipe import Recipe
from xai_views.errors import XaiViewsError

logger = logging.getLogger("xai_views")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a command for each installed recipe; one that cannot be imported is skipped with a warning."""
    commands = parser.add_subparsers(title="recipes", dest="recipe", required=True, metavar="NAME")
    for name in registry.entries("recipes"):
        try:
            recipe = registry.load("recipes", name)
        except XaiViewsError as error:
            logger.warning("Skipped the recipe %s: %s", name, error)
            continue
        words = registry.described("recipes", name)
        sub = commands.add_parser(name, help=words, description=words)
        _add_common(sub)
        for parameter in recipe.declared():
            _add_option(sub, parameter, recipe)


def _add_common(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--samples", required=True, help="a family such as birds, or your own labelled samples")
    sub.add_argument("--test", help="test samples (default: from the catalogue, or one fifth of your own)")
    sub.add_argument(
        "--out", required=True, type=Path, help="checkpoint folder; an interrupted run there is resumed"
    )
    sub.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    sub.add_argument("--threads", type=int, default=0, help="CPU threads (0 = all)")
    sub.add_argument("--quiet", action="store_true", help="no progress bar")
    sub.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks")
    sub.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any parameter, also as a [list]"
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _add_option(sub: argparse.ArgumentParser, name: str, recipe: type[Recipe]) -> None:
    """Add the option of one parameter; parameters such as lists have none and are given with --set."""
    parameter = recipe.param[name]
    chosen = any(name in preset for preset in recipe.presets.values())
    default = f"depends on the samples, else {parameter.default}" if chosen else parameter.default
    words = f"{parameter.doc} (default: {default})".replace("%", "%%")
    if isinstance(parameter, param.Boolean):
        words = words.partition(" (default")[0]
        sub.add_argument(_flag(name), action=argparse.BooleanOptionalAction, default=None, help=words)
    elif isinstance(parameter, param.Integer):
        sub.add_argument(_flag(name), type=int, help=words)
    elif isinstance(parameter, param.Number):
        sub.add_argument(_flag(name), type=float, help=words)
    elif isinstance(parameter, param.Selector):
        sub.add_argument(_flag(name), choices=list(parameter.objects), help=words)
    elif isinstance(parameter, param.String):
        sub.add_argument(_flag(name), help=words)


def options(name: str) -> list[str]:
    """Return the options of a recipe's command."""
    common = ["--samples", "--test", "--out", "--device", "--threads", "--quiet", "--set"]
    return common + [_flag(n) for n in registry.load("recipes", name).declared()]


def run(args: argparse.Namespace) -> int:
    """Train, evaluate, write the checkpoint; return the exit status."""
    import torch

    from xai_views.training.running import run as run_recipe

    kind = registry.load("recipes", args.recipe)
    given = {n: getattr(args, n) for n in kind.declared() if getattr(args, n, None) is not None}
    given |= read_pairs(args.set)
    recipe = kind.preset(args.samples, **given)
    if args.threads:
        torch.set_num_threads(args.threads)
    metrics = run_recipe(
        recipe,
        args.samples,
        args.out,
        test=args.test,
        device=args.device,
        quiet=args.quiet,
        command=_command(args, given),
    )
    print(f"{args.out}: {metrics}", file=sys.stderr)
    return 0


def _command(args: argparse.Namespace, given: dict[str, Any]) -> str:
    """Return the command that repeats a run, without options that do not change its outcome."""
    words = ["xai-views", "train", args.recipe, "--samples", args.samples, "--out", args.out.as_posix()]
    words += ["--test", args.test] if args.test is not None else []
    pairs = read_pairs(args.set)
    for name, value in given.items():
        if name in pairs:
            continue
        if isinstance(value, bool):
            words.append(_flag(name) if value else _flag(f"no_{name}"))
        else:
            words += [_flag(name), str(value)]
    return shlex.join([*words, *(word for pair in args.set for word in ("--set", pair))])
