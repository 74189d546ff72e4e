"""Explanation methods: they take a PyTorch model and samples and return an explanation."""

from __future__ import annotations

from xai_views.contract.ask import Ask
from xai_views.contract.method import Method, Progress
from xai_views.methods.choosing import available, get, suited
from xai_views.methods.explaining import explain

__all__ = ["Ask", "Method", "Progress", "available", "explain", "get", "suited"]
