"""Metrics: one class each, registered as entry points of the group ``xai_views.metrics``."""
