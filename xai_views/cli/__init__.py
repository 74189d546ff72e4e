"""The command ``xai-views``."""

from xai_views.cli.main import main

__all__ = ["main"]
