"""Metrics: one class each, found through the entry points of the group ``xai_views.metrics``."""
