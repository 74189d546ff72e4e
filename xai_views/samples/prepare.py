"""Conversion of records for a model and back; see :mod:`xai_views.kinds.signal_preparing`."""

from xai_views.kinds.signal_preparing import back, prepare

__all__ = ["back", "prepare"]
