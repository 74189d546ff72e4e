"""Recipes of the families that ship; found through the entry points ``xai_views.recipes``."""
