"""Records as samples; their schema is defined in :mod:`xai_views.kinds.signal_schema`."""

from xai_views.kinds.signal_schema import (
    LANDMARKS,
    LEADS,
    lead_name,
    signal_dataset,
    trace_tile,
    validate_signals,
)

__all__ = ["LANDMARKS", "LEADS", "lead_name", "signal_dataset", "trace_tile", "validate_signals"]
