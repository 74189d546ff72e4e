"""Build the sample sets that ship: ``python -m xai_views.samples build birds birds-watermark digits nuclei photos ecg``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from xai_views.contract import registry
from xai_views.errors import XaiViewsError


def main(argv: Sequence[str] | None = None) -> int:
    """Build the named sets and return the exit status: 0, or 2 when a required package is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m xai_views.samples", description="Build the sample sets that ship."
    )
    parser.add_argument("action", choices=["build"])
    parser.add_argument("family", nargs="+", choices=registry.entries("samples"))
    parser.add_argument("--out", type=Path, default=Path("data/samples"))
    args = parser.parse_args(argv)
    try:
        for family in args.family:
            registry.load("samples", family)().build(args.out)
    except XaiViewsError as e:
        print(e, file=sys.stderr)
        return 2
    return 0
