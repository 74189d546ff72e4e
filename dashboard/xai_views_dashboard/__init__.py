"""The Panel apps of XAI Views: one file per app, found through the entry points ``xai_views.apps``."""
