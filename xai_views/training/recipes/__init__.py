"""Recipes of the shipped families, found through the entry points ``xai_views.recipes``."""
